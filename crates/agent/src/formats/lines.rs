//! Lines out of pieces: each byte is searched once, and copied only when its line is cut.

use bytes::{Buf, Bytes, BytesMut};

/// The line, or all lines since the last [`Lines::allow`], are over their limit.
#[derive(Debug)]
pub(super) struct TooLong;

/// Collects lines.
#[derive(Debug)]
pub(super) struct Lines {
    begun: BytesMut,
    room: usize,
}

impl Lines {
    /// Will take lines of `room` bytes in all.
    pub(super) fn new(room: usize) -> Self {
        Self { begun: BytesMut::new(), room }
    }

    /// Will take `room` bytes from now on.
    pub(super) fn allow(&mut self, room: usize) {
        self.room = room;
    }

    /// The next line without its LF or CRLF, or `None` when the input is used up before its end.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, TooLong> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(input.len(), |at| at + 1);
        self.room = self.room.checked_sub(taken).ok_or(TooLong)?;
        let Some(end) = end else {
            self.begun.extend_from_slice(input);
            input.clear();
            return Ok(None);
        };
        let mut line = input.split_to(end);
        input.advance(1);
        if !self.begun.is_empty() {
            self.begun.extend_from_slice(&line);
            line = self.begun.split().freeze();
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    /// What has come of a line whose end has not.
    pub(super) fn begun(&self) -> &[u8] {
        &self.begun
    }
}
