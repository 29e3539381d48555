//! Groups as one JSON parameter that the database unpacks: one statement whatever the size. For databases at the other
//! end of a network, where what counts is that there is one statement to parse, plan and wait for.

use hearth_models::{AppId, CallId, CallType, FnId, Reason, Status, Timestamp, TriggerId};
use serde::Serialize;
use sqlx::AnyConnection;

use super::{empty_log, error_text};
use crate::sql::{json, stats};
use crate::{Node, Record, Result};

/// What one database understands.
pub(super) struct Statements {
    /// Inserts the calls in the third parameter, a JSON array of [`Row`], as written by the server and the instance in
    /// the first two. A call that is there is replaced unless it has ended.
    calls: &'static str,
    /// Inserts the logs that lie end to end in the bytes of the first parameter, as the JSON array of `[app id, call id,
    /// offset from 1, length]` in the second says. A log that is there stays.
    logs: &'static str,
}

macro_rules! insert_calls {
    ($rest:literal) => {
        concat!(
            "INSERT INTO calls (server_id, instance_id, app_id, id, fn_id, trigger_id, path, type, status, reason, \
                 error, attempts, created_at, started_at, completed_at, stats, empty_log) ",
            $rest
        )
    };
}

pub(super) const POSTGRES: Statements = Statements {
    calls: insert_calls!(
        "SELECT $1, $2, c ->> 0, c ->> 1, c ->> 2, c ->> 3, c ->> 4, c ->> 5, c ->> 6, c ->> 7, c ->> 8, \
             (c ->> 9)::bigint, (c ->> 10)::bigint, (c ->> 11)::bigint, (c ->> 12)::bigint, c ->> 13, (c ->> 14)::smallint \
         FROM jsonb_array_elements($3::jsonb) AS j (c) \
         ON CONFLICT (app_id, id) DO UPDATE SET \
             server_id = excluded.server_id, instance_id = excluded.instance_id, status = excluded.status, \
             reason = excluded.reason, error = excluded.error, attempts = excluded.attempts, \
             started_at = excluded.started_at, completed_at = excluded.completed_at, stats = excluded.stats, \
             empty_log = excluded.empty_log \
         WHERE calls.completed_at IS NULL"
    ),
    logs: "INSERT INTO logs (data, app_id, call_id) \
         SELECT substring($1::bytea FROM (l ->> 2)::integer FOR (l ->> 3)::integer), l ->> 0, l ->> 1 \
         FROM jsonb_array_elements($2::jsonb) AS j (l) \
         ON CONFLICT (app_id, call_id) DO NOTHING",
};

pub(super) const MYSQL: Statements = Statements {
    // Assigned from left to right: completed_at, on which the others depend, comes last.
    calls: insert_calls!(
        "SELECT ?, ?, j.* FROM JSON_TABLE(?, '$[*]' COLUMNS ( \
             app_id VARCHAR(26) PATH '$[0]', id VARCHAR(26) PATH '$[1]', fn_id VARCHAR(26) PATH '$[2]', \
             trigger_id VARCHAR(26) PATH '$[3]', path VARCHAR(8192) PATH '$[4]', type VARCHAR(16) PATH '$[5]', \
             status VARCHAR(16) PATH '$[6]', reason VARCHAR(32) PATH '$[7]', error MEDIUMTEXT PATH '$[8]', \
             attempts BIGINT PATH '$[9]', created_at BIGINT PATH '$[10]', started_at BIGINT PATH '$[11]', \
             completed_at BIGINT PATH '$[12]', stats MEDIUMTEXT PATH '$[13]', \
             empty_log SMALLINT PATH '$[14]')) j \
         ON DUPLICATE KEY UPDATE \
             server_id = IF(calls.completed_at IS NULL, VALUES(server_id), calls.server_id), \
             instance_id = IF(calls.completed_at IS NULL, VALUES(instance_id), calls.instance_id), \
             status = IF(calls.completed_at IS NULL, VALUES(status), calls.status), \
             reason = IF(calls.completed_at IS NULL, VALUES(reason), calls.reason), \
             error = IF(calls.completed_at IS NULL, VALUES(error), calls.error), \
             attempts = IF(calls.completed_at IS NULL, VALUES(attempts), calls.attempts), \
             started_at = IF(calls.completed_at IS NULL, VALUES(started_at), calls.started_at), \
             stats = IF(calls.completed_at IS NULL, VALUES(stats), calls.stats), \
             empty_log = IF(calls.completed_at IS NULL, VALUES(empty_log), calls.empty_log), \
             completed_at = IF(calls.completed_at IS NULL, VALUES(completed_at), calls.completed_at)"
    ),
    logs: "INSERT INTO logs (data, app_id, call_id) \
         SELECT substring(b.data, j.start, j.length), j.app_id, j.call_id \
         FROM (SELECT ? AS data) b JOIN JSON_TABLE(?, '$[*]' COLUMNS ( \
             app_id VARCHAR(26) PATH '$[0]', call_id VARCHAR(26) PATH '$[1]', \
             start BIGINT PATH '$[2]', length BIGINT PATH '$[3]')) j WHERE true \
         ON DUPLICATE KEY UPDATE call_id = logs.call_id",
};

/// A call in the order of the columns that the statements name.
#[derive(Serialize)]
struct Row<'a>(
    AppId,
    CallId,
    FnId,
    Option<TriggerId>,
    &'a str,
    CallType,
    Status,
    Option<Reason>,
    Option<String>,
    u32,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i16>,
);

impl<'a> From<&'a Record> for Row<'a> {
    fn from(record: &'a Record) -> Self {
        let call = &record.call;
        Self(
            call.app_id,
            call.id,
            call.fn_id,
            call.trigger_id,
            &call.path,
            call.call_type,
            call.status(),
            call.reason(),
            error_text(call),
            call.attempts,
            call.created_at.as_millis(),
            call.started_at().map(Timestamp::as_millis),
            call.completed_at().map(Timestamp::as_millis),
            (!call.stats.is_empty()).then(|| stats::encode(&call.stats)),
            empty_log(record),
        )
    }
}

pub(super) async fn calls(on: &mut AnyConnection, by: &Statements, node: Node, records: &[&Record]) -> Result<()> {
    let rows: Vec<Row<'_>> = records.iter().map(|record| Row::from(*record)).collect();
    sqlx::query(by.calls)
        .bind(node.server_id.to_string())
        .bind(node.instance_id.to_string())
        .bind(json(&rows)?)
        .execute(on)
        .await?;
    Ok(())
}

/// JSON cannot carry bytes, and hexadecimal doubles what is sent: so all bytes travel as one parameter and are cut up in
/// place.
pub(super) async fn logs(on: &mut AnyConnection, by: &Statements, logs: &[(AppId, CallId, &[u8])]) -> Result<()> {
    let mut bytes = Vec::with_capacity(logs.iter().map(|(_, _, log)| log.len()).sum());
    let mut pieces = Vec::with_capacity(logs.len());
    for (app_id, call_id, log) in logs {
        pieces.push((app_id, call_id, bytes.len() + 1, log.len()));
        bytes.extend_from_slice(log);
    }
    sqlx::query(by.logs).bind(bytes).bind(json(&pieces)?).execute(on).await?;
    Ok(())
}
