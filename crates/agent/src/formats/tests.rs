//! Decoders as their user sees them, and what holds for all of them.

use hearth_models::Error;
use proptest::prelude::*;

use super::*;

/// All that a decoder says of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) head: Option<Head>,
    pub(super) body: Vec<u8>,
    /// How it ended: complete, not yet, or in error.
    pub(super) end: Result<bool, FormatError>,
    pub(super) refused: Option<Error>,
    pub(super) surplus: bool,
    pub(super) must_close: bool,
}

/// Feeds `pieces`, then end of file when `closed`.
pub(super) fn decode<'a>(mut decoder: Decoder, pieces: impl IntoIterator<Item = &'a [u8]>, closed: bool) -> Outcome {
    let mut outcome =
        Outcome { head: None, body: Vec::new(), end: Ok(false), refused: None, surplus: false, must_close: false };
    for piece in pieces {
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

/// Takes all events, of which there cannot be more than a head, an end, and one per byte.
fn drain(decoder: &mut Decoder, outcome: &mut Outcome, fresh: usize) {
    for _ in 0..fresh + 4 {
        match decoder.next() {
            Ok(None) => return,
            Ok(Some(Event::Head(head))) => {
                assert!(outcome.head.is_none() && outcome.end == Ok(false), "a second head");
                outcome.head = Some(head);
            }
            Ok(Some(Event::Data(data))) => {
                assert!(!data.is_empty() && outcome.head.is_some() && outcome.end == Ok(false));
                outcome.body.extend_from_slice(&data);
            }
            Ok(Some(Event::End)) => {
                assert!(outcome.head.is_some() && outcome.end == Ok(false), "a second end");
                outcome.end = Ok(true);
            }
            Ok(Some(Event::Refused(error))) => {
                assert!(outcome.head.is_none() && outcome.end == Ok(false), "a second end");
                outcome.refused = Some(error);
                outcome.end = Ok(true);
            }
            Err(error) => {
                assert!(outcome.end.as_ref().is_ok_and(|ended| !ended) || outcome.end == Err(error.clone()));
                outcome.end = Err(error);
                return;
            }
        }
    }
    panic!("the decoder does not come to rest");
}

pub(super) fn decoder(format: Format) -> Decoder {
    Decoder::for_call(format, Via::Http, &Method::GET, 1 << 20)
}

/// `bytes` cut before each of the places in `cuts`, which wrap around.
pub(super) fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

#[test]
fn everything_is_the_body_of_a_default_answer() {
    let outcome = decode(decoder(Format::Default), [&b"one "[..], b"", b"two"], true);
    let head = outcome.head.unwrap();
    assert_eq!((head.status.as_u16(), head.length), (200, None));
    assert_eq!((&outcome.body[..], outcome.end, outcome.must_close), (&b"one two"[..], Ok(true), true));

    let silent = decode(decoder(Format::Default), [], true);
    assert_eq!((silent.head.unwrap().length, silent.end), (Some(0), Ok(true)));

    let open = decode(decoder(Format::Default), [&b"so far"[..]], false);
    assert_eq!((&open.body[..], open.end), (&b"so far"[..], Ok(false)));
}

#[test]
fn an_answer_over_the_limit_is_refused_in_every_format() {
    let small = |format| Decoder::for_call(format, Via::Http, &Method::GET, 4);
    let body_of = |format: Format, body: &str, chunked: bool| match format {
        Format::Default => body.to_owned(),
        Format::Http | Format::HttpStream if chunked => {
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n{:x}\r\n{body}", body.len())
        }
        Format::Http | Format::HttpStream => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        Format::Json => format!(r#"{{"body":"{body}"}}"#),
    };
    for (format, chunked) in
        [(Format::Default, false), (Format::Http, false), (Format::Http, true), (Format::Json, false)]
    {
        let fits = if chunked { "cd" } else { "abcd" };
        let outcome = decode(small(format), [body_of(format, fits, chunked).as_bytes()], false);
        assert_eq!((&outcome.body[..], outcome.end.is_ok()), (&b"abcd"[..], true), "{format}");
        let outcome = decode(small(format), [body_of(format, "abcde", chunked).as_bytes()], true);
        assert_eq!(outcome.end, Err(FormatError::TooLarge { max: 4 }), "{format}");
        assert!(outcome.body.len() <= 4, "{format}");
    }
    let endless = [b"{\"body\":\"".as_slice(), &[b'a'; 2 * MAX_HEAD]];
    assert_eq!(decode(small(Format::Json), endless, false).end, Err(FormatError::TooLarge { max: 4 }));
}

#[test]
fn errors_become_what_the_contract_tells_the_client() {
    assert_eq!(Error::from(FormatError::Nothing), Error::NoResponse);
    assert_eq!(Error::from(FormatError::TooLarge { max: 9 }), Error::ResponseTooLarge { max: 9 });
    let malformed: FormatError = HttpFault::StatusLine.into();
    assert_eq!(Error::from(malformed).to_string(), "invalid function response: http: malformed status line");
    let truncated: FormatError = JsonFault::Truncated.into();
    assert_eq!(Error::from(truncated).to_string(), "invalid function response: json: truncated object");
}

#[test]
fn only_padding_may_stand_between_answers() {
    for (format, bytes, ignorable) in [
        (Format::Http, "\r\n\n", true),
        (Format::Http, " ", false),
        (Format::Json, " \t\r\n", true),
        (Format::Json, "\u{b}", false),
        (Format::Default, "", true),
        (Format::Default, "\n", false),
    ] {
        assert_eq!(is_ignorable(format, bytes.as_bytes()), ignorable, "{format} {bytes:?}");
    }
}

#[test]
fn a_piece_too_early_is_read_all_the_same() {
    let mut decoder = decoder(Format::Http);
    decoder.push(Bytes::from_static(b"HTTP/1.1 204 No Con"));
    decoder.push(Bytes::from_static(b"tent\r\n\r\n"));
    assert!(matches!(decoder.next(), Ok(Some(Event::Head(_)))));
}

/// Bytes as a broken function might write them: noise, and noise that looks like an answer.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        proptest::sample::select(vec![
            "HTTP/1.1 ",
            "HTTP/1.0 ",
            "200 OK",
            "204",
            "100",
            "\r\n",
            "\n",
            "\r\n\r\n",
            "Content-Length: ",
            "3",
            "0",
            "Transfer-Encoding: chunked\r\n",
            "Connection: close",
            ": ",
            ";",
            "fff",
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\\",
            ":",
            ",",
            "null",
            "1",
            "\"body\"",
            "\"protocol\"",
            "\"headers\"",
            "\"status_code\"",
            "\\ud800",
            "\u{2028}",
            " ",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn noise_means_the_same_however_it_is_cut(
        bytes in noise(),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
        format in proptest::sample::select(Format::ALL.to_vec()),
        head in any::<bool>(),
        closed in any::<bool>(),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        let fresh = || Decoder::for_call(format, Via::Http, &method, 1 << 20);
        let whole = decode(fresh(), [&bytes[..]], closed);
        prop_assert_eq!(&decode(fresh(), cut(&bytes, &cuts), closed), &whole);
        prop_assert_eq!(&decode(fresh(), bytes.chunks(1), closed), &whole);
        prop_assert!(!closed || whole.end != Ok(false), "closed and undecided");
    }
}
