//! What API v1 shows of apps, calls and logs: the keys, and their order (v1 contract B.1.4 with A.1).

use hearth_models::{App, Call, CallId, CallType, Config, PerPage, Reason, Stat, Status, Timestamp};
use serde::Serialize;

/// An app.
#[derive(Debug, Serialize)]
pub(crate) struct AppView<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Config::is_empty")]
    config: &'a Config,
}

/// A call. What the reference does not know stands at the end.
#[derive(Debug, Serialize)]
pub(crate) struct CallView<'a> {
    id: CallId,
    status: Status,
    app_name: &'a str,
    path: &'a str,
    completed_at: Timestamp,
    created_at: Timestamp,
    started_at: Timestamp,
    #[serde(skip_serializing_if = "<[Stat]>::is_empty")]
    stats: &'a [Stat],
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(rename = "type")]
    call_type: CallType,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
}

/// A page of calls.
#[derive(Debug, Serialize)]
pub(crate) struct CallList<'a> {
    message: &'static str,
    next_cursor: String,
    calls: Vec<CallView<'a>>,
}

/// That something was done, and nothing else.
#[derive(Debug, Serialize)]
pub(crate) struct Message {
    pub(crate) message: &'static str,
}

/// The log of a call.
#[derive(Debug, Serialize)]
pub(crate) struct LogView<'a> {
    pub(crate) call_id: CallId,
    pub(crate) log: &'a str,
    pub(crate) app_name: &'a str,
}

impl<'a> AppView<'a> {
    pub(crate) fn of(app: &'a App) -> Self {
        Self { name: &app.name, config: &app.config }
    }
}

impl<'a> CallList<'a> {
    /// A page that may hold so many.
    pub(crate) fn of(message: &'static str, app_name: &'a str, calls: &'a [Call], per_page: PerPage) -> Self {
        let last = calls.last().filter(|_| calls.len() == per_page.get());
        Self {
            message,
            next_cursor: last.map(|call| call.id.to_string()).unwrap_or_default(),
            calls: calls.iter().map(|call| CallView::of(app_name, call)).collect(),
        }
    }
}

impl<'a> CallView<'a> {
    pub(crate) fn of(app_name: &'a str, call: &'a Call) -> Self {
        Self {
            id: call.id,
            status: call.status(),
            app_name,
            path: &call.path,
            completed_at: call.completed_at().unwrap_or(Timestamp::ZERO),
            created_at: call.created_at,
            started_at: call.started_at().unwrap_or(Timestamp::ZERO),
            stats: &call.stats,
            reason: call.reason(),
            error: call.error().filter(|error| !error.is_empty()),
            call_type: call.call_type,
            attempts: Some(call.attempts).filter(|attempts| *attempts > 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_models::{AppId, FnId, StoredState};

    use super::*;

    /// A call with every id and time known.
    fn call(state: StoredState) -> Call {
        let mut call = Call::accept(AppId::generate(), FnId::generate(), CallType::Sync);
        call.id = "01M7ZQN1PR4HN0600000000000".parse().unwrap();
        call.path = "/cold".into();
        call.created_at = Timestamp::from_millis(1_795_287_582_425);
        call.restore(state)
    }

    fn json(call: &Call) -> String {
        let bytes = hearth_models::json::to_vec(&CallView::of("specc", call)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_failed_call_has_the_contracts_keys_in_its_order() {
        let call = call(StoredState {
            status: Status::Error,
            reason: Some(Reason::BadExit),
            error: Some("container exit code 3".into()),
            started_at: Some(Timestamp::from_millis(1_795_287_582_435)),
            completed_at: Some(Timestamp::from_millis(1_795_287_582_718)),
        });
        assert_eq!(
            json(&call),
            concat!(
                r#"{"id":"01M7ZQN1PR4HN0600000000000","status":"error","app_name":"specc","path":"/cold","#,
                r#""completed_at":"2026-11-21T18:59:42.718Z","created_at":"2026-11-21T18:59:42.425Z","#,
                r#""started_at":"2026-11-21T18:59:42.435Z","reason":"bad_exit","#,
                r#""error":"container exit code 3","type":"sync"}"#
            )
        );
    }

    #[test]
    fn a_queued_call_has_zero_times_and_no_reason() {
        let mut call = call(StoredState {
            status: Status::Queued,
            reason: None,
            error: None,
            started_at: None,
            completed_at: None,
        });
        call.attempts = 2;
        assert_eq!(
            json(&call),
            concat!(
                r#"{"id":"01M7ZQN1PR4HN0600000000000","status":"queued","app_name":"specc","path":"/cold","#,
                r#""completed_at":"0001-01-01T00:00:00.000Z","created_at":"2026-11-21T18:59:42.425Z","#,
                r#""started_at":"0001-01-01T00:00:00.000Z","type":"sync","attempts":2}"#
            )
        );
    }
}
