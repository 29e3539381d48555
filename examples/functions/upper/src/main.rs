//! The simplest of functions, in the format `default`: a container is started for each call, the request body is
//! on stdin, and what is written to stdout is the answer. Any program that works in a pipe is such a function.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let text = io::read_to_string(io::stdin())?;
    // Should this fail, the exit code is 1: the caller gets a 502, and the reason is in the call's record.
    io::stdout().write_all(text.to_uppercase().as_bytes())
}
