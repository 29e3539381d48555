//! Listeners of apps, and what every door does before and after a change of one.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_agent::ListenerError;
use hearth_datastore::RouteChange;
use hearth_models::{App, AppPatch, Config, ConfigPatch, Error};
use tokio::time::timeout;

use crate::api::Api;
use crate::error::Failed;

/// Time for one listener to be asked, or told.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes part in changes of apps, whichever door they come by, and in the making of an app by its first route.
///
/// Who is asked before may change what is about to happen, or refuse it: nothing has happened then, and the client gets the
/// error. [`Error::Refused`] has a status and a text of the listener's own. Who is told after can change nothing; what it
/// fails at is logged and counted.
#[async_trait]
pub trait AppListener: Debug + Send + Sync + 'static {
    /// An app is about to be made. Where a route makes it, nothing but its configuration can be changed.
    async fn before_create(&self, app: &mut App) -> Result<(), Error> {
        let _unchanged = app;
        Ok(())
    }

    /// An app was made.
    async fn after_create(&self, app: &App) -> Result<(), ListenerError> {
        let _unread = app;
        Ok(())
    }

    /// An app, which is `app` now, is about to be changed. `config` is what is to become of its configuration.
    async fn before_update(&self, app: &App, config: &mut ConfigPatch) -> Result<(), Error> {
        let _unchanged = (app, config);
        Ok(())
    }

    /// An app was changed, and is `app` now.
    async fn after_update(&self, app: &App) -> Result<(), ListenerError> {
        let _unread = app;
        Ok(())
    }

    /// An app is about to be deleted.
    async fn before_delete(&self, app: &App) -> Result<(), Error> {
        let _unread = app;
        Ok(())
    }

    /// An app was deleted.
    async fn after_delete(&self, app: &App) -> Result<(), ListenerError> {
        let _unread = app;
        Ok(())
    }
}

impl Api {
    /// Stores a new app, as listeners left it.
    ///
    /// # Errors
    /// A listener refuses it; those of the store.
    pub(crate) async fn create_app(self: &Arc<Self>, mut app: App) -> Result<App, Failed> {
        self.change(async move |api| {
            for listener in api.app_listeners() {
                asked(listener.before_create(&mut app)).await?;
            }
            api.datastore.insert_app(&app).await?;
            api.told_of_creation(&app).await;
            Ok(app)
        })
        .await
    }

    /// An app is about to be changed; `found` is the app as it is, and not looked for where nobody listens.
    ///
    /// # Errors
    /// A listener refuses it; those of `found`.
    pub(crate) async fn before_update(
        &self,
        found: impl Future<Output = Result<App, Failed>>,
        config: &mut Option<ConfigPatch>,
    ) -> Result<(), Failed> {
        if self.app_listeners().is_empty() {
            return Ok(());
        }
        let (app, mut patch) = (found.await?, config.take().unwrap_or_default());
        for listener in self.app_listeners() {
            asked(listener.before_update(&app, &mut patch)).await?;
        }
        *config = Some(patch).filter(|patch| !patch.0.is_empty());
        Ok(())
    }

    /// An app was changed.
    pub(crate) async fn after_update(&self, app: &App) {
        for listener in self.app_listeners() {
            self.told("after_update", listener.after_update(app)).await;
        }
    }

    /// An app is about to be deleted; `found` as above.
    ///
    /// # Errors
    /// A listener refuses it; those of `found`.
    pub(crate) async fn before_delete(&self, found: impl Future<Output = Result<App, Failed>>) -> Result<(), Failed> {
        if self.app_listeners().is_empty() {
            return Ok(());
        }
        let app = found.await?;
        for listener in self.app_listeners() {
            asked(listener.before_delete(&app)).await?;
        }
        Ok(())
    }

    /// An app is gone: its containers go, what is counted of it, and listeners are told.
    pub(crate) async fn after_delete(&self, app: &App) {
        self.agent.app_changed(app.id);
        self.forget_app(&app.name);
        for listener in self.app_listeners() {
            self.told("after_delete", listener.after_delete(app)).await;
        }
    }

    /// Makes a route, with `store`, which makes its app too where there is none.
    ///
    /// # Errors
    /// A listener refuses the app; those of `store`.
    pub(crate) async fn make_route(
        &self,
        app_name: &str,
        store: impl Future<Output = hearth_datastore::Result<RouteChange>>,
    ) -> Result<RouteChange, Failed> {
        let expected = self.before_first_route(app_name).await?;
        let change = store.await?;
        if let Some(mut app) = change.new_app.clone() {
            // The store made it with nothing but its name.
            if let Some(config) = expected.filter(|config| !config.0.is_empty()) {
                let entries = config.0.into_iter().map(|(key, value)| (key, Some(value)));
                let patch = AppPatch { config: Some(ConfigPatch(entries.collect())), ..AppPatch::default() };
                app = self.datastore.update_app(app_name, patch).await?;
            }
            self.told_of_creation(&app).await;
        }
        Ok(change)
    }

    /// The configuration that listeners want for an app that a route is about to make.
    async fn before_first_route(&self, app_name: &str) -> Result<Option<Config>, Failed> {
        if self.app_listeners().is_empty() {
            return Ok(None);
        }
        match self.datastore.app(app_name).await {
            Ok(_) => Ok(None),
            Err(hearth_datastore::Error::Model(Error::AppNotFound)) => {
                let mut app = App::new(app_name, Config::default())?;
                for listener in self.app_listeners() {
                    asked(listener.before_create(&mut app)).await?;
                }
                Ok(Some(app.config))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn app_listeners(&self) -> &[Arc<dyn AppListener>] {
        &self.extensions.app_listeners
    }

    async fn told_of_creation(&self, app: &App) {
        for listener in self.app_listeners() {
            self.told("after_create", listener.after_create(app)).await;
        }
    }

    async fn told<E: Display>(&self, event: &str, told: impl Future<Output = Result<(), E>>) {
        let failures = self.agent.metrics().listener_failures();
        match timeout(PATIENCE, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failures.count(event, &error),
            Err(late) => failures.count(event, &late),
        }
    }
}

async fn asked(answer: impl Future<Output = Result<(), Error>>) -> Result<(), Failed> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(late) => Err(Failed::internal(late)),
    }
}
