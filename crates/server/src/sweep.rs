//! Series of what is gone. What is removed through this server takes its series along at once; what was removed through
//! another one, or was counted once more by a call that ended late, is found here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hearth_agent::{Key, Labels};
use hearth_models::Error;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::metrics::Served;

/// How often series are looked through.
const PERIOD: Duration = Duration::from_secs(60);

/// Looks through them until `stop`.
pub(crate) async fn run(api: Arc<Api>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        stop.run_until_cancelled(sweep(&api)).await.unwrap_or_default();
    }
}

/// Forgets what the store says is not there. While it does not answer nothing is forgotten.
async fn sweep(api: &Api) {
    for Served { app, path } in api.metrics.routes() {
        if path.starts_with('/') && is_gone(api, &app, &path).await {
            api.forget_route(&app, &path);
        }
    }
    let mut gone: HashSet<Key> = HashSet::new();
    for (key, _) in api.agent.metrics().known() {
        let there = match key.trigger {
            Some(trigger) => api.datastore.trigger(trigger).await.map(|found| found.is_some()),
            None => api.datastore.function(key.function).await.map(|found| found.is_some()),
        };
        if matches!(there, Ok(false)) {
            gone.insert(key);
        }
    }
    api.agent.metrics().forget(|key, _| gone.contains(key));
}

async fn is_gone(api: &Api, app: &str, path: &str) -> bool {
    match api.datastore.resolve(app, path).await {
        Ok(_) => false,
        Err(error) => matches!(error.to_model(), Error::AppNotFound | Error::RouteNotFound),
    }
}

impl Api {
    /// A route is gone, and its series with it.
    pub(crate) fn forget_route(&self, app: &str, path: &str) {
        self.metrics.forget_route(app, path);
        self.agent.metrics().forget(|_, labels: &Labels| (&*labels.app, &*labels.path) == (app, path));
    }

    /// An app is gone, and all its series.
    pub(crate) fn forget_app(&self, app: &str) {
        self.metrics.forget_app(app);
        self.agent.metrics().forget(|_, labels: &Labels| &*labels.app == app);
    }
}
