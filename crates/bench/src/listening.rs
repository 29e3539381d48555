//! A function behind its socket without Hearth: asked directly, or through nginx as a plain reverse proxy.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use hearth_drivers::{Guard, Running};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::answer::{Framing, shown};
use crate::client::Connection;
use crate::function::Recording;
use crate::load::Exchange;
use crate::server::free_address;

/// Time for nginx to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A container that listens. What it logs is read, as Hearth does.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) socket: PathBuf,
    _log: JoinSet<()>,
    _guard: Guard,
}

/// A connection to its socket, asked the same again and again.
#[derive(Debug)]
pub(crate) struct Direct {
    stream: UnixStream,
    request: Bytes,
    buffer: BytesMut,
    /// What it answers, known from the first time on.
    expected: Option<Bytes>,
}

/// An nginx in front of the socket. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    _child: Child,
    _home: TempDir,
}

// === impl Listening ===

impl Listening {
    pub(crate) fn new(running: Running, socket: PathBuf) -> Self {
        let Running { mut output, guard, .. } = running;
        let mut log = JoinSet::new();
        log.spawn(async move { while output.next().await.is_some() {} });
        Self { socket, _log: log, _guard: guard }
    }

    pub(crate) async fn connect(&self, recording: &Recording) -> Result<Direct> {
        let stream = UnixStream::connect(&self.socket).await.context("no connection to the function")?;
        let request = recording.request.clone();
        Ok(Direct { stream, request, buffer: BytesMut::with_capacity(8 * 1024), expected: None })
    }
}

// === impl Direct ===

impl Exchange for Direct {
    async fn exchange(&mut self) -> Result<()> {
        self.stream.write_all(&self.request).await.context("the request was not taken")?;
        loop {
            if let Some(answer) = Framing::Http.parse(&self.buffer)? {
                let expected = self.expected.get_or_insert_with(|| Bytes::copy_from_slice(&answer.body));
                let good = answer.status == 200 && answer.body[..] == expected[..];
                ensure!(good, "the function answered {}", shown(&answer.body));
                let length = answer.length;
                self.buffer.advance(length);
                return Ok(());
            }
            let read = self.stream.read_buf(&mut self.buffer).await.context("the answer was cut")?;
            ensure!(read > 0, "the connection was closed ahead of the answer");
        }
    }
}

// === impl Nginx ===

impl Nginx {
    /// Starts one whose every path is the function's.
    pub(crate) async fn start(socket: &Path) -> Result<Self> {
        let address = free_address()?;
        let home = tempfile::tempdir().context("no place for nginx")?;
        let configuration = home.path().join("nginx.conf");
        fs::write(&configuration, configured(address, socket, home.path()))?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(home.path())
            .arg("-c")
            .arg(&configuration)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start nginx; Debian has it in nginx-light")?;
        let deadline = Instant::now() + START_LIMIT;
        while Connection::open(address).await.is_err() {
            ensure!(Instant::now() < deadline, "nginx does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { address, _child: child, _home: home })
    }
}

/// As few words as a reverse proxy with kept connections takes. One process, so that killing it is the end of it, and
/// with the user it is started by, who may enter the directory of the socket.
fn configured(address: SocketAddr, socket: &Path, home: &Path) -> String {
    let (socket, home) = (socket.display(), home.display());
    format!(
        "daemon off; master_process off; pid {home}/pid; error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
         access_log off; keepalive_requests 1000000000; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;\n\
         fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n\
         upstream function {{ server unix:{socket}; keepalive 128; keepalive_requests 1000000000; }}\n\
         server {{ listen {address}; location / {{\n\
         proxy_pass http://function; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header Host localhost; }} }}\n\
         }}\n"
    )
}
