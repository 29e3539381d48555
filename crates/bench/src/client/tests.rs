use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// Answers requests of a known form: `POST /PATH`, then a body. The path says how.
async fn serve(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
            }
            if stream.read_buf(&mut buffer).await.unwrap() == 0 {
                return;
            }
        };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
        while buffer.len() < length {
            assert!(stream.read_buf(&mut buffer).await.unwrap() > 0);
        }
        let body: Vec<u8> = buffer.drain(..length).collect();
        let status = if head.starts_with("POST /refused ") { "503 No" } else { "200 OK" };
        let mut answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        answer.extend_from_slice(if head.starts_with("POST /other ") { b"else" } else { &body });
        if head.starts_with("POST /closed ") {
            answer.truncate(10);
            stream.write_all(&answer).await.unwrap();
            return;
        }
        // In pieces, as a busy machine delivers them.
        for piece in answer.chunks(7) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

async fn server() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn a_caller_keeps_its_connection_and_checks_answers() {
    let (address, _server) = server().await;
    let mut caller = Caller::connect(address, "/echo", b"body", "body".into()).await.unwrap();
    let port = |caller: &Caller| caller.connection.as_ref().unwrap().stream.local_addr().unwrap().port();
    let first = port(&caller);
    caller.exchange().await.unwrap();
    caller.exchange().await.unwrap();
    assert_eq!(port(&caller), first);
}

#[tokio::test]
async fn whatever_is_not_the_expected_answer_is_an_error_and_costs_the_connection() {
    let (address, _server) = server().await;
    let cases = [
        ("/refused", "answered with 503: body"),
        ("/other", "answered with 200: else"),
        ("/closed", "the connection was closed ahead of the answer"),
    ];
    for (path, message) in cases {
        let mut caller = Caller::connect(address, path, b"body", "body".into()).await.unwrap();
        let error = caller.exchange().await.unwrap_err();
        assert_eq!(format!("{error:#}"), message);
        assert!(caller.connection.is_none());
    }
}

#[tokio::test]
async fn management_requests_have_to_succeed() {
    let (address, _server) = server().await;
    let mut connection = Connection::open(address).await.unwrap();
    connection.api("POST", "/v1/apps", &Value::Null).await.unwrap();
    let error = connection.api("POST", "/refused", &Value::Null).await.unwrap_err();
    assert_eq!(error.to_string(), "POST /refused was answered with 503: null");
}
