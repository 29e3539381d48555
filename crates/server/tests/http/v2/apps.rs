//! `/v2/apps`.

use serde_json::json;

use super::{column, make_app, text};
use crate::test_app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_lives_from_creation_to_deletion() {
    let app = TestApp::start().await;
    let created = app
        .post(
            "/v2/apps",
            r#"{"NAME":"été中1","config":{"b":"2","a":"<1>","e":""},"annotations":{"n":{"z":1e3, "a":"\u00e9 <"}},
                "syslog_url":"","shape":"GENERIC_ARM","id":"","created_at":"0001-01-01T00:00:00.000Z","more":[1]} rest"#,
        )
        .await;
    let (id, at) = (text(&created.json(), "id"), text(&created.json(), "created_at"));
    assert_eq!(id.len(), 26);
    let shown = |rest: &str, updated: &str| {
        format!(
            r#"{{"id":"{id}","name":"été中1",{rest}"shape":"GENERIC_ARM","created_at":"{at}","updated_at":"{updated}"}}"#
        )
    };
    let config = r#""config":{"a":"\u003c1\u003e","b":"2","e":""},"#;
    let notes = r#""annotations":{"n":{"z":1e3,"a":"\u00e9 \u003c"}},"#;
    created.is_ok(&shown(&format!(r#"{config}{notes}"syslog_url":"","#), &at));
    let path = format!("/v2/apps/{id}");
    app.get(&path).await.is_ok(&shown(&format!(r#"{config}{notes}"syslog_url":"","#), &at));

    let patch =
        r#"{"config":{"a":"","b":null,"c":"3","e":""},"annotations":{"m":[1, 2],"n":null},"syslog_url":"tcp://h:514"}"#;
    let updated = app.send("PUT", &path, patch).await;
    let later = text(&updated.json(), "updated_at");
    let notes = r#""annotations":{"m":[1,2]},"#;
    let whole = shown(&format!(r#""config":{{"c":"3"}},{notes}"syslog_url":"tcp://h:514","#), &later);
    updated.is_ok(&whole);
    // What a client fetched and sends back changes nothing.
    app.send("PUT", &path, &whole).await.is_ok(&whole);
    let emptied = app.send("PUT", &path, r#"{"config":{"c":""},"annotations":{"m":""},"syslog_url":""}"#).await;
    let last = text(&emptied.json(), "updated_at");
    emptied.is_ok(&shown("", &last));
    app.send("DELETE", &path, "").await.is_done();
    app.get(&path).await.is_v2_error(404, "App not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_sorted_paged_and_found_by_name() {
    let app = TestApp::start().await;
    app.get("/v2/apps").await.is_ok(r#"{"items":[]}"#);
    for name in ["b", "Zed", "a"] {
        make_app(&app, name).await;
    }
    let page = app.get("/v2/apps?per_page=2").await;
    assert_eq!((column(&page, "name"), &page.json()["next_cursor"]), (vec!["Zed".into(), "a".into()], &json!("YQ")));
    let page = app.get("/v2/apps?per_page=2&cursor=YQ").await;
    assert_eq!((column(&page, "name"), page.json().get("next_cursor")), (vec!["b".into()], None));
    let full = app.get("/v2/apps?per_page=1&cursor=YQ").await;
    assert_eq!(full.json()["next_cursor"], "Yg");
    app.get("/v2/apps?per_page=1&cursor=Yg").await.is_ok(r#"{"items":[]}"#);
    for (query, names) in [
        ("name=a", vec!["a"]),
        ("name=A", vec![]),
        ("name=a&cursor=WmVk", vec!["a"]),
        ("name=a&cursor=YQ", vec![]),
        ("name=", vec!["Zed", "a", "b"]),
        ("per_page=0", vec!["Zed", "a", "b"]),
        ("per_page=x&sort_by=x", vec!["Zed", "a", "b"]),
        ("per_page=1000", vec!["Zed", "a", "b"]),
    ] {
        assert_eq!(column(&app.get(&format!("/v2/apps?{query}")).await, "name"), names, "{query}");
    }
    app.stop().await;
}

/// Many clients of HTTP call what they send a form.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_calls_its_body_is_not_looked_at() {
    let app = TestApp::start().await;
    for (name, content_type) in [("a", "application/x-www-form-urlencoded"), ("b", "text/html"), ("c", "nonsense")] {
        let mut asked = crate::client::request("POST", "/v2/apps", format!(r#"{{"name":"{name}"}}"#));
        asked.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
        let reply = app.request(asked).await;
        assert_eq!((reply.status.as_u16(), text(&reply.json(), "name")), (200, name.to_owned()));
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_app_takes_everything_along() {
    let app = TestApp::start().await;
    let id = make_app(&app, "app").await;
    let fn_id = super::make_fn(&app, &id, "f", r#""image":"i""#).await;
    let trigger = super::make_trigger(&app, &id, &fn_id, "t", "/t").await;
    app.send("DELETE", &format!("/v2/apps/{id}"), "").await.is_done();
    app.get(&format!("/v2/fns/{fn_id}")).await.is_v2_error(404, "Fn not found");
    app.get(&format!("/v2/triggers/{trigger}")).await.is_v2_error(404, "Trigger not found");
    app.post(&format!("/invoke/{fn_id}"), "").await.is_v2_error(404, "Fn not found");
    app.get("/t/app/t").await.is_v2_error(404, "App not found");
    assert_ne!(make_app(&app, "app").await, id);
    app.stop().await;
}
