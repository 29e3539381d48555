//! How full the queue is, and what stands in it.

use hearth_models::{AppId, CallId};
use sqlx::any::AnyRow;

use super::priority;
use crate::sql::SqlStore;
use crate::sql::row::Reader;
use crate::{Depth, Result, Standing};

pub(in crate::sql) const WAITING: &str = "SELECT count(*) FROM queue WHERE app_id = $1 AND state IN (0, 1, 2)";
const DEPTH: &str = "SELECT state, count(*), min(place) FROM queue GROUP BY state";
const STANDING: &str =
    "SELECT call_id, tier, place FROM queue WHERE state = 0 AND call_id > $1 ORDER BY call_id LIMIT $2";

impl SqlStore {
    pub(super) async fn do_waiting(&self, app_id: AppId) -> Result<u64> {
        let mut on = self.read().await?;
        let row = sqlx::query(self.dialect.sql(WAITING)).bind(app_id.to_string()).fetch_one(&mut *on).await?;
        Reader::new(&row).number()
    }

    pub(super) async fn do_depth(&self) -> Result<Depth> {
        let mut on = self.read().await?;
        let rows = sqlx::query(self.dialect.sql(DEPTH)).fetch_all(&mut *on).await?;
        let mut depth = Depth::default();
        for row in &rows {
            let mut row = Reader::new(row);
            let state: i64 = row.number()?;
            let count = row.number()?;
            match state {
                0 => (depth.ready, depth.oldest) = (count, row.time_or_null()?),
                1 => depth.delayed = count,
                2 => depth.leased = count,
                _ => depth.dead = count,
            }
        }
        Ok(depth)
    }

    pub(super) async fn do_identity(&self) -> Result<String> {
        let mut on = self.read().await?;
        let row = sqlx::query(self.dialect.sql("SELECT id FROM identity")).fetch_one(&mut *on).await?;
        Reader::new(&row).get()
    }

    pub(super) async fn do_ready(&self, after: Option<CallId>, at_most: usize) -> Result<Vec<Standing>> {
        let mut on = self.read().await?;
        let rows = sqlx::query(self.dialect.sql(STANDING))
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
            .fetch_all(&mut *on)
            .await?;
        let read = |row: &AnyRow| {
            let mut row = Reader::new(row);
            let call_id = row.parsed()?;
            Ok(Standing { call_id, priority: priority(row.number()?), place: row.time()? })
        };
        rows.iter().map(read).collect()
    }
}
