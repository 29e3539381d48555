//! A hot function: one container serves many calls. In the format `http` requests come in on stdin as HTTP/1.1, one after
//! the other, and each gets its response on stdout; in `http-stream` both go over a socket. Whatever is written to stderr is
//! the log of that call.
#![expect(clippy::print_stderr, reason = "stderr is the log of the call")]

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::{env, thread};

use serde_json::Value;

fn main() -> io::Result<()> {
    match env::var("FN_LISTENER") {
        Ok(listener) => listen(listener.trim_start_matches("unix:")),
        Err(_) => serve(&mut io::stdin().lock(), &mut io::stdout().lock()),
    }
}

/// Makes the socket and serves whoever connects. When the socket gets its name, it has to be ready.
fn listen(path: &str) -> io::Result<()> {
    let new = format!("{path}.new");
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o666))?;
    fs::rename(&new, path)?;
    for connection in listener.incoming() {
        let mut responses = connection?;
        let mut requests = BufReader::new(responses.try_clone()?);
        thread::spawn(move || serve(&mut requests, &mut responses));
    }
    Ok(())
}

/// Answers requests until there are no more: this connection, or this container, is not needed any longer.
fn serve(requests: &mut impl BufRead, responses: &mut impl Write) -> io::Result<()> {
    while let Some(body) = read_request(requests)? {
        let name = name_in(&body);
        eprintln!("greeting {name}");

        let greeting = format!("Hello, {name}!\n");
        let length = greeting.len();
        let response = format!(
            "HTTP/1.1 200 OK\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\
             \r\n\
             {greeting}"
        );
        responses.write_all(response.as_bytes())?;
        responses.flush()?;
    }
    Ok(())
}

/// The name in a body like `{"name": "Ada"}`, or else the body itself.
fn name_in(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let name = json.as_ref().and_then(|json| json["name"].as_str()).unwrap_or(&text);
    match name.trim() {
        "" => "world".to_owned(),
        name => name.to_owned(),
    }
}

/// Reads one request and returns its body, or nothing when there are no more requests.
fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    // A function that wants more than the body finds it here: method, target, and headers such as `Fn_call_id`.
    let Some(_request_line) = read_line(stream)? else {
        return Ok(None);
    };
    let mut length = 0;
    let mut chunked = false;
    while let Some(header) = read_line(stream)?.filter(|line| !line.is_empty()) {
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            "transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    if chunked { read_chunks(stream) } else { read_exactly(stream, length) }.map(Some)
}

/// A body whose length its sender did not know comes in chunks, each behind its size; the last one is empty.
fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = read_line(stream)?.unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        body.extend(read_exactly(stream, size)?);
        read_line(stream)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(stream: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A line without its end, or nothing at the end of the stream.
fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = stream.read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_as_json_or_as_text() {
        for (body, name) in [(r#"{"name": "Ada"}"#, "Ada"), (" Grace\n", "Grace"), ("", "world"), ("42", "42")] {
            assert_eq!(name_in(body.as_bytes()), name);
        }
    }

    #[test]
    fn requests_are_read_one_after_the_other() {
        let mut stream = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nAda\
             POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nGr\r\n3\r\nace\r\n0\r\n\r\n\
             GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            .as_bytes();
        for body in ["Ada", "Grace", ""] {
            assert_eq!(read_request(&mut stream).unwrap().unwrap(), body.as_bytes());
        }
        assert_eq!(read_request(&mut stream).unwrap(), None);
    }
}
