//! The server through its front door: real connections, a real SQLite store, a real agent, scripted containers.

mod apps;
mod calls;
mod client;
mod cors;
mod errors;
mod execution;
mod hostile;
mod operations;
mod redirects;
mod routes;
mod test_app;
mod transport;
