//! `/v1/apps/:app/routes` (v1 contract B.1.7). A route is the view of an HTTP trigger and its function.

use std::sync::Arc;

use axum::response::Response;
use hearth_datastore::RouteChange;
use hearth_models::{Cursor, Error, Route, RoutePatch, clean_path};
use serde::{Deserialize, Serialize};

use super::Done;
use crate::api::Api;
use crate::error::Failed;
use crate::json::{self, Object};
use crate::paths::RouteRef;
use crate::query::Query;

const CREATED: &str = "Route successfully created";
const UPDATED: &str = "Route successfully updated";

#[derive(Debug, Deserialize)]
struct RouteRequest {
    route: Option<Object<RoutePatch>>,
}

#[derive(Debug, Serialize)]
struct RouteReply<'a> {
    message: &'static str,
    route: &'a Route,
}

#[derive(Debug, Serialize)]
struct RouteList {
    message: &'static str,
    next_cursor: String,
    routes: Vec<Route>,
}

/// GET `/v1/apps/:app/routes`
pub(crate) async fn list(api: &Api, app: &str, query: &Query<'_>) -> Result<Response, Failed> {
    let page = query.page();
    let routes = api.datastore.routes(app, query.get("image"), &page).await?;
    let last = routes.last().filter(|_| routes.len() == page.size.get());
    Ok(json::reply(&RouteList {
        message: "Successfully listed routes",
        next_cursor: last.map(|route| Cursor::after(route.path.as_str()).to_string()).unwrap_or_default(),
        routes,
    })?)
}

/// POST `/v1/apps/:app/routes`
pub(crate) async fn create(api: &Arc<Api>, app: &str, body: &[u8]) -> Result<Response, Failed> {
    let patch = patch(body)?;
    let path = patch.path.clone().unwrap_or_default();
    let route = patch.create(app, &path)?;
    let app = app.to_owned();
    let change = api.change(async move |api| api.make_route(&app, api.datastore.insert_route(&app, route)).await);
    show(CREATED, &change.await?.route)
}

/// GET `/v1/apps/:app/routes/*route`
pub(crate) async fn get(api: &Api, route: RouteRef<'_>) -> Result<Response, Failed> {
    let path = clean_path(route.path);
    let route = api.datastore.route(route.app, &path).await?;
    show("Successfully loaded route", &route)
}

/// PUT `/v1/apps/:app/routes/*route`: creates, or merges like PATCH.
pub(crate) async fn put(api: &Arc<Api>, route: RouteRef<'_>, body: &[u8]) -> Result<Response, Failed> {
    let (path, patch) = (clean_path(route.path).into_owned(), patch(body)?);
    patch.validate_path(&path)?;
    let app = route.app.to_owned();
    let change = api.change(async move |api| {
        let change = api.make_route(&app, api.datastore.upsert_route(&app, &path, patch)).await?;
        tell(&api, &change);
        Ok(change)
    });
    let change = change.await?;
    show(if change.created { CREATED } else { UPDATED }, &change.route)
}

/// PATCH `/v1/apps/:app/routes/*route`
pub(crate) async fn update(api: &Arc<Api>, route: RouteRef<'_>, body: &[u8]) -> Result<Response, Failed> {
    let (path, patch) = (clean_path(route.path).into_owned(), patch(body)?);
    patch.validate_path(&path)?;
    let app = route.app.to_owned();
    let change = api.change(async move |api| {
        let change = api.datastore.update_route(&app, &path, patch).await?;
        tell(&api, &change);
        Ok(change)
    });
    show(UPDATED, &change.await?.route)
}

/// DELETE `/v1/apps/:app/routes/*route`
pub(crate) async fn delete(api: &Arc<Api>, route: RouteRef<'_>) -> Result<Response, Failed> {
    let (app, path) = (route.app.to_owned(), clean_path(route.path).into_owned());
    let removal = api.change(async move |api| {
        let removed = api.datastore.remove_route(&app, &path).await?;
        api.agent.function_changed(removed.fn_id);
        api.forget_path(&app, &path);
        Ok(())
    });
    removal.await?;
    Ok(json::reply(&Done { message: "Route deleted" })?)
}

/// Warm containers are let go only when they are out of date.
fn tell(api: &Api, change: &RouteChange) {
    if change.function_changed {
        api.agent.function_changed(change.fn_id);
    }
}

fn patch(body: &[u8]) -> Result<RoutePatch, Error> {
    let request: Option<RouteRequest> = json::read(body)?;
    let route = request.and_then(|request| request.route);
    route.map(|Object(patch)| patch).ok_or(Error::MissingNewRoute)
}

fn show(message: &'static str, route: &Route) -> Result<Response, Failed> {
    Ok(json::reply(&RouteReply { message, route })?)
}
