//! The `hearth` binary: the command, with the allocator that is chosen for it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Of a huge page all two megabytes are resident once a byte of it is used: a server that had some four megabytes in use
    // had twenty, and a few more now and then while answers passed through it. The allocator is built to ask for none, and
    // where the kernel gives them unasked, they are declined. A kernel that cannot be told so has none.
    rustix::thread::disable_transparent_huge_pages(true).unwrap_or_default();
    hearth::run()
}
