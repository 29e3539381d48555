//! The decoders: output of a container, in any pieces.

use bytes::Bytes;
use hearth_models::Format;
use http::Method;

use crate::formats::{Decoder, Event, FormatError, Head};

/// More than any input, so that limits, which may be met sooner or later within a piece, do not blur the comparison.
const NO_LIMIT: u64 = 1 << 30;
const SMALL: u64 = 16;

/// What was decoded.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    head: Option<Head>,
    body: Vec<u8>,
    ended: bool,
    error: Option<FormatError>,
    surplus: bool,
    must_close: bool,
}

/// The first byte says format, method and whether stdout is closed, the second how the rest is cut.
///
/// # Panics
/// When the output means something else in other pieces, when a decoder does not come to rest or leaves a closed
/// output undecided, and when a body is longer than its limit or than its head says.
pub fn answers(data: &[u8]) {
    let [selector, cut, output @ ..] = data else { return };
    let format = Format::ALL[usize::from(*selector) % 3];
    let method = if selector & 0x80 == 0 { Method::GET } else { Method::HEAD };
    let closed = selector & 0x40 != 0;
    let run = |max, piece: usize| decode(Decoder::for_call(format, Via::Http, &method, max), output, piece, closed);

    let whole = run(NO_LIMIT, output.len().max(1));
    assert_eq!(whole, run(NO_LIMIT, usize::from(*cut).max(1)), "cut differently");
    assert_eq!(whole, run(NO_LIMIT, 1), "cut into bytes");
    assert!(!closed || whole.ended || whole.error.is_some(), "closed and undecided");
    if let (true, Some(Head { length: Some(length), .. })) = (whole.ended, &whole.head) {
        assert_eq!(whole.body.len() as u64, *length, "the head lied");
    }
    assert!(run(SMALL, usize::from(*cut).max(1)).body.len() as u64 <= SMALL, "over the limit");
}

fn decode(mut decoder: Decoder, output: &[u8], piece: usize, closed: bool) -> Outcome {
    let mut outcome = Outcome::default();
    for piece in output.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        drain(&mut decoder, &mut outcome, piece.len());
    }
    if closed {
        decoder.eof();
        drain(&mut decoder, &mut outcome, 0);
    }
    outcome.surplus = decoder.surplus();
    outcome.must_close = decoder.must_close();
    outcome
}

fn drain(decoder: &mut Decoder, outcome: &mut Outcome, fresh: usize) {
    for _ in 0..fresh + 4 {
        match decoder.next() {
            Ok(None) => return,
            Ok(Some(Event::Head(head))) => assert!(outcome.head.replace(head).is_none(), "two heads"),
            Ok(Some(Event::Data(data))) => {
                assert!(!data.is_empty() && outcome.head.is_some() && !outcome.ended, "data out of place");
                outcome.body.extend_from_slice(&data);
            }
            Ok(Some(Event::End)) => {
                assert!(outcome.head.is_some() && !outcome.ended, "end out of place");
                outcome.ended = true;
            }
            Err(error) => {
                assert!(!outcome.ended, "an error after the end");
                outcome.error = Some(error);
                return;
            }
        }
    }
    panic!("the decoder does not come to rest");
}
