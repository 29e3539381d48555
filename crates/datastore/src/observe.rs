//! What the store was asked and how long it took, for whoever keeps metrics and traces.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hearth_models::CallType;
use tokio::time::Instant;

use crate::Record;

/// Something the store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum StoreOperation {
    GetApp,
    GetApps,
    InsertApp,
    UpdateApp,
    RemoveApp,
    GetRoute,
    GetRoutes,
    InsertRoute,
    UpdateRoute,
    RemoveRoute,
    GetFunction,
    GetFunctions,
    InsertFunction,
    UpdateFunction,
    RemoveFunction,
    GetTrigger,
    GetTriggers,
    InsertTrigger,
    UpdateTrigger,
    RemoveTrigger,
    InsertCall,
    GetCall,
    GetCalls,
    InsertLog,
    GetLog,
    Push,
    Reserve,
    Renew,
    Release,
    Advance,
    Delete,
    Cancel,
    Dead,
    Redrive,
}

/// Is told of every question to the store that had to go there, whatever came of it. It must only count.
pub trait StoreObserver: Debug + Send + Sync + 'static {
    /// The store was asked; `took` is the time until its answer.
    fn asked(&self, operation: StoreOperation, took: Duration);

    /// A group of records was written, or given up, after so long.
    fn flushed(&self, took: Duration);

    /// What became of these records is known: they no longer wait for the store.
    fn settled(&self, records: &[Arc<Record>]);
}

/// The observer, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Observed(pub Option<Arc<dyn StoreObserver>>);

// === impl StoreOperation ===

impl StoreOperation {
    /// Every operation there is.
    pub const ALL: [Self; 34] = [
        Self::GetApp,
        Self::GetApps,
        Self::InsertApp,
        Self::UpdateApp,
        Self::RemoveApp,
        Self::GetRoute,
        Self::GetRoutes,
        Self::InsertRoute,
        Self::UpdateRoute,
        Self::RemoveRoute,
        Self::GetFunction,
        Self::GetFunctions,
        Self::InsertFunction,
        Self::UpdateFunction,
        Self::RemoveFunction,
        Self::GetTrigger,
        Self::GetTriggers,
        Self::InsertTrigger,
        Self::UpdateTrigger,
        Self::RemoveTrigger,
        Self::InsertCall,
        Self::GetCall,
        Self::GetCalls,
        Self::InsertLog,
        Self::GetLog,
        Self::Push,
        Self::Reserve,
        Self::Renew,
        Self::Release,
        Self::Advance,
        Self::Delete,
        Self::Cancel,
        Self::Dead,
        Self::Redrive,
    ];

    /// The name that the contract gives the span of this operation (v1 contract B.9.2), or one like it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetApp => "ds_get_app",
            Self::GetApps => "ds_get_apps",
            Self::InsertApp => "ds_insert_app",
            Self::UpdateApp => "ds_update_app",
            Self::RemoveApp => "ds_remove_app",
            Self::GetRoute => "ds_get_route",
            Self::GetRoutes => "ds_get_routes_by_app",
            Self::InsertRoute => "ds_insert_route",
            Self::UpdateRoute => "ds_update_route",
            Self::RemoveRoute => "ds_remove_route",
            Self::GetFunction => "ds_get_fn_by_id",
            Self::GetFunctions => "ds_get_fns",
            Self::InsertFunction => "ds_insert_fn",
            Self::UpdateFunction => "ds_update_fn",
            Self::RemoveFunction => "ds_remove_fn",
            Self::GetTrigger => "ds_get_trigger_by_id",
            Self::GetTriggers => "ds_get_triggers",
            Self::InsertTrigger => "ds_insert_trigger",
            Self::UpdateTrigger => "ds_update_trigger",
            Self::RemoveTrigger => "ds_remove_trigger",
            Self::InsertCall => "ds_insert_call",
            Self::GetCall => "ds_get_call",
            Self::GetCalls => "ds_get_calls",
            Self::InsertLog => "ds_insert_log",
            Self::GetLog => "ds_get_log",
            Self::Push => "mq_push",
            Self::Reserve => "mq_reserve",
            Self::Renew => "mq_renew",
            Self::Release => "mq_release",
            Self::Advance => "mq_advance",
            Self::Delete => "mq_delete",
            Self::Cancel => "mq_cancel",
            Self::Dead => "mq_get_dead",
            Self::Redrive => "mq_redrive",
        }
    }
}

// === impl Observed ===

impl Observed {
    /// Waits for the answer to `question`.
    pub async fn ask<T>(&self, operation: StoreOperation, question: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = question.await;
        if let Some(observer) = &self.0 {
            observer.asked(operation, began.elapsed());
        }
        answer
    }

    /// The same for a group of records, which holds calls and may hold logs.
    pub(crate) async fn record<T>(&self, group: &[Arc<Record>], question: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = question.await;
        if let Some(observer) = &self.0 {
            let took = began.elapsed();
            observer.asked(StoreOperation::InsertCall, took);
            if group.iter().any(|record| record.log.as_ref().is_some_and(|log| !log.is_empty())) {
                observer.asked(StoreOperation::InsertLog, took);
            }
            // With its result a queued call leaves the queue.
            if group.iter().any(|record| record.call.call_type == CallType::Async) {
                observer.asked(StoreOperation::Delete, took);
            }
        }
        answer
    }

    pub(crate) fn flushed(&self, took: Duration) {
        if let Some(observer) = &self.0 {
            observer.flushed(took);
        }
    }

    pub(crate) fn settled(&self, records: &[Arc<Record>]) {
        if let Some(observer) = &self.0 {
            observer.settled(records);
        }
    }
}
