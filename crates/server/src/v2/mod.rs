//! API v2: apps, functions, triggers and calls, all by id. A handler reads its input, makes one call to the domain and
//! shows the result (v2 contract B.1 with A).

mod apps;
mod calls;
mod endpoint;
mod fns;
pub(crate) mod invoke;
mod triggers;
mod view;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use hearth_models::v2::Error;
use hearth_models::{Cursor, PerPage};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode, request};
use serde::Serialize;

use self::calls::Owner;
use self::endpoint::Base;
use crate::api::Api;
use crate::error::Failed;
use crate::operations;
use crate::paths::Managed;
use crate::query::Query;
use crate::request_body::ClientBody;

/// Does what is asked.
///
/// # Errors
/// Those of the handlers.
pub(crate) async fn manage(
    api: &Arc<Api>,
    operation: Managed<'_>,
    head: &request::Parts,
    body: ClientBody,
) -> Result<Response, Failed> {
    let query = &Query::parse(head.uri.query());
    let base = &Base::of(api.settings.public_url.as_deref(), head);
    match operation {
        Managed::OpenApi => Ok(operations::openapi_v2()),
        Managed::ListApps => apps::list(api, query).await,
        Managed::CreateApp => apps::create(api, &body.read().await?).await,
        Managed::GetApp(id) => apps::get(api, id).await,
        Managed::UpdateApp(id) => apps::update(api, id, &body.read().await?).await,
        Managed::DeleteApp(id) => apps::delete(api, id).await,
        Managed::ListFns => fns::list(api, query, base).await,
        Managed::CreateFn => fns::create(api, &body.read().await?, base).await,
        Managed::GetFn(id) => fns::get(api, id, base).await,
        Managed::UpdateFn(id) => fns::update(api, id, &body.read().await?, base).await,
        Managed::DeleteFn(id) => fns::delete(api, id).await,
        Managed::ListTriggers => triggers::list(api, query, base).await,
        Managed::CreateTrigger => triggers::create(api, &body.read().await?, base).await,
        Managed::GetTrigger(id) => triggers::get(api, id, base).await,
        Managed::UpdateTrigger(id) => triggers::update(api, id, &body.read().await?, base).await,
        Managed::DeleteTrigger(id) => triggers::delete(api, id).await,
        Managed::ListAppCalls(id) => calls::list(api, Owner::App(id), query).await,
        Managed::GetAppCall(call) => calls::get(api, Owner::App(call.of), call.call).await,
        Managed::GetAppLog(call) => calls::log(api, Owner::App(call.of), call.call).await,
        Managed::CancelAppCall(call) => calls::cancel(api, Owner::App(call.of), call.call).await,
        Managed::ListFnCalls(id) => calls::list(api, Owner::Function(id), query).await,
        Managed::GetFnCall(call) => calls::get(api, Owner::Function(call.of), call.call).await,
        Managed::GetFnLog(call) => calls::log(api, Owner::Function(call.of), call.call).await,
        Managed::CancelFnCall(call) => calls::cancel(api, Owner::Function(call.of), call.call).await,
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
struct List<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    items: Vec<T>,
}

/// The cursor of what follows a page, which is there when the page is full.
fn next_cursor<T>(page: &[T], size: PerPage, after: impl FnOnce(&T) -> Cursor) -> Option<String> {
    page.last().filter(|_| page.len() == size.get()).map(|last| after(last).to_string())
}

/// The `cursor` of a list.
fn cursor(query: &Query<'_>) -> Result<Cursor, Error> {
    Ok(query.get("cursor").map(Cursor::decode).transpose()?.unwrap_or_default())
}

/// It is done, and there is nothing to show.
fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
