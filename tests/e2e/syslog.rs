//! Apps whose functions' output goes to a syslog server as well (v2 contract B.5.1), which the engine does.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::support::{APP, Options, PATIENCE, Server, eventually};

const UNAVAILABLE: &str = "Syslog Unavailable";

/// A syslog server of a test, and what came to it.
struct Syslog {
    socket: Socket,
    seen: Vec<u8>,
}

enum Socket {
    Udp(UdpSocket),
    /// The engine connects once for each container.
    Tcp(TcpListener, Option<TcpStream>),
}

impl Syslog {
    async fn udp() -> Self {
        Self { socket: Socket::Udp(UdpSocket::bind("127.0.0.1:0").await.unwrap()), seen: Vec::new() }
    }

    async fn tcp(address: &str) -> Self {
        Self { socket: Socket::Tcp(TcpListener::bind(address).await.unwrap(), None), seen: Vec::new() }
    }

    fn address(&self) -> SocketAddr {
        match &self.socket {
            Socket::Udp(socket) => socket.local_addr().unwrap(),
            Socket::Tcp(listener, _) => listener.local_addr().unwrap(),
        }
    }

    fn url(&self) -> String {
        let scheme = if matches!(self.socket, Socket::Udp(_)) { "udp" } else { "tcp" };
        format!("{scheme}://{}", self.address())
    }

    async fn read(&mut self) {
        let mut buffer = vec![0; 65_536];
        let length = match &mut self.socket {
            Socket::Udp(socket) => socket.recv(&mut buffer).await.unwrap(),
            Socket::Tcp(listener, connection) => {
                if connection.is_none() {
                    *connection = Some(listener.accept().await.unwrap().0);
                }
                let length = connection.as_mut().unwrap().read(&mut buffer).await.unwrap();
                if length == 0 {
                    *connection = None;
                }
                length
            }
        };
        self.seen.extend_from_slice(&buffer[..length]);
    }

    /// Waits for a message with this tag and text.
    async fn gets(&mut self, tag: &str, text: &str) {
        let has_it = |seen: &[u8]| {
            let seen = String::from_utf8_lossy(seen);
            let mut messages = seen.match_indices(tag);
            // What was written to stdout begins with <14>, what was written to stderr with <11>.
            messages.any(|(at, _)| seen[at..].split("<1").next().is_some_and(|message| message.contains(text)))
        };
        let come = async {
            while !has_it(&self.seen) {
                self.read().await;
            }
        };
        let come = timeout(PATIENCE, come).await;
        assert!(come.is_ok(), "no {text:?} of {tag:?} in {:?}", String::from_utf8_lossy(&self.seen));
    }
}

async fn app(server: &Server, url: &str) -> String {
    let app = server.manage("POST", "/v2/apps", &json!({ "name": APP, "syslog_url": url })).await;
    app["id"].as_str().unwrap().to_owned()
}

/// The function that the only route of the app leads to.
async fn function(server: &Server, app_id: &str) -> String {
    let list = server.get(&format!("/v2/fns?app_id={app_id}")).send().await.json();
    let [function] = list["items"].as_array().unwrap().as_slice() else { panic!("one function in {list}") };
    function["id"].as_str().unwrap().to_owned()
}

/// Of the only container of the server.
async fn inspected(server: &Server, what: &str) -> String {
    let [container] = &server.containers().await[..] else { panic!("one container") };
    server.engine().docker(&["inspect", "--format", what, container]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_write_goes_to_the_syslog_server_of_their_app_and_to_the_logs_of_their_calls() {
    // Nothing but silence ends these logs, and the machine may be busy with other tests.
    let options = Options::new().await.setting("FN_STDERR_DRAIN", "500ms").setting("FN_MAX_STDERR_DRAIN", "500ms");
    let server = options.start().await;
    for format in ["http-stream", "http", "default"] {
        for mut syslog in [Syslog::udp().await, Syslog::tcp("127.0.0.1:0").await] {
            let app_id = app(&server, &format!(" {}\n", syslog.url())).await;
            server.route("/f").format(format).create().await;
            let tag = format!("app_id={app_id},fn_id={}", function(&server, &app_id).await);
            let (first, second) = ("of the first call", "of the second");
            for line in [first, second] {
                let reply = server.run("/f", &format!("stderr {line}; body x")).await;
                reply.is_answer("x");
                assert_eq!(server.record(&reply).await.log, format!("{line}\n"), "{format}");
                syslog.gets(&tag, line).await;
            }
            if format == "http-stream" {
                assert_eq!(inspected(&server, "{{.HostConfig.LogConfig.Type}}").await, "syslog");
                assert_ne!(inspected(&server, "{{.Path}}").await, "/.hearth/launch");
                assert!(!syslog.seen.contains(&0), "nothing but what the function wrote");
            }
            server.manage("DELETE", &format!("/v1/apps/{APP}"), &Value::Null).await;
            server.has_containers(0).await;
        }
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_syslog_url_makes_other_containers() {
    let server = Server::start().await;
    let (mut one, mut other) = (Syslog::udp().await, Syslog::udp().await);
    let app_id = app(&server, &one.url()).await;
    server.route("/f").format("http-stream").create().await;
    let change = async |url: String| {
        server.manage("PUT", &format!("/v2/apps/{app_id}"), &json!({ "syslog_url": url })).await;
        server.has_containers(0).await;
    };
    server.run("/f", "stderr here; body x").await.is_answer("x");
    one.gets("app_id=", "here").await;
    change(other.url()).await;
    server.run("/f", "stderr there; body x").await.is_answer("x");
    other.gets("app_id=", "there").await;
    change(String::new()).await;
    server.run("/f", "stderr nowhere; body x").await.is_answer("x");
    assert_eq!(inspected(&server, "{{.HostConfig.LogConfig.Type}}").await, "none");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_syslog_server_that_is_not_there_is_told_and_may_come_back() {
    let server = Server::start().await;
    let address = Syslog::tcp("127.0.0.1:0").await.address().to_string();
    let app_id = app(&server, &format!("tcp://{address}")).await;
    server.route("/f").format("http-stream").create().await;
    let fn_id = function(&server, &app_id).await;
    // The second is answered from memory, or from another try.
    for _ in 0..2 {
        let reply = server.run("/f", "body x").await;
        reply.is_call_error(500, UNAVAILABLE);
        server.record(&reply).await.never_ran("error", "image", UNAVAILABLE);
    }
    let reply = server.post(&format!("/invoke/{fn_id}")).script("body x").send().await;
    assert_eq!((reply.status, reply.json()), (500, json!({ "message": UNAVAILABLE })));

    let mut syslog = Syslog::tcp(&address).await;
    eventually(PATIENCE, "the function runs", async || {
        let reply = server.run("/f", "stderr a line; body x").await;
        if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
    })
    .await;
    syslog.gets(&fn_id, "a line").await;

    // Docker finds out that this one is not there before it starts anything.
    let change = json!({ "syslog_url": "UNIX:///nowhere" });
    server.manage("PUT", &format!("/v2/apps/{app_id}"), &change).await;
    server.run("/f", "body x").await.is_call_error(500, UNAVAILABLE);
    server.finish().await;
}
