//! Asynchronous calls: how fast they are accepted and worked off, how soon one begins, and what it costs to wait.
//!
//! Each on a server of its own, on SQLite and on Postgres, whose 202 means that the call is on the disk.

mod accept;
mod backlog;
mod drain;
mod idle;
mod start;

use anyhow::Result;

use crate::bench::Bench;
use crate::stage::Place;

pub(crate) use accept::run as accept;
pub(crate) use drain::run as drain;
pub(crate) use idle::run as idle;
pub(crate) use start::run as start;

/// As many clients, and sync callers.
const CLIENTS: usize = 64;

/// Servers that are never too full.
const UNBOUNDED: [&str; 2] = ["--max-queued-per-app", "100000000"];

/// The databases that there are, with an empty place in each.
fn places(bench: &Bench) -> Result<Vec<(&'static str, Place)>> {
    let mut places = vec![("SQLite", bench.stage.sqlite()?)];
    places.extend(bench.stage.postgres()?.map(|place| ("Postgres", place)));
    Ok(places)
}
