//! A client of HTTP/1.1 with one kept-alive connection and prepared requests. It does what a measurement needs and no
//! more, so that it leaves the processors to the server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::{Framing, shown};
use crate::load::Exchange;

/// No call of any scenario takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// Calls one function over and over, over one connection, and checks every answer.
#[derive(Debug)]
pub(crate) struct Caller {
    address: SocketAddr,
    request: Bytes,
    /// What the function answers. Most echo, so that an answer which is somebody else's is noticed.
    expected: Bytes,
    connection: Option<Connection>,
}

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(8 * 1024) })
    }

    /// Sends `request` and hands the status and the body of its answer to `check`.
    pub(crate) async fn exchange<T>(&mut self, request: &[u8], check: impl Fn(u16, &[u8]) -> Result<T>) -> Result<T> {
        self.stream.write_all(request).await.context("the request was not taken")?;
        loop {
            if let Some(answer) = Framing::Http.parse(&self.buffer)? {
                let checked = check(answer.status, &answer.body);
                let length = answer.length;
                self.buffer.advance(length);
                ensure!(self.buffer.is_empty(), "bytes behind an answer: {}", shown(&self.buffer));
                return checked;
            }
            let read = self.stream.read_buf(&mut self.buffer).await.context("the answer was cut")?;
            ensure!(read > 0, "the connection was closed ahead of the answer");
        }
    }

    /// One request that is not measured: status and body.
    pub(crate) async fn request(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let request = request(method, path, body);
        let answer = self.exchange(&request, |status, body| Ok((status, body.to_vec())));
        timeout(PATIENCE, answer).await.with_context(|| format!("{method} {path} got no answer"))?
    }

    /// A management request that has to succeed.
    pub(crate) async fn api(&mut self, method: &str, path: &str, body: &Value) -> Result<()> {
        let (status, answer) = self.request(method, path, &serde_json::to_vec(body)?).await?;
        if !(200..300).contains(&status) {
            bail!("{method} {path} was answered with {status}: {}", shown(&answer));
        }
        Ok(())
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Bytes {
    request_with(method, path, "", body)
}

/// The same with `headers`, each of which ends its line.
pub(crate) fn request_with(method: &str, path: &str, headers: &str, body: &[u8]) -> Bytes {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: hearth-bench\r\nAccept: */*\r\n\
         Content-Type: text/plain\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat().into()
}

// === impl Caller ===

impl Caller {
    /// Will call `path` with `body`, and expects this answer. Connects already, so that no call has to.
    pub(crate) async fn connect(address: SocketAddr, path: &str, body: &[u8], expected: Bytes) -> Result<Self> {
        let connection = Some(Connection::open(address).await?);
        let request = request("POST", path, body);
        Ok(Self { address, request, expected, connection })
    }
}

impl Exchange for Caller {
    async fn exchange(&mut self) -> Result<()> {
        // A connection on which something went wrong is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let expected = &self.expected;
        let check = |status: u16, body: &[u8]| {
            ensure!(status == 200 && body == expected, "answered with {status}: {}", shown(body));
            Ok(())
        };
        connection.exchange(&self.request, check).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
