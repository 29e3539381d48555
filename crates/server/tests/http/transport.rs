//! Connections: slow clients, too many of them, broken requests, and how a server ends.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use hearth_drivers::Exit;
use hearth_drivers::scripted::{Program, programs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{PATIENCE, raw, read_to_end, request, send};
use crate::test_app::{Options, TestApp};

const GET_VERSION: &[u8] = b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n";

/// A function that needs a moment.
fn slow() -> Program {
    Program::new(|io| async move {
        sleep(Duration::from_millis(700)).await;
        io.stdout("done").await;
        Exit::Code(0)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_its_head_is_cut_off() {
    let limit = Duration::from_millis(200);
    let app = Options::default().server(|settings| settings.header_timeout = limit).start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let began = Instant::now();
    read_to_end(&mut stream).await;
    assert!(began.elapsed() >= limit / 2, "not at once");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_in_is_cut_off_all_the_same() {
    let limit = Duration::from_millis(300);
    let app = Options::default().server(|settings| settings.header_timeout = limit).start().await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let trickle = async {
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        loop {
            sleep(Duration::from_millis(20)).await;
            if stream.write_all(b"X: y\r\n").await.is_err() {
                break;
            }
        }
    };
    timeout(PATIENCE, trickle).await.expect("the server closes");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_answered_with_a_timeout() {
    let stall = Duration::from_millis(200);
    let app =
        Options::default().image("f", programs::cat()).server(|settings| settings.body_timeout = stall).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/f","image":"f""#).await;
    for path in ["/v1/apps", "/r/app/f"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfive.");
        let answer = raw(app.address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        assert!(answer.contains("Timed out reading the request body"), "{path}: {answer}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_far_too_much_still_reads_its_answer() {
    let app = Options::default().server(|settings| settings.max_api_body = 1000).start().await;
    let body = vec![b'x'; 8 << 20];
    let reply = send(app.address, request("POST", "/v1/apps", body)).await;
    reply.is_error(413, "Content-Length too large for this server, 8388608 > max 1000");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let big = Program::new(|io| async move {
        io.stdout(vec![b'x'; 16 << 20]).await;
        Exit::Code(0)
    });
    let stall = Duration::from_millis(200);
    let app = Options::default().image("big", big).server(|settings| settings.write_timeout = stall).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/b","image":"big""#).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET /r/app/b HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    stream.read_u8().await.unwrap();
    // Were it not cut off, it would still be there when the drain ends.
    assert_eq!(app.serving.drain(PATIENCE).await, 0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_wait_their_turn() {
    let app = Options::default().server(|settings| settings.max_connections = 1).start().await;
    let mut first = TcpStream::connect(app.address).await.unwrap();
    first.write_all(GET_VERSION).await.unwrap();
    first.read_u8().await.unwrap();
    let mut second = TcpStream::connect(app.address).await.unwrap();
    second.write_all(GET_VERSION).await.unwrap();
    let early = timeout(Duration::from_millis(200), second.read_u8()).await;
    assert!(early.is_err(), "the second has to wait");
    drop(first);
    timeout(PATIENCE, second.read_u8()).await.expect("its turn comes").unwrap();
    drop(second);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_headers_than_are_read_are_refused() {
    let app = TestApp::start().await;
    for (headers, status) in [(100, "200"), (101, "431")] {
        // Two of them are these.
        let more = "X: y\r\n".repeat(headers - 2);
        let head = format!("GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n");
        let answer = raw(app.address, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_operators_are_bounded_too() {
    let app =
        Options::default().server(|server| server.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into())).start().await;
    let admin = app.serving.admin_address().unwrap();
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut one = TcpStream::connect(admin).await.unwrap();
        one.write_all(GET_VERSION).await.unwrap();
        one.read_u8().await.unwrap();
        open.push(one);
    }
    let mut next = TcpStream::connect(admin).await.unwrap();
    next.write_all(GET_VERSION).await.unwrap();
    let early = timeout(Duration::from_millis(200), next.read_u8()).await;
    assert!(early.is_err(), "it has to wait");
    open.pop();
    timeout(PATIENCE, next.read_u8()).await.expect("its turn comes").unwrap();
    drop((open, next));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_http_are_refused_without_a_fuss() {
    let app = TestApp::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let answer = raw(app.address, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{}: {answer}", bytes.escape_ascii());
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(100_000));
    assert!(raw(app.address, long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    assert!(raw(app.address, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    assert_eq!(app.get("/version").await.status, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_its_limit_is_refused_and_reaches_no_function() {
    let app = Options::default().image("cold", programs::cat()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/c","image":"cold""#).await;
    let call = async |head: usize| {
        let (start, end) = ("GET /r/app/c HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Long: ", "\r\n\r\n");
        let long = "x".repeat(head - start.len() - end.len());
        raw(app.address, format!("{start}{long}{end}").as_bytes()).await
    };
    let fits = call(64 * 1024).await;
    assert!(fits.starts_with("HTTP/1.1 200 "), "{fits}");
    for head in [64 * 1024 + 1, 128 * 1024] {
        let answer = call(head).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{head}: {answer}");
    }
    assert_eq!(app.driver.ledger().created, 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_one_connection_are_answered_in_order() {
    let app = TestApp::start().await;
    let pipelined = b"GET /version HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answers = raw(app.address, pipelined).await;
    let version = answers.find("\"version\"").unwrap();
    assert!(version < answers.find("\"goto\"").unwrap(), "{answers}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_lets_accepted_calls_end_and_takes_no_more() {
    let app = Options::default().image("slow", slow()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/s","image":"slow""#).await;
    let mut idle = TcpStream::connect(app.address).await.unwrap();
    idle.write_all(GET_VERSION).await.unwrap();
    idle.read_u8().await.unwrap();
    let silent = TcpStream::connect(app.address).await.unwrap();
    let (call, left) = tokio::join!(raw(app.address, b"GET /r/app/s HTTP/1.1\r\nHost: h\r\n\r\n"), async {
        app.driver.until(|ledger| ledger.live() == 1).await;
        let drain = app.serving.drain(Duration::from_secs(15));
        let (left, refused) = tokio::join!(drain, async {
            sleep(Duration::from_millis(100)).await;
            TcpStream::connect(app.address).await
        });
        assert!(refused.is_err(), "the listener is closed at once");
        left
    });
    assert_eq!(left, 0);
    assert!(call.starts_with("HTTP/1.1 200 ") && call.ends_with("done"), "{call}");
    assert!(call.contains("\r\nConnection: close\r\n"), "{call}");
    drop((idle, silent));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_has_a_deadline_and_what_is_left_is_cut() {
    let app = Options::default().image("hang", programs::hang()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/h","image":"hang","timeout":120"#).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET /r/app/h HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    app.driver.until(|ledger| ledger.live() == 1).await;
    assert_eq!(app.serving.drain(Duration::from_millis(200)).await, 1);
    let closing = app.serving.close(Duration::from_millis(100));
    timeout(PATIENCE, closing).await.expect("closing does not wait for the function");
    read_to_end(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_on_its_way_when_the_drain_begins_is_answered() {
    let app = TestApp::start().await;
    let mut fresh = TcpStream::connect(app.address).await.unwrap();
    let mut used = TcpStream::connect(app.address).await.unwrap();
    used.write_all(GET_VERSION).await.unwrap();
    let first = read_answer(&mut used).await;
    assert!(!first.contains("Connection: close"), "{first}");
    let drain = app.serving.drain(PATIENCE);
    let (left, answers) = tokio::join!(drain, async {
        let mut answers = Vec::new();
        for stream in [&mut fresh, &mut used] {
            stream.write_all(GET_VERSION).await.unwrap();
            answers.push(read_to_end(stream).await);
        }
        answers
    });
    assert_eq!(left, 0);
    for answer in answers {
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Connection: close"), "{answer:?}");
    }
    app.stop().await;
}

/// Reads an answer of the server itself, which ends with a brace, on a connection that stays open.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(answer).unwrap()
}

/// On one thread, so that nothing is accepted between the connection and the drain.
#[tokio::test]
async fn who_was_connected_when_the_drain_began_is_served() {
    let app = TestApp::start().await;
    let mut early = std::net::TcpStream::connect(app.address).unwrap();
    early.write_all(b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(app.serving.drain(PATIENCE).await, 0);
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Connection: close"), "{answer}");
    assert!(std::net::TcpStream::connect(app.address).is_err());
    app.stop().await;
}
