//! The example, with containers that are played rather than run: what an embedder adds holds everywhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::sync::Arc;
use std::time::Duration;

use hearth::Server;
use hearth::drivers::scripted::programs::{http, response};
use hearth::drivers::scripted::{Script, ScriptedDriver};
use hearth::http::Method;
use hearth_embed::{Ledger, Quota, extend};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Stand {
    server: Server,
    client: Client,
    ledger: Ledger,
    _directory: TempDir,
}

impl Stand {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let region = http(|request| async move {
            let region = request.head.lines().find_map(|line| line.strip_prefix("X-Region: "));
            response(200, region.unwrap_or("nowhere").as_bytes())
        });
        let driver = ScriptedDriver::new().with("region", Script::new(region));
        let builder = Server::builder()
            .set("listen", "127.0.0.1:0")
            .set("data-dir", directory.path().to_str().unwrap())
            .driver(Arc::new(driver));
        let ledger = Ledger::default();
        let server = extend(builder, "secret", Quota::of(2), ledger.clone()).start().await.unwrap();
        server.ready().await;
        Self { server, client: Client::new(), ledger, _directory: directory }
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, String) {
        self.ask_with(method, path, body, &[("authorization", "Bearer secret")]).await
    }

    async fn ask_with(&self, method: Method, path: &str, body: Value, headers: &[(&str, &str)]) -> (u16, String) {
        let request = self.client.request(method, format!("http://{}{path}", self.server.address()));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let reply = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(reply.headers().contains_key("x-embedded"), reply.status() != 401, "the layer is around all");
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    /// Asks until the ledger has this line: who is told holds up nobody.
    async fn until_noted(&self, line: &str) {
        let noted = async {
            while !self.ledger.text().lines().any(|noted| noted == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let noted = tokio::time::timeout(Duration::from_secs(20), noted).await;
        assert!(noted.is_ok(), "{line:?} in {}", self.ledger.text());
    }
}

fn refusal(message: &str) -> String {
    format!("{{\"error\":{{\"message\":\"{message}\"}}}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_embedder_adds_holds_for_the_api_for_calls_and_for_its_own_endpoints() {
    let stand = Stand::start().await;
    for path in ["/", "/metrics", "/v1/apps", "/r/a/f", "/v1/ledger", "/v1/apps/a/ledger/x", "/nowhere"] {
        let stranger = stand.ask_with(Method::GET, path, json!({}), &[]).await;
        assert_eq!(stranger, (401, refusal("Invalid Authorization token.")), "{path}");
    }

    // API v2 is inside of the same, and has errors of its own form.
    let stranger = stand.ask_with(Method::GET, "/v2/apps", json!({}), &[]).await;
    assert_eq!(stranger, (401, "{\"message\":\"Invalid Authorization token.\"}\n".to_owned()));

    // A listener changes what is made, also by a first route, and refuses.
    let app = |name: &str| json!({ "app": { "name": name, "config": { "A": "1" } } });
    let (status, made) = stand.ask(Method::POST, "/v1/apps", app("one")).await;
    assert_eq!(status, 200, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["app"]["config"], json!({ "A": "1", "PLAN": "small" }));
    let route = json!({ "route": { "path": "/f", "image": "region", "format": "http" } });
    assert_eq!(stand.ask(Method::POST, "/v1/apps/two/routes", route.clone()).await.0, 200);
    let (_, two) = stand.ask(Method::GET, "/v1/apps/two", json!({})).await;
    assert_eq!(serde_json::from_str::<Value>(&two).unwrap()["app"]["config"], json!({ "PLAN": "small" }));
    assert_eq!(stand.ask(Method::POST, "/v1/apps", app("three")).await, (402, refusal("No more apps")));
    assert_eq!(stand.ask(Method::POST, "/v1/apps/three/routes", route.clone()).await, (402, refusal("No more apps")));
    assert_eq!(stand.ask(Method::GET, "/v1/apps/three", json!({})).await.0, 404, "nothing was made");

    assert_eq!(stand.ask(Method::POST, "/v2/apps", json!({ "name": "three" })).await.0, 402);
    let (_, all) = stand.ask(Method::GET, "/v2/apps?name=two", json!({})).await;
    let id = serde_json::from_str::<Value>(&all).unwrap()["items"][0]["id"].as_str().unwrap().to_owned();
    let patch = json!({ "config": { "PLAN": "large", "B": "2" } });
    let (_, changed) = stand.ask(Method::PUT, &format!("/v2/apps/{id}"), patch).await;
    let changed: Value = serde_json::from_str(&changed).unwrap();
    assert_eq!(changed["config"], json!({ "B": "2", "PLAN": "small" }));

    let patch = json!({ "app": { "config": { "PLAN": "large", "KEEP": "1" } } });
    let (status, changed) = stand.ask(Method::PATCH, "/v1/apps/one", patch).await;
    assert_eq!(status, 200, "{changed}");
    let changed: Value = serde_json::from_str(&changed).unwrap();
    assert_eq!(changed["app"]["config"], json!({ "A": "1", "KEEP": "1", "PLAN": "small" }));
    assert_eq!(stand.ask(Method::DELETE, "/v1/apps/one", json!({})).await, (409, refusal("This app is kept")));

    // A call is changed, refused with a record, and told of.
    assert_eq!(stand.ask(Method::POST, "/r/two/f", json!({})).await, (200, "here".to_owned()));
    let forbidden = [("authorization", "Bearer secret"), ("x-forbidden", "1")];
    let refused = stand.ask_with(Method::POST, "/r/two/f", json!({}), &forbidden).await;
    assert_eq!(refused, (403, refusal("Not this call")));
    stand.until_noted("/f success -").await;
    stand.until_noted("/f cancelled Not this call").await;
    let (_, calls) = stand.ask(Method::GET, "/v1/apps/two/calls?reason=api_request", json!({})).await;
    let calls: Value = serde_json::from_str(&calls).unwrap();
    assert_eq!(calls["calls"][0]["error"], "Not this call", "{calls}");

    // So it is of the queue, and what is refused is not lost.
    let queued = json!({ "route": { "path": "/q", "image": "region", "format": "http", "type": "async" } });
    assert_eq!(stand.ask(Method::POST, "/v1/apps/two/routes", queued).await.0, 200);
    assert_eq!(stand.ask(Method::POST, "/r/two/q", json!({})).await.0, 202);
    stand.until_noted("/q success -").await;
    assert_eq!(stand.ask_with(Method::POST, "/r/two/q", json!({}), &forbidden).await.0, 202);
    stand.until_noted("/q cancelled Not this call").await;

    // Endpoints of its own, one below an app that has to exist.
    let (status, ledger) = stand.ask(Method::GET, "/v1/ledger", json!({})).await;
    assert_eq!(status, 200);
    assert!(ledger.contains("one created with {\"A\": \"1\", \"PLAN\": \"small\"}\n"), "{ledger}");
    assert!(ledger.contains("two created with {\"PLAN\": \"small\"}\n"), "{ledger}");
    let (status, one) = stand.ask(Method::GET, "/v1/apps/one/ledger/updated", json!({})).await;
    assert_eq!((status, one.lines().count()), (200, 1), "{one}");
    let missing = stand.ask(Method::GET, "/v1/apps/none/ledger/updated", json!({})).await;
    assert_eq!(missing, (404, refusal("App not found")));

    // What a listener fails at is counted.
    assert_eq!(stand.ask(Method::DELETE, "/v1/apps/two", json!({})).await.0, 200);
    let (_, metrics) = stand.ask(Method::GET, "/metrics", json!({})).await;
    assert!(metrics.contains("hearth_listener_failures_total{event=\"after_delete\"} 1\n"), "{metrics}");
    stand.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_before_anything_starts() {
    let told = |builder: hearth::Builder| async { builder.start().await.err().unwrap().to_string() };
    assert_eq!(told(Server::builder().set("prot", "1")).await, "no setting is called prot");
    let wrong = told(Server::builder().set("port", "many")).await;
    assert!(wrong.starts_with("bad setting --port 'many'"), "{wrong}");
    let taken =
        Server::builder().endpoint(Method::GET, "/apps/{x}", async |_| Err(hearth::models::Error::PathNotFound));
    assert_eq!(told(taken).await, "GET /v1/apps/{x} is taken");
}
