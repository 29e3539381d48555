//! Starts a function in its container, with its log going straight to the server.
//!
//! `launch LOG PROGRAM ARGUMENT...` becomes PROGRAM, whose stdout and stderr are LOG: a named pipe that the server reads. So
//! the server sees a line as soon as it is written, where the engine takes its time to hand it on. Where that pipe does not
//! lead to a reader (an engine in a virtual machine, say), the program gets what the engine has given.
//!
//! `hearth-drivers` builds this file alone, without dependencies and as a static program, and mounts it into containers.

use std::env;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// `O_NONBLOCK` of Linux, on all processors that Docker runs on.
const NONBLOCK: i32 = 0o4000;

/// Says that the log comes this way. It is the first that is written, and `hearth-drivers` waits for it.
const GREETING: &[u8] = b"\x06";

/// What shells exit with when there is no such program, and when it cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(log), Some(program)) = (arguments.next(), arguments.next()) else {
        // The server tries whether this can be run from where it stands.
        return ExitCode::SUCCESS;
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    if let Ok((stdout, stderr)) = open(&log) {
        command.stdout(stdout).stderr(stderr);
    }
    // Returns only when it fails.
    let error = command.exec();
    // Without anybody to hear it the exit code has to do.
    drop(writeln!(io::stderr(), "exec {} failed: {error}", program.display()));
    ExitCode::from(if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN })
}

/// The pipe, opened twice: what a program does to its stdout (not to wait, say) is not done to its stderr. Fails where nobody
/// reads it, instead of waiting for somebody.
fn open(log: &OsStr) -> io::Result<(File, File)> {
    let reader_is_there = OpenOptions::new().write(true).custom_flags(NONBLOCK).open(log)?;
    // Functions expect to wait when there is no room.
    let mut stdout = OpenOptions::new().write(true).open(log)?;
    let stderr = OpenOptions::new().write(true).open(log)?;
    drop(reader_is_there);
    stdout.write_all(GREETING)?;
    Ok((stdout, stderr))
}
