//! What API v2 shows: the keys, their order, and which are left out (v2 contract B.1.4 with A).

use hearth_models::v2::{HTTP_ENDPOINT, INVOKE_ENDPOINT};
use hearth_models::{
    Annotations, App, AppId, Call, CallId, Config, FnId, Format, Function, Reason, Stat, Status, Timestamp, Trigger,
    TriggerId,
};
use serde::Serialize;

use super::endpoint::Base;

/// An app.
#[derive(Debug, Serialize)]
pub(super) struct AppView<'a> {
    id: AppId,
    name: &'a str,
    #[serde(skip_serializing_if = "Config::is_empty")]
    config: &'a Config,
    #[serde(skip_serializing_if = "Annotations::is_empty")]
    annotations: &'a Annotations,
    #[serde(skip_serializing_if = "Option::is_none")]
    syslog_url: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    shape: &'a str,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A function.
#[derive(Debug, Serialize)]
pub(super) struct FnView<'a> {
    id: FnId,
    name: &'a str,
    app_id: AppId,
    image: &'a str,
    memory: u64,
    timeout: u32,
    idle_timeout: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    config: &'a Config,
    annotations: Annotations,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "str::is_empty")]
    shape: &'a str,
    updated_at: Timestamp,
}

/// A trigger.
#[derive(Debug, Serialize)]
pub(super) struct TriggerView<'a> {
    id: TriggerId,
    name: &'a str,
    app_id: AppId,
    fn_id: FnId,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(rename = "type")]
    trigger_type: &'static str,
    source: &'a str,
    annotations: Annotations,
}

/// A call.
#[derive(Debug, Serialize)]
pub(super) struct CallView<'a> {
    id: CallId,
    app_id: AppId,
    fn_id: FnId,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger_id: Option<TriggerId>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<Timestamp>,
    attempts: u32,
    #[serde(skip_serializing_if = "<[Stat]>::is_empty")]
    stats: &'a [Stat],
}

impl<'a> AppView<'a> {
    pub(super) fn of(app: &'a App) -> Self {
        Self {
            id: app.id,
            name: &app.name,
            config: &app.config,
            annotations: &app.annotations,
            syslog_url: app.syslog_url.as_deref(),
            shape: &app.shape,
            created_at: app.created_at,
            updated_at: app.updated_at,
        }
    }
}

impl<'a> FnView<'a> {
    pub(super) fn of(function: &'a Function, base: &Base<'_>) -> Self {
        Self {
            id: function.id,
            name: &function.name,
            app_id: function.app_id,
            image: &function.image,
            memory: function.limits.memory_mb,
            timeout: function.limits.timeout_secs,
            idle_timeout: function.limits.idle_timeout_secs,
            format: Some(function.format).filter(|format| *format != Format::HttpStream),
            config: &function.config,
            annotations: function.annotations.clone().showing(INVOKE_ENDPOINT, &base.invoke(function.id)),
            created_at: function.created_at,
            shape: &function.shape,
            updated_at: function.updated_at,
        }
    }
}

impl<'a> TriggerView<'a> {
    pub(super) fn of(trigger: &'a Trigger, app_name: &str, base: &Base<'_>) -> Self {
        let endpoint = base.trigger(app_name, &trigger.source);
        Self {
            id: trigger.id,
            name: &trigger.name,
            app_id: trigger.app_id,
            fn_id: trigger.fn_id,
            created_at: trigger.created_at,
            updated_at: trigger.updated_at,
            trigger_type: "http",
            source: &trigger.source,
            annotations: trigger.annotations.clone().showing(HTTP_ENDPOINT, &endpoint),
        }
    }
}

impl<'a> CallView<'a> {
    pub(super) fn of(call: &'a Call) -> Self {
        Self {
            id: call.id,
            app_id: call.app_id,
            fn_id: call.fn_id,
            trigger_id: call.trigger_id,
            status: call.status(),
            reason: call.reason(),
            error: call.error().filter(|error| !error.is_empty()),
            created_at: call.created_at,
            started_at: call.started_at(),
            completed_at: call.completed_at(),
            attempts: call.attempts,
            stats: &call.stats,
        }
    }
}
