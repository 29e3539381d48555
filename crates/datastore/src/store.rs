//! What the rest of Hearth may ask of a store, whatever database is behind it.
//!
//! A [`CallStore`] keeps calls and their logs, a [`History`] lets go of them again, a [`DefinitionStore`] keeps apps,
//! functions and triggers. The recorder needs only the first, the keeper the second, the call path the third, and one
//! SQL database is all of them: a [`Datastore`]. A [`LogStore`] keeps nothing but logs, so that a directory can be one.

use std::fmt::Debug;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_models::{
    App, AppId, AppPatch, Call, CallFilter, CallId, FnId, Function, InstanceId, Page, Route, RoutePatch, ServerId,
    Trigger, TriggerId,
};

use crate::{Catalog, QueueStore, Result};

/// Who writes: a data directory and the process that owns it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The data directory, over all restarts.
    pub server_id: ServerId,
    /// This process.
    pub instance_id: InstanceId,
}

/// A call to be stored, and what it wrote if it has ended.
#[derive(Clone, Debug)]
pub struct Record {
    /// The call with its stats.
    pub call: Call,
    /// What its function wrote to stderr; `None` leaves the log as it is.
    pub log: Option<Bytes>,
}

/// What became of a group of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Records that are now in the store; those that were there before count too.
    pub stored: usize,
    /// Records of apps that are gone, which were let go.
    pub discarded: usize,
    /// Results of asynchronous calls whose attempt had lost its lease, which were let go: the call has ended
    /// otherwise, or another attempt ends it.
    pub superseded: usize,
    /// Which of the group were discarded or superseded: their places in it, ascending.
    pub let_go: Vec<usize>,
}

/// The log of one call.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// The app of the call.
    pub app_id: AppId,
    /// The call.
    pub call_id: CallId,
    /// Its bytes; they need not be text.
    pub log: Bytes,
}

/// Everything needed to run a function.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The app.
    pub app: Arc<App>,
    /// The function.
    pub function: Arc<Function>,
    /// The trigger that was asked for; none when it was the function.
    pub trigger: Option<Arc<Trigger>>,
    /// The source of the function's oldest trigger, which is `FN_PATH` in its environment. Empty without one.
    pub fn_path: Arc<str>,
}

/// A route as it is after a change.
#[derive(Clone, Debug)]
pub struct RouteChange {
    /// The complete route.
    pub route: Route,
    /// Its app.
    pub app_id: AppId,
    /// Its function.
    pub fn_id: FnId,
    /// Whether the route is new.
    pub created: bool,
    /// Whether containers of its function are out of date: what they are made from is not what it was.
    pub function_changed: bool,
    /// The app, when it was made for this route.
    pub new_app: Option<App>,
}

/// A route that was removed.
#[derive(Clone, Debug)]
pub struct RemovedRoute {
    /// The route as it was.
    pub route: Route,
    /// Its app.
    pub app_id: AppId,
    /// The function it led to.
    pub fn_id: FnId,
    /// Whether the function went with it.
    pub function_removed: bool,
}

/// Keeps what calls wrote, and knows nothing else of them.
#[async_trait]
pub trait LogStore: Debug + Send + Sync {
    /// Stores logs. A call that has one already keeps the first.
    async fn put(&self, logs: &[LogEntry]) -> Result<()>;

    /// The log of a call, byte by byte as it was written, if it has one.
    async fn get(&self, app_id: AppId, call_id: CallId) -> Result<Option<Bytes>>;

    /// Deletes the logs of these calls. One that is not there is no error.
    async fn remove(&self, app_id: AppId, calls: &[CallId]) -> Result<()>;

    /// Deletes up to `at_most` logs of an app, whatever calls they are of. Returns whether there may be more.
    async fn purge(&self, app_id: AppId, at_most: usize) -> Result<bool>;

    /// Closes the store's connections, once what runs on them is done.
    async fn close(&self);
}

/// Which calls of an app are kept. Those that have not ended always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Only calls younger than this.
    pub age: Option<Duration>,
    /// Only so many, the newest.
    pub calls: Option<NonZeroU64>,
}

/// Keeps calls with their stats, and their logs.
#[async_trait]
pub trait CallStore: Debug + Send + Sync {
    /// Stores a group in one transaction, with one statement per table whatever its size.
    ///
    /// Doing it again changes nothing, so a caller that does not know whether a commit succeeded repeats it. A call
    /// that has ended in the store stays as it ended. Records of apps that are gone are discarded.
    ///
    /// Of an asynchronous call only the result is recorded, and only while the attempt that it names holds the lease;
    /// the call leaves the [queue](QueueStore) with it. Until then the queue keeps its state.
    ///
    /// # Errors
    /// [`Refused`](crate::Error::Refused) when some record of the group is refused; nothing of the group is stored then.
    async fn record(&self, node: Node, records: &[Arc<Record>]) -> Result<Recorded>;

    /// One call.
    ///
    /// # Errors
    /// `CallNotFound`, also when the call is of another app.
    async fn call(&self, app_id: AppId, call_id: CallId) -> Result<Call>;

    /// A page of an app's calls, newest first; empty when there is no such app.
    async fn calls(&self, app_id: AppId, filter: &CallFilter) -> Result<Vec<Call>>;

    /// The log of a call, byte by byte as it was written.
    ///
    /// # Errors
    /// `LogNotFound` when the call is of another app or has not ended.
    async fn log(&self, app_id: AppId, call_id: CallId) -> Result<Bytes>;

    /// Closes, as failed by the platform, the synchronous calls that earlier instances of this server left open.
    /// Returns how many there were.
    async fn interrupt(&self, node: Node) -> Result<u64>;
}

/// Lets go of calls and their logs.
#[async_trait]
pub trait History: Debug + Send + Sync {
    /// The id from which on `retention` keeps the calls of an app; `None` when it keeps them all.
    async fn oldest_kept(&self, app_id: AppId, retention: Retention) -> Result<Option<CallId>>;

    /// Up to `at_most` calls of an app that have ended, oldest first, with ids after `after` and before `before`.
    async fn ended(&self, app_id: AppId, after: Option<CallId>, before: CallId, at_most: usize) -> Result<Vec<CallId>>;

    /// Removes a run of calls that [`ended`](Self::ended) found, with their logs. Returns how many were there still.
    async fn remove_calls(&self, app_id: AppId, calls: &[CallId]) -> Result<u64>;

    /// Deletes up to `at_most` calls and as many logs of a removed app, and at the end the note that it was removed.
    /// Returns whether there may be more.
    async fn purge(&self, app_id: AppId, at_most: usize) -> Result<bool>;
}

/// Keeps apps, functions and triggers.
///
/// Names and paths compare bytewise. Paths of routes are in cleaned form. What API v2 asks of it is its [`Catalog`].
#[async_trait]
pub trait DefinitionStore: Catalog {
    /// Stores a new app.
    ///
    /// # Errors
    /// `AppExists`.
    async fn insert_app(&self, app: &App) -> Result<()>;

    /// The app of this name.
    ///
    /// # Errors
    /// `AppNotFound`.
    async fn app(&self, name: &str) -> Result<App>;

    /// The app of this id, if it is there.
    async fn app_by_id(&self, id: AppId) -> Result<Option<App>>;

    /// Merges `patch` into an app and returns the whole. That it names no app is the caller's to check.
    ///
    /// # Errors
    /// `AppNotFound`.
    async fn update_app(&self, name: &str, patch: AppPatch) -> Result<App>;

    /// Removes an app with its functions and triggers; its name is free at once. Its calls and logs go in the
    /// background, by [`History::purge`].
    ///
    /// # Errors
    /// `AppNotFound`.
    async fn remove_app(&self, name: &str) -> Result<App>;

    /// A page of apps by name.
    async fn apps(&self, page: &Page) -> Result<Vec<App>>;

    /// Stores a new route, and its app if there is none of this name yet, in one transaction.
    ///
    /// # Errors
    /// `RouteExists`; what [`validate_app_name`](hearth_models::validate_app_name) says when the app had to be made.
    async fn insert_route(&self, app_name: &str, route: Route) -> Result<RouteChange>;

    /// Merges `patch` into the route at `path`, or makes the route (and its app) from it if there is none. That the
    /// patch names no other path is the caller's to check.
    ///
    /// # Errors
    /// What [`RoutePatch::apply`] and [`RoutePatch::create`] refuse, and the app name when it had to be made.
    async fn upsert_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange>;

    /// Merges `patch` into the route at `path`. That the patch names no other path is the caller's to check.
    ///
    /// # Errors
    /// `RouteNotFound`, also when there is no such app; what [`RoutePatch::apply`] refuses.
    async fn update_route(&self, app_name: &str, path: &str, patch: RoutePatch) -> Result<RouteChange>;

    /// Removes the route at `path`: its trigger, and its function if a route made it and no trigger is left.
    ///
    /// # Errors
    /// `RouteNotFound`, also when there is no such app.
    async fn remove_route(&self, app_name: &str, path: &str) -> Result<RemovedRoute>;

    /// The route at `path`.
    ///
    /// # Errors
    /// `RouteNotFound`, also when there is no such app.
    async fn route(&self, app_name: &str, path: &str) -> Result<Route>;

    /// A page of an app's routes by path, only those with exactly this image if one is given.
    ///
    /// # Errors
    /// `AppNotFound`.
    async fn routes(&self, app_name: &str, image: Option<&str>, page: &Page) -> Result<Vec<Route>>;

    /// What to run for a request to `path` of an app.
    ///
    /// # Errors
    /// `AppNotFound`, `RouteNotFound`.
    async fn resolve(&self, app_name: &str, path: &str) -> Result<Arc<Resolved>>;

    /// The function of this id, if it is there.
    async fn function(&self, id: FnId) -> Result<Option<Function>>;

    /// The trigger of this id, if it is there.
    async fn trigger(&self, id: TriggerId) -> Result<Option<Trigger>>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<()>;
}

/// Work in the background that one server does for all that share a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Removes what is not kept: see [`Keeper`](crate::Keeper).
    Keeper,
}

/// Keeps everything: one database.
#[async_trait]
pub trait Datastore: DefinitionStore + CallStore + History {
    /// The queue of asynchronous calls.
    fn queue(self: Arc<Self>) -> Arc<dyn QueueStore>;

    /// A removed app that has left calls or logs behind, if there is one.
    async fn removed_app(&self) -> Result<Option<AppId>>;

    /// Takes a duty, or takes it again, for so long. False: another server has it.
    async fn take_duty(&self, duty: Duty, node: Node, time: Duration) -> Result<bool>;

    /// Closes the store's connections, once what runs on them is done.
    async fn close(&self);
}
