//! `/v1/apps/:app/routes`.

use crate::test_app::TestApp;

fn created_at(reply: &crate::client::Reply) -> String {
    reply.json()["route"]["created_at"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_lives_from_creation_to_deletion() {
    let app = TestApp::start().await;
    let created = app
        .post(
            "/v1/apps/specr/routes",
            r#"{"route":{"app_name":"other","path":"/b/../a/","image":"bb:2","headers":{"x-a":["1"]},"config":{"K":"v"}}}"#,
        )
        .await;
    let at = created_at(&created);
    let route = |message: &str, rest: &str| {
        format!(
            r#"{{"message":"{message}","route":{{"app_name":"specr","path":"/a","image":"bb:2",{rest},"created_at":"{at}"}}}}"#
        )
    };
    created.is_ok(&route(
        "Route successfully created",
        r#""memory":128,"headers":{"X-A":["1"]},"type":"sync","format":"default","timeout":30,"idle_timeout":30,"config":{"K":"v"}"#,
    ));
    let merged = r#""memory":256,"type":"sync","format":"http","timeout":30,"idle_timeout":30"#;
    app.send(
        "PATCH",
        "/v1/apps/specr/routes/%2Fa",
        r#"{"route":{"path":"/a","memory":256,"format":"http","headers":{"X-a":[]},"config":{"K":""},"timeout":0}}"#,
    )
    .await
    .is_ok(&route("Route successfully updated", merged));
    app.send("PUT", "/v1/apps/specr/routes/x/../a", r#"{"route":{}}"#)
        .await
        .is_ok(&route("Route successfully updated", merged));
    app.get("/v1/apps/specr/routes/a/").await.is_ok(&route("Successfully loaded route", merged));
    app.send("DELETE", "/v1/apps/specr/routes/a", "").await.is_ok(r#"{"message":"Route deleted"}"#);
    app.get("/v1/apps/specr/routes/a").await.is_error(404, "Route not found");
    app.get("/v1/apps/specr").await.is_ok(r#"{"message":"Successfully loaded app","app":{"name":"specr"}}"#);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn put_creates_what_is_not_there_with_its_app() {
    let app = TestApp::start().await;
    let reply =
        app.send("PUT", "/v1/apps/new/routes/", r#"{"route":{"image":"i","type":"async","timeout":3600}}"#).await;
    assert_eq!(reply.json()["message"], "Route successfully created");
    assert_eq!(reply.json()["route"]["path"], "/");
    app.send("PATCH", "/v1/apps/new/routes/", r#"{"route":{"type":"sync"}}"#)
        .await
        .is_error(400, "timeout value is too large or small. 0 < timeout < max. async max: 3600 sync max: 120");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_route_leaves_no_app_behind() {
    let app = TestApp::start().await;
    app.post("/v1/apps/ghost/routes", r#"{"route":{"path":"/a"}}"#).await.is_error(400, "Missing route Image");
    app.send("PUT", "/v1/apps/ghost/routes/a", r#"{"route":{}}"#).await.is_error(400, "Missing route Image");
    app.get("/v1/apps/ghost").await.is_error(404, "App not found");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_sorted_filtered_and_paged_as_the_contract_shows() {
    let app = TestApp::start().await;
    app.create_app("app").await;
    app.get("/v1/apps/app/routes")
        .await
        .is_ok(r#"{"message":"Successfully listed routes","next_cursor":"","routes":[]}"#);
    app.create_route(r#""path":"/max","image":"other""#).await;
    app.create_route(r#""path":"/","image":"bb:2""#).await;
    let at = created_at(&app.get("/v1/apps/app/routes/").await);
    app.get("/v1/apps/app/routes?per_page=1").await.is_ok(&format!(
        concat!(
            r#"{{"message":"Successfully listed routes","next_cursor":"Lw","routes":[{{"app_name":"app","path":"/","#,
            r#""image":"bb:2","memory":128,"type":"sync","format":"default","timeout":30,"idle_timeout":30,"#,
            r#""created_at":"{}"}}]}}"#
        ),
        at
    ));
    let paths = async |query: &str| {
        let reply = app.get(&format!("/v1/apps/app/routes?{query}")).await.json();
        let routes = reply["routes"].as_array().unwrap();
        routes.iter().map(|route| route["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths("cursor=Lw").await, ["/max"]);
    assert_eq!(paths("cursor=L21heA").await, [""; 0]);
    assert_eq!(paths("image=bb:2").await, ["/"]);
    assert_eq!(paths("image=bb").await, [""; 0]);
    app.stop().await;
}
