//! What an embedder adds to the server: listeners of apps, layers around every endpoint, endpoints of its own
//! (v1 contract B.10, without its faults: see A and B.13.2 AE, AI to AK).

mod endpoints;
mod layers;
mod listeners;

use std::sync::Arc;

pub use endpoints::{EndpointRequest, Params, WrongEndpoint};
pub use layers::{HttpService, Next};
pub use listeners::AppListener;

pub(crate) use endpoints::{Endpoints, Found};
pub(crate) use layers::Layers;

/// All of it. Nothing, as it is made.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    pub(crate) app_listeners: Vec<Arc<dyn AppListener>>,
    pub(crate) layers: Layers,
    pub(crate) endpoints: Endpoints,
}

impl Extensions {
    /// Adds a listener of apps. They are asked and told in the order in which they were added.
    pub fn listen_to_apps(&mut self, listener: Arc<dyn AppListener>) {
        self.app_listeners.push(listener);
    }
}
