//! The log of one call: bytes, bounded, with one notice where the rest was cut off.

use bytes::{Bytes, BytesMut};

/// Collects what a call writes to stderr. Reading goes on past the limit, so a flood costs neither memory nor the
/// function's time; only what is over the limit is discarded.
#[derive(Debug)]
pub(crate) struct CallLog {
    bytes: BytesMut,
    limit: usize,
    full: bool,
}

impl CallLog {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), limit, full: false }
    }

    /// Adds `bytes`, up to the limit. A log that reaches it gets the notice, even when nothing had to be cut
    /// (v1 contract B.6.3).
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.full {
            return;
        }
        let room = self.limit - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.bytes.len() == self.limit {
            self.full = true;
            let notice = format!("\n-----max log size {} bytes exceeded, truncating log-----\n", self.limit);
            self.bytes.extend_from_slice(notice.as_bytes());
        }
    }

    pub(crate) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes).freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_once_at_exactly_the_limit() {
        let mut log = CallLog::new(1_048_576);
        (0..3_000).for_each(|_| log.push(&[b'x'; 1_000]));
        let bytes = log.take();
        assert_eq!(bytes.len(), 1_048_639);
        assert!(bytes.ends_with(b"x\n-----max log size 1048576 bytes exceeded, truncating log-----\n"));
    }

    #[test]
    fn a_short_log_stays_as_it_was_written() {
        let mut log = CallLog::new(10);
        log.push(b"one\n");
        log.push(b"\xff\0two");
        assert_eq!(&log.take()[..], b"one\n\xff\0two");
    }
}
