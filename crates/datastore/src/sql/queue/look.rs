//! How full the queue is, and what stands in it.

use hearth_models::{AppId, CallId, Priority};
use sqlx::any::AnyRow;

use super::priority;
use crate::sql::SqlStore;
use crate::sql::row::Reader;
use crate::{Depth, Result, Standing};

pub(in crate::sql) const WAITING: &str = "SELECT count(*) FROM queue WHERE app_id = $1 AND state IN (0, 1, 2)";
const DEPTH: &str = "SELECT state, count(*) FROM queue GROUP BY state";
/// The first of each tier, which stands at the front of its part of the index.
pub(in crate::sql) const OLDEST: &str =
    "SELECT place FROM queue WHERE state = 0 AND tier = $1 ORDER BY tier, place, call_id LIMIT 1";
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
                0 => depth.ready = count,
                1 => depth.delayed = count,
                2 => depth.leased = count,
                _ => depth.dead = count,
            }
        }
        for tier in 0..=Priority::MAX.get() {
            let found = sqlx::query(self.dialect.sql(OLDEST)).bind(i64::from(tier)).fetch_optional(&mut *on).await?;
            let place = found.map(|row| Reader::new(&row).time()).transpose()?;
            depth.oldest = depth.oldest.into_iter().chain(place).min();
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
