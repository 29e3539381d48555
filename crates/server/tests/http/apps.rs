//! `/v1/apps`.

use crate::test_app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn an_app_lives_from_creation_to_deletion() {
    let app = TestApp::start().await;
    app.post("/v1/apps", r#"{"app":{"name":"one","config":{"b":"2","a":"<1>","e":""}}}"#).await.is_ok(
        r#"{"message":"App successfully created","app":{"name":"one","config":{"a":"\u003c1\u003e","b":"2","e":""}}}"#,
    );
    app.send("PATCH", "/v1/apps/one", r#"{"app":{"config":{"a":"","b":null,"c":"3"}}}"#)
        .await
        .is_ok(r#"{"message":"App successfully updated","app":{"name":"one","config":{"c":"3","e":""}}}"#);
    app.send("PATCH", "/v1/apps/one", r#"{"app":{"name":"","config":{"c":"","e":""}}}"#)
        .await
        .is_ok(r#"{"message":"App successfully updated","app":{"name":"one"}}"#);
    app.get("/v1/apps/one").await.is_ok(r#"{"message":"Successfully loaded app","app":{"name":"one"}}"#);
    app.send("DELETE", "/v1/apps/one", "").await.is_ok(r#"{"message":"App deleted"}"#);
    app.get("/v1/apps/one").await.is_error(404, "App not found");
    app.create_app("one").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_sorted_and_paged_as_the_contract_shows() {
    let app = TestApp::start().await;
    app.get("/v1/apps").await.is_ok(r#"{"message":"Successfully listed applications","next_cursor":"","apps":[]}"#);
    for name in ["spec-1234567890123456789012345", "perf", "Zed"] {
        app.create_app(name).await;
    }
    app.get("/v1/apps?per_page=2&cursor=WmVk").await.is_ok(concat!(
        r#"{"message":"Successfully listed applications","#,
        r#""next_cursor":"c3BlYy0xMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1","#,
        r#""apps":[{"name":"perf"},{"name":"spec-1234567890123456789012345"}]}"#
    ));
    app.get("/v1/apps?per_page=2&cursor=c3BlYy0xMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1==")
        .await
        .is_ok(r#"{"message":"Successfully listed applications","next_cursor":"","apps":[]}"#);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_paging_gets_a_usable_page() {
    let app = TestApp::start().await;
    for number in 0..31 {
        app.create_app(&format!("app-{number:02}")).await;
    }
    for (query, entries) in [
        ("", 30),
        ("per_page=0", 30),
        ("per_page=-1", 30),
        ("per_page=x", 30),
        ("per_page=99999999999999999999", 30),
        ("per_page=1.5", 30),
        ("per_page=101", 31),
        ("per_page=1&per_page=2", 1),
        ("per_page=%zz", 30),
        ("cursor=%00", 30),
        ("cursor=!!!!", 30),
        ("cursor=%E2%82%AC", 30),
        ("&&==&", 30),
    ] {
        let reply = app.get(&format!("/v1/apps?{query}")).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        assert_eq!(reply.json()["apps"].as_array().unwrap().len(), entries, "{query}");
        assert_eq!(reply.json()["next_cursor"] != "", entries <= 30, "{query}");
    }
    app.stop().await;
}
