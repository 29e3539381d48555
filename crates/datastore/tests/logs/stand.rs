//! Fresh log stores.

use std::sync::Arc;

use hearth_datastore::{LogStore, open_logs};
use tempfile::TempDir;

use crate::databases::Database;
use crate::s3::S3;

/// A log store and what must live as long as it.
pub(crate) struct Stand {
    pub(crate) logs: Arc<dyn LogStore>,
    pub(crate) url: String,
    pub(crate) directory: TempDir,
    s3: Option<S3>,
    database: Option<Database>,
}

impl Stand {
    /// The log store that `url` names.
    async fn open(url: String, directory: TempDir) -> Self {
        Self { logs: open_logs(&url).await.unwrap(), url, directory, s3: None, database: None }
    }

    async fn in_database(database: Database) -> Self {
        let stand = Self::open(database.url(), tempfile::tempdir().unwrap()).await;
        Self { database: Some(database), ..stand }
    }

    /// Closes the store and removes what is behind it.
    pub(crate) async fn remove(self) {
        self.logs.close().await;
        drop(self.s3);
        if let Some(database) = self.database {
            database.remove().await;
        }
    }
}

pub(crate) async fn sqlite() -> Stand {
    let directory = tempfile::tempdir().unwrap();
    Stand::open(format!("sqlite3://{}/logs.db", directory.path().display()), directory).await
}

pub(crate) async fn postgres() -> Stand {
    Stand::in_database(Database::postgres().await).await
}

pub(crate) async fn mariadb() -> Stand {
    Stand::in_database(Database::mariadb().await).await
}

pub(crate) async fn directory() -> Stand {
    let directory = tempfile::tempdir().unwrap();
    Stand::open(format!("file://{}/a/new%20one", directory.path().display()), directory).await
}

pub(crate) async fn bucket() -> Stand {
    let directory = tempfile::tempdir().unwrap();
    let s3 = S3::start(directory.path()).await;
    let stand = Stand::open(s3.url("logs-of-calls"), directory).await;
    Stand { s3: Some(s3), ..stand }
}
