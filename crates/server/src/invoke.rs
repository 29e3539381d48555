//! `/r/:app[/...]`: runs a function (v1 contract B.1.9).

use std::sync::Arc;
use std::time::Duration;

use hearth_agent::{Invocation, Request, Timing, Via, submission};
use hearth_datastore::Resolved;
use hearth_models::{CallId, CallType, Error, Priority, clean_path};
use hearth_queue::AcceptError;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, request};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::answer::{Answered, Facts};
use crate::api::{Api, Arrived};
use crate::error::Failed;
use crate::paths::Version;
use crate::request_body::ClientBody;

/// How urgent an asynchronous call is: 0, the default, to 2.
const PRIORITY: &str = "fn-priority";
/// In how many seconds an asynchronous call is to begin.
const DELAY: &str = "fn-delay";
/// A week, in seconds.
const LONGEST_DELAY: u64 = 7 * 24 * 60 * 60;

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
) -> Result<Answered, Failed> {
    let path = clean_path(rest.unwrap_or_default());
    let resolved = api.datastore.resolve(app, &path).await?;
    let facts = Facts::of(api, &resolved, Version::V1);
    if resolved.function.call_type == CallType::Async {
        let invocation = invocation(facts.id, &resolved, app, rest, head);
        return match queue(api, &invocation, body).await {
            Ok(()) => Ok(facts.queued()?),
            Err(error) => Ok(facts.refuse(&error)),
        };
    }
    let is_head = head.method == Method::HEAD;
    let invocation = invocation(facts.id, &resolved, app, rest, head);
    Ok(match api.agent.submit(invocation, body.boxed_unsync()).await {
        Ok(answer) => facts.show(answer, is_head),
        Err(failure) => facts.fail(&failure),
    })
}

/// Queues the call. When this returns it is on the disk.
pub(crate) async fn queue(api: &Api, invocation: &Invocation, body: ClientBody) -> Result<(), Error> {
    let (priority, delay) = queueing(&invocation.request.headers)?;
    let body = api.agent.collect(body.boxed_unsync()).await?;
    let submission = submission(invocation, body, priority, delay).map_err(|error| {
        tracing::error!(call.id = %invocation.id, %error, "a request could not be written down");
        Error::Internal
    })?;
    api.queue.accept(submission).await.map_err(|error| match error {
        AcceptError::AppNotFound => Error::AppNotFound,
        AcceptError::Full { max } => Error::QueueFull { max },
        AcceptError::Unavailable => Error::StoreUnavailable,
        AcceptError::Failed => Error::Internal,
    })
}

/// What a request says of its place in the queue.
fn queueing(headers: &HeaderMap) -> Result<(Priority, Duration), Error> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("not ASCII").trim());
    let priority = match text(PRIORITY) {
        Some(text) => text.parse().map_err(|_| Error::InvalidPriority)?,
        None => Priority::default(),
    };
    let delay = match text(DELAY) {
        Some(text) => seconds(text).ok_or(Error::InvalidDelay)?,
        None => Duration::ZERO,
    };
    Ok((priority, delay))
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u64 = text.parse().ok().filter(|seconds| digits && *seconds <= LONGEST_DELAY)?;
    Some(Duration::from_secs(seconds))
}

fn invocation(id: CallId, resolved: &Resolved, app: &str, rest: Option<&str>, head: request::Parts) -> Invocation {
    let app = ("app", app.to_owned());
    let params = match rest {
        Some(rest) => vec![app, ("route", rest.to_owned())],
        None => vec![app],
    };
    Invocation {
        id,
        app: Arc::clone(&resolved.app),
        function: Arc::clone(&resolved.function),
        trigger: resolved.trigger.clone(),
        fn_path: Arc::clone(&resolved.fn_path),
        timing: Timing::FromAccept,
        arrived: arrived(&head),
        request: request(head, params),
    }
}

/// When its head was there. Told where it matters: where calls are traced.
pub(crate) fn arrived(head: &request::Parts) -> Instant {
    head.extensions.get().map_or_else(Instant::now, |Arrived(at)| *at)
}

/// The request as the client sent it.
pub(crate) fn request(head: request::Parts, params: Vec<(&'static str, String)>) -> Request {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let named = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = head.uri.authority().map(http::uri::Authority::as_str).or(named);
    let host = host.unwrap_or_default();
    Request {
        via: Via::Http,
        url: ["http://", host, target].concat(),
        target: target.to_owned(),
        host: host.to_owned(),
        method: head.method,
        version: head.version,
        headers: head.headers,
        params,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(priority: &'static str, delay: &'static str) -> Result<(u8, u64), Error> {
        let mut headers = HeaderMap::new();
        headers.insert(PRIORITY, HeaderValue::from_static(priority));
        headers.insert(DELAY, HeaderValue::from_static(delay));
        queueing(&headers).map(|(priority, delay)| (priority.get(), delay.as_secs()))
    }

    #[test]
    fn priority_and_delay_are_whole_numbers_within_their_bounds() {
        assert_eq!(queueing(&HeaderMap::new()), Ok((Priority::default(), Duration::ZERO)));
        assert_eq!(of("2", "604800"), Ok((2, 604_800)));
        assert_eq!(of(" 0 ", "007"), Ok((0, 7)));
        for bad in ["", "3", "-1", "1.5", "high"] {
            assert_eq!(of(bad, "1"), Err(Error::InvalidPriority), "{bad}");
        }
        for bad in ["", "604801", "-1", "+1", "1.5", "1s", "99999999999999999999"] {
            assert_eq!(of("1", bad), Err(Error::InvalidDelay), "{bad}");
        }
    }
}
