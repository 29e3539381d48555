//! `/v1/apps/:app/calls` (v1 contract B.1.8). What runs on this node is shown with what is stored.

use std::sync::Arc;

use axum::response::Response;
use hearth_models::{App, CallId, Error};
use serde::Serialize;

use crate::api::Api;
use crate::error::Failed;
use crate::json;
use crate::paths::CallRef;
use crate::query::Query;
use crate::view::{CallList, CallView, LogView, Message};

#[derive(Debug, Serialize)]
struct CallReply<'a> {
    message: &'static str,
    call: CallView<'a>,
}

#[derive(Debug, Serialize)]
struct LogReply<'a> {
    message: &'static str,
    log: LogView<'a>,
}

/// GET `/v1/apps/:app/calls`
pub(crate) async fn list(api: &Api, app: &str, query: &Query<'_>) -> Result<Response, Failed> {
    let filter = query.call_filter()?;
    let app = api.datastore.app(app).await?;
    let calls = api.recorder.calls(app.id, &filter).await?;
    Ok(json::reply(&CallList::of("Successfully listed calls", &app.name, &calls, filter.per_page))?)
}

/// GET `/v1/apps/:app/calls/:call`
pub(crate) async fn get(api: &Api, call: CallRef<'_>) -> Result<Response, Failed> {
    let (app, id) = find(api, call, Error::CallNotFound).await?;
    let call = api.recorder.call(app.id, id).await?;
    Ok(json::reply(&CallReply { message: "Successfully loaded call", call: CallView::of(&app.name, &call) })?)
}

/// GET `/v1/apps/:app/calls/:call/log`
pub(crate) async fn log(api: &Api, call: CallRef<'_>) -> Result<Response, Failed> {
    let (app, id) = find(api, call, Error::LogNotFound).await?;
    let log = api.recorder.log(app.id, id).await?;
    Ok(json::reply(&LogReply {
        message: "Successfully loaded log",
        log: LogView { call_id: id, log: &String::from_utf8_lossy(&log), app_name: &app.name },
    })?)
}

/// DELETE `/v1/apps/:app/calls/:call`
pub(crate) async fn cancel(api: &Arc<Api>, call: CallRef<'_>) -> Result<Response, Failed> {
    let (app, id) = find(api, call, Error::CallNotFound).await?;
    api.cancel(app.id, id).await?;
    Ok(json::reply(&Message { message: "Successfully cancelled call" })?)
}

/// The app and the id of a call. A missing app is a missing call here, as is an id that no call can have.
pub(super) async fn find(api: &Api, call: CallRef<'_>, missing: Error) -> Result<(App, CallId), Failed> {
    let Ok(id) = call.call.parse() else {
        return Err(missing.into());
    };
    match api.datastore.app(call.app).await {
        Err(hearth_datastore::Error::Model(Error::AppNotFound)) => Err(missing.into()),
        app => Ok((app?, id)),
    }
}
