//! One stored model: what one API makes, the other shows and changes.

use hearth_drivers::scripted::programs::{http, http_echo, response};
use serde_json::json;

use super::{column, make_app, make_fn, make_trigger, text};
use crate::test_app::Options;

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_a_function_and_a_trigger() {
    let app = Options::default().image("i", http_echo()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/hello/world","image":"i","format":"http","config":{"K":"v"}"#).await;
    let app_id = text(&app.get("/v2/apps?name=app").await.json()["items"][0], "id");
    let found = app.get(&format!("/v2/fns?app_id={app_id}")).await.json()["items"][0].clone();
    assert_eq!(
        (&found["name"], &found["format"], &found["config"]),
        (&json!("hello-world"), &json!("http"), &json!({"K":"v"}))
    );
    let trigger = app.get(&format!("/v2/triggers?app_id={app_id}")).await.json()["items"][0].clone();
    assert_eq!((&trigger["name"], &trigger["source"]), (&json!("hello-world"), &json!("/hello/world")));
    let endpoint = text(&trigger["annotations"], "fnproject.io/trigger/httpEndpoint");
    assert_eq!(endpoint, "http://hearth.test/t/app/hello/world");
    let id = text(&found, "id");
    for path in [format!("/invoke/{id}"), "/t/app/hello/world".to_owned(), "/r/app/hello/world".to_owned()] {
        assert_eq!(app.post(&path, "echo").await.text(), "echo", "{path}");
    }
    app.send("PUT", &format!("/v2/fns/{id}"), r#"{"memory":256,"config":{"K":"","L":"w"}}"#).await;
    let route = app.get("/v1/apps/app/routes/hello/world").await.json()["route"].clone();
    assert_eq!((&route["memory"], &route["config"]), (&json!(256), &json!({"L":"w"})));
    // API v1 made the function, so it goes with its route.
    app.send("DELETE", "/v1/apps/app/routes/hello/world", "").await.is_ok(r#"{"message":"Route deleted"}"#);
    app.get(&format!("/v2/fns/{id}")).await.is_v2_error(404, "Fn not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_api_v1_would_refuse_is_shown_there() {
    let app = Options::default().image("i", http_echo()).start().await;
    let name = format!("été{}", "x".repeat(100));
    let app_id = make_app(&app, &name).await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"i","format":"http","timeout":300"#).await;
    let encoded = format!("%C3%A9t%C3%A9{}", "x".repeat(100));
    app.get(&format!("/v1/apps/{encoded}"))
        .await
        .is_ok(&format!(r#"{{"message":"Successfully loaded app","app":{{"name":"{name}"}}}}"#));
    assert_eq!(app.get("/v1/apps").await.json()["apps"][0]["name"], name);
    // A function without a trigger is no route.
    assert_eq!(app.get(&format!("/v1/apps/{encoded}/routes")).await.json()["routes"], json!([]));
    make_trigger(&app, &app_id, &fn_id, "t", "/f").await;
    assert_eq!(app.get(&format!("/v1/apps/{encoded}/routes/f")).await.json()["route"]["timeout"], 300);
    // Limits that this door would refuse stay unless they are changed.
    let patched = app.send("PATCH", &format!("/v1/apps/{encoded}/routes/f"), r#"{"route":{"memory":256}}"#).await;
    assert_eq!((patched.status.as_u16(), &patched.json()["route"]["timeout"]), (200, &json!(300)));
    assert_eq!(app.post(&format!("/r/{encoded}/f"), "echo").await.text(), "echo");
    let calls = app.get(&format!("/v1/apps/{encoded}/calls")).await.json();
    assert_eq!((&calls["calls"][0]["path"], &calls["calls"][0]["app_name"]), (&json!("/f"), &json!(name)));
    // It stays when its route goes: no route made it.
    app.send("DELETE", &format!("/v1/apps/{encoded}/routes/f"), "").await.is_ok(r#"{"message":"Route deleted"}"#);
    assert_eq!(app.post(&format!("/invoke/{fn_id}"), "echo").await.text(), "echo");
    let direct = app.get(&format!("/v1/apps/{encoded}/calls?per_page=1")).await.json();
    assert_eq!(direct["calls"][0]["path"], "");
    app.send("DELETE", &format!("/v1/apps/{encoded}"), "").await.is_ok(r#"{"message":"App deleted"}"#);
    app.get(&format!("/v2/apps/{app_id}")).await.is_v2_error(404, "App not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_api_v1_made_asynchronous_is_queued_at_every_door() {
    let app = Options::default().image("i", http(|_| async move { response(200, b"done") })).start().await;
    app.create_app("app").await;
    app.create_route(
        r#""path":"/f","image":"i","format":"http","type":"async","timeout":3600,"headers":{"X-Route":["yes"]}"#,
    )
    .await;
    let app_id = text(&app.get("/v2/apps?name=app").await.json()["items"][0], "id");
    let found = app.get(&format!("/v2/fns?app_id={app_id}")).await.json()["items"][0].clone();
    assert_eq!(found["timeout"], 3600);
    let id = text(&found, "id");
    app.send("PUT", &format!("/v2/fns/{id}"), r#"{"memory":256}"#).await.json();
    for path in [format!("/invoke/{id}"), "/t/app/f".to_owned()] {
        let reply = app.post(&path, "").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (202, ""));
        let call = format!("/v2/fns/{id}/calls/{}", reply.values("fn-call-id")[0]);
        app.until(&call, |reply| reply.json()["status"] == "success").await;
    }
    assert_eq!(app.post("/t/app/f", "").await.values("x-route"), ["yes"]);
    assert_eq!(column(&app.get(&format!("/v2/fns/{id}/calls")).await, "id").len(), 3);
    app.stop().await;
}
