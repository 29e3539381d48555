//! API v2 from outside: what its command-line client does, one object through both doors, and calls that nobody waits for.

use serde_json::{Value, json};

use crate::support::{FIXTURE, PATIENCE, Reply, Server, eventually};

const INVOKE: &str = "fnproject.io/fn/invokeEndpoint";
const CALL: &str = "fnproject.io/trigger/httpEndpoint";
/// Those that a script can be given to.
const FORMATS: [&str; 3] = ["http-stream", "http", "default"];
/// What the command-line client sends for times that it does not know.
const ZERO: &str = "0001-01-01T00:00:00.000Z";

/// What is there after a request that succeeded.
async fn send(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let request = match method {
        "POST" => server.post(path),
        _ => server.request(method, path),
    };
    let reply = request.header("Content-Type", "application/json").body(body.to_string()).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

async fn delete(server: &Server, path: &str) {
    let reply = server.request("DELETE", path).send().await;
    assert_eq!((reply.status, reply.text()), (204, ""), "{reply:?}");
}

/// The one of this name, as the client looks for everything.
async fn found(server: &Server, list: &str, query: &str) -> Value {
    let reply = server.get(&format!("{list}?{query}")).send().await;
    let items = reply.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 1, "{reply:?}");
    items[0].clone()
}

/// The path of an endpoint of this server.
fn path<'a>(server: &Server, object: &'a Value, annotation: &str) -> &'a str {
    let url = object["annotations"][annotation].as_str().unwrap();
    url.strip_prefix(&format!("http://{}", server.address())).unwrap_or_else(|| panic!("{url}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_clients_way_from_creation_to_deletion() {
    let server = Server::start().await;
    for format in FORMATS {
        let app = json!({ "name": "demo", "config": { "GREETING": "hello" }, "created_at": ZERO, "updated_at": ZERO });
        let app_id = send(&server, "POST", "/v2/apps", &app).await["id"].as_str().unwrap().to_owned();
        assert_eq!(server.post("/v2/apps").body(app.to_string()).send().await.status, 409);
        let function = json!({
            "name": "f", "app_id": app_id, "image": FIXTURE, "memory": 64, "format": format, "created_at": ZERO,
        });
        let made = send(&server, "POST", "/v2/fns", &function).await;
        let fn_id = made["id"].as_str().unwrap().to_owned();
        let trigger = json!({
            "name": "t", "app_id": app_id, "fn_id": fn_id, "type": "http", "source": "/say", "created_at": ZERO,
            "updated_at": ZERO,
        });
        let trigger = send(&server, "POST", "/v2/triggers", &trigger).await;

        // config, and a whole object that goes back as it came
        let mut whole = found(&server, "/v2/apps", "name=demo").await;
        whole["config"] = json!({ "GREETING": "", "MORE": "x" });
        let changed = send(&server, "PUT", &format!("/v2/apps/{app_id}"), &whole).await;
        assert_eq!(changed["config"], json!({ "MORE": "x" }));
        let mut whole = found(&server, "/v2/fns", &format!("app_id={app_id}&name=f")).await;
        whole["config"] = json!({ "OWN": "y" });
        let changed = send(&server, "PUT", &format!("/v2/fns/{fn_id}"), &whole).await;
        assert_eq!(changed["config"], json!({ "OWN": "y" }));

        // invoke, and the trigger
        let invoke = path(&server, &changed, INVOKE);
        let reply = server.post(invoke).script("stderr a line; env").send().await;
        assert_eq!(reply.status, 200, "{format}: {reply:?}");
        for line in ["MORE=x", "OWN=y", "FN_MEMORY=64", &format!("FN_FORMAT={format}")] {
            assert!(reply.text().lines().any(|have| have == line), "{format}: {line} in {}", reply.text());
        }
        let call = reply.value("fn-call-id");
        let record = server.get(&format!("/v2/fns/{fn_id}/calls/{call}")).send().await.json();
        assert_eq!(
            (&record["status"], &record["fn_id"], record.get("trigger_id")),
            (&json!("success"), &json!(fn_id), None)
        );
        let log = server.get(&format!("/v2/fns/{fn_id}/calls/{call}/log")).send().await;
        assert!(log.text().contains("a line"), "{log:?}");
        let reply = server.post(path(&server, &trigger, CALL)).script("body hello").send().await;
        assert_eq!((reply.status, reply.text()), (200, "hello"), "{format}: {reply:?}");
        let record = server.get(&format!("/v2/apps/{app_id}/calls/{}", reply.value("fn-call-id"))).send().await.json();
        assert_eq!(record["trigger_id"], trigger["id"]);

        delete(&server, &format!("/v2/triggers/{}", trigger["id"].as_str().unwrap())).await;
        delete(&server, &format!("/v2/fns/{fn_id}")).await;
        delete(&server, &format!("/v2/apps/{app_id}")).await;
        server.has_containers(0).await;
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_through_both_doors() {
    let server = Server::start().await;
    server.route("/hello/world").app("both").create().await;
    let app = found(&server, "/v2/apps", "name=both").await;
    let app_id = app["id"].as_str().unwrap();
    let function = found(&server, "/v2/fns", &format!("app_id={app_id}")).await;
    assert_eq!((&function["name"], &function["format"]), (&json!("hello-world"), &json!("http")));
    let trigger = found(&server, "/v2/triggers", &format!("app_id={app_id}&name=hello-world")).await;
    let (invoke, call) = (path(&server, &function, INVOKE), path(&server, &trigger, CALL));
    assert_eq!(call, "/t/both/hello/world");
    // One container serves all three.
    let instance = |reply: Reply| reply.instance().0.to_owned();
    let first = instance(server.post("/r/both/hello/world").script("instance").send().await);
    assert_eq!(instance(server.post(call).script("instance").send().await), first);
    assert_eq!(instance(server.post(invoke).script("instance").send().await), first);
    // A change through one door shows through the other, and in the next call.
    let fn_path = format!("/v2/fns/{}", function["id"].as_str().unwrap());
    send(&server, "PUT", &fn_path, &json!({ "config": { "WHAT": "v2" }, "memory": 96 })).await;
    let route = server.get("/v1/apps/both/routes/hello/world").send().await.json()["route"].clone();
    assert_eq!((&route["memory"], &route["config"]), (&json!(96), &json!({ "WHAT": "v2" })));
    let reply = server.post("/r/both/hello/world").script("env").send().await;
    assert!(reply.text().lines().any(|line| line == "WHAT=v2"), "{reply:?}");
    server.manage("DELETE", "/v1/apps/both/routes/hello/world", &Value::Null).await;
    assert_eq!(server.get(&fn_path).send().await.status, 404);
    server.has_containers(0).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_call_outlives_its_client_and_is_recorded() {
    let server = Server::start().await;
    let app = send(&server, "POST", "/v2/apps", &json!({ "name": "demo" })).await;
    for format in FORMATS {
        let function = json!({ "name": format, "app_id": app["id"], "image": FIXTURE, "memory": 64, "format": format });
        let function = send(&server, "POST", "/v2/fns", &function).await;
        let request = server.post(path(&server, &function, INVOKE)).header("Fn-Invoke-Type", "detached");
        let reply = request.script("stderr it ran; body done").send().await;
        assert_eq!((reply.status, reply.text()), (202, ""), "{reply:?}");
        let id = function["id"].as_str().unwrap();
        let path = format!("/v2/fns/{id}/calls/{}", reply.value("fn-call-id"));
        let record = eventually(PATIENCE, "the call has ended", async || {
            let record = server.get(&path).send().await.json();
            if record["status"] == "success" { Ok(record) } else { Err(record) }
        });
        assert_eq!(record.await["attempts"], 1);
        let log = server.get(&format!("{path}/log")).send().await;
        assert!(log.text().contains("it ran"), "{log:?}");
    }
    server.finish().await;
}
