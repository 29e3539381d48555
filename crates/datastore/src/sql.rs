//! The store in a SQL database: one implementation for all of them, through sqlx's `Any` driver.
//!
//! `Any` was chosen over three copies of the statements (or one generic over the database, which spreads its bounds
//! everywhere): the columns are plain (see `dialect`), what differs fits in one small file, and which database it is
//! can be decided at run time. What it costs is that the types of columns are checked by tests instead of the compiler,
//! and one more copy of each parameter.
//!
//! SQLite has one connection that writes and a few that read, so that writers queue here, in order and without
//! busy-waiting, and readers never wait for them.

mod apps;
mod calls;
mod catalog;
mod dialect;
mod drift;
mod error;
mod functions;
mod history;
mod insert;
mod logs;
mod open;
#[cfg(test)]
mod plan;
mod queue;
mod record;
mod routes;
mod row;
mod statement;
mod stats;
#[cfg(test)]
mod upgrade;
mod url;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_models::{
    App, AppId, AppPatch, Call, CallFilter, CallId, Error as ModelError, FnId, Function, Page, Route, RoutePatch,
    Trigger, TriggerId,
};
use serde::Serialize;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, Transaction};
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::{
    CallStore, Datastore, DefinitionStore, Duty, Error, History, LogEntry, LogStore, Node, QueueStore, Record,
    Recorded, RemovedRoute, Resolved, Result, Retention, RouteChange,
};
use dialect::Dialect;
use error::is_conflict;

pub(crate) use open::open_sql;
pub use open::{Inspected, inspect, open};

/// The longest that one operation may take, waiting for a connection included.
const DEADLINE: Duration = Duration::from_secs(10);
/// The same for a group of records, which may be large.
const GROUP_DEADLINE: Duration = Duration::from_secs(30);

/// A store in a SQL database.
#[derive(Debug)]
pub(crate) struct SqlStore {
    dialect: Dialect,
    read: AnyPool,
    write: AnyPool,
    /// At most what `call_drift` holds, so that it need not be asked for every group.
    drift_ms: AtomicI64,
    /// Where servers on this database hear of each other, where they can.
    news: Option<queue::Source>,
}

impl SqlStore {
    async fn read(&self) -> Result<PoolConnection<Any>> {
        Ok(self.read.acquire().await?)
    }

    /// A transaction that will write. Dropped without a commit, it changes nothing.
    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        Ok(self.write.begin_with(self.dialect.begin()).await?)
    }

    async fn do_insert_app(&self, app: &App) -> Result<()> {
        let mut tx = self.begin().await?;
        apps::insert(&mut tx, self.dialect, app).await?;
        Ok(tx.commit().await?)
    }

    async fn do_update_app(&self, name: &str, patch: AppPatch) -> Result<App> {
        let mut tx = self.begin().await?;
        let app = apps::lock(&mut tx, self.dialect, name).await?;
        let mut app = app.ok_or(ModelError::AppNotFound)?;
        patch.apply(&mut app);
        apps::update(&mut tx, self.dialect, &app).await?;
        tx.commit().await?;
        Ok(app)
    }

    async fn do_remove_app(&self, name: &str) -> Result<App> {
        let mut tx = self.begin().await?;
        let app = apps::lock(&mut tx, self.dialect, name).await?;
        let app = app.ok_or(ModelError::AppNotFound)?;
        apps::delete(&mut tx, self.dialect, app.id).await?;
        history::note_deletion(&mut tx, self.dialect, app.id).await?;
        tx.commit().await?;
        Ok(app)
    }

    async fn do_close(&self) {
        for pool in [&self.read, &self.write] {
            if timeout(DEADLINE, pool.close()).await.is_err() {
                tracing::warn!("a connection to the datastore did not close in time");
            }
        }
    }
}

#[async_trait]
impl LogStore for SqlStore {
    async fn put(&self, logs: &[LogEntry]) -> Result<()> {
        retrying(GROUP_DEADLINE, || self.do_put_logs(logs)).await
    }

    async fn get(&self, app_id: AppId, call_id: CallId) -> Result<Option<Bytes>> {
        within(DEADLINE, self.do_log(app_id, call_id)).await
    }

    async fn remove(&self, app_id: AppId, calls: &[CallId]) -> Result<()> {
        retrying(GROUP_DEADLINE, || self.do_remove_logs(app_id, calls)).await
    }

    async fn purge(&self, app_id: AppId, at_most: usize) -> Result<bool> {
        retrying(GROUP_DEADLINE, || self.do_purge_logs(app_id, at_most)).await
    }

    async fn close(&self) {
        self.do_close().await;
    }
}

#[async_trait]
impl CallStore for SqlStore {
    async fn record(&self, node: Node, records: &[Arc<Record>]) -> Result<Recorded> {
        retrying(GROUP_DEADLINE, || self.do_record(node, records)).await
    }

    async fn call(&self, app_id: AppId, call_id: CallId) -> Result<Call> {
        within(DEADLINE, self.do_call(app_id, call_id)).await
    }

    async fn calls(&self, app_id: AppId, filter: &CallFilter) -> Result<Vec<Call>> {
        within(DEADLINE, self.do_calls(app_id, filter)).await
    }

    async fn log(&self, app_id: AppId, call_id: CallId) -> Result<Bytes> {
        let log = within(DEADLINE, self.do_log_of_call(app_id, call_id)).await?;
        Ok(log.ok_or(ModelError::LogNotFound)?)
    }

    async fn interrupt(&self, node: Node) -> Result<u64> {
        retrying(GROUP_DEADLINE, || self.do_interrupt(node)).await
    }
}

#[async_trait]
impl History for SqlStore {
    async fn oldest_kept(&self, app_id: AppId, retention: Retention) -> Result<Option<CallId>> {
        within(GROUP_DEADLINE, self.do_oldest_kept(app_id, retention)).await
    }

    async fn ended(&self, app_id: AppId, after: Option<CallId>, before: CallId, at_most: usize) -> Result<Vec<CallId>> {
        within(GROUP_DEADLINE, self.do_ended(app_id, after, before, at_most)).await
    }

    async fn remove_calls(&self, app_id: AppId, calls: &[CallId]) -> Result<u64> {
        retrying(GROUP_DEADLINE, || self.do_remove_calls(app_id, calls)).await
    }

    async fn purge(&self, app_id: AppId, at_most: usize) -> Result<bool> {
        retrying(GROUP_DEADLINE, || self.do_purge(app_id, at_most)).await
    }
}

#[async_trait]
impl DefinitionStore for SqlStore {
    async fn insert_app(&self, app: &App) -> Result<()> {
        retrying(DEADLINE, || self.do_insert_app(app)).await
    }

    async fn app(&self, name: &str) -> Result<App> {
        within(DEADLINE, async {
            let app = apps::by_name(&mut *self.read().await?, self.dialect, name).await?;
            Ok(app.ok_or(ModelError::AppNotFound)?)
        })
        .await
    }

    async fn app_by_id(&self, id: AppId) -> Result<Option<App>> {
        within(DEADLINE, async { apps::by_id(&mut *self.read().await?, self.dialect, id).await }).await
    }

    async fn update_app(&self, name: &str, patch: AppPatch) -> Result<App> {
        retrying(DEADLINE, || self.do_update_app(name, patch.clone())).await
    }

    async fn remove_app(&self, name: &str) -> Result<App> {
        retrying(DEADLINE, || self.do_remove_app(name)).await
    }

    async fn apps(&self, page: &Page) -> Result<Vec<App>> {
        within(DEADLINE, async { apps::page(&mut *self.read().await?, self.dialect, page).await }).await
    }

    async fn insert_route(&self, app_name: &str, route: Route) -> Result<RouteChange> {
        retrying(DEADLINE, || self.do_insert_route(app_name, route.clone())).await
    }

    async fn upsert_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        retrying(DEADLINE, || self.do_upsert_route(app_name, path, patch.clone())).await
    }

    async fn update_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange> {
        retrying(DEADLINE, || self.do_update_route(app_name, path, patch.clone())).await
    }

    async fn remove_route(&self, app_name: &str, path: &str) -> Result<RemovedRoute> {
        retrying(DEADLINE, || self.do_remove_route(app_name, path)).await
    }

    async fn route(&self, app_name: &str, path: &str) -> Result<Route> {
        within(DEADLINE, self.do_route(app_name, path)).await
    }

    async fn routes(&self, app_name: &str, image: Option<&str>, page: &Page) -> Result<Vec<Route>> {
        within(DEADLINE, self.do_routes(app_name, image, page)).await
    }

    async fn resolve(&self, app_name: &str, path: &str) -> Result<Arc<Resolved>> {
        let found = within(DEADLINE, self.do_resolve(app_name, path)).await?;
        found.into_result()
    }

    async fn function(&self, id: FnId) -> Result<Option<Function>> {
        within(DEADLINE, async { functions::function(&mut *self.read().await?, self.dialect, id).await }).await
    }

    async fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>> {
        within(DEADLINE, async { functions::trigger(&mut *self.read().await?, self.dialect, id).await }).await
    }

    async fn ping(&self) -> Result<()> {
        within(DEADLINE, async {
            let query = sqlx::query(self.dialect.sql("SELECT 1"));
            query.execute(&mut *self.read().await?).await?;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Datastore for SqlStore {
    fn queue(self: Arc<Self>) -> Arc<dyn QueueStore> {
        self
    }

    async fn removed_app(&self) -> Result<Option<AppId>> {
        within(DEADLINE, self.do_removed_app()).await
    }

    async fn take_duty(&self, duty: Duty, node: Node, time: Duration) -> Result<bool> {
        retrying(DEADLINE, || self.do_take_duty(duty, node, time)).await
    }

    async fn close(&self) {
        self.do_close().await;
    }
}

/// Every operation has an end, also when the database hangs.
async fn within<T>(limit: Duration, operation: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(limit, operation).await {
        Ok(result) => result,
        Err(late) => Err(Error::Unavailable(late.into())),
    }
}

/// As [`within`], for a transaction, which is begun again when another one came in its way.
async fn retrying<T, F: Future<Output = Result<T>>>(limit: Duration, operation: impl Fn() -> F) -> Result<T> {
    within(limit, async {
        for wait in Backoff::new(Duration::from_millis(4), Duration::from_millis(250)).take(10) {
            match operation().await {
                Err(error) if is_conflict(&error) => {
                    tracing::debug!(error = error.chain(), "a transaction is begun again");
                    sleep(wait).await;
                }
                other => return other,
            }
        }
        operation().await
    })
    .await
}

/// A value for a column or parameter that holds JSON.
fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Refused(error.into()))
}
