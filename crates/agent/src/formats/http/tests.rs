use hearth_models::Format;
use http::{HeaderMap, HeaderValue, Method, Version};
use proptest::prelude::*;

use super::*;
use crate::Via;
use crate::env::tests::captured;
use crate::formats::tests::{Outcome, cut, decode, decoder};
use crate::formats::{Decoder, FormatError, HttpFault, MAX_HEAD, MAX_HEADERS};

// === requests ===

fn head(invocation: &crate::invocation::Invocation, framing: BodyFraming) -> String {
    String::from_utf8(request_head(invocation, framing)).unwrap()
}

#[test]
fn the_captured_request_is_written_without_its_configuration() {
    assert_eq!(
        head(&captured(Format::Http), BodyFraming::Chunked),
        "POST /r/specx/http HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nTransfer-Encoding: chunked\r\nAccept: */*\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nFn_app_name: specx\r\n\
         Fn_call_id: 01M7ZQASW747WVJ00000000000\r\nFn_format: http\r\nFn_memory: 128\r\nFn_method: POST\r\n\
         Fn_param_app: specx\r\nFn_param_route: /http\r\nFn_path: /http\r\n\
         Fn_request_url: http://127.0.0.1:8081/r/specx/http\r\nFn_type: sync\r\nUser-Agent: curl/7.88.1\r\n\r\n"
    );
    let mut body = Vec::new();
    for length in [11, 0, 15, 16, 255, 4096] {
        let at = body.len();
        chunk(&mut body, &vec![b'x'; length]);
        let expected = if length == 0 { String::new() } else { format!("{length:x}\r\n{}\r\n", "x".repeat(length)) };
        assert_eq!(body[at..], *expected.as_bytes());
        assert!(body.len() - at <= length + CHUNK_FRAME);
    }
}

#[test]
fn the_length_that_is_sent_is_the_one_that_counts() {
    let mut invocation = captured(Format::Http);
    invocation.request.headers.insert("content-length", HeaderValue::from_static("999"));
    for (framing, length) in [
        (BodyFraming::Length(11), Some("Content-Length: 11")),
        (BodyFraming::Length(0), Some("Content-Length: 0")),
        (BodyFraming::Empty, None),
        (BodyFraming::Chunked, None),
    ] {
        let head = head(&invocation, framing);
        assert_eq!(head.lines().find(|line| line.starts_with("Content-Length")), length);
        assert_eq!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), framing == BodyFraming::Chunked);
    }
}

#[test]
fn a_client_that_wants_to_close_shows_twice() {
    let mut invocation = captured(Format::Http);
    let count = |invocation: &_| head(invocation, BodyFraming::Empty).matches("Connection: ").count();
    invocation.request.headers.insert("connection", HeaderValue::from_static("keep-alive"));
    assert_eq!(count(&invocation), 1);
    invocation.request.headers.insert("connection", HeaderValue::from_static("TE, Close"));
    assert!(head(&invocation, BodyFraming::Empty).starts_with(
        "POST /r/specx/http HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nConnection: close\r\nAccept: */*\r\nConnection: TE, Close\r\n"
    ));
}

#[test]
fn facts_replace_what_a_client_sent_and_parameters_are_appended() {
    let mut invocation = captured(Format::Http);
    for name in ["fn_path", "fn_call_id", "fn_param_app"] {
        invocation.request.headers.insert(name, HeaderValue::from_static("evil"));
    }
    invocation.request.version = Version::HTTP_10;
    invocation.request.target = "/a b\r\nc".to_owned();
    let head = head(&invocation, BodyFraming::Empty);
    assert!(head.starts_with("POST /a%20b%0D%0Ac HTTP/1.0\r\n"), "{head}");
    assert!(head.contains("\r\nFn_param_app: evil\r\nFn_param_app: specx\r\n"), "{head}");
    assert_eq!(head.matches("evil").count(), 1, "{head}");
}

proptest! {
    /// Whatever clients send and URLs hide: a function's parser reads one head, with exactly these values.
    #[test]
    fn a_request_head_reads_back(
        values in proptest::collection::vec(("[a-z][a-z0-9_-]{0,8}", "[ -~\t\u{80}-\u{10ffff}]{0,20}"), 0..6),
        route in ".{0,30}",
        target in ".{0,30}",
    ) {
        let mut invocation = captured(Format::Http);
        invocation.request.headers = HeaderMap::new();
        let values = values.iter().filter(|(name, _)| !name.starts_with("fn_") && !["te", "host"].contains(&&name[..]));
        for (name, value) in values.clone() {
            let name = http::HeaderName::try_from(name).unwrap();
            invocation.request.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        invocation.request.params = vec![("route", route.clone())];
        invocation.request.target = target;
        let bytes = request_head(&invocation, BodyFraming::Length(7));
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut slots);
        prop_assert_eq!(request.parse(&bytes), Ok(httparse::Status::Complete(bytes.len())));
        let all = |name: &str| -> Vec<&[u8]> {
            let of_name = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            of_name.map(|header| header.value).collect()
        };
        for (name, value) in values {
            prop_assert!(all(name).contains(&value.trim_matches([' ', '\t']).as_bytes()), "{}", name);
        }
        prop_assert_eq!(all("content-length"), vec![&b"7"[..]]);
        let shown: String = route.chars().map(|c| if c.is_ascii_control() && c != '\t' { ' ' } else { c }).collect();
        prop_assert_eq!(all("fn_param_route"), vec![shown.trim_matches([' ', '\t']).as_bytes()]);
    }
}

// === answers ===

fn answer(output: &str, closed: bool) -> Outcome {
    decode(decoder(Format::Http), [output.as_bytes()], closed)
}

fn fault(output: &str, closed: bool) -> HttpFault {
    match answer(output, closed).end {
        Err(FormatError::Http(fault)) => fault,
        other => panic!("{output:?} gave {other:?}"),
    }
}

#[test]
fn the_table_of_the_contract_holds() {
    for (output, status, body) in [
        ("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello", 201, "hello"),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok"),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, ""),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n1 \r\nd\r\n0\r\nT: r\r\n\r\n",
            200,
            "abcd",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, "a"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, ""),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", 200, "1"),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n4",
            404,
            "4",
        ),
        ("\r\n\r\nHTTP/1.1 999 Odd\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nodd", 999, "odd"),
    ] {
        let outcome = answer(output, false);
        assert_eq!(outcome.end, Ok(true), "{output:?}");
        assert!(!outcome.surplus && !outcome.must_close, "{output:?}");
        assert_eq!(outcome.head.unwrap().status.as_u16(), status, "{output:?}");
        assert_eq!(outcome.body, body.as_bytes(), "{output:?}");
    }
}

#[test]
fn an_answer_without_length_ends_with_the_output() {
    let output = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it";
    let open = answer(output, false);
    assert_eq!((open.end, open.must_close, open.head.unwrap().length), (Ok(false), true, None));
    let closed = answer(output, true);
    assert_eq!((closed.end, closed.must_close, &closed.body[..]), (Ok(true), true, &b"all of it"[..]));
}

#[test]
fn an_answer_to_head_has_no_body_and_keeps_its_length() {
    for (output, length) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", Some("1234")),
        ("HTTP/1.1 200 OK\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
    ] {
        let outcome = decode(Decoder::for_call(Format::Http, Via::Http, &Method::HEAD, 9), [output.as_bytes()], false);
        assert_eq!((outcome.end, outcome.surplus), (Ok(true), false));
        let head = outcome.head.unwrap();
        assert_eq!(head.length, Some(0));
        assert_eq!(head.headers.get("content-length").map(|value| value.to_str().unwrap()), length);
    }
}

#[test]
fn headers_of_the_connection_stay_behind() {
    let outcome = answer(
        "HTTP/1.1 200 OK\r\nConnection: X-Own , close\r\nx-own: 1\r\nKeep-Alive: 1\r\nTE: x\r\nTrailer: T\r\nUpgrade: u\r\n\
         Proxy-Connection: x\r\nProxy-Authenticate: x\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a\r\nSet-Cookie:  b \r\n\
         X-Bytes: \u{e9}\r\nX-Empty:\r\n\r\n0\r\n\r\n",
        false,
    );
    let headers = outcome.head.unwrap().headers;
    let mut left: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    left.sort_unstable();
    let expected: [(&str, &[u8]); 4] =
        [("set-cookie", b"a"), ("set-cookie", b"b"), ("x-bytes", "\u{e9}".as_bytes()), ("x-empty", b"")];
    assert_eq!(left, expected);
}

#[test]
fn what_is_no_http_is_refused_as_soon_as_it_shows() {
    for (output, expected) in [
        ("h", HttpFault::StatusLine),
        ("HTTP/2", HttpFault::StatusLine),
        ("{\"body\":1}", HttpFault::StatusLine),
        (" HTTP/1.1 200 OK", HttpFault::StatusLine),
        ("HTTP/1.1200 OK\r\n", HttpFault::StatusLine),
        ("HTTP/1.1 OK\r\n", HttpFault::StatusLine),
        ("HTTP/1.1 \r\n", HttpFault::StatusLine),
        ("HTTP/1.1 99 Low\r\n", HttpFault::StatusCode(99)),
        ("HTTP/1.1 1000 High\r\n", HttpFault::StatusCode(1000)),
        ("HTTP/1.1 123456789 High\r\n", HttpFault::StatusCode(u16::MAX)),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", HttpFault::ProtocolSwitch),
        ("HTTP/1.1 200 OK\r\nno colon\r\n", HttpFault::HeaderLine),
        ("HTTP/1.1 200 OK\r\nA : 1\r\n", HttpFault::HeaderLine),
        ("HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n", HttpFault::HeaderLine),
        ("HTTP/1.1 200 OK\r\nA: 1\r2\r\n", HttpFault::HeaderLine),
        ("HTTP/1.1 200 OK\r\n: 1\r\n", HttpFault::HeaderLine),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", HttpFault::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", HttpFault::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", HttpFault::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HttpFault::ContentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", HttpFault::ContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", HttpFault::TransferEncoding),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            HttpFault::TransferEncoding,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", HttpFault::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", HttpFault::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 x\r\n", HttpFault::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", HttpFault::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", HttpFault::Chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n", HttpFault::HeaderLine),
    ] {
        assert_eq!(fault(output, false), expected, "{output:?}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_an_error() {
    for (output, expected) in [
        ("H", HttpFault::TruncatedHead),
        ("HTTP/1.1 200 OK\r\n", HttpFault::TruncatedHead),
        ("HTTP/1.1 100 Continue\r\n\r\n", HttpFault::TruncatedHead),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", HttpFault::TruncatedBody),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", HttpFault::TruncatedBody),
    ] {
        assert_eq!(fault(output, true), expected, "{output:?}");
    }
    for output in ["", "\r\n", "\r"] {
        assert_eq!(answer(output, true).end, Err(FormatError::Nothing), "{output:?}");
    }
}

#[test]
fn heads_and_trailers_are_bounded() {
    let start = "HTTP/1.1 200 OK\r\n";
    let long = format!("{start}A: {}", "x".repeat(MAX_HEAD));
    assert_eq!(fault(&long, false), HttpFault::HeadTooLong);
    let many = format!("{start}{}", "A: x\r\n".repeat(MAX_HEADERS + 1));
    assert_eq!(fault(&many, false), HttpFault::TooManyHeaders);
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_HEAD / 25 + 1);
    assert_eq!(fault(&interim, false), HttpFault::HeadTooLong);
    let chunked = format!("{start}Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(fault(&format!("{chunked}1;{}", "x".repeat(5000)), false), HttpFault::Chunk);
    assert_eq!(fault(&format!("{chunked}0\r\nA: {}", "x".repeat(MAX_HEAD)), false), HttpFault::HeadTooLong);
    assert_eq!(fault(&format!("{chunked}0\r\n{}", "A: x\r\n".repeat(300)), false), HttpFault::TooManyHeaders);
}

#[test]
fn bytes_after_the_answer_are_noticed_now_or_later() {
    let output = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for (after, surplus) in [("", false), ("\r\n", false), ("HTTP/1.1 200 OK", true), ("\r\n ", true)] {
        assert_eq!(answer(&format!("{output}{after}"), false).surplus, surplus, "{after:?}");
        let later = decode(decoder(Format::Http), [output.as_bytes(), after.as_bytes()], true);
        assert_eq!((later.surplus, later.end), (surplus, Ok(true)), "{after:?}");
    }
}

/// A well-formed answer: the bytes, and what they say.
#[derive(Debug)]
struct Valid {
    bytes: Vec<u8>,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    closes: bool,
}

fn valid_answer() -> impl Strategy<Value = Valid> {
    let headers = proptest::collection::vec(("x-[a-z0-9-]{0,6}", "[!-~]{0,8}"), 0..5);
    let pieces = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..4);
    (200..1000u16, headers, pieces, 0..3u8, 0..2usize, "[a-zA-Z ]{0,9}").prop_map(
        |(status, headers, pieces, framing, interim, reason)| {
            let mut bytes = b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n".repeat(interim);
            bytes.extend(format!("HTTP/1.1 {status} {reason}\r\n").bytes());
            bytes.extend(headers.iter().flat_map(|(name, value)| format!("{name}: {value}\r\n").into_bytes()));
            let bodiless = matches!(status, 204 | 304);
            let body = if bodiless { Vec::new() } else { pieces.concat() };
            match framing {
                _ if bodiless => bytes.extend(b"\r\n"),
                0 => bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes()),
                1 => bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n"),
                _ => bytes.extend(b"\r\n"),
            }
            if framing == 1 && !bodiless {
                for piece in &pieces {
                    chunk(&mut bytes, piece);
                }
                bytes.extend(LAST_CHUNK);
            } else {
                bytes.extend(&body);
            }
            Valid { bytes, status, headers, body, closes: framing == 2 && !bodiless }
        },
    )
}

proptest! {
    #[test]
    fn an_answer_is_read_however_it_is_cut(
        valid in valid_answer(),
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
    ) {
        let Valid { bytes, status, mut headers, body, closes } = valid;
        let outcome = decode(decoder(Format::Http), cut(&bytes, &cuts), closes);
        let head = outcome.head.unwrap();
        prop_assert_eq!(head.status.as_u16(), status);
        let mut read: Vec<(String, String)> = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        read.sort();
        headers.sort();
        prop_assert_eq!(read, headers);
        prop_assert_eq!(outcome.body, body);
        prop_assert_eq!((outcome.end, outcome.surplus, outcome.must_close), (Ok(true), false, closes));
    }

    /// Whatever httparse takes for the head of a response, we do, and read the same in it.
    #[test]
    fn heads_mean_what_httparse_reads(
        status in "[0-9]{3}",
        lines in proptest::collection::vec("[ -~\t\u{e9}]{0,3}[:a-zA-Z_-]{0,3}:[ -~\t]{0,6}\r?\n", 0..4),
    ) {
        let bytes = format!("HTTP/1.1 {status} OK\r\n{}\r\n", lines.concat());
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut slots);
        let reads = matches!(response.parse(bytes.as_bytes()), Ok(httparse::Status::Complete(_)));
        let outcome = decode(Decoder::for_call(Format::Http, Via::Http, &Method::HEAD, 9), [bytes.as_bytes()], false);
        let unjudged = status.starts_with(['0', '1']) || bytes.to_ascii_lowercase().contains("te:");
        if reads && !unjudged {
            let head = outcome.head.unwrap();
            prop_assert_eq!(Some(head.status.as_u16()), response.code);
            for header in response.headers.iter() {
                let values = head.headers.get_all(header.name);
                prop_assert!(values.iter().any(|value| value.as_bytes() == header.value), "{}", header.name);
            }
            prop_assert_eq!(head.headers.len(), response.headers.len());
        }
    }
}
