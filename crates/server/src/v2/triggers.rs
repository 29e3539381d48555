//! `/v2/triggers`.

use std::sync::Arc;

use axum::response::Response;
use hearth_datastore::{TriggerChange, TriggerFilter};
use hearth_models::v2::{Error, TriggerCursor, TriggerPatch};
use hearth_models::{App, AppId, FnId, PerPage, Trigger, TriggerId};

use super::endpoint::Base;
use super::view::TriggerView;
use super::{List, cursor, next_cursor, no_content};
use crate::api::Api;
use crate::error::Failed;
use crate::json;
use crate::query::Query;

/// GET `/v2/triggers`
pub(super) async fn list(api: &Api, query: &Query<'_>, base: &Base<'_>) -> Result<Response, Failed> {
    let app_id = query.get("app_id").ok_or(Error::MissingAppIdOnTrigger)?;
    let after = TriggerCursor::read(&cursor(query)?)?;
    let size = PerPage::from_query(query.get("per_page"));
    let fn_id = query.get("fn_id").map(str::parse::<FnId>).transpose();
    let (app, triggers) = match (app_id.parse::<AppId>(), fn_id) {
        (Ok(app_id), Ok(fn_id)) => {
            let filter = TriggerFilter { app_id, fn_id, name: query.get("name").map(str::to_owned), after, size };
            (api.datastore.app_by_id(app_id).await?, api.datastore.triggers(&filter).await?)
        }
        // Neither has such an id.
        _ => (None, Vec::new()),
    };
    let of_function = query.get("fn_id").is_some();
    let after = if of_function { TriggerCursor::in_function } else { TriggerCursor::in_app };
    // A trigger goes with its app, so without one there is none.
    let views = app.iter().flat_map(|app| triggers.iter().map(|trigger| TriggerView::of(trigger, &app.name, base)));
    let items: Vec<_> = views.collect();
    let next_cursor = next_cursor(&triggers[..items.len()], size, after);
    Ok(json::reply(&List { next_cursor, items })?)
}

/// POST `/v2/triggers`
pub(super) async fn create(api: &Arc<Api>, body: &[u8], base: &Base<'_>) -> Result<Response, Failed> {
    let trigger = json::read_first::<TriggerPatch>(body)?.create()?;
    let change = api.change(async move |api| {
        let change = api.datastore.insert_trigger(&trigger).await?;
        tell(&api, &change);
        with_app(&api, change.trigger).await
    });
    show(change.await?, base)
}

/// GET `/v2/triggers/:trigger_id`
pub(super) async fn get(api: &Api, id: &str, base: &Base<'_>) -> Result<Response, Failed> {
    let trigger = api.datastore.trigger(parse(id)?).await?.ok_or(Error::TriggerNotFound)?;
    show(with_app(api, trigger).await?, base)
}

/// PUT `/v2/triggers/:trigger_id`
pub(super) async fn update(api: &Arc<Api>, id: &str, body: &[u8], base: &Base<'_>) -> Result<Response, Failed> {
    let patch: TriggerPatch = json::read_first(body)?;
    patch.validate_id(id)?;
    let id = parse(id)?;
    let change = api.change(async move |api| {
        let change = api.datastore.update_trigger(id, patch).await?;
        tell(&api, &change);
        forget(&api, &change).await?;
        with_app(&api, change.trigger).await
    });
    show(change.await?, base)
}

/// DELETE `/v2/triggers/:trigger_id`
pub(super) async fn delete(api: &Arc<Api>, id: &str) -> Result<Response, Failed> {
    let id = parse(id)?;
    let removal = api.change(async move |api| {
        let change = api.datastore.remove_trigger(id).await?;
        tell(&api, &change);
        forget(&api, &change).await
    });
    removal.await?;
    Ok(no_content())
}

fn parse(id: &str) -> Result<TriggerId, Error> {
    id.parse().map_err(|_| Error::TriggerNotFound)
}

/// A trigger goes with its app.
async fn with_app(api: &Api, trigger: Trigger) -> Result<(Trigger, App), Failed> {
    let app = api.datastore.app_by_id(trigger.app_id).await?.ok_or(Error::TriggerNotFound)?;
    Ok((trigger, app))
}

fn show((trigger, app): (Trigger, App), base: &Base<'_>) -> Result<Response, Failed> {
    Ok(json::reply(&TriggerView::of(&trigger, &app.name, base))?)
}

/// Warm containers are let go only when they are out of date.
fn tell(api: &Api, change: &TriggerChange) {
    for function in &change.outdated {
        api.agent.function_changed(*function);
    }
}

/// What was counted of a path that leads nowhere now.
async fn forget(api: &Api, change: &TriggerChange) -> Result<(), Failed> {
    if let (Some(path), Some(app)) = (&change.left, api.datastore.app_by_id(change.trigger.app_id).await?) {
        api.forget_path(&app.name, path);
    }
    Ok(())
}
