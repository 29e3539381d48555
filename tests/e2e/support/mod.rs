//! What the tests stand on.

mod client;
mod collector;
mod docker;
mod eventually;
mod mariadb;
mod postgres;
mod private_engine;
mod record;
mod registry;
mod route;
mod server;

pub(crate) use client::{Reply, Request};
pub(crate) use collector::{Collector, Tree};
pub(crate) use docker::{Engine, FIXTURE};
pub(crate) use eventually::eventually;
pub(crate) use mariadb::MariaDb;
pub(crate) use postgres::{Cut, Postgres};
pub(crate) use private_engine::PrivateEngine;
pub(crate) use record::{MEASURES, Record};
pub(crate) use registry::{Mood, Registry};
pub(crate) use server::{APP, Options, Server};

use std::time::Duration;

/// Longer than anything here takes on a busy machine, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
