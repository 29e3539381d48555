//! Watches what one container writes where it writes it, and marks how far that goes.

use std::io;

use super::marks::Secret;
use super::pipes::{self, Pipe};
use super::writes::{Watched, Writes, take};
use crate::{Mark, Tap};

/// The tap of a container's stdout and stderr.
#[derive(Debug)]
pub(super) struct PipeTap {
    pipes: [Pipe; 2],
    watched: [Watched; 2],
    /// Which of them were written to since the last mark.
    written: [bool; 2],
    secret: Secret,
    number: u32,
}

// === impl PipeTap ===

impl PipeTap {
    /// Of the container whose first process is `pid`, and in whose output `secret` is looked for. None where its pipes are
    /// out of reach.
    pub(super) fn open(pid: u64, secret: Secret, writes: &Writes) -> Option<Self> {
        let pipes = pipes::of(pid)?;
        let watch = |pipe: &Pipe| {
            let watched = writes.watch(&pipe.path());
            watched.inspect_err(|error| tracing::debug!(%error, "a container's output cannot be watched")).ok()
        };
        let watched = [watch(&pipes[0])?, watch(&pipes[1])?];
        Some(Self { pipes, watched, written: [true; 2], secret, number: 0 })
    }

    fn look(&mut self) {
        let [out, err] = take(&self.watched);
        self.written = [self.written[0] | out, self.written[1] | err];
    }
}

impl Tap for PipeTap {
    fn wrote(&mut self) -> bool {
        self.look();
        self.written.contains(&true)
    }

    fn mark(&mut self) -> io::Result<Option<Mark>> {
        self.number = self.number.wrapping_add(1);
        // Behind nothing is behind all.
        let chosen = if self.written.contains(&true) { self.written } else { [true; 2] };
        let mark = self.secret.mark(self.number);
        for (pipe, _) in self.pipes.iter().zip(chosen).filter(|(_, written)| *written) {
            if !pipe.write(&mark)? {
                // The half of it that may be under way comes to nothing.
                return Ok(None);
            }
        }
        // What the kernel noted meanwhile of those is the mark.
        let [out, err] = take(&self.watched);
        self.written = [out && !chosen[0], err && !chosen[1]];
        Ok(Some(Mark { number: self.number, on: chosen }))
    }
}
