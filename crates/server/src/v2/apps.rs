//! `/v2/apps`.

use std::sync::Arc;

use axum::response::Response;
use hearth_models::v2::AppPatch;
use hearth_models::{App, AppId, Cursor, Error, Page, PerPage};

use super::view::AppView;
use super::{List, cursor, next_cursor, no_content};
use crate::api::Api;
use crate::error::Failed;
use crate::json;
use crate::query::Query;

/// GET `/v2/apps`
pub(super) async fn list(api: &Api, query: &Query<'_>) -> Result<Response, Failed> {
    let page = Page { after: cursor(query)?, size: PerPage::from_query(query.get("per_page")) };
    let apps = match query.get("name") {
        None => api.datastore.apps(&page).await?,
        Some(name) => named(api, name).await?.into_iter().filter(|app| *app.name > *page.after.as_str()).collect(),
    };
    Ok(json::reply(&List {
        next_cursor: next_cursor(&apps, page.size, |app| Cursor::after(app.name.as_str())),
        items: apps.iter().map(AppView::of).collect(),
    })?)
}

async fn named(api: &Api, name: &str) -> Result<Option<App>, Failed> {
    match api.datastore.app(name).await {
        Ok(app) => Ok(Some(app)),
        Err(hearth_datastore::Error::Model(Error::AppNotFound)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// POST `/v2/apps`
pub(super) async fn create(api: &Arc<Api>, body: &[u8]) -> Result<Response, Failed> {
    let app = json::read_first::<AppPatch>(body)?.create()?;
    show(&api.create_app(app).await?)
}

/// GET `/v2/apps/:app_id`
pub(super) async fn get(api: &Api, id: &str) -> Result<Response, Failed> {
    show(&find(api, id).await?)
}

/// PUT `/v2/apps/:app_id`
pub(super) async fn update(api: &Arc<Api>, id: &str, body: &[u8]) -> Result<Response, Failed> {
    let mut patch: AppPatch = json::read_first(body)?;
    patch.validate_id(id)?;
    let id = parse(id)?;
    let change = api.change(async move |api| {
        api.before_update(of_id(&api, id), &mut patch.config).await?;
        let change = api.datastore.update_app_by_id(id, patch).await?;
        if change.outdated {
            api.agent.app_changed(id);
        }
        api.after_update(&change.app).await;
        Ok(change.app)
    });
    show(&change.await?)
}

/// DELETE `/v2/apps/:app_id`
pub(super) async fn delete(api: &Arc<Api>, id: &str) -> Result<Response, Failed> {
    let id = parse(id)?;
    let removal = api.change(async move |api| {
        api.before_delete(of_id(&api, id)).await?;
        let app = api.datastore.remove_app_by_id(id).await?;
        api.after_delete(&app).await;
        Ok(())
    });
    removal.await?;
    Ok(no_content())
}

/// The app of this id, which may be any text.
pub(super) async fn find(api: &Api, id: &str) -> Result<App, Failed> {
    of_id(api, parse(id)?).await
}

async fn of_id(api: &Api, id: AppId) -> Result<App, Failed> {
    Ok(api.datastore.app_by_id(id).await?.ok_or(Error::AppNotFound)?)
}

fn parse(id: &str) -> Result<AppId, Error> {
    id.parse().map_err(|_| Error::AppNotFound)
}

fn show(app: &App) -> Result<Response, Failed> {
    Ok(json::reply(&AppView::of(app))?)
}
