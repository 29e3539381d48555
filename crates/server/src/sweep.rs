//! Series of what is gone. What is removed through this server takes its series along at once; what was removed through
//! another one is found here.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_agent::{Key, Labels};
use hearth_models::{Error, v2};
use tokio_util::sync::CancellationToken;

use crate::api::Api;

/// Looks through all series, time and again, until `stop`.
pub(crate) async fn run(api: Arc<Api>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(api.settings.sweep)).await.is_some() {
        stop.run_until_cancelled(sweep(&api)).await.unwrap_or_default();
    }
}

/// Forgets what the store says is not there. While it does not answer nothing is forgotten.
async fn sweep(api: &Api) {
    let metrics = api.agent.metrics();
    let mut gone: HashMap<Key, Labels> = HashMap::new();
    for (key, labels) in metrics.known() {
        if is_gone(api, &key, &labels).await {
            gone.insert(key, labels);
        }
    }
    // What a call has begun under another label meanwhile stays.
    metrics.forget(|key, labels| gone.get(key) == Some(labels));
}

/// Nothing is there under these labels: no such trigger, or one of another path, and the same for a function that is
/// called without one.
async fn is_gone(api: &Api, key: &Key, labels: &Labels) -> bool {
    let Some(trigger) = key.trigger else {
        return match api.datastore.resolve_function(key.function).await {
            Ok(found) if found.fn_path.is_empty() => labels.path != labels.function,
            Ok(found) => labels.path != found.fn_path,
            Err(error) => error.to_model() == Error::V2(v2::Error::FnNotFound),
        };
    };
    match api.datastore.trigger(trigger).await {
        Ok(found) => found.is_none_or(|trigger| trigger.source != *labels.path),
        Err(_) => false,
    }
}

impl Api {
    /// A path leads nowhere any more, or a function is gone that had none and goes by its name: its series go with it.
    pub(crate) fn forget_path(&self, app: &str, path: &str) {
        self.agent.metrics().forget(|_, labels: &Labels| (&*labels.app, &*labels.path) == (app, path));
    }

    /// An app is gone, and all its series.
    pub(crate) fn forget_app(&self, app: &str) {
        self.agent.metrics().forget(|_, labels: &Labels| &*labels.app == app);
    }
}
