//! How long requests and answers of 1 KiB take, for `examples/speed.rs`.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use hearth_models::Format;
use http::{HeaderValue, Method};

use crate::formats::http::{BodyFraming, request_head};
use crate::formats::{Decoder, json};
use crate::requests::invocation;

/// Prints a line per measurement.
pub fn print() {
    let mut call = invocation("/f".into(), "/r/app/f?x=y".into(), "127.0.0.1:8080".into());
    for (name, value) in [
        ("user-agent", "curl/7.88.1"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br"),
        ("content-type", "text/plain"),
        ("content-length", "1024"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ] {
        call.request.headers.insert(name, HeaderValue::from_static(value));
    }
    let text = "The quick brown fox jumps over \"13\" dogs.\n".repeat(25);
    let body = &text.as_bytes()[..1024];
    measure("http request head", || request_head(&call, BodyFraming::Length(1024)));
    measure("json request, 1 KiB", || json::request(&call, body));

    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sat, 21 Nov 2026 20:00:00 GMT\r\nX-A: b\r\n";
    let sized = Bytes::from(format!("{head}Content-Length: 1024\r\n\r\n{}", &text[..1024]));
    let chunked = Bytes::from(format!("{head}Transfer-Encoding: chunked\r\n\r\n400\r\n{}\r\n0\r\n\r\n", &text[..1024]));
    let object = |body: &str| {
        let value = serde_json::json!({"body": body, "protocol": {"status_code": 200, "headers": {"X-A": ["b"]}}});
        Bytes::from(value.to_string())
    };
    measure("http answer, 1 KiB", || decode(Format::Http, &sized, usize::MAX));
    measure("http answer, chunked, 1 KiB", || decode(Format::Http, &chunked, usize::MAX));
    measure("http answer, byte by byte, 1 KiB", || decode(Format::Http, &sized, 1));

    let escaped = object(&text[..1024]);
    let plain = object(&"x".repeat(1024));
    measure("json answer, 1 KiB, escapes", || decode(Format::Json, &escaped, usize::MAX));
    measure("json answer, 1 KiB, plain", || decode(Format::Json, &plain, usize::MAX));
    let large = object(&"x".repeat(1 << 20));
    measure("json answer, 1 MiB, in 4 KiB pieces", || decode(Format::Json, &large, 4096));
    measure("json answer, 1 MiB, byte by byte", || decode(Format::Json, &large, 1));
}

fn decode(format: Format, output: &Bytes, piece: usize) -> usize {
    let mut decoder = Decoder::for_call(format, Via::Http, &Method::GET, 1 << 30);
    let mut rest = output.clone();
    let mut events = 0;
    while !rest.is_empty() {
        decoder.push(rest.split_to(piece.min(rest.len())));
        while let Ok(Some(event)) = decoder.next() {
            black_box(event);
            events += 1;
        }
    }
    events
}

/// The best of a few rounds, since other work runs on the machine.
fn measure<T>(what: &str, run: impl Fn() -> T) {
    let round = || {
        let begin = Instant::now();
        let mut runs = 0u32;
        while begin.elapsed().as_millis() < 30 {
            (0..16).for_each(|_| drop(black_box(run())));
            runs += 16;
        }
        begin.elapsed().as_nanos() / u128::from(runs)
    };
    println!("{what:38} {:>9} ns", (0..7).map(|_| round()).min().unwrap_or_default());
}
