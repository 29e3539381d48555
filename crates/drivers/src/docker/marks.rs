//! Marks in a container's output, which this server puts there itself.
//!
//! A mark that is written to the pipe of a container's stderr takes the same way as all that was written there before, and
//! comes out behind it. It is as good as certainly in nothing that a function writes: it has sixteen bytes that are drawn
//! for each container. A function that reads them off its own pipe can cut its own log short, and nobody else's.

use bytes::{Bytes, BytesMut};
use ulid::Ulid;

use crate::{Frame, Outlet};

/// Its first byte, which hardly any log has.
const FIRST: u8 = 0;
/// The byte, the secret, the number.
const BYTES: usize = 1 + 16 + 4;

/// What is before the number of a mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret([u8; 16]);

/// Takes the marks out of what a container wrote.
#[derive(Debug)]
pub(super) struct Marks {
    secret: Secret,
    /// What may be the beginning of a mark, of either outlet.
    held: [BytesMut; 2],
}

// === impl Secret ===

impl Secret {
    pub(super) fn draw() -> Self {
        Self(Ulid::generate().to_bytes())
    }

    /// The mark `number`.
    pub(super) fn mark(self, number: u32) -> [u8; BYTES] {
        let mut bytes = [FIRST; BYTES];
        bytes[1..17].copy_from_slice(&self.0);
        bytes[17..21].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    /// Whether `bytes` begin with a mark, as far as they go, and which one.
    fn find(self, bytes: &[u8]) -> Found {
        let head = self.mark(0);
        let head = &head[..17];
        match bytes.split_at_checked(17) {
            Some((first, _)) if first != head => Found::Nothing,
            None if !head.starts_with(bytes) => Found::Nothing,
            Some((_, [a, b, c, d, ..])) => Found::Mark(u32::from_be_bytes([*a, *b, *c, *d])),
            Some(_) | None => Found::Beginning,
        }
    }
}

enum Found {
    Nothing,
    /// The rest may still come.
    Beginning,
    Mark(u32),
}

// === impl Marks ===

impl Marks {
    pub(super) fn new(secret: Secret) -> Self {
        Self { secret, held: [BytesMut::new(), BytesMut::new()] }
    }

    /// Takes a piece of the output of `outlet`, and gives what it is made of, in order.
    pub(super) fn split(&mut self, outlet: Outlet, piece: Bytes, mut give: impl FnMut(Frame)) {
        let held = &mut self.held[outlet.index()];
        let mut rest = piece;
        if !held.is_empty() {
            held.extend_from_slice(&rest);
            rest = held.split().freeze();
        }
        let mut looked = 0;
        while let Some(at) = rest[looked..].iter().position(|byte| *byte == FIRST) {
            let at = looked + at;
            match self.secret.find(&rest[at..]) {
                Found::Nothing => looked = at + 1,
                Found::Beginning => {
                    self.held[outlet.index()].extend_from_slice(&rest.split_off(at));
                    break;
                }
                Found::Mark(number) => {
                    let before = rest.split_to(at);
                    if !before.is_empty() {
                        give(outlet.frame(before));
                    }
                    drop(rest.split_to(BYTES));
                    looked = 0;
                    give(Frame::Mark(outlet, number));
                }
            }
        }
        if !rest.is_empty() {
            give(outlet.frame(rest));
        }
    }

    /// What was held back and is no mark, because nothing more comes.
    pub(super) fn end(&mut self, mut give: impl FnMut(Frame)) {
        for outlet in [Outlet::Stdout, Outlet::Stderr] {
            let held = self.held[outlet.index()].split();
            if !held.is_empty() {
                give(outlet.frame(held.freeze()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Neighbours of the same stream joined.
    fn frames(marks: &mut Marks, pieces: &[(Outlet, &[u8])]) -> Vec<Frame> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut give = |frame| match (frame, frames.last_mut()) {
            (Frame::Stdout(new), Some(Frame::Stdout(old))) | (Frame::Stderr(new), Some(Frame::Stderr(old))) => {
                *old = [&old[..], &new[..]].concat().into();
            }
            (frame, _) => frames.push(frame),
        };
        for (outlet, piece) in pieces {
            marks.split(*outlet, Bytes::copy_from_slice(piece), &mut give);
        }
        marks.end(&mut give);
        frames
    }

    #[test]
    fn a_mark_says_nothing_of_the_other_outlet() {
        let secret = Secret::draw();
        let mark = secret.mark(2);
        let pieces: [(Outlet, &[u8]); 4] =
            [(Outlet::Stdout, &mark), (Outlet::Stderr, b"before"), (Outlet::Stdout, b"after"), (Outlet::Stderr, &mark)];
        let expected = [
            Frame::Mark(Outlet::Stdout, 2),
            Frame::Stderr("before".into()),
            Frame::Stdout("after".into()),
            Frame::Mark(Outlet::Stderr, 2),
        ];
        assert_eq!(frames(&mut Marks::new(secret), &pieces), expected);
    }

    #[test]
    fn a_foreign_mark_and_half_of_one_are_log() {
        let secret = Secret::draw();
        let foreign = Secret([7; 16]).mark(1);
        let pieces: [(Outlet, &[u8]); 2] = [(Outlet::Stderr, &foreign), (Outlet::Stderr, &secret.mark(1)[..20])];
        let expected = [Frame::Stderr([&foreign[..], &secret.mark(1)[..20]].concat().into())];
        assert_eq!(frames(&mut Marks::new(secret), &pieces), expected);
    }

    proptest! {
        #[test]
        fn marks_are_found_however_the_output_is_cut(
            lines in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..40), 1..20),
            cuts in proptest::collection::vec(1usize..40, 1..50),
        ) {
            let secret = Secret([0; 16]);
            let mut wire = Vec::new();
            let mut expected = Vec::new();
            for (n, line) in (0..).zip(&lines) {
                // A secret of zeroes begins in many places; a one before it is where none can.
                wire.extend(line.iter().copied().chain([1]).chain(secret.mark(n + 0x0101_0101)));
                expected.push((line.iter().copied().chain([1]).collect::<Vec<u8>>(), n + 0x0101_0101));
            }
            prop_assume!(lines.iter().all(|line| !line.windows(17).any(|bytes| bytes == [0; 17])));
            let mut pieces = Vec::new();
            let mut rest = wire.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                pieces.push((Outlet::Stderr, piece));
                rest = later;
            }
            let mut got = Vec::new();
            let mut line = Vec::new();
            for frame in frames(&mut Marks::new(secret), &pieces) {
                match frame {
                    Frame::Stderr(bytes) => line.extend_from_slice(&bytes),
                    Frame::Mark(_, number) => got.push((std::mem::take(&mut line), number)),
                    Frame::Stdout(_) => panic!("stdout"),
                }
            }
            prop_assert!(line.is_empty());
            prop_assert_eq!(got, expected);
        }
    }
}
