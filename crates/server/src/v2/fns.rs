//! `/v2/fns`.

use std::sync::Arc;

use axum::response::Response;
use hearth_datastore::FunctionFilter;
use hearth_models::v2::{Error, FnPatch};
use hearth_models::{AppId, Cursor, FnId, Function, Page, PerPage};

use super::endpoint::Base;
use super::view::FnView;
use super::{List, cursor, next_cursor, no_content};
use crate::api::Api;
use crate::error::Failed;
use crate::json;
use crate::query::Query;

/// GET `/v2/fns`
pub(super) async fn list(api: &Api, query: &Query<'_>, base: &Base<'_>) -> Result<Response, Failed> {
    let app_id = query.get("app_id").ok_or(Error::MissingAppIdOnFn)?;
    let page = Page { after: cursor(query)?, size: PerPage::from_query(query.get("per_page")) };
    let size = page.size;
    let functions = match app_id.parse::<AppId>() {
        Ok(app_id) => {
            let filter = FunctionFilter { app_id, name: query.get("name").map(str::to_owned), page };
            api.datastore.functions(&filter).await?
        }
        // No app has such an id.
        Err(_) => Vec::new(),
    };
    Ok(json::reply(&List {
        next_cursor: next_cursor(&functions, size, |function| Cursor::after(function.name.as_str())),
        items: functions.iter().map(|function| FnView::of(function, base)).collect(),
    })?)
}

/// POST `/v2/fns`
pub(super) async fn create(api: &Api, body: &[u8], base: &Base<'_>) -> Result<Response, Failed> {
    let function = json::read_first::<FnPatch>(body)?.create()?;
    show(&api.datastore.insert_function(function).await?, base)
}

/// GET `/v2/fns/:fn_id`
pub(super) async fn get(api: &Api, id: &str, base: &Base<'_>) -> Result<Response, Failed> {
    show(&find(api, id).await?, base)
}

/// PUT `/v2/fns/:fn_id`
pub(super) async fn update(api: &Arc<Api>, id: &str, body: &[u8], base: &Base<'_>) -> Result<Response, Failed> {
    let patch: FnPatch = json::read_first(body)?;
    patch.validate_id(id)?;
    let id = parse(id)?;
    let change = api.change(async move |api| {
        let change = api.datastore.update_function(id, patch).await?;
        if change.outdated {
            api.agent.function_changed(id);
        }
        Ok(change.function)
    });
    show(&change.await?, base)
}

/// DELETE `/v2/fns/:fn_id`
pub(super) async fn delete(api: &Arc<Api>, id: &str) -> Result<Response, Failed> {
    let id = parse(id)?;
    let removal = api.change(async move |api| {
        let (function, triggers) = api.datastore.remove_function(id).await?;
        api.agent.function_changed(id);
        // Its app may be gone by now too, and its series with it.
        if let Some(app) = api.datastore.app_by_id(function.app_id).await? {
            for trigger in triggers {
                api.forget_path(&app.name, &trigger.source);
            }
            api.forget_path(&app.name, &function.name);
        }
        Ok(())
    });
    removal.await?;
    Ok(no_content())
}

/// The function of this id, which may be any text.
pub(super) async fn find(api: &Api, id: &str) -> Result<Function, Failed> {
    Ok(api.datastore.function(parse(id)?).await?.ok_or(Error::FnNotFound)?)
}

pub(super) fn parse(id: &str) -> Result<FnId, Error> {
    id.parse().map_err(|_| Error::FnNotFound)
}

fn show(function: &Function, base: &Base<'_>) -> Result<Response, Failed> {
    Ok(json::reply(&FnView::of(function, base))?)
}
