//! A client that sends exactly what a test says: no redirects followed, no path tidied up.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::description::{Answered, Asked};

/// Longer than anything a test waits for, shorter than the patience of whoever runs it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What came of the body, and whether it was complete.
    pub(crate) body: Bytes,
    pub(crate) complete: bool,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// All values of a header, as text.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let text = |value: &http::HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        self.headers.get_all(name).iter().map(text).collect()
    }

    /// Holds the reply to the contract's form of an error: status, envelope and content type.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, message: &str) {
        let escaped = message.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        let newline = if message == "Path not found" { "" } else { "\n" };
        let expected = format!("{{\"error\":{{\"message\":\"{escaped}\"}}}}{newline}");
        assert_eq!((self.status.as_u16(), self.text()), (status, expected));
        assert_eq!(self.values("content-type"), ["application/json; charset=utf-8"]);
    }

    /// The same for API v2.
    #[track_caller]
    pub(crate) fn is_v2_error(&self, status: u16, message: &str) {
        let escaped = message.replace('\\', "\\\\").replace('"', "\\\"");
        let escaped = escaped.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        assert_eq!((self.status.as_u16(), self.text()), (status, format!("{{\"message\":\"{escaped}\"}}\n")));
        assert_eq!(self.values("content-type"), ["application/json; charset=utf-8"]);
    }

    /// Holds the reply to API v2's form of a success that shows nothing.
    #[track_caller]
    pub(crate) fn is_done(&self) {
        assert_eq!((self.status.as_u16(), self.text().as_str()), (204, ""));
        assert_eq!(self.values("content-type"), ["text/plain; charset=utf-8"]);
    }

    /// Holds the reply to the contract's form of a success.
    #[track_caller]
    pub(crate) fn is_ok(&self, body: &str) {
        assert_eq!((self.status.as_u16(), self.text().as_str()), (200, body));
        assert_eq!(self.values("content-type"), ["application/json; charset=utf-8"]);
    }
}

/// Sends one request on a connection of its own and reads the response, which has to be as the API's description says.
pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Reply {
    let path = request.uri().path().to_owned();
    let asked = Asked { method: request.method().clone(), path, headers: request.headers().clone() };
    let reply = exchange(address, request).await;
    asked.is_described_with(&Answered { status: reply.status, headers: &reply.headers, body: &reply.body });
    reply
}

/// The same for the operators' door, which is not described there.
pub(crate) async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Reply {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let respond = async {
            let response = sender.send_request(request).await.unwrap();
            let (head, mut body) = response.into_parts();
            let (mut bytes, mut complete) = (Vec::new(), true);
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
                    Err(_) => {
                        complete = false;
                        break;
                    }
                }
            }
            Reply { status: head.status, headers: head.headers, body: bytes.into(), complete }
        };
        // How the connection ends is the body's to tell.
        tokio::pin!(respond);
        tokio::select! {
            biased;
            reply = &mut respond => reply,
            _ended = connection => respond.await,
        }
    };
    timeout(PATIENCE, exchange).await.expect("the server answers in time")
}

/// A request with a body.
pub(crate) fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = path.parse::<Uri>().unwrap();
    request.headers_mut().insert("host", http::HeaderValue::from_static("hearth.test"));
    request
}

/// Sends bytes as they are and reads until the server closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_to_end(&mut stream).await
}

/// Reads until the server closes or resets.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    // A reset after the answer leaves what was read.
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the server closes in time");
    String::from_utf8_lossy(&read).into_owned()
}
