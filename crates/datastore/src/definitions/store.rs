//! The [`DefinitionStore`] face of [`Definitions`]: one question answered from memory, all else passed on.

use std::sync::Arc;

use async_trait::async_trait;
use hearth_models::{App, AppId, AppPatch, FnId, Function, Page, Route, RoutePatch, Trigger, TriggerId};

use super::{Definitions, Question};
use crate::StoreOperation::{
    GetApp, GetApps, GetFunction, GetRoute, GetRoutes, GetTrigger, InsertApp, InsertRoute, RemoveApp, RemoveRoute,
    UpdateApp, UpdateRoute,
};
use crate::{DefinitionStore, RemovedRoute, Resolved, Result, RouteChange};

#[async_trait]
impl DefinitionStore for Definitions {
    async fn insert_app(&self, app: &App) -> Result<()> {
        let _changing = self.changing();
        self.observed.ask(InsertApp, self.store.insert_app(app)).await
    }

    async fn app(&self, name: &str) -> Result<App> {
        self.observed.ask(GetApp, self.store.app(name)).await
    }

    async fn app_by_id(&self, id: AppId) -> Result<Option<App>> {
        self.observed.ask(GetApp, self.store.app_by_id(id)).await
    }

    async fn update_app(&self, name: &str, patch: AppPatch) -> Result<App> {
        let _changing = self.changing();
        self.observed.ask(UpdateApp, self.store.update_app(name, patch)).await
    }

    async fn remove_app(&self, name: &str) -> Result<App> {
        let _changing = self.changing();
        self.observed.ask(RemoveApp, self.store.remove_app(name)).await
    }

    async fn apps(&self, page: &Page) -> Result<Vec<App>> {
        self.observed.ask(GetApps, self.store.apps(page)).await
    }

    async fn insert_route(&self, app_name: &str, route: Route) -> Result<RouteChange> {
        let _changing = self.changing();
        self.observed.ask(InsertRoute, self.store.insert_route(app_name, route)).await
    }

    async fn upsert_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        let _changing = self.changing();
        self.observed.ask(UpdateRoute, self.store.upsert_route(app_name, path, patch)).await
    }

    async fn update_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        let _changing = self.changing();
        self.observed.ask(UpdateRoute, self.store.update_route(app_name, path, patch)).await
    }

    async fn remove_route(&self, app_name: &str, path: &str) -> Result<RemovedRoute> {
        let _changing = self.changing();
        self.observed.ask(RemoveRoute, self.store.remove_route(app_name, path)).await
    }

    async fn route(&self, app_name: &str, path: &str) -> Result<Route> {
        self.observed.ask(GetRoute, self.store.route(app_name, path)).await
    }

    async fn routes(&self, app_name: &str, image: Option<&str>, page: &Page) -> Result<Vec<Route>> {
        self.observed.ask(GetRoutes, self.store.routes(app_name, image, page)).await
    }

    async fn resolve(&self, app_name: &str, path: &str) -> Result<Arc<Resolved>> {
        self.lookup(Question::Path { app: app_name, path }).await
    }

    async fn function(&self, id: FnId) -> Result<Option<Function>> {
        self.observed.ask(GetFunction, self.store.function(id)).await
    }

    async fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>> {
        self.observed.ask(GetTrigger, self.store.trigger(id)).await
    }

    async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }
}
