//! A look at a database that changes nothing, for who wants to know what opening it would do.

use sqlx::any::{AnyConnectOptions, install_default_drivers};
use sqlx::{AnyConnection, ConnectOptions, Connection, Row};
use tokio::time::timeout;

use super::one_line;
use super::server::{FIRST, options};
use crate::sql::dialect::Dialect;
use crate::sql::url::{Target, sqlite_read_only_url};
use crate::{Error, Result};

/// What opening a database would find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// Nothing of ours: opening makes it.
    New,
    /// A schema that this version understands; older ones are brought up to date when it is opened.
    Schema {
        /// The number of the schema.
        found: i64,
        /// The number that this version brings it to.
        known: i64,
    },
}

/// Connects to the database that `url` names and looks at its schema.
///
/// # Errors
/// As [`open`](super::open), for the same reasons and in the same words.
pub async fn inspect(url: &str) -> Result<Inspected> {
    match Target::parse(url)? {
        Target::Sqlite(path) => {
            let cannot = |why: String| Error::Config(format!("cannot open database {}: {why}", path.display()));
            let absolute = std::path::absolute(&path).map_err(|error| cannot(error.to_string()))?;
            if !absolute.try_exists().map_err(|error| cannot(error.to_string()))? {
                return Ok(Inspected::New);
            }
            install_default_drivers();
            let options: AnyConnectOptions =
                sqlite_read_only_url(&absolute)?.parse().map_err(|error: sqlx::Error| cannot(one_line(&error)))?;
            look(&options, Dialect::Sqlite, &path.display().to_string()).await
        }
        Target::Server(server) => look(&options(&server)?, server.dialect, &server.shown).await,
    }
}

async fn look(options: &AnyConnectOptions, dialect: Dialect, name: &str) -> Result<Inspected> {
    let cannot = |why: String| Error::Config(format!("cannot open database {name}: {why}"));
    let options = options.clone().disable_statement_logging();
    let looking = async {
        let mut connection = options.connect().await?;
        // Without the table there is nothing of ours.
        let found = highest(&mut connection).await.ok();
        // Only a question of who hears of it.
        connection.close().await.ok();
        Ok::<_, sqlx::Error>(found)
    };
    let found = timeout(FIRST, looking).await.map_err(|_| cannot("it does not answer".to_owned()))?;
    let found = found.map_err(|error| cannot(one_line(&error)))?;
    let known = dialect.migrations().iter().map(|migration| migration.version).max().unwrap_or_default();
    match found {
        None => Ok(Inspected::New),
        Some(found) if found > known => Err(Error::Config(format!(
            "database {name} is from a newer version of Hearth: its schema is {found}, this program knows {known}"
        ))),
        Some(found) => Ok(Inspected::Schema { found, known }),
    }
}

async fn highest(on: &mut AnyConnection) -> sqlx::Result<i64> {
    sqlx::query("SELECT max(version) FROM _sqlx_migrations").fetch_one(on).await?.try_get(0)
}
