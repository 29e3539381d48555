//! The server through its front door: real connections, a real SQLite store, a real agent, scripted containers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod apps;
mod calls;
mod changes;
mod client;
mod cors;
#[path = "../../../../tests/description.rs"]
mod description;
mod errors;
mod execution;
mod extend;
mod hostile;
mod operations;
mod queue;
mod queued_calls;
mod redirects;
mod routes;
mod test_app;
mod transport;
mod v2;
