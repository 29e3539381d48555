//! A small HTTP/1.1 server for what the driver or the engine talks to: one request a connection, answers as told.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
}

pub(crate) enum Reply {
    /// Status, headers, body; then the connection closes.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A head and the beginning of a body that never ends.
    Open(Vec<u8>),
    /// Not a word, until the client leaves.
    Silence,
    /// The connection closes without a word.
    HangUp,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::Whole(status, vec![("Content-Type", "application/json".to_owned())], body.to_string().into_bytes())
    }
}

/// Answers for as long as it is not dropped.
pub(crate) struct Server(#[expect(dead_code, reason = "dropping it ends the tasks")] JoinSet<()>);

pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

pub(crate) fn serve<F>(listener: Listener, handler: impl Fn(Request) -> F + Send + Sync + 'static) -> Server
where
    F: Future<Output = Reply> + Send + 'static,
{
    let handler = Arc::new(handler);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let handler = Arc::clone(&handler);
            match &listener {
                Listener::Unix(listener) => {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.spawn(async move { answer(stream, &*handler).await });
                }
                Listener::Tcp(listener) => {
                    let (stream, _) = listener.accept().await.unwrap();
                    connections.spawn(async move { answer(stream, &*handler).await });
                }
            }
        }
    });
    Server(tasks)
}

async fn answer<F: Future<Output = Reply>>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: &(impl Fn(Request) -> F + ?Sized),
) {
    let Some(request) = read(&mut stream).await else { return };
    match handler(request).await {
        Reply::Whole(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            stream.write_all(head.as_bytes()).await.ok();
            stream.write_all(&body).await.ok();
            stream.shutdown().await.ok();
        }
        Reply::Open(body) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok();
            stream.write_all(&body).await.ok();
            // Until the client leaves.
            stream.read_u8().await.ok();
        }
        Reply::Silence => {
            stream.read_u8().await.ok();
        }
        Reply::HangUp => {}
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        // An engine tries TLS first; hanging up tells it at once that there is none.
        if stream.read_buf(&mut bytes).await.ok()? == 0 || bytes[0] == 0x16 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { method, target, headers })
}
