//! `/r/:app[/...]`: runs a function (v1 contract B.1.9).

use std::sync::Arc;

use axum::response::Response;
use hearth_agent::{Invocation, Request};
use hearth_datastore::Resolved;
use hearth_models::{CallId, CallType, Error, clean_path};
use http::header::HOST;
use http::{Method, request};
use http_body_util::BodyExt;
use tracing::Instrument;

use crate::answer::Facts;
use crate::api::Api;
use crate::error::Failed;
use crate::request_body::ClientBody;

/// Runs the function that `app` has at `rest`, which is what follows the app in the path, slash included.
///
/// # Errors
/// There is no such app or route. Whatever happens later is told with the facts of the call.
pub(crate) async fn invoke(
    api: &Api,
    app: &str,
    rest: Option<&str>,
    head: request::Parts,
    body: ClientBody,
) -> Result<Response, Failed> {
    let path = clean_path(rest.unwrap_or_default());
    let resolved = api.datastore.resolve(app, &path).await?;
    let facts = Facts::of(&resolved);
    if resolved.function.call_type == CallType::Async {
        const NOT_BUILT: &str = "asynchronous calls are not built yet; this route can be called once its type is sync";
        return Ok(facts.refuse(&Error::NotImplemented(NOT_BUILT)));
    }
    let is_head = head.method == Method::HEAD;
    let invocation = invocation(facts.id, &resolved, app, rest, head);
    let span = tracing::debug_span!("call", call.id = %facts.id, app = %facts.served.app, route = %facts.served.path);
    let outcome = api.agent.submit(invocation, body.boxed_unsync());
    Ok(match outcome.instrument(span).await {
        Ok(answer) => facts.show(answer, is_head),
        Err(failure) => facts.fail(&failure),
    })
}

fn invocation(id: CallId, resolved: &Resolved, app: &str, rest: Option<&str>, head: request::Parts) -> Invocation {
    let mut params = vec![("app", app.to_owned())];
    params.extend(rest.map(|rest| ("route", rest.to_owned())));
    Invocation {
        id,
        app: Arc::clone(&resolved.app),
        function: Arc::clone(&resolved.function),
        trigger: Some(Arc::clone(&resolved.trigger)),
        fn_path: Arc::clone(&resolved.fn_path),
        request: request(head, params),
    }
}

fn request(head: request::Parts, params: Vec<(&'static str, String)>) -> Request {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let named = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = head.uri.authority().map(http::uri::Authority::as_str).or(named);
    let host = host.unwrap_or_default();
    Request {
        url: ["http://", host, target].concat(),
        target: target.to_owned(),
        host: host.to_owned(),
        method: head.method,
        version: head.version,
        headers: head.headers,
        params,
    }
}
