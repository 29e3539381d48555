//! `/v2/fns`.

use super::{column, make, make_app, make_fn, text};
use crate::client::request;
use crate::test_app::{Options, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_function_lives_from_creation_to_deletion() {
    let app = TestApp::start().await;
    let app_id = make(&app, "/v2/apps", r#"{"name":"app","shape":"GENERIC_X86"}"#).await;
    let body = format!(
        r#"{{"name":"f.2~x","app_id":"{app_id}","image":"acme/f:1","config":{{}},"shape":"x","memory":0,
            "annotations":{{"a":"x"}},"created_at":"","updated_at":"2026-01-01T00:00:00+01:00"}}"#
    );
    let created = app.post("/v2/fns", &body).await;
    let (id, at) = (text(&created.json(), "id"), text(&created.json(), "created_at"));
    let shown = |image: &str, limits: &str, config: &str, notes: &str, updated: &str| {
        format!(
            r#"{{"id":"{id}","name":"f.2~x","app_id":"{app_id}","image":"{image}",{limits},"config":{{{config}}},"annotations":{{{notes}"fnproject.io/fn/invokeEndpoint":"http://hearth.test/invoke/{id}"}},"created_at":"{at}","shape":"GENERIC_X86","updated_at":"{updated}"}}"#
        )
    };
    let limits = r#""memory":128,"timeout":30,"idle_timeout":30"#;
    let first = shown("acme/f:1", limits, "", r#""a":"x","#, &at);
    created.is_ok(&first);
    let path = format!("/v2/fns/{id}");
    app.get(&path).await.is_ok(&first);
    app.get(&format!("/v2/fns?app_id={app_id}")).await.is_ok(&format!(r#"{{"items":[{first}]}}"#));
    // What a client fetched and sends back changes nothing; the endpoint is the server's.
    app.send("PUT", &path, &first).await.is_ok(&first);

    let patch = r#"{"image":"acme/f:2","memory":256,"timeout":300,"idle_timeout":3600,"format":"http","name":"other",
        "app_id":"other","config":{"k":"v"},"annotations":{"a":null}}"#;
    let updated = app.send("PUT", &path, patch).await;
    let later = text(&updated.json(), "updated_at");
    let limits = r#""memory":256,"timeout":300,"idle_timeout":3600,"format":"http""#;
    updated.is_ok(&shown("acme/f:2", limits, r#""k":"v""#, "", &later));
    let back = app.send("PUT", &path, r#"{"format":"http-stream","config":{"k":""}}"#).await;
    let last = text(&back.json(), "updated_at");
    let limits = r#""memory":256,"timeout":300,"idle_timeout":3600"#;
    back.is_ok(&shown("acme/f:2", limits, "", "", &last));
    app.send("DELETE", &path, "").await.is_done();
    app.get(&path).await.is_v2_error(404, "Fn not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_of_an_app_sorted_and_paged() {
    let app = TestApp::start().await;
    let (one, other) = (make_app(&app, "one").await, make_app(&app, "other").await);
    for (owner, name) in [(&one, "b"), (&one, "B"), (&one, "a"), (&other, "c")] {
        make_fn(&app, owner, name, r#""image":"i""#).await;
    }
    let page = app.get(&format!("/v2/fns?app_id={one}&per_page=2")).await;
    assert_eq!((column(&page, "name"), text(&page.json(), "next_cursor")), (vec!["B".into(), "a".into()], "YQ".into()));
    for (query, names) in [
        (format!("app_id={one}&cursor=YQ"), vec!["b"]),
        (format!("app_id={one}&name=a"), vec!["a"]),
        (format!("app_id={one}&name=c"), vec![]),
        (format!("app_id={other}"), vec!["c"]),
        ("app_id=no-id".to_owned(), vec![]),
        ("app_id=01M7ZQCHB2R00040GZK8000001".to_owned(), vec![]),
    ] {
        assert_eq!(column(&app.get(&format!("/v2/fns?{query}")).await, "name"), names, "{query}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_where_the_client_asked_or_what_is_set() {
    let base = |url: Option<&'static str>| async move {
        let app = Options::default().server(|settings| settings.public_url = url.map(str::to_owned)).start().await;
        let app_id = make_app(&app, "app").await;
        let id = make_fn(&app, &app_id, "f", r#""image":"i""#).await;
        let mut get = request("GET", &format!("/v2/fns/{id}"), "");
        get.headers_mut().insert("host", http::HeaderValue::from_static("Other:81"));
        get.headers_mut().insert("x-forwarded-host", http::HeaderValue::from_static("forged"));
        let shown = app.request(get).await.json()["annotations"]["fnproject.io/fn/invokeEndpoint"].clone();
        app.stop().await;
        shown.as_str().unwrap().strip_suffix(&format!("/invoke/{id}")).unwrap().to_owned()
    };
    assert_eq!(base(None).await, "http://Other:81");
    assert_eq!(base(Some("https://lb.example/base")).await, "https://lb.example/base");
}
