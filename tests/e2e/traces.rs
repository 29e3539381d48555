//! What collectors are sent of calls, and what functions and the log are told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{APP, Collector, Mood, Options, PATIENCE, Registry, Reply, Server, Tree, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// The phases that every executed call has.
const HOT: [&str; 8] =
    ["call", "call/accept", "call/body", "call/drain", "call/exec", "call/image", "call/record", "call/wait"];
/// And those of a call that had a container started.
const LAUNCH: [&str; 5] = ["", "/attach", "/create", "/ready", "/start"];

fn phases(launched: bool, pulled: bool) -> Vec<String> {
    let launch = LAUNCH.iter().map(|phase| format!("call/wait/launch{phase}")).filter(|_| launched);
    let pull = pulled.then(|| "call/image/pull".to_owned());
    let mut all: Vec<String> = HOT.iter().map(|phase| (*phase).to_owned()).chain(launch).chain(pull).collect();
    all.sort();
    all
}

/// A part of a whole is not longer than it, except that the container may have been started for somebody else before.
#[track_caller]
fn is_nested(tree: &Tree) {
    for span in &tree.0[1..] {
        let parent = tree.0.iter().find(|other| Some(&other.id) == span.parent.as_ref()).unwrap();
        let inside = span.began >= parent.began && span.ended <= parent.ended.max(parent.began + 1);
        assert!(inside || span.name == "launch", "{} in\n{}", span.name, tree.listing());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_and_a_hot_call_have_their_whole_tree_in_both_kinds_of_collectors() {
    let (zipkin, otlp) = (Collector::start().await, Collector::start().await);
    let registry = Registry::start(Mood::Serve(Duration::from_millis(100))).await;
    let options = Options::new().await.setting("ZIPKIN_URL", &format!("{}/api/v1/spans", zipkin.url()));
    let options = options.setting("FN_OTLP_URL", &otlp.url()).setting("FN_OTLP_HEADERS", "X-Key=secret-of-collector");
    let server = options.start().await;
    server.route("/f").image(&registry.image).config("PASSWORD", "secret-of-function").create().await;

    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    let call = server.call("/f").script("headers").header("Traceparent", &traceparent);
    let cold = call.header("Authorization", "secret-of-client").header("baggage", "fn_evil=label").send().await;
    let hot = server.call("/f").script("echo").body("secret-of-body").send().await;
    let failed = server.run("/f", "status 1000").await;

    let tree = zipkin.tree(cold.call_id()).await;
    assert_eq!(tree.paths(), phases(true, true), "{}", tree.listing());
    assert_eq!((tree.root().trace.as_str(), tree.root().parent.as_deref()), (TRACE, Some(CLIENT)));
    for (tag, value) in [("fn.app", APP), ("fn.route", "/f"), ("call.status", "success")] {
        assert_eq!(tree.root().tags[tag], value);
    }
    is_nested(&tree);
    println!("a cold call:\n{}", tree.listing());
    let function = &tree.span("exec").id;
    for line in [
        format!("Traceparent: 00-{TRACE}-{function}-01"),
        format!("B3: {TRACE}-{function}-1"),
        "Baggage: fn_evil=label".to_owned(),
    ] {
        assert!(cold.text().lines().any(|told| told == line), "{line} in {}", cold.text());
    }

    let tree = zipkin.tree(hot.call_id()).await;
    assert_eq!(tree.paths(), phases(false, false), "{}", tree.listing());
    assert_eq!(tree.root().parent, None);
    assert_ne!(tree.root().trace, TRACE);
    is_nested(&tree);
    println!("a hot call:\n{}", tree.listing());

    let tree = zipkin.tree(failed.call_id()).await;
    assert_eq!(tree.root().tags["call.reason"], "bad_output", "{tree:?}");
    assert!(tree.root().error.is_some(), "{tree:?}");

    for reply in [&cold, &hot, &failed] {
        let call = reply.call_id();
        assert_eq!(otlp.tree(call).await.paths(), zipkin.tree(call).await.paths(), "{call}");
    }
    let metrics = server.metrics().await;
    assert!(!metrics.0.contains("evil"), "baggage is no label");
    assert!(metrics.value("hearth_trace_spans_total{outcome=\"sent\"}") > 0.0);
    server.finish().await;
    for (collector, path) in [(&zipkin, "/api/v2/spans"), (&otlp, "/v1/traces")] {
        for taken in collector.taken() {
            assert_eq!(taken.path, path);
            let text = String::from_utf8_lossy(&taken.body).into_owned();
            assert!(!text.contains("secret"), "{text}");
        }
    }
    assert!(otlp.taken().iter().all(|taken| taken.key.as_deref() == Some("secret-of-collector")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_per_call_and_a_queued_call_have_their_trees_and_the_last_ones_are_sent_at_the_end() {
    let zipkin = Collector::start().await;
    let server = Options::new().await.setting("FN_ZIPKIN_URL", &zipkin.url()).start().await;
    server.route("/cold").format("default").create().await;
    server.route("/queued").with("type", "async").create().await;
    let several = [("X-B3-TraceId", TRACE), ("X-B3-SpanId", CLIENT), ("X-B3-Sampled", "1")];
    let call = several.iter().fold(server.call("/cold").script("env"), |call, (name, value)| call.header(name, value));
    let cold = call.send().await;
    let tree = zipkin.tree(cold.call_id()).await;
    assert_eq!(tree.paths(), phases(true, false), "{}", tree.listing());
    assert_eq!((tree.root().trace.as_str(), tree.root().parent.as_deref()), (TRACE, Some(CLIENT)));
    let function = &tree.span("exec").id;
    for line in [format!("FN_HEADER_X_B3_Spanid={function}"), format!("FN_HEADER_Traceparent=00-{TRACE}-{function}-01")]
    {
        assert!(cold.text().lines().any(|told| told == line), "{line} in {}", cold.text());
    }

    // Function kits read the several, which are not framed.
    server.route("/stream").format("http-stream").create().await;
    let stream = server.run("/stream", "headers").await;
    let tree = zipkin.tree(stream.call_id()).await;
    let told = format!("X-B3-Spanid: {}", tree.span("exec").id);
    assert!(stream.text().lines().any(|line| line == told), "{told} in {}", stream.text());

    let queued = server.run("/queued", "body x").await;
    let tree = zipkin.tree(queued.call_id()).await;
    let expected = phases(true, false).into_iter().map(|path| path.replace("/accept", "/queued")).collect::<Vec<_>>();
    assert_eq!(tree.paths().len(), expected.len(), "{}", tree.listing());
    assert!(tree.paths().contains(&"call/queued".to_owned()), "{}", tree.listing());

    // The client decides for its calls, and so does nobody for those of another one.
    let unsampled = server.call("/cold").script("env").header("b3", "0").send().await;
    let last = server.run("/cold", "body x").await;
    server.finish().await;
    assert!(zipkin.look_for(last.call_id()).is_some(), "the last batch is sent");
    assert_eq!(zipkin.look_for(unsampled.call_id()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_fails_no_call_and_holds_up_nothing() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let server = Options::new().await.setting("FN_OTLP_URL", &url).start().await;
    server.route("/f").create().await;
    for _ in 0..20 {
        server.run("/f", "body x").await.is_answer("x");
    }
    eventually(PATIENCE, "the traces are given up", async || {
        let failed = server.metrics().await.value("hearth_trace_spans_total{outcome=\"failed\"}");
        if failed >= 20.0 * 8.0 { Ok(()) } else { Err(failed) }
    })
    .await;
    let log = server.finish_with_errors().await;
    assert!(log.contains("traces could not be sent"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_nothing_traces_only_what_clients_ask_for() {
    let zipkin = Collector::start().await;
    let options = Options::new().await.setting("FN_ZIPKIN_URL", &zipkin.url()).setting("FN_TRACE_SHARE", "0");
    let server = options.start().await;
    server.route("/f").create().await;
    let quiet = server.run("/f", "headers").await;
    assert!(
        quiet.text().lines().any(|line| line.starts_with("Traceparent: 00-") && line.ends_with("-00")),
        "{quiet:?}"
    );
    let unwanted = format!("00-{TRACE}-{CLIENT}-00");
    let passed = server.call("/f").script("headers").header("traceparent", &unwanted).send().await;
    assert!(passed.text().contains(&format!("Traceparent: {unwanted}")), "{passed:?}");
    let wanted = server.call("/f").script("body x").header("b3", "d").send().await;
    zipkin.tree(wanted.call_id()).await;
    server.finish().await;
    assert_eq!(zipkin.look_for(quiet.call_id()), None);
    assert_eq!(zipkin.look_for(passed.call_id()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_of_a_call_carry_its_id_its_app_and_its_route() {
    let server = Options::new().await.setting("FN_LOG_FORMAT", "json").start().await;
    server.route("/f").create().await;
    server.route("/nowhere").image("127.0.0.1:1/no/image").create().await;
    let reply = server.run("/f", "body x").await;
    server.record(&reply).await.is_success();
    let refused = server.run("/nowhere", "body x").await;
    let log = server.finish_with_errors().await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // One is said where the call runs, and only for who debugs; the other is a warning, which says so itself.
    let facts = |reply: &Reply, route: &str| json!({ "call.id": reply.call_id(), "app": APP, "route": route });
    for (message, reply, route) in [("call ended", &reply, "/f"), ("image could not be had", &refused, "/nowhere")] {
        let mut span = facts(reply, route);
        span["name"] = json!("call");
        let line = lines.iter().find(|line| line["message"] == message && line["span"] == span);
        let line = line.unwrap_or_else(|| panic!("{message}: {span} in\n{log}"));
        let own = facts(reply, route);
        assert!(own.as_object().unwrap().iter().all(|(name, value)| line[name] == *value), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_collectors_a_function_sees_what_the_client_sent() {
    let server = Server::start().await;
    server.route("/f").create().await;
    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    let reply = server.call("/f").script("headers").header("traceparent", &traceparent).send().await;
    assert!(reply.text().contains(&format!("Traceparent: {traceparent}")), "{reply:?}");
    assert!(!server.run("/f", "headers").await.text().contains("Traceparent"));
    server.finish().await;
}
