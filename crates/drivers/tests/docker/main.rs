//! The Docker driver against a real engine, and what all drivers promise against both of them.
//!
//! Every test has a server id of its own, so tests run side by side and beside a Hearth in use.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

mod containers;
mod engine;
mod fake;
mod http;
mod images;
mod leaks;
mod promises;
mod registry;
mod restart;
mod samples;
mod speed;
mod support;
mod tap;
