//! The vocabulary of Hearth: the words that every other crate speaks.
//!
//! An [`App`] owns [`Function`]s (a container image and how to run it) and [`Trigger`]s (an HTTP path that
//! leads to a function). A [`Route`] is the view that API v1 has of one trigger together with its function.
//! A [`Call`] is one execution and what became of it; its [`Stat`]s are the histogram of what it used.
//!
//! This crate does no I/O. It holds what must be the same everywhere: ids, states and their transitions,
//! limits, merge rules, the exact messages of the contract and the status each of them answers with.

mod annotations;
mod app;
mod call;
mod config;
mod error;
mod format;
mod function;
mod headers;
mod ids;
pub mod json;
mod page;
mod path;
mod priority;
mod route;
mod stats;
mod time;
mod trigger;
pub mod v2;

pub use annotations::{Annotations, AnnotationsPatch};
pub use app::{App, AppPatch, validate_app_name};
pub use call::{Call, CallFilter, InvalidTransition, Reason, Status, StoredState};
pub use config::{Config, ConfigPatch};
pub use error::Error;
pub use format::{CallType, Format, UnknownWord};
pub use function::{Function, FunctionLimits};
pub use headers::{Headers, HeadersPatch, canonical_header_name};
pub use ids::{AppId, CallId, FnId, IdText, InstanceId, InvalidId, ServerId, TriggerId};
pub use page::{Cursor, Page, PerPage};
pub use path::clean_path;
pub use priority::{InvalidPriority, Priority};
pub use route::{Route, RoutePatch};
pub use stats::{MAX_POINTS, Metrics, Stat, decimate};
pub use time::{InvalidTime, Timestamp, WholeSeconds};
pub use trigger::Trigger;
