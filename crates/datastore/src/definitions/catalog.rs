//! The [`Catalog`] face of [`Definitions`]: one question answered from memory, all else passed on.

use std::sync::Arc;

use async_trait::async_trait;
use hearth_models::v2::{AppPatch, FnPatch, TriggerPatch};
use hearth_models::{App, AppId, FnId, Function, Trigger, TriggerId};

use super::{Definitions, Question};
use crate::{
    AppChange, Catalog, FunctionChange, FunctionFilter, Resolved, Result, StoreOperation, TriggerChange, TriggerFilter,
};

#[async_trait]
impl Catalog for Definitions {
    async fn update_app_by_id(&self, id: AppId, patch: AppPatch) -> Result<AppChange> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::UpdateApp, self.store.update_app_by_id(id, patch)).await
    }

    async fn remove_app_by_id(&self, id: AppId) -> Result<App> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::RemoveApp, self.store.remove_app_by_id(id)).await
    }

    async fn insert_function(&self, function: Function) -> Result<Function> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::InsertFunction, self.store.insert_function(function)).await
    }

    async fn update_function(&self, id: FnId, patch: FnPatch) -> Result<FunctionChange> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::UpdateFunction, self.store.update_function(id, patch)).await
    }

    async fn remove_function(&self, id: FnId) -> Result<(Function, Vec<Trigger>)> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::RemoveFunction, self.store.remove_function(id)).await
    }

    async fn functions(&self, filter: &FunctionFilter) -> Result<Vec<Function>> {
        self.observed.ask(StoreOperation::GetFunctions, self.store.functions(filter)).await
    }

    async fn insert_trigger(&self, trigger: &Trigger) -> Result<TriggerChange> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::InsertTrigger, self.store.insert_trigger(trigger)).await
    }

    async fn update_trigger(&self, id: TriggerId, patch: TriggerPatch) -> Result<TriggerChange> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::UpdateTrigger, self.store.update_trigger(id, patch)).await
    }

    async fn remove_trigger(&self, id: TriggerId) -> Result<TriggerChange> {
        let _changing = self.changing();
        self.observed.ask(StoreOperation::RemoveTrigger, self.store.remove_trigger(id)).await
    }

    async fn triggers(&self, filter: &TriggerFilter) -> Result<Vec<Trigger>> {
        self.observed.ask(StoreOperation::GetTriggers, self.store.triggers(filter)).await
    }

    async fn resolve_function(&self, id: FnId) -> Result<Arc<Resolved>> {
        self.lookup(Question::Function(id)).await
    }
}
