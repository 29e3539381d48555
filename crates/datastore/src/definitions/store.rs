//! The [`Datastore`] face of [`Definitions`]: one question answered from memory, all else passed on.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_models::{
    App, AppId, AppPatch, Call, CallFilter, CallId, FnId, Function, Page, Route, RoutePatch, Trigger, TriggerId,
};

use super::Definitions;
use crate::{
    CallStore, Datastore, LogEntry, LogStore, Node, QueueStore, Record, Recorded, RemovedRoute, Resolved, Result,
    RouteChange,
};

#[async_trait]
impl LogStore for Definitions {
    async fn put_logs(&self, logs: &[LogEntry]) -> Result<()> {
        self.store.put_logs(logs).await
    }

    async fn log(&self, app_id: AppId, call_id: CallId) -> Result<Bytes> {
        self.store.log(app_id, call_id).await
    }

    async fn remove_logs(&self, app_id: AppId, at_most: usize) -> Result<usize> {
        self.store.remove_logs(app_id, at_most).await
    }
}

#[async_trait]
impl CallStore for Definitions {
    async fn record(&self, node: Node, records: &[Arc<Record>]) -> Result<Recorded> {
        self.store.record(node, records).await
    }

    async fn call(&self, app_id: AppId, call_id: CallId) -> Result<Call> {
        self.store.call(app_id, call_id).await
    }

    async fn calls(&self, app_id: AppId, filter: &CallFilter) -> Result<Vec<Call>> {
        self.store.calls(app_id, filter).await
    }

    async fn interrupt(&self, node: Node) -> Result<u64> {
        self.store.interrupt(node).await
    }
}

#[async_trait]
impl Datastore for Definitions {
    async fn insert_app(&self, app: &App) -> Result<()> {
        let _changing = self.changing();
        self.store.insert_app(app).await
    }

    async fn app(&self, name: &str) -> Result<App> {
        self.store.app(name).await
    }

    async fn app_by_id(&self, id: AppId) -> Result<Option<App>> {
        self.store.app_by_id(id).await
    }

    async fn update_app(&self, name: &str, patch: AppPatch) -> Result<App> {
        let _changing = self.changing();
        self.store.update_app(name, patch).await
    }

    async fn remove_app(&self, name: &str) -> Result<App> {
        let _changing = self.changing();
        self.store.remove_app(name).await
    }

    async fn apps(&self, page: &Page) -> Result<Vec<App>> {
        self.store.apps(page).await
    }

    async fn insert_route(&self, app_name: &str, route: Route) -> Result<RouteChange> {
        let _changing = self.changing();
        self.store.insert_route(app_name, route).await
    }

    async fn upsert_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        let _changing = self.changing();
        self.store.upsert_route(app_name, path, patch).await
    }

    async fn update_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        let _changing = self.changing();
        self.store.update_route(app_name, path, patch).await
    }

    async fn remove_route(&self, app_name: &str, path: &str) -> Result<RemovedRoute> {
        let _changing = self.changing();
        self.store.remove_route(app_name, path).await
    }

    async fn route(&self, app_name: &str, path: &str) -> Result<Route> {
        self.store.route(app_name, path).await
    }

    async fn routes(&self, app_name: &str, image: Option<&str>, page: &Page) -> Result<Vec<Route>> {
        self.store.routes(app_name, image, page).await
    }

    async fn resolve(&self, app_name: &str, path: &str) -> Result<Arc<Resolved>> {
        self.lookup(app_name, path).await
    }

    async fn function(&self, id: FnId) -> Result<Option<Function>> {
        self.store.function(id).await
    }

    async fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>> {
        self.store.trigger(id).await
    }

    fn queue(self: Arc<Self>) -> Arc<dyn QueueStore> {
        Arc::clone(&self.store).queue()
    }

    async fn purge(&self) -> Result<bool> {
        self.store.purge().await
    }

    async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
