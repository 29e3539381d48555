//! What an embedder adds holds where it says, and what it breaks is answered.

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use hearth_agent::{CallListener, Invocation, ListenerError};
use hearth_drivers::scripted::programs;
use hearth_models::{App, Call, Error};
use hearth_server::{AppListener, Body, Next, Request, Response};
use http::Method;

use crate::client::{self, request};
use crate::test_app::{Options, TestApp};

async fn marked(mark: &'static str, request: Request, next: Next) -> Response {
    assert_ne!(request.uri().path(), "/panic", "a layer that panics");
    let mut response = next.run(request).await;
    response.headers_mut().append("x-layers", http::HeaderValue::from_static(mark));
    response
}

/// Asks for what the API's description does not have.
async fn own(app: &TestApp, method: &str, path: &str, body: &'static str) -> client::Reply {
    client::exchange(app.address, request(method, path, body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_around_the_public_door_the_first_outermost_and_not_around_the_operators() {
    let mut options = Options::default().server(|server| {
        server.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        server.cors = "http://page.example".parse().unwrap();
    });
    options.extensions.middleware(|request, next| marked("outer", request, next));
    options.extensions.middleware(|request, next| marked("inner", request, next));
    let app = options.image("echo", programs::cat()).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/e","image":"echo""#).await;
    for path in ["/", "/live", "/v1/apps", "/r/app/e", "/r/nobody/e", "/nowhere"] {
        assert_eq!(app.get(path).await.values("x-layers"), ["inner", "outer"], "{path}");
    }
    own(&app, "GET", "/panic", "").await.is_error(500, "internal server error");
    let admin = app.serving.admin_address().unwrap();
    let live = client::exchange(admin, request("GET", "/live", "")).await;
    assert_eq!((live.status.as_u16(), live.values("x-layers").len()), (200, 0));
    let mut preflight = request("OPTIONS", "/v1/apps", "");
    for (name, value) in [("origin", "http://page.example"), ("access-control-request-method", "GET")] {
        preflight.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(app.request(preflight).await.values("x-layers").len(), 0, "no page could ask with a token");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_its_own_has_the_limits_the_errors_and_the_guard_of_all() {
    let mut options = Options::default().server(|server| server.max_api_body = 64);
    let echo = async |asked: hearth_server::EndpointRequest| {
        assert_ne!(asked.params["what"], "panic", "a handler that panics");
        if asked.params["what"] == "refuse" {
            return Err(Error::Refused { status: 418, message: "no".to_owned() });
        }
        Ok(Response::new(Body::new(asked.request.into_body())))
    };
    options.extensions.endpoint(Method::POST, "/own/{what}", echo).unwrap();
    options
        .extensions
        .app_endpoint(Method::GET, "/own", async |asked| {
            Ok(Response::new(Body::from(asked.app.map(|app| app.name).unwrap_or_default())))
        })
        .unwrap();
    let app = options.start().await;
    app.create_app("a").await;
    assert_eq!(own(&app, "POST", "/v1/own/echo", "body").await.text(), "body");
    own(&app, "POST", "/v1/own/refuse", "").await.is_error(418, "no");
    own(&app, "POST", "/v1/own/panic", "").await.is_error(500, "internal server error");
    assert_eq!(app.post("/v1/own/echo", &"x".repeat(65)).await.status, 413);
    app.get("/v1/own/echo").await.is_error(404, "Path not found");
    assert_eq!(own(&app, "GET", "/v1/apps/a/own", "").await.text(), "a");
    app.get("/v1/apps/b/own").await.is_error(404, "App not found");
    app.stop().await;
}

/// Fails at everything it is told.
#[derive(Debug)]
struct Faulty;

#[async_trait]
impl AppListener for Faulty {
    async fn after_create(&self, _app: &App) -> Result<(), ListenerError> {
        Err("it cannot".into())
    }
}

#[async_trait]
impl CallListener for Faulty {
    async fn before_call(&self, invocation: &mut Invocation) -> Result<(), Error> {
        assert!(!invocation.request.target.ends_with("panic"), "a listener that panics");
        Ok(())
    }

    async fn after_call(&self, call: &Call) -> Result<(), ListenerError> {
        assert_eq!(call.path, "/e", "a listener that panics");
        Err("it cannot".into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_listeners_fail_at_is_counted_and_fails_nothing_else() {
    let mut options = Options::default().image("echo", programs::cat());
    options.extensions.listen_to_apps(Arc::new(Faulty));
    let app = options.agent(|agent| agent.listeners.push(Arc::new(Faulty))).start().await;
    app.create_app("app").await;
    app.create_route(r#""path":"/e","image":"echo""#).await;
    app.create_route(r#""path":"/other","image":"echo""#).await;
    assert_eq!(app.get("/r/app/e").await.status, 200);
    assert_eq!(app.get("/r/app/other").await.status, 200);
    app.get("/r/app/e?panic").await.is_error(500, "internal server error");
    app.until("/metrics", |metrics| {
        let failed = |event, times| format!("hearth_listener_failures_total{{event=\"{event}\"}} {times}\n");
        let text = metrics.text();
        text.contains(&failed("after_create", 1)) && text.contains(&failed("after_call", 3))
    })
    .await;
    // A call whose listener panicked has its record too.
    let calls = app.get("/v1/apps/app/calls?path=/e&status=error").await;
    assert!(calls.text().contains("\"error\":\"internal server error\""), "{}", calls.text());
    app.stop().await;
}
