//! Hearth, a server that runs container images as functions: [`run`] is the `hearth` command, [`Server`] the same inside
//! another program.
//!
//! What an embedder needs of the other crates is here under their short names.

mod call;
mod check;
mod clean;
mod cli;
mod command;
mod data_dir;
mod embed;
mod ledger;
mod logging;
mod open_files;
mod process;
mod queue_metrics;
mod ready;
mod settings;
mod signals;
mod spans;
mod stores;
mod traces;
mod units;
mod wiring;

pub use command::run;
pub use embed::{Builder, Server, StartError};
pub use hearth_agent::{Agent, CallListener, Invocation, ListenerError};
pub use hearth_server::{
    AppListener, Body, EndpointRequest, HttpService, LogLevel, Next, Params, Request, Response, WrongEndpoint,
    error_response,
};
pub use {
    hearth_datastore as datastore, hearth_drivers as drivers, hearth_models as models, hearth_queue as queue, http,
    prometheus,
};
