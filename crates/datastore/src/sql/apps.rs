//! The table of apps.

use hearth_models::{App, AppId, Page};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::dialect::Dialect;
use super::error::unique;
use super::json;
use super::row::Reader;
use crate::{Error, Result};

/// The columns that [`read`] reads, of the table under the name `a`.
macro_rules! app_columns {
    () => {
        "a.id, a.name, a.config, a.annotations, a.syslog_url, a.shape, a.created_at, a.updated_at"
    };
}
pub(super) use app_columns;

pub(super) const BY_NAME: &str = concat!("SELECT ", app_columns!(), " FROM apps a WHERE a.name = $1");
pub(super) const BY_ID: &str = concat!("SELECT ", app_columns!(), " FROM apps a WHERE a.id = $1");
pub(super) const PAGE: &str =
    concat!("SELECT ", app_columns!(), " FROM apps a WHERE a.name > $1 ORDER BY a.name LIMIT $2");

pub(super) fn read(row: &mut Reader<'_>) -> Result<App> {
    Ok(App {
        id: row.parsed()?,
        name: row.get()?,
        config: row.json()?,
        annotations: row.json()?,
        syslog_url: row.get()?,
        shape: row.get()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

fn read_row(row: &AnyRow) -> Result<App> {
    read(&mut Reader::new(row))
}

pub(super) async fn by_name(on: &mut AnyConnection, dialect: Dialect, name: &str) -> Result<Option<App>> {
    let sql = dialect.sql(BY_NAME);
    let row = sqlx::query(sql).bind(name).fetch_optional(on).await?;
    row.as_ref().map(read_row).transpose()
}

/// The app, held against every other change of it, of its functions and of its triggers until the transaction ends.
pub(super) async fn lock(on: &mut AnyConnection, dialect: Dialect, name: &str) -> Result<Option<App>> {
    let sql = dialect.locking(BY_NAME);
    let row = sqlx::query(sql).bind(name).fetch_optional(on).await?;
    row.as_ref().map(read_row).transpose()
}

/// The same by id.
pub(super) async fn lock_by_id(on: &mut AnyConnection, dialect: Dialect, id: AppId) -> Result<Option<App>> {
    let sql = dialect.locking(BY_ID);
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(on).await?;
    row.as_ref().map(read_row).transpose()
}

pub(super) async fn by_id(on: &mut AnyConnection, dialect: Dialect, id: AppId) -> Result<Option<App>> {
    let sql = dialect.sql(BY_ID);
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(on).await?;
    row.as_ref().map(read_row).transpose()
}

pub(super) async fn page(on: &mut AnyConnection, dialect: Dialect, page: &Page) -> Result<Vec<App>> {
    let sql = dialect.sql(PAGE);
    let rows = sqlx::query(sql).bind(page.after.as_str()).bind(page.size.get() as i64).fetch_all(on).await?;
    rows.iter().map(read_row).collect()
}

pub(super) async fn insert(on: &mut AnyConnection, dialect: Dialect, app: &App) -> Result<()> {
    let sql = dialect.sql(
        "INSERT INTO apps (id, name, config, annotations, syslog_url, shape, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    let inserted = sqlx::query(sql)
        .bind(app.id.to_string())
        .bind(&*app.name)
        .bind(json(&app.config)?)
        .bind(json(&app.annotations)?)
        .bind(app.syslog_url.as_deref())
        .bind(&*app.shape)
        .bind(app.created_at.as_millis())
        .bind(app.updated_at.as_millis())
        .execute(on)
        .await;
    match inserted {
        Err(error) if unique(&error) => Err(hearth_models::Error::AppExists.into()),
        other => other.map(drop).map_err(Error::from),
    }
}

pub(super) async fn update(on: &mut AnyConnection, dialect: Dialect, app: &App) -> Result<()> {
    let sql =
        dialect.sql("UPDATE apps SET config = $1, annotations = $2, syslog_url = $3, updated_at = $4 WHERE id = $5");
    sqlx::query(sql)
        .bind(json(&app.config)?)
        .bind(json(&app.annotations)?)
        .bind(app.syslog_url.as_deref())
        .bind(app.updated_at.as_millis())
        .bind(app.id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Removes the app, its functions and its triggers.
pub(super) async fn delete(on: &mut AnyConnection, dialect: Dialect, id: AppId) -> Result<()> {
    for sql in [
        "DELETE FROM triggers WHERE app_id = $1",
        "DELETE FROM functions WHERE app_id = $1",
        "DELETE FROM apps WHERE id = $1",
    ] {
        sqlx::query(dialect.sql(sql)).bind(id.to_string()).execute(&mut *on).await?;
    }
    Ok(())
}
