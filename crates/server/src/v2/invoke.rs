//! `/invoke/:fn_id` and `/t/:app[/...]`: run a function (v2 contract B.2.1 to B.2.6 with A).

use std::sync::Arc;

use hearth_agent::{Invocation, Request, Timing, Via};
use hearth_datastore::Resolved;
use hearth_models::v2::Error as Refusal;
use hearth_models::{CallType, Error};
use http::{HeaderMap, Method, request};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::fns;
use crate::answer::{Answered, Facts};
use crate::api::Api;
use crate::error::Failed;
use crate::invoke::{arrived, queue, request};
use crate::paths::Version;
use crate::request_body::ClientBody;

/// Whether the caller of a function waits.
const INVOKE_TYPE: &str = "fn-invoke-type";
/// It does not.
const DETACHED: &[u8] = b"detached";

/// POST `/invoke/:fn_id`: the request is for the function itself, and knows of no path.
///
/// # Errors
/// There is no such function, or no room for it at all. Whatever happens later is told with the facts of the call.
pub(crate) async fn direct(api: &Api, id: &str, head: request::Parts, body: ClientBody) -> Result<Answered, Failed> {
    let resolved = api.datastore.resolve_function(fns::parse(id)?).await?;
    let (detached, arrived) = (is_detached(&head.headers), arrived(&head));
    let request = request(head, Vec::new());
    let url = format!("http://{}/", request.host);
    let request = Request { via: Via::Direct, target: "/".to_owned(), url, ..request };
    run(api, &resolved, (request, arrived), detached, body).await
}

/// ANY `/t/:app[/...]`: the request is for the path, and the function answers it.
///
/// # Errors
/// There is no such app or trigger, or no room for its function at all. Whatever happens later is told with the facts of
/// the call.
pub(crate) async fn trigger(
    api: &Api,
    app: &str,
    source: &str,
    head: request::Parts,
    body: ClientBody,
) -> Result<Answered, Failed> {
    let resolved = match api.datastore.resolve(app, source).await {
        Err(hearth_datastore::Error::Model(Error::RouteNotFound)) => return Err(Refusal::TriggerNotFound.into()),
        resolved => resolved?,
    };
    let arrived = arrived(&head);
    run(api, &resolved, (request(head, Vec::new()), arrived), false, body).await
}

async fn run(
    api: &Api,
    resolved: &Resolved,
    (request, arrived): (Request, Instant),
    detached: bool,
    body: ClientBody,
) -> Result<Answered, Failed> {
    if resolved.function.limits.memory_bytes() > api.agent.memory() {
        return Err(Refusal::CannotBeAllocated.into());
    }
    let facts = Facts::of(api, resolved, Version::V2);
    let is_head = request.method == Method::HEAD;
    let invocation = Invocation {
        id: facts.id,
        app: Arc::clone(&resolved.app),
        function: Arc::clone(&resolved.function),
        trigger: resolved.trigger.clone(),
        fn_path: Arc::clone(&resolved.fn_path),
        timing: Timing::FromSlot,
        arrived,
        request,
    };
    // Nobody ever waits for what API v1 made asynchronous: its limits are not for people who wait.
    if detached || resolved.function.call_type == CallType::Async {
        return match queue(api, &invocation, body).await {
            Ok(()) => Ok(facts.queued()?),
            Err(error) => Ok(facts.refuse(&error)),
        };
    }
    Ok(match api.agent.submit(invocation, body.boxed_unsync()).await {
        Ok(answer) => facts.show(answer, is_head),
        Err(failure) => facts.fail(&failure),
    })
}

/// The word counts as it is written, and everything else means that the caller waits.
fn is_detached(headers: &HeaderMap) -> bool {
    headers.get(INVOKE_TYPE).is_some_and(|value| value.as_bytes() == DETACHED)
}
