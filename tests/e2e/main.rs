//! The real binary with a real engine, from outside: what the client saw, what the record says, and that nothing is
//! left behind.
//!
//! Every test starts a server of its own on a directory and a port of its own. Containers carry their server's id,
//! so tests run side by side on one engine, and beside a Hearth in use. They need Docker and the images of the fixture
//! (`scripts/docker.sh`, `scripts/functions.sh fixture`; `make test` runs both first).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests too"
)]

mod support;

mod clients;
mod crash;
mod doors;
mod engine;
mod first_calls;
mod formats;
mod freeze;
mod images;
mod isolation;
mod kits;
mod logs;
mod management;
mod mariadb;
mod operations;
mod outcomes;
mod packages;
mod postgres;
mod queue;
mod registries;
mod sockets;
mod stream;
mod syslog;
mod traces;
