//! A MariaDB for one test.

use std::time::Duration;

use super::docker::Engine;
use super::eventually::eventually;
use super::postgres::{Container, OWNER};

/// Made by scripts/databases.sh.
const IMAGE: &str = "hearth/mariadb:test";
/// A container, an initial database, and a start, on a busy machine.
const STARTING: Duration = Duration::from_secs(90);

/// A MariaDB server with an empty database.
#[derive(Debug)]
pub(crate) struct MariaDb {
    container: Container,
    place: String,
}

impl MariaDb {
    pub(crate) async fn start() -> Self {
        let engine = Engine::default();
        let owner = format!("{OWNER}={}", std::process::id());
        let run = ["run", "--detach", "--label", &owner, "--publish", "127.0.0.1::3306"];
        let settings = ["--env", "MARIADB_ROOT_PASSWORD=secret", "--env", "MARIADB_DATABASE=hearth", IMAGE];
        let id = engine.docker(&[&run[..], &settings].concat()).await;
        let container = Container { id, engine };
        let place = container.engine.docker(&["port", &container.id, "3306"]).await;
        let maria = Self { container, place };
        eventually(STARTING, "MariaDB answers", async || maria.try_query("SELECT 1").await.map(drop)).await;
        maria
    }

    /// What a server is given as its `FN_DB_URL`.
    pub(crate) fn url(&self) -> String {
        format!("mysql://root:secret@{}/hearth", self.place)
    }

    /// The one value that a query gives.
    pub(crate) async fn query(&self, sql: &str) -> String {
        self.try_query(sql).await.unwrap()
    }

    async fn try_query(&self, sql: &str) -> Result<String, String> {
        let client = ["mariadb", "--host=127.0.0.1", "--user=root", "--password=secret", "--skip-column-names"];
        let ask = [&["exec", &*self.container.id], &client[..], &["hearth", "--execute", sql]].concat();
        let output = self.container.engine.try_docker(&ask).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}
