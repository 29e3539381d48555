//! Everything Hearth keeps: apps, functions and triggers, the record of every call, and the logs.
//!
//! * [`open`] turns a `DB_URL` into a [`Datastore`]. All SQL of Hearth stands in this crate.
//! * [`Definitions`] is a [`DefinitionStore`] in front of another one that answers [`DefinitionStore::resolve`], the one
//!   question of the hot path, from memory.
//! * [`Catalog`] is how API v2 manages what a [`DefinitionStore`] keeps: by id.
//! * [`Recorder`] takes calls as they begin and end, shows them at once and writes them in groups.
//! * [`QueueStore`] keeps asynchronous calls until they have ended.
//! * [`open_logs`] turns a `LOGSTORE_URL` into a [`LogStore`], for logs that are kept elsewhere than the calls.
//! * [`Keeper`] removes in the background what is not kept: calls beyond their retention, and what removed apps left.

mod backoff;
mod catalog;
mod definitions;
mod error;
mod keeper;
mod logs;
mod observe;
mod queue;
mod recorder;
mod sql;
mod store;

pub use catalog::{AppChange, Catalog, FunctionChange, FunctionFilter, TriggerChange, TriggerFilter};
pub use definitions::{Definitions, DefinitionsSettings};
pub use error::{Error, Result, Source};
pub use keeper::{Keeper, KeeperSettings, KeeperWatch, Kept};
pub use logs::{LogsElsewhere, open_logs};
pub use observe::{Observed, StoreObserver, StoreOperation};
pub use queue::{
    Advanced, Cancelled, Depth, Lease, Leased, News, Payload, QueueStore, Standing, Submission, Terms, Verdict,
};
pub use recorder::{Counts, Recorder, RecorderService, RecorderSettings, Recording};
pub use sql::{Inspected, inspect, open};
pub use store::{
    CallStore, Datastore, DefinitionStore, Duty, History, LogEntry, LogStore, Node, Record, Recorded, RemovedRoute,
    Resolved, Retention, RouteChange,
};
