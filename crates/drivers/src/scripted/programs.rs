//! Programs that tests of many kinds need.

use std::future::{Future, pending};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Program, ScriptIo};
use crate::Exit;

/// A request as a program of the `http` format reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The request line and the headers, as text, without the empty line.
    pub head: String,
    /// The body, taken out of its coding.
    pub body: Vec<u8>,
}

/// Format `default`: answers its input, then exits with 0.
#[must_use]
pub fn cat() -> Program {
    Program::new(|mut io| async move {
        let mut buffer = vec![0; 8 * 1024];
        while let Ok(n @ 1..) = io.stdin.read(&mut buffer).await {
            io.stdout(buffer[..n].to_vec()).await;
        }
        Exit::Code(0)
    })
}

/// Format `http`: answers each request with its body.
#[must_use]
pub fn http_echo() -> Program {
    http(|request| async move { response(200, &request.body) })
}

/// Format `http`: answers each request with what `handler` makes of it, which goes to stdout as it is. Exits with
/// 0 at EOF and with 1 when what it reads is not a request.
pub fn http<F>(handler: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> Program
where
    F: Future<Output = Vec<u8>> + Send + 'static,
{
    Program::new(move |mut io| {
        let handler = handler.clone();
        async move {
            let mut unread = Vec::new();
            loop {
                match read_request(&mut io.stdin, &mut unread).await {
                    Read::Whole(request) => io.stdout(handler(request).await).await,
                    Read::Eof => return Exit::Code(0),
                    Read::Broken => return Exit::Code(1),
                }
            }
        }
    })
}

/// Format `http-stream`: answers each request with its body.
#[must_use]
pub fn stream_echo() -> Program {
    stream(|request| async move { response(200, &request.body) })
}

/// Format `http-stream`: opens its socket at once, and answers each request of each connection with what `handler` makes
/// of it, which is sent as it is. Takes the next connection when the one before is closed.
pub fn stream<F>(handler: impl Fn(Request) -> F + Clone + Send + Sync + 'static) -> Program
where
    F: Future<Output = Vec<u8>> + Send + 'static,
{
    Program::new(move |mut io| {
        let handler = handler.clone();
        async move {
            io.listen();
            while let Some(mut connection) = io.accept().await {
                serve(&mut connection, &handler).await;
            }
            Exit::Code(0)
        }
    })
}

/// Answers the requests of one connection until it ends or breaks.
pub async fn serve<F>(connection: &mut (impl AsyncRead + AsyncWrite + Unpin), handler: &impl Fn(Request) -> F)
where
    F: Future<Output = Vec<u8>>,
{
    let mut unread = Vec::new();
    while let Read::Whole(request) = read_request(connection, &mut unread).await {
        let answer = handler(request).await;
        if connection.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Format `json`: answers each request with its body.
#[must_use]
pub fn json_echo() -> Program {
    json_with(|request| async move {
        let body = request.get("body").cloned().unwrap_or_default();
        json!({ "body": body, "protocol": { "status_code": 200 } })
    })
}

/// Format `json`: answers each object with what `handler` makes of it. Exits with 0 at EOF and with 1 when what it
/// reads is not JSON.
pub fn json_with<F>(handler: impl Fn(Value) -> F + Clone + Send + Sync + 'static) -> Program
where
    F: Future<Output = Value> + Send + 'static,
{
    Program::new(move |mut io| {
        let handler = handler.clone();
        async move {
            let mut unread = Vec::new();
            loop {
                match read_json(&mut io.stdin, &mut unread).await {
                    Read::Whole(request) => {
                        let answer = handler(request).await;
                        io.stdout(format!("{answer}\n")).await;
                    }
                    Read::Eof => return Exit::Code(0),
                    Read::Broken => return Exit::Code(1),
                }
            }
        }
    })
}

/// Does nothing, for ever. Its stdin pipe fills up.
#[must_use]
pub fn hang() -> Program {
    Program::new(|io| async move {
        let _io = io;
        pending().await
    })
}

/// Exits with `code` at once, without reading or writing.
#[must_use]
pub fn exit(code: i64) -> Program {
    exit_after(Duration::ZERO, Exit::Code(code))
}

/// Ends with `exit` after `time`, without reading or writing.
#[must_use]
pub fn exit_after(time: Duration, exit: Exit) -> Program {
    Program::new(move |io| async move {
        let _io = io;
        tokio::time::sleep(time).await;
        exit
    })
}

/// Writes `output` to stdout once the first bytes of a request came, then reads on silently until EOF.
pub fn answers(output: impl Into<Bytes>) -> Program {
    let output = output.into();
    Program::new(move |mut io| {
        let output = output.clone();
        async move {
            let mut buffer = [0; 1024];
            if let Ok(1..) = io.stdin.read(&mut buffer).await {
                io.stdout(output).await;
            }
            drain(&mut io).await;
            Exit::Code(0)
        }
    })
}

/// Answers something that is no format at all.
#[must_use]
pub fn garbage() -> Program {
    answers(&b"\x00\xff this is neither HTTP nor JSON \r\n\r\n"[..])
}

/// Writes to stdout and never stops, from the first byte of a request on.
#[must_use]
pub fn flood() -> Program {
    Program::new(|mut io| async move {
        io.stdin.read_u8().await.ok();
        let chunk = Bytes::from(vec![b'x'; 32 * 1024]);
        loop {
            io.stdout(chunk.clone()).await;
            tokio::task::yield_now().await;
        }
    })
}

/// An HTTP/1.1 response of the `http` format.
#[must_use]
pub fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// What came of reading one request.
enum Read<T> {
    Whole(T),
    Eof,
    Broken,
}

async fn drain(io: &mut ScriptIo) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = io.stdin.read(&mut buffer).await {}
}

/// Reads more; false at the end.
async fn more(input: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> bool {
    matches!(input.read_buf(unread).await, Ok(1..))
}

async fn read_json(input: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Read<Value> {
    loop {
        let mut values = serde_json::Deserializer::from_slice(unread).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                let used = values.byte_offset();
                unread.drain(..used);
                return Read::Whole(value);
            }
            Some(Err(error)) if !error.is_eof() => return Read::Broken,
            // Nothing but white space, or the beginning of an object.
            _ if more(input, unread).await => {}
            None => return Read::Eof,
            Some(_) => return Read::Broken,
        }
    }
}

async fn read_request(input: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Read<Request> {
    let Some(head) = read_until(input, unread, b"\r\n\r\n").await else {
        return if unread.is_empty() { Read::Eof } else { Read::Broken };
    };
    let Ok(head) = String::from_utf8(head) else {
        return Read::Broken;
    };
    let body = if header(&head, "transfer-encoding").is_some() {
        read_chunks(input, unread).await
    } else {
        let length = header(&head, "content-length").map_or(Ok(0), str::parse);
        match length {
            Ok(length) => read_exactly(input, unread, length).await,
            Err(_) => None,
        }
    };
    match body {
        Some(body) => Read::Whole(Request { head, body }),
        None => Read::Broken,
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
}

async fn read_chunks(input: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_until(input, unread, b"\r\n").await?;
        let size = std::str::from_utf8(&line).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        body.extend(read_exactly(input, unread, size).await?);
        read_exactly(input, unread, 2).await?;
        if size == 0 {
            return Some(body);
        }
    }
}

async fn read_exactly(input: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while unread.len() < length {
        if !more(input, unread).await {
            return None;
        }
    }
    Some(unread.drain(..length).collect())
}

async fn read_until(input: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = unread.windows(end.len()).position(|window| window == end) {
            let head = unread.drain(..at).collect();
            unread.drain(..end.len());
            return Some(head);
        }
        if !more(input, unread).await {
            return None;
        }
    }
}
