//! The HTTP doors of Hearth: API v1 and v2, the execution of functions, and what operators ask.
//!
//! [`Server::bind`] listens, [`Server::serve`] accepts; [`Serving::drain`] and [`Serving::close`] end it. A request goes
//! from the connection (`serve`) through CORS and the guard against panics (`api`) to the operation that its method
//! and path name (`paths`), and from there to a handler. Errors become responses in one place (`error`).
//!
//! The wire contracts are `v1-contract.md` and `v2-contract.md`; the modules name the sections they hold to.

mod abort;
mod alarm;
mod answer;
mod api;
mod cors;
mod error;
mod extend;
mod invoke;
mod json;
mod operations;
mod paths;
mod patient;
mod query;
mod readiness;
mod redirect;
mod request_body;
mod requests;
mod serve;
mod settings;
mod sniff;
mod sweep;
mod v1;
mod v2;
mod view;
mod wait;

pub use api::Parts;
pub use axum::body::Body;
pub use axum::extract::Request;
pub use axum::response::Response;
pub use cors::{Cors, CorsHeaders, InvalidHeader, InvalidOrigin};
pub use error::error_response;
pub use extend::{AppListener, EndpointRequest, Extensions, HttpService, Next, Params, WrongEndpoint};
pub use operations::{LogLevel, VERSION};
pub use readiness::Readiness;
pub use serve::{BindError, Server, Serving};
pub use settings::Settings;
