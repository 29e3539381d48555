//! A database of its own for a test, on a server that all tests of a run share. scripts/databases.sh starts the servers
//! when nextest begins and removes them when it ends.

use hearth_models::CallId;
use sqlx::any::install_default_drivers;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// A kind of server, and a database on it.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    pub(crate) async fn postgres() -> Self {
        Self::create("HEARTH_TEST_POSTGRES").await
    }

    pub(crate) async fn mariadb() -> Self {
        Self::create("HEARTH_TEST_MARIADB").await
    }

    async fn create(variable: &str) -> Self {
        install_default_drivers();
        let Ok(server) = std::env::var(variable) else {
            panic!("{variable} is not set: run the tests with cargo nextest, which starts the databases");
        };
        let name = format!("t_{}", CallId::generate().to_string().to_lowercase());
        let database = Self { server, name };
        database.administrate("CREATE DATABASE").await;
        database
    }

    pub(crate) fn url(&self) -> String {
        // The server's URL ends in the database where administrators begin.
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    /// Removes it. Where a test failed before, it goes with the server.
    pub(crate) async fn remove(self) {
        self.administrate("DROP DATABASE").await;
    }

    async fn administrate(&self, what: &str) {
        let mut on = AnyConnection::connect(&self.server).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("{what} {}", self.name))).execute(&mut on).await.unwrap();
        on.close().await.unwrap();
    }
}
