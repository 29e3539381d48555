//! `/v1/apps/:app/dead-calls`: asynchronous calls that were given up. An addition to the contract.

use std::sync::Arc;

use axum::response::Response;
use hearth_models::{Error, PerPage};

use super::calls::find;
use crate::answer;
use crate::api::Api;
use crate::error::Failed;
use crate::json;
use crate::paths::CallRef;
use crate::query::Query;
use crate::view::CallList;

/// GET `/v1/apps/:app/dead-calls`, newest first.
pub(crate) async fn list(api: &Api, app: &str, query: &Query<'_>) -> Result<Response, Failed> {
    let app = api.datastore.app(app).await?;
    let per_page = PerPage::from_query(query.get("per_page"));
    let calls = api.queue.dead(app.id, query.get("cursor"), per_page).await?;
    Ok(json::reply(&CallList::of("Successfully listed dead calls", &app.name, &calls, per_page))?)
}

/// POST `/v1/apps/:app/dead-calls/:call/redrive`: its request is queued once more, as a new call.
pub(crate) async fn redrive(api: &Arc<Api>, call: CallRef<'_>) -> Result<Response, Failed> {
    let (app, id) = find(api, call, Error::CallNotFound).await?;
    let again = api.change(move |api| async move { Ok(api.queue.redrive(app.id, id).await?) }).await?;
    Ok(answer::accepted(again.id)?)
}
