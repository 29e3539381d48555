//! The tables of functions and triggers.

use std::collections::HashSet;

use hearth_models::v2::Error as Refusal;
use hearth_models::{AppId, Error as ModelError, FnId, Function, FunctionLimits, Trigger, TriggerId};
use sqlx::AnyConnection;

use super::dialect::Dialect;
use super::error::{too_long, unique};
use super::json;
use super::row::Reader;
use crate::{Error, Result};

/// The columns that [`read_function`] reads, of the table under the name `f`.
macro_rules! function_columns {
    () => {
        "f.id, f.app_id, f.name, f.image, f.format, f.type, f.memory_mb, f.timeout_secs, f.idle_timeout_secs, \
         f.config, f.annotations, f.shape, f.made_by_route, f.created_at, f.updated_at"
    };
}
pub(super) use function_columns;

/// The columns that [`read_trigger`] reads, of the table under the name `t`.
macro_rules! trigger_columns {
    () => {
        "t.id, t.app_id, t.fn_id, t.name, t.source, t.headers, t.annotations, t.created_at, t.updated_at"
    };
}
pub(super) use trigger_columns;

pub(super) const NAMES: &str = "SELECT name FROM functions WHERE app_id = $1 AND name >= $2 AND name < $3 \
         UNION SELECT name FROM triggers WHERE app_id = $4 AND name >= $5 AND name < $6";
pub(super) const DELETE_UNUSED: &str = "DELETE FROM functions WHERE id = $1 AND made_by_route = 1 \
         AND NOT EXISTS (SELECT 1 FROM triggers t WHERE t.fn_id = functions.id)";

pub(super) fn read_function(row: &mut Reader<'_>) -> Result<Function> {
    Ok(Function {
        id: row.parsed()?,
        app_id: row.parsed()?,
        name: row.get()?,
        image: row.get()?,
        format: row.parsed()?,
        call_type: row.parsed()?,
        limits: FunctionLimits {
            memory_mb: row.number()?,
            timeout_secs: row.number()?,
            idle_timeout_secs: row.number()?,
        },
        config: row.json()?,
        annotations: row.json()?,
        shape: row.get()?,
        made_by_route: row.number::<i64>()? != 0,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

pub(super) fn read_trigger(row: &mut Reader<'_>) -> Result<Trigger> {
    Ok(Trigger {
        id: row.parsed()?,
        app_id: row.parsed()?,
        fn_id: row.parsed()?,
        name: row.get()?,
        source: row.get()?,
        headers: row.json()?,
        annotations: row.json()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

pub(super) async fn function(on: &mut AnyConnection, dialect: Dialect, id: FnId) -> Result<Option<Function>> {
    let sql = dialect.sql(concat!("SELECT ", function_columns!(), " FROM functions f WHERE f.id = $1"));
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(on).await?;
    row.as_ref().map(|row| read_function(&mut Reader::new(row))).transpose()
}

pub(super) async fn trigger(on: &mut AnyConnection, dialect: Dialect, id: TriggerId) -> Result<Option<Trigger>> {
    let sql = dialect.sql(concat!("SELECT ", trigger_columns!(), " FROM triggers t WHERE t.id = $1"));
    let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(on).await?;
    row.as_ref().map(|row| read_trigger(&mut Reader::new(row))).transpose()
}

pub(super) async fn insert_function(on: &mut AnyConnection, dialect: Dialect, function: &Function) -> Result<()> {
    let sql = dialect.sql(
        "INSERT INTO functions (id, app_id, name, image, format, type, memory_mb, timeout_secs, idle_timeout_secs, \
         config, annotations, shape, made_by_route, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    );
    let limits = &function.limits;
    let inserted = sqlx::query(sql)
        .bind(function.id.to_string())
        .bind(function.app_id.to_string())
        .bind(&*function.name)
        .bind(&*function.image)
        .bind(function.format.as_str())
        .bind(function.call_type.as_str())
        .bind(bigint(limits.memory_mb)?)
        .bind(i64::from(limits.timeout_secs))
        .bind(i64::from(limits.idle_timeout_secs))
        .bind(json(&function.config)?)
        .bind(json(&function.annotations)?)
        .bind(&*function.shape)
        .bind(i16::from(function.made_by_route))
        .bind(function.created_at.as_millis())
        .bind(function.updated_at.as_millis())
        .execute(on)
        .await;
    match inserted {
        // Names that derive from paths are free: see `free_name`.
        Err(error) if unique(&error) => Err(Refusal::FnExists.into()),
        other => other.map(drop).map_err(Error::from),
    }
}

pub(super) async fn update_function(on: &mut AnyConnection, dialect: Dialect, function: &Function) -> Result<()> {
    let sql = dialect.sql(
        "UPDATE functions SET image = $1, format = $2, type = $3, memory_mb = $4, timeout_secs = $5, \
         idle_timeout_secs = $6, config = $7, annotations = $8, updated_at = $9 WHERE id = $10",
    );
    let limits = &function.limits;
    sqlx::query(sql)
        .bind(&*function.image)
        .bind(function.format.as_str())
        .bind(function.call_type.as_str())
        .bind(bigint(limits.memory_mb)?)
        .bind(i64::from(limits.timeout_secs))
        .bind(i64::from(limits.idle_timeout_secs))
        .bind(json(&function.config)?)
        .bind(json(&function.annotations)?)
        .bind(function.updated_at.as_millis())
        .bind(function.id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

pub(super) async fn insert_trigger(on: &mut AnyConnection, dialect: Dialect, trigger: &Trigger) -> Result<()> {
    let sql = dialect.sql(
        "INSERT INTO triggers (id, app_id, fn_id, name, source, headers, annotations, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    let inserted = sqlx::query(sql)
        .bind(trigger.id.to_string())
        .bind(trigger.app_id.to_string())
        .bind(trigger.fn_id.to_string())
        .bind(&*trigger.name)
        .bind(&*trigger.source)
        .bind(json(&trigger.headers)?)
        .bind(json(&trigger.annotations)?)
        .bind(trigger.created_at.as_millis())
        .bind(trigger.updated_at.as_millis())
        .execute(on)
        .await;
    written(inserted)
}

pub(super) async fn update_trigger(on: &mut AnyConnection, dialect: Dialect, trigger: &Trigger) -> Result<()> {
    let sql = dialect.sql(
        "UPDATE triggers SET fn_id = $1, name = $2, source = $3, headers = $4, annotations = $5, updated_at = $6 \
         WHERE id = $7",
    );
    let updated = sqlx::query(sql)
        .bind(trigger.fn_id.to_string())
        .bind(&*trigger.name)
        .bind(&*trigger.source)
        .bind(json(&trigger.headers)?)
        .bind(json(&trigger.annotations)?)
        .bind(trigger.updated_at.as_millis())
        .bind(trigger.id.to_string())
        .execute(on)
        .await;
    written(updated)
}

/// What came of writing a trigger.
fn written<T>(result: sqlx::Result<T>) -> Result<()> {
    match result {
        // SQLite takes paths of any length. Of what is written here only the path has no bound of its own.
        Err(error) if too_long(&error) => Err(ModelError::InvalidRoutePath.into()),
        other => other.map(drop).map_err(Error::from),
    }
}

/// Removes a trigger, and its function if a route made that and no other trigger leads to it. Returns whether the
/// function went too.
pub(super) async fn delete_trigger(on: &mut AnyConnection, dialect: Dialect, trigger: &Trigger) -> Result<bool> {
    sqlx::query(dialect.sql("DELETE FROM triggers WHERE id = $1"))
        .bind(trigger.id.to_string())
        .execute(&mut *on)
        .await?;
    let sql = dialect.sql(DELETE_UNUSED);
    let deleted = sqlx::query(sql).bind(trigger.fn_id.to_string()).execute(on).await?;
    Ok(deleted.rows_affected() > 0)
}

/// `base`, or `base-2`, `base-3` and so on: the first that neither a function nor a trigger of the app bears.
pub(super) async fn free_name(on: &mut AnyConnection, dialect: Dialect, app_id: AppId, base: &str) -> Result<String> {
    let sql = dialect.sql(NAMES);
    // `.` is the character after `-`: the span holds `base`, every `base-…`, and little else.
    let end = format!("{base}.");
    let app_id = app_id.to_string();
    let rows = sqlx::query(sql)
        .bind(&*app_id)
        .bind(base)
        .bind(&*end)
        .bind(&*app_id)
        .bind(base)
        .bind(&*end)
        .fetch_all(on)
        .await?;
    let taken: HashSet<&str> = rows.iter().map(|row| Reader::new(row).text()).collect::<Result<_>>()?;
    if !taken.contains(base) {
        return Ok(base.to_owned());
    }
    let mut n = 2u64;
    loop {
        let name = format!("{base}-{n}");
        if !taken.contains(name.as_str()) {
            return Ok(name);
        }
        n += 1;
    }
}

fn bigint(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|error| Error::Refused(error.into()))
}
