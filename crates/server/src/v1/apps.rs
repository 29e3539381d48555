//! `/v1/apps` (v1 contract B.1.6).

use std::sync::Arc;

use axum::response::Response;
use hearth_models::{App, AppPatch, Cursor, Error};
use serde::{Deserialize, Serialize};

use super::Done;
use crate::api::Api;
use crate::error::Failed;
use crate::json::{self, Object};
use crate::query::Query;
use crate::view::AppView;

#[derive(Debug, Deserialize)]
struct AppRequest {
    app: Option<Object<AppPatch>>,
}

#[derive(Debug, Serialize)]
struct AppReply<'a> {
    message: &'static str,
    app: AppView<'a>,
}

#[derive(Debug, Serialize)]
struct AppList<'a> {
    message: &'static str,
    next_cursor: String,
    apps: Vec<AppView<'a>>,
}

/// GET `/v1/apps`
pub(crate) async fn list(api: &Api, query: &Query<'_>) -> Result<Response, Failed> {
    let page = query.page();
    let apps = api.datastore.apps(&page).await?;
    let last = apps.last().filter(|_| apps.len() == page.size.get());
    Ok(json::reply(&AppList {
        message: "Successfully listed applications",
        next_cursor: last.map(|app| Cursor::after(app.name.as_str()).to_string()).unwrap_or_default(),
        apps: apps.iter().map(AppView::of).collect(),
    })?)
}

/// POST `/v1/apps`
pub(crate) async fn create(api: &Arc<Api>, body: &[u8]) -> Result<Response, Failed> {
    let app = api.create_app(patch(body)?.create()?).await?;
    Ok(json::reply(&AppReply { message: "App successfully created", app: AppView::of(&app) })?)
}

/// GET `/v1/apps/:app`
pub(crate) async fn get(api: &Api, name: &str) -> Result<Response, Failed> {
    let app = find(api, name).await?;
    Ok(json::reply(&AppReply { message: "Successfully loaded app", app: AppView::of(&app) })?)
}

/// PATCH `/v1/apps/:app`
pub(crate) async fn update(api: &Arc<Api>, name: &str, body: &[u8]) -> Result<Response, Failed> {
    let mut patch = patch(body)?;
    patch.validate_update()?;
    let name = name.to_owned();
    let change = api.change(async move |api| {
        api.before_update(find(&api, &name), &mut patch.config).await?;
        let app = api.datastore.update_app(&name, patch).await?;
        api.agent.app_changed(app.id);
        api.after_update(&app).await;
        Ok(app)
    });
    let app = change.await?;
    Ok(json::reply(&AppReply { message: "App successfully updated", app: AppView::of(&app) })?)
}

/// DELETE `/v1/apps/:app`
pub(crate) async fn delete(api: &Arc<Api>, name: &str) -> Result<Response, Failed> {
    let name = name.to_owned();
    let removal = api.change(async move |api| {
        api.before_delete(find(&api, &name)).await?;
        let app = api.datastore.remove_app(&name).await?;
        api.after_delete(&app).await;
        Ok(())
    });
    removal.await?;
    Ok(json::reply(&Done { message: "App deleted" })?)
}

async fn find(api: &Api, name: &str) -> Result<App, Failed> {
    Ok(api.datastore.app(name).await?)
}

fn patch(body: &[u8]) -> Result<AppPatch, Error> {
    let request: Option<AppRequest> = json::read(body)?;
    let app = request.and_then(|request| request.app);
    app.map(|Object(patch)| patch).ok_or(Error::MissingNewApp)
}
