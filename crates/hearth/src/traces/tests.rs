use hearth_agent::{Span, SpanId, TraceId};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn trace() -> Trace {
    let span = |name, parent: Option<SpanId>, is_server: bool| Span {
        name,
        id: SpanId::random(),
        parent,
        began: 1_000_000,
        ended: 1_000_250,
        attributes: vec![("fn.route", "/f".to_owned())],
        error: is_server.then(|| "container exit code 7".to_owned()),
        is_server,
    };
    let root = span("call", Some(SpanId::random()), true);
    let exec = span("exec", Some(root.id), false);
    Trace { id: TraceId::random(), spans: vec![root, exec] }
}

fn count(spans: &IntCounterVec) -> [u64; 3] {
    ["sent", "failed", "dropped"].map(|outcome| spans.with_label_values(&[outcome]).get())
}

fn exporter(url: &str) -> (Arc<Exporter>, Export, IntCounterVec) {
    // As main does; that another test was first does no harm.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let spans = counter(&Registry::new()).unwrap();
    let target = Target { protocol: Protocol::Zipkin, url: url.parse().unwrap(), headers: HeaderMap::new() };
    let (exporter, export) = Exporter::new(vec![target], spans.clone()).unwrap();
    (exporter, export, spans)
}

#[test]
fn zipkin_is_told_in_its_json() {
    let trace = trace();
    let [root, exec] = &trace.spans[..] else { unreachable!() };
    let told: serde_json::Value =
        serde_json::from_slice(&zipkin::encode(std::slice::from_ref(&trace)).unwrap()).unwrap();
    let common = json!({ "traceId": trace.id.to_string(), "timestamp": 1_000_000, "duration": 250,
        "localEndpoint": { "serviceName": "fnserver" } });
    let mut expected = [common.clone(), common];
    for (span, own) in expected.iter_mut().zip([
        json!({ "id": root.id.to_string(), "parentId": root.parent.unwrap().to_string(), "name": "call",
            "kind": "SERVER", "tags": { "fn.route": "/f", "error": "container exit code 7" } }),
        json!({ "id": exec.id.to_string(), "parentId": root.id.to_string(), "name": "exec",
            "tags": { "fn.route": "/f" } }),
    ]) {
        span.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    }
    assert_eq!(told, json!(expected));
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    let (exporter, _export, spans) = exporter("http://127.0.0.1:1");
    for _ in 0..QUEUE + 3 {
        exporter.take(trace());
    }
    assert_eq!(count(&spans), [0, 0, 6]);
}

/// Answers with these statuses, one connection after the other; what it was sent.
async fn collector(statuses: &'static [u16]) -> (String, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    let taken = tokio::spawn(async move {
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}]") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        statuses.len()
    });
    (url, taken)
}

#[tokio::test]
async fn a_batch_is_tried_again_while_that_may_help_and_the_last_one_is_sent_at_the_end() {
    for (statuses, expected) in [(&[503, 429, 200][..], [2, 0, 0]), (&[400], [0, 2, 0]), (&[503, 503, 503], [0, 2, 0])]
    {
        let (url, taken) = collector(statuses).await;
        let (exporter, export, spans) = exporter(&url);
        exporter.take(trace());
        let stop = CancellationToken::new();
        stop.cancel();
        export.run(stop).await;
        assert_eq!((taken.await.unwrap(), count(&spans)), (statuses.len(), expected));
    }
}

#[test]
fn a_collector_is_named_without_its_secrets() {
    let target = Target {
        protocol: Protocol::Zipkin,
        url: "https://user:secret@zipkin:9411/secret?key=secret".parse().unwrap(),
        headers: HeaderMap::new(),
    };
    assert_eq!(target.to_string(), "https://zipkin:9411");
}
