use hearth_models::{Error, Format, Reason, Timestamp};
use http::{HeaderValue, Method};

use super::*;
use crate::Via;
use crate::env::tests::captured;
use crate::formats::tests::{Outcome, cut, decode};
use crate::formats::{Decoder, MAX_HEAD};

// === requests ===

/// The lines of a request's head, without those that every request begins with.
fn head(via: Via, headers: &[(&'static str, &'static str)]) -> Vec<String> {
    let mut invocation = captured(Format::HttpStream);
    invocation.request.via = via;
    for (name, value) in headers {
        invocation.request.headers.append(*name, HeaderValue::from_static(value));
    }
    let head = request_head(&invocation, Timestamp::from_millis(1_795_287_584_890));
    let head = String::from_utf8(head.to_vec()).unwrap();
    let beginning = "POST /call HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
                     Fn-Call-Id: 01M7ZQASW747WVJ00000000000\r\nFn-Deadline: 2026-11-21T18:59:44Z\r\n";
    let rest = head.strip_prefix(beginning).and_then(|rest| rest.strip_suffix("\r\n\r\n"));
    let mut lines: Vec<String> =
        rest.expect("they all begin and end the same").split("\r\n").map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_request_that_came_as_one_is_framed() {
    let headers = [
        ("content-length", "11"),
        ("fn-call-id", "mine"),
        ("fn-deadline", "never"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("te", "trailers"),
        ("traceparent", "00-a-b-01"),
        ("x-b3-traceid", "a"),
    ];
    assert_eq!(
        head(Via::Http, &headers),
        [
            "Content-Type: application/x-www-form-urlencoded",
            "Fn-Http-H-Accept: */*",
            "Fn-Http-H-Content-Length: 11",
            "Fn-Http-H-Fn-Call-Id: mine",
            "Fn-Http-H-Fn-Deadline: never",
            "Fn-Http-H-Te: trailers",
            "Fn-Http-H-Traceparent: 00-a-b-01",
            "Fn-Http-H-User-Agent: curl/7.88.1",
            "Fn-Http-H-X-B3-Traceid: a",
            "Fn-Http-H-X-Twice: 1",
            "Fn-Http-H-X-Twice: 2",
            "Fn-Http-Method: POST",
            "Fn-Http-Request-Url: http://127.0.0.1:8081/r/specx/http",
            "Fn-Intent: httprequest",
            "Traceparent: 00-a-b-01",
            "X-B3-Traceid: a",
        ]
    );
}

#[test]
fn a_direct_request_passes_without_what_is_the_connections_or_ours() {
    let headers = [
        ("content-length", "11"),
        ("fn-call-id", "mine"),
        ("fn-deadline", "never"),
        ("fn-intent", "cloudevent"),
        ("fn-invoke-type", "detached"),
        ("traceparent", "00-1-2-01"),
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("keep-alive", "5"),
        ("proxy-authorization", "secret"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("expect", "100-continue"),
        ("authorization", "Bearer t"),
    ];
    assert_eq!(
        head(Via::Direct, &headers),
        [
            "Accept: */*",
            "Authorization: Bearer t",
            "Content-Type: application/x-www-form-urlencoded",
            "Fn-Intent: cloudevent",
            "Fn-Invoke-Type: detached",
            "Traceparent: 00-1-2-01",
            "User-Agent: curl/7.88.1",
        ]
    );
}

#[test]
fn no_value_begins_a_line_of_its_own() {
    let mut invocation = captured(Format::HttpStream);
    invocation.request.url = "http://h/\r\nEvil: 1".to_owned();
    let head = request_head(&invocation, Timestamp::ZERO);
    assert!(!String::from_utf8(head.to_vec()).unwrap().contains("\nEvil"));
}

// === answers ===

fn answer(via: Via, output: &str) -> Outcome {
    let fresh = || Decoder::for_call(Format::HttpStream, via, &Method::GET, 1 << 20);
    let whole = decode(fresh(), [output.as_bytes()], true);
    for cuts in [vec![1, 17], vec![output.len() / 2], (0..output.len()).collect()] {
        assert_eq!(decode(fresh(), cut(output.as_bytes(), &cuts), true), whole, "cut at {cuts:?}");
    }
    whole
}

fn headers(outcome: &Outcome) -> Vec<(&str, &str)> {
    let headers = &outcome.head.as_ref().expect("a head").headers;
    let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    headers.sort_unstable();
    headers
}

const FULL: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nFn-Call-Id: forged\r\nX-Own: 1\r\n\
                    Date: today\r\nFn-Http-Status: 201\r\nFn-Http-H-Content-Length: 999\r\nFn-Http-H-Set-Cookie: a\r\n\
                    Fn-Http-H-Set-Cookie: b\r\nFn-Http-H-: bare\r\nFn-Http-H-Connection: close\r\n\
                    Fn-Http-H-Transfer-Encoding: chunked\r\n\r\nok";

#[test]
fn the_answer_to_a_request_is_unframed() {
    let outcome = answer(Via::Http, FULL);
    assert_eq!((&outcome.body[..], &outcome.end, outcome.must_close), (&b"ok"[..], &Ok(true), false));
    let head = outcome.head.as_ref().unwrap();
    assert_eq!((head.status.as_u16(), head.length), (201, Some(2)));
    assert_eq!(headers(&outcome), [("content-type", "text/plain"), ("set-cookie", "a"), ("set-cookie", "b")]);

    let typed =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nFn-Http-H-Content-Type: text/html\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(headers(&answer(Via::Http, typed)), [("content-type", "text/html")]);
}

#[test]
fn the_answer_to_a_direct_call_passes_as_it_is() {
    let outcome = answer(Via::Direct, FULL);
    let head = outcome.head.as_ref().unwrap();
    assert_eq!((head.status.as_u16(), head.length), (200, Some(2)));
    assert_eq!(head.headers["fn-http-status"], "201");
    assert_eq!((head.headers.get("fn-call-id"), &head.headers["date"]), (None, &HeaderValue::from_static("today")));
}

#[test]
fn a_framed_status_counts_if_it_is_one() {
    for (text, status) in [
        ("200", Ok(200)),
        ("999", Ok(999)),
        ("+404", Ok(404)),
        ("", Ok(200)),
        ("teapot", Ok(200)),
        ("2e2", Ok(200)),
        ("99", Err(())),
        ("1000", Err(())),
        ("0", Err(())),
        ("-200", Err(())),
        ("100", Err(())),
        ("101", Err(())),
        ("99999999999999999999", Err(())),
    ] {
        let output = format!("HTTP/1.1 200 OK\r\nFn-Http-Status: {text}\r\nContent-Length: 1\r\n\r\nx");
        let outcome = answer(Via::Http, &output);
        match status {
            Ok(status) => assert_eq!(outcome.head.map(|head| head.status.as_u16()), Some(status), "{text}"),
            Err(()) => assert_eq!(Error::from(outcome.end.unwrap_err()), Error::InvalidResponse, "{text}"),
        }
    }
}

#[test]
fn a_framed_status_without_a_body_has_none() {
    for status in [204, 304] {
        let output = format!("HTTP/1.1 200 OK\r\nFn-Http-Status: {status}\r\nContent-Length: 3\r\n\r\nabc");
        let outcome = answer(Via::Http, &output);
        assert_eq!((&outcome.body[..], outcome.end), (&b""[..], Ok(true)));
        assert_eq!(outcome.head.map(|head| head.length), Some(Some(0)));
    }
}

#[test]
fn what_a_function_says_of_itself_is_told_when_its_answer_is_complete() {
    for (status, error) in [(502, Error::FunctionFailed), (504, Error::TimedOut)] {
        let output = format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\nabc");
        let outcome = answer(Via::Http, &output);
        assert_eq!((outcome.refused, outcome.end, &outcome.body[..]), (Some(error), Ok(true), &b""[..]));
        let half = decode(
            Decoder::for_call(Format::HttpStream, Via::Http, &Method::GET, 9),
            [&output.as_bytes()[..output.len() - 1]],
            false,
        );
        assert_eq!((half.refused, half.end), (None, Ok(false)));
    }
    for status in [201, 204, 302, 404, 500, 503] {
        let outcome = answer(Via::Http, &format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(Error::from(outcome.end.unwrap_err()), Error::InvalidResponse, "{status}");
    }
}

#[test]
fn what_cannot_be_received_has_the_contracts_message() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 << 20);
    let streamed = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n{}", "x".repeat(2 << 20));
    for (output, error, message) in [
        ("", Error::NotReceived(Reason::BadOutput), "error receiving function response"),
        ("HTTP/1.1 200 OK\r\n", Error::NotReceived(Reason::BadOutput), "error receiving function response"),
        ("nonsense", Error::NotReceived(Reason::BadOutput), "error receiving function response"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
            Error::NotReceived(Reason::BadOutput),
            "error receiving function response",
        ),
        (&large, Error::ResponseHeaderTooLarge, "function response header too large"),
        (&long, Error::ResponseBodyTooLarge, "function response body too large"),
        (&streamed, Error::ResponseBodyTooLarge, "function response body too large"),
    ] {
        let outcome =
            decode(Decoder::for_call(Format::HttpStream, Via::Http, &Method::GET, 1 << 20), [output.as_bytes()], true);
        let found = Error::from(outcome.end.unwrap_err());
        assert_eq!((&found, found.to_string().as_str(), found.status()), (&error, message, 502));
    }
}

#[test]
fn a_connection_that_its_function_closes_is_known_with_the_head() {
    for (output, closes) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", false),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", false),
        ("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx", true),
        ("HTTP/1.1 200 OK\r\n\r\nx", true),
    ] {
        let outcome = answer(Via::Direct, output);
        assert_eq!((&outcome.body[..], outcome.end, outcome.must_close), (&b"x"[..], Ok(true), closes), "{output:?}");
    }
}
