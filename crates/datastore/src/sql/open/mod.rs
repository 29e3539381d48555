//! Opening a store: the connections, the schema.

mod inspect;
mod server;
mod sqlite;

use std::fmt::Display;
use std::sync::Arc;

use sqlx::AnyConnection;
use sqlx::migrate::MigrateError;

use super::SqlStore;
use super::dialect::Dialect;
use super::url::Target;
use crate::{Datastore, Error, Result};

pub use inspect::{Inspected, inspect};
pub(super) use server::open_server;
pub(super) use sqlite::open_sqlite;
#[cfg(test)]
pub(super) use {server::options as server_options, sqlite::sqlite_options};

/// Opens the store that `url` names, and creates it or brings its schema up to date where needed.
///
/// # Errors
/// [`Error::Config`], one line without secrets: a URL that is wrong or of an unsupported kind, a file or directory that
/// cannot be made or opened, a server that cannot be reached or refuses the user, a database that this version does not
/// understand.
pub async fn open(url: &str) -> Result<Arc<dyn Datastore>> {
    Ok(Arc::new(open_sql(url).await?))
}

/// The same, with all its faces.
pub(crate) async fn open_sql(url: &str) -> Result<SqlStore> {
    match Target::parse(url)? {
        Target::Sqlite(path) => open_sqlite(&path).await,
        Target::Server(server) => open_server(&server).await,
    }
}

/// Brings the schema of the database called `name` up to date.
async fn migrate(on: &mut AnyConnection, dialect: Dialect, name: &impl Display) -> Result<()> {
    let migrations = dialect.migrations();
    let known = migrations.iter().map(|migration| migration.version).max();
    migrations.run(on).await.map_err(|error| {
        Error::Config(match error {
            MigrateError::VersionMissing(found) if Some(found) > known => format!(
                "database {name} is from a newer version of Hearth: its schema is {found}, this program knows {}",
                known.unwrap_or_default()
            ),
            other => format!("cannot prepare database {name}: {}", one_line(&other)),
        })
    })
}

/// An error as one line, whatever the database puts into its message.
fn one_line(error: &impl Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
