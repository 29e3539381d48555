//! Calls and their logs, of a function or of a whole app: an addition to the contract (A), where the reference has
//! nothing any more. What runs on this node is shown with what is stored.

use std::sync::Arc;

use axum::response::Response;
use hearth_models::v2::Error as Refusal;
use hearth_models::{AppId, CallFilter, CallId, Cursor, Error, FnId};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::view::CallView;
use super::{List, apps, cursor, fns, next_cursor, no_content};
use crate::api::Api;
use crate::error::Failed;
use crate::json;
use crate::query::Query;

/// Whose calls.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'p> {
    /// All calls of the app of this id.
    App(&'p str),
    /// Those of the function of this id.
    Function(&'p str),
}

/// The app whose calls they are, and the function if only its calls are meant.
type Found = (AppId, Option<FnId>);

/// GET `…/calls`, newest first.
pub(super) async fn list(api: &Api, owner: Owner<'_>, query: &Query<'_>) -> Result<Response, Failed> {
    let mut filter = query.call_filter()?;
    filter.path = None;
    filter.cursor = after(query)?.map(|call| call.to_string());
    let (app_id, fn_id) = find(api, owner).await?;
    // The calls of a function are the calls of an app with this filter.
    let asked = query.get("fn_id").map(str::parse::<FnId>).transpose();
    // What is no id is the id of nothing, and so is a new one.
    filter.fn_id = fn_id.or_else(|| asked.unwrap_or_else(|_| Some(FnId::generate())));
    let CallFilter { per_page, .. } = filter;
    let calls = api.recorder.calls(app_id, &filter).await?;
    Ok(json::reply(&List {
        next_cursor: next_cursor(&calls, per_page, |call| Cursor::after(call.id.to_string())),
        items: calls.iter().map(CallView::of).collect(),
    })?)
}

/// GET `…/calls/:call_id`
pub(super) async fn get(api: &Api, owner: Owner<'_>, call: &str) -> Result<Response, Failed> {
    let (app_id, fn_id) = find(api, owner).await?;
    let call = api.recorder.call(app_id, parse(call, Error::CallNotFound)?).await?;
    if fn_id.is_some_and(|fn_id| fn_id != call.fn_id) {
        return Err(Error::CallNotFound.into());
    }
    Ok(json::reply(&CallView::of(&call))?)
}

/// GET `…/calls/:call_id/log`: what the function wrote, byte by byte.
pub(super) async fn log(api: &Api, owner: Owner<'_>, call: &str) -> Result<Response, Failed> {
    let found = find(api, owner).await?;
    let id = parse(call, Error::LogNotFound)?;
    has(api, found, id, Error::LogNotFound).await?;
    let log = api.recorder.log(found.0, id).await?;
    let is_text = std::str::from_utf8(&log).is_ok();
    let content_type = if is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
    let mut response = Response::new(log.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// DELETE `…/calls/:call_id`
pub(super) async fn cancel(api: &Arc<Api>, owner: Owner<'_>, call: &str) -> Result<Response, Failed> {
    let found = find(api, owner).await?;
    let id = parse(call, Error::CallNotFound)?;
    has(api, found, id, Error::CallNotFound).await?;
    api.cancel(found.0, id).await?;
    Ok(no_content())
}

/// The call after which a list goes on.
fn after(query: &Query<'_>) -> Result<Option<CallId>, Refusal> {
    let cursor = cursor(query)?;
    let call = Some(cursor.as_str()).filter(|text| !text.is_empty()).map(str::parse);
    call.transpose().map_err(|_| Refusal::InvalidCursor)
}

async fn find(api: &Api, owner: Owner<'_>) -> Result<Found, Failed> {
    match owner {
        Owner::App(id) => Ok((apps::find(api, id).await?.id, None)),
        Owner::Function(id) => {
            let function = fns::find(api, id).await?;
            Ok((function.app_id, Some(function.id)))
        }
    }
}

/// Whether the function, if only its calls are meant, has this call.
async fn has(api: &Api, (app_id, fn_id): Found, call: CallId, missing: Error) -> Result<(), Failed> {
    let Some(fn_id) = fn_id else {
        return Ok(());
    };
    match api.recorder.call(app_id, call).await {
        Ok(call) if call.fn_id == fn_id => Ok(()),
        Ok(_) | Err(hearth_datastore::Error::Model(Error::CallNotFound)) => Err(missing.into()),
        Err(error) => Err(error.into()),
    }
}

fn parse(call: &str, missing: Error) -> Result<CallId, Error> {
    call.parse().map_err(|_| missing)
}
