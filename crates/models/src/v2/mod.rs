//! What API v2 says of apps, functions and triggers: the requests it takes, the rules they are held to, in the
//! contract's order (v2 contract B.1.4 to B.1.7 with A), and what it refuses.
//!
//! The objects are those of API v1 too. So a change is held to the rules for what it changes only: the other door may
//! have set what this one would refuse, and such an object can be changed here all the same.

mod app;
mod error;
mod function;
mod members;
mod names;
mod syslog;
mod trigger;

pub use app::AppPatch;
pub use error::Error;
pub use function::FnPatch;
pub use trigger::{TriggerCursor, TriggerPatch};

/// The annotation under which API v2 shows where a function is invoked. It is never stored.
pub const INVOKE_ENDPOINT: &str = "fnproject.io/fn/invokeEndpoint";
/// The annotation under which API v2 shows where a trigger is called. It is never stored.
pub const HTTP_ENDPOINT: &str = "fnproject.io/trigger/httpEndpoint";
