//! Apps, functions and triggers by id: how API v2 manages them. They are those of API v1, and a change here shows there.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use hearth_models::v2::{AppPatch, FnPatch, TriggerCursor, TriggerPatch};
use hearth_models::{App, AppId, FnId, Function, Page, PerPage, Trigger, TriggerId};

use crate::{Resolved, Result};

/// An app after a change.
#[derive(Clone, Debug)]
pub struct AppChange {
    /// The whole of it.
    pub app: App,
    /// Whether containers of its functions are out of date.
    pub outdated: bool,
}

/// A function after a change.
#[derive(Clone, Debug)]
pub struct FunctionChange {
    /// The whole of it.
    pub function: Function,
    /// Whether its containers are out of date.
    pub outdated: bool,
}

/// A trigger after a change.
#[derive(Clone, Debug)]
pub struct TriggerChange {
    /// The trigger; when it was removed, as it was.
    pub trigger: Trigger,
    /// The path that leads to it no more, if there is one.
    pub left: Option<String>,
    /// Functions whose containers are out of date, because their first path is another one.
    pub outdated: Vec<FnId>,
}

/// Which functions a list shows.
#[derive(Clone, Debug)]
pub struct FunctionFilter {
    /// Those of this app.
    pub app_id: AppId,
    /// Only the one of this name.
    pub name: Option<String>,
    /// Which page of them, by name.
    pub page: Page,
}

/// Which triggers a list shows.
#[derive(Clone, Debug)]
pub struct TriggerFilter {
    /// Those of this app.
    pub app_id: AppId,
    /// Only those of this function.
    pub fn_id: Option<FnId>,
    /// Only those of this name.
    pub name: Option<String>,
    /// By name, and by id where names are the same, from here on.
    pub after: TriggerCursor,
    /// At most this many.
    pub size: PerPage,
}

/// Keeps apps, functions and triggers under their ids. Every change is one transaction.
#[async_trait]
pub trait Catalog: Debug + Send + Sync {
    /// Merges `patch` into an app.
    ///
    /// # Errors
    /// `AppNotFound`; what [`AppPatch::apply`] refuses.
    async fn update_app_by_id(&self, id: AppId, patch: AppPatch) -> Result<AppChange>;

    /// Removes an app, as [`DefinitionStore::remove_app`](crate::DefinitionStore::remove_app) does.
    ///
    /// # Errors
    /// `AppNotFound`.
    async fn remove_app_by_id(&self, id: AppId) -> Result<App>;

    /// Stores a new function and returns it as it was stored, with the shape of its app.
    ///
    /// # Errors
    /// `AppNotFound`, then `FnExists`.
    async fn insert_function(&self, function: Function) -> Result<Function>;

    /// Merges `patch` into a function.
    ///
    /// # Errors
    /// `FnNotFound`; what [`FnPatch::apply`] refuses.
    async fn update_function(&self, id: FnId, patch: FnPatch) -> Result<FunctionChange>;

    /// Removes a function with its triggers. Returns it, and them.
    ///
    /// # Errors
    /// `FnNotFound`.
    async fn remove_function(&self, id: FnId) -> Result<(Function, Vec<Trigger>)>;

    /// A page of an app's functions by name; empty when there is no such app.
    async fn functions(&self, filter: &FunctionFilter) -> Result<Vec<Function>>;

    /// Stores a new trigger.
    ///
    /// # Errors
    /// `AppNotFound`, `FnNotFound`, `FnOfAnotherApp`, `SourceExists`, `TriggerExists`, whichever is first;
    /// `SourceTooLong`.
    async fn insert_trigger(&self, trigger: &Trigger) -> Result<TriggerChange>;

    /// Merges `patch` into a trigger.
    ///
    /// # Errors
    /// `TriggerNotFound`; what [`TriggerPatch::apply`] refuses; then what [`insert_trigger`](Self::insert_trigger) does.
    async fn update_trigger(&self, id: TriggerId, patch: TriggerPatch) -> Result<TriggerChange>;

    /// Removes a trigger. Its function stays.
    ///
    /// # Errors
    /// `TriggerNotFound`.
    async fn remove_trigger(&self, id: TriggerId) -> Result<TriggerChange>;

    /// A page of an app's triggers; empty when there is no such app.
    async fn triggers(&self, filter: &TriggerFilter) -> Result<Vec<Trigger>>;

    /// What to run for a direct invocation of a function.
    ///
    /// # Errors
    /// `FnNotFound`.
    async fn resolve_function(&self, id: FnId) -> Result<Arc<Resolved>>;
}
