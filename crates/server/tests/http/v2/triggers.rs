//! `/v2/triggers`.

use super::{column, make_app, make_fn, make_trigger, text};
use crate::test_app::TestApp;

const ENDPOINT: &str = "fnproject.io/trigger/httpEndpoint";

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_lives_from_creation_to_deletion() {
    let app = TestApp::start().await;
    let app_id = make_app(&app, "été").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"i""#).await;
    let second = make_fn(&app, &app_id, "g", r#""image":"i""#).await;
    let zero = "0001-01-01T00:00:00.000Z";
    let body = format!(
        r#"{{"name":"t","app_id":"{app_id}","fn_id":"{fn_id}","type":"http","source":"/a/b","created_at":"{zero}",
            "updated_at":"{zero}","annotations":{{"n":1}}}}"#
    );
    let created = app.post("/v2/triggers", &body).await;
    let (id, at) = (text(&created.json(), "id"), text(&created.json(), "created_at"));
    let shown = |name: &str, fn_id: &str, updated: &str, source: &str, notes: &str| {
        format!(
            r#"{{"id":"{id}","name":"{name}","app_id":"{app_id}","fn_id":"{fn_id}","created_at":"{at}","updated_at":"{updated}","type":"http","source":"{source}","annotations":{{"{ENDPOINT}":"http://hearth.test/t/été{source}"{notes}}}}}"#
        )
    };
    let first = shown("t", &fn_id, &at, "/a/b", r#","n":1"#);
    created.is_ok(&first);
    let path = format!("/v2/triggers/{id}");
    app.get(&path).await.is_ok(&first);
    app.get(&format!("/v2/triggers?app_id={app_id}")).await.is_ok(&format!(r#"{{"items":[{first}]}}"#));
    app.send("PUT", &path, &first).await.is_ok(&first);
    let patch = format!(
        r#"{{"name":"u","source":"/c","fn_id":"{second}","app_id":"other","type":"other","annotations":{{"n":""}}}}"#
    );
    let updated = app.send("PUT", &path, &patch).await;
    let later = text(&updated.json(), "updated_at");
    updated.is_ok(&shown("u", &second, &later, "/c", ""));
    app.send("DELETE", &path, "").await.is_done();
    app.get(&path).await.is_v2_error(404, "Trigger not found");
    app.get(&format!("/v2/fns/{second}")).await.json();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trigger_is_missed_where_pages_of_one_name_end() {
    let app = TestApp::start().await;
    let app_id = make_app(&app, "app").await;
    let mut first = String::new();
    for n in 0..5 {
        let fn_id = make_fn(&app, &app_id, &format!("f{n}"), r#""image":"i""#).await;
        for name in ["same", "more"] {
            make_trigger(&app, &app_id, &fn_id, name, &format!("/{name}{n}")).await;
        }
        first = fn_id;
    }
    for per_page in 1..=4 {
        let (mut sources, mut query) = (Vec::new(), format!("app_id={app_id}&per_page={per_page}"));
        loop {
            let page = app.get(&format!("/v2/triggers?{query}")).await;
            sources.extend(column(&page, "source"));
            let Some(cursor) = page.json().get("next_cursor").cloned() else { break };
            query = format!("app_id={app_id}&per_page={per_page}&cursor={}", cursor.as_str().unwrap());
        }
        let all: Vec<String> =
            ["more", "same"].iter().flat_map(|name| (0..5).map(move |n| format!("/{name}{n}"))).collect();
        assert_eq!(sources, all, "{per_page}");
    }
    let of_one = app.get(&format!("/v2/triggers?app_id={app_id}&fn_id={first}&per_page=1")).await;
    assert_eq!((column(&of_one, "name"), text(&of_one.json(), "next_cursor")), (vec!["more".into()], "bW9yZQ".into()));
    for (query, sources) in [
        (format!("app_id={app_id}&fn_id={first}&cursor=bW9yZQ"), vec!["/same4"]),
        (format!("app_id={app_id}&fn_id={first}&name=same"), vec!["/same4"]),
        (format!("app_id={app_id}&fn_id=no-id"), vec![]),
        ("app_id=no-id".to_owned(), vec![]),
    ] {
        assert_eq!(column(&app.get(&format!("/v2/triggers?{query}")).await, "source"), sources, "{query}");
    }
    app.stop().await;
}

/// The reference's lists fail for ever then.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_source_has_a_long_endpoint() {
    let app = TestApp::start().await;
    let app_id = make_app(&app, "app").await;
    let fn_id = make_fn(&app, &app_id, "f", r#""image":"i""#).await;
    let source = format!("/{}", "x".repeat(600));
    let id = make_trigger(&app, &app_id, &fn_id, "t", &source).await;
    let shown = app.get(&format!("/v2/triggers/{id}")).await.json();
    assert_eq!(shown["annotations"][ENDPOINT], format!("http://hearth.test/t/app{source}"));
    assert_eq!(column(&app.get(&format!("/v2/triggers?app_id={app_id}")).await, "source"), [source]);
    app.stop().await;
}
