//! The stores that the settings name, as their users need them.

use std::sync::Arc;

use hearth_datastore::{CallStore, Datastore, Error, History, LogStore, LogsElsewhere, open, open_logs};

use crate::settings::Data;

/// What keeps everything. Where logs are kept elsewhere, `calls` and `history` are the database and that in one.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) database: Arc<dyn Datastore>,
    pub(crate) calls: Arc<dyn CallStore>,
    pub(crate) history: Arc<dyn History>,
    logs: Option<Arc<dyn LogStore>>,
}

impl Stores {
    /// Those of the settings, unless an embedder has its own.
    pub(crate) async fn open(
        settings: &Data,
        database: Option<Arc<dyn Datastore>>,
        logs: Option<Arc<dyn LogStore>>,
    ) -> Result<Self, Error> {
        let database = match database {
            Some(database) => database,
            None => open(&settings.database_url).await?,
        };
        let logs = match (logs, &settings.logs_url) {
            (Some(logs), _) => logs,
            (None, Some(url)) => open_logs(url).await?,
            (None, None) => {
                let (calls, history) = (Arc::clone(&database) as _, Arc::clone(&database) as _);
                return Ok(Self { database, calls, history, logs: None });
            }
        };
        let both = Arc::new(LogsElsewhere::new(Arc::clone(&database), Arc::clone(&logs)));
        Ok(Self { database, calls: Arc::clone(&both) as _, history: both, logs: Some(logs) })
    }

    /// Closes them, once what runs on them is done.
    pub(crate) async fn close(&self) {
        if let Some(logs) = &self.logs {
            logs.close().await;
        }
        self.database.close().await;
    }
}
