//! What a function answers to a call that nobody waits for: it goes to the call's log (v1 contract B.3).
//!
//! | format    | in the log                                                                     |
//! |-----------|--------------------------------------------------------------------------------|
//! | `default` | the bytes, among those of stderr                                               |
//! | `http`    | status line, headers, empty line, body; `http-stream` the same                 |
//! | `json`    | one line: an object with the keys `body`, `content_type` and `protocol`        |

use std::collections::BTreeMap;

use bytes::BytesMut;
use hearth_models::{Format, canonical_header_name};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::formats::{Event, Head};

/// Writes down one answer.
#[derive(Debug)]
pub(crate) struct Transcript {
    format: Format,
    /// `json` only: until the answer is complete.
    held: Option<(Head, BytesMut)>,
    /// Bytes that are worth holding.
    most: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    body: &'a str,
    content_type: &'a str,
    protocol: Protocol,
}

#[derive(Serialize)]
struct Protocol {
    headers: BTreeMap<String, Vec<String>>,
    status_code: u16,
}

impl Transcript {
    /// Of an answer in `format`, to a log that takes `most` bytes.
    pub(crate) const fn new(format: Format, most: usize) -> Self {
        Self { format, held: None, most }
    }

    /// What to write down of the next part of the answer.
    pub(crate) fn note(&mut self, event: &Event, mut log: impl FnMut(&[u8])) {
        match (self.format, event) {
            (Format::Http | Format::HttpStream, Event::Head(head)) => log(&http_head(head)),
            (Format::Json, Event::Head(head)) => self.held = Some((head.clone(), BytesMut::new())),
            (Format::Json, Event::Data(bytes)) => {
                if let Some((_, body)) = &mut self.held {
                    let room = self.most.saturating_sub(body.len());
                    body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            }
            (Format::Json, Event::End) => {
                if let Some((head, body)) = self.held.take() {
                    log(&json_line(&head, &body));
                }
            }
            (Format::Default | Format::Http | Format::HttpStream, Event::Data(bytes)) => log(bytes),
            (Format::Default, Event::Head(_)) | (_, Event::End | Event::Refused(_)) => {}
        }
    }
}

fn http_head(head: &Head) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        bytes.extend_from_slice(canonical_header_name(name).as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    };
    for (name, value) in &head.headers {
        line(name.as_str(), value.as_bytes());
    }
    if let Some(length) = head.length {
        line("content-length", length.to_string().as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn json_line(head: &Head, body: &[u8]) -> Vec<u8> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(canonical_header_name(name.as_str())).or_default().push(value);
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let protocol = Protocol { headers, status_code: head.status.as_u16() };
    let line = Line { body: &String::from_utf8_lossy(body), content_type, protocol };
    // Texts and numbers always become JSON.
    let mut line = hearth_models::json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn written(format: Format) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let head = Head { status: StatusCode::CREATED, headers, length: Some(4) };
        let events =
            [Event::Head(head), Event::Data("o".into()), Event::Data(Bytes::from_static(b"k\n\"")), Event::End];
        let (mut log, mut transcript) = (Vec::new(), Transcript::new(format, 3));
        for event in &events {
            transcript.note(event, |bytes| log.extend_from_slice(bytes));
        }
        String::from_utf8(log).unwrap()
    }

    #[test]
    fn every_format_is_written_down_as_the_contract_has_it() {
        assert_eq!(written(Format::Default), "ok\n\"");
        let http = "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nok\n\"";
        assert_eq!(written(Format::Http), http);
    }

    #[test]
    fn json_is_one_line_and_no_longer_than_a_log() {
        let line = concat!(
            r#"{"body":"ok\n","content_type":"text/plain","#,
            r#""protocol":{"headers":{"Content-Type":["text/plain"]},"status_code":201}}"#,
            "\n"
        );
        assert_eq!(written(Format::Json), line);
    }
}
