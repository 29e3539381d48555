//! API v2 (v2 contract B.1 and B.2 with A).

mod apps;
mod calls;
mod direct;
mod doors;
mod errors;
mod fns;
mod listeners;
mod outcomes;
mod paths;
mod triggers;

use serde_json::Value;

use crate::client::Reply;
use crate::test_app::TestApp;

/// Makes what is described and returns its id.
async fn make(app: &TestApp, path: &str, body: &str) -> String {
    let reply = app.post(path, body).await;
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    text(&reply.json(), "id")
}

pub(crate) async fn make_app(app: &TestApp, name: &str) -> String {
    make(app, "/v2/apps", &format!(r#"{{"name":"{name}"}}"#)).await
}

/// A function with these fields besides.
pub(crate) async fn make_fn(app: &TestApp, app_id: &str, name: &str, fields: &str) -> String {
    make(app, "/v2/fns", &format!(r#"{{"app_id":"{app_id}","name":"{name}",{fields}}}"#)).await
}

pub(crate) async fn make_trigger(app: &TestApp, app_id: &str, fn_id: &str, name: &str, source: &str) -> String {
    let body =
        format!(r#"{{"app_id":"{app_id}","fn_id":"{fn_id}","name":"{name}","type":"http","source":"{source}"}}"#);
    make(app, "/v2/triggers", &body).await
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}")).to_owned()
}

/// The values of one key of a list.
fn column(reply: &Reply, key: &str) -> Vec<String> {
    reply.json()["items"].as_array().unwrap().iter().map(|item| text(item, key)).collect()
}
