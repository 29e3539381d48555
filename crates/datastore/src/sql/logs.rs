//! The table of logs: reading, and deleting what another store of calls does not keep. Writing is in `record`.

use bytes::Bytes;
use hearth_models::{AppId, CallId};

use super::SqlStore;
use super::row::Reader;
use crate::Result;

pub(super) const GET: &str = "SELECT data FROM logs WHERE app_id = $1 AND call_id = $2";
pub(super) const IS_EMPTY: &str = "SELECT id FROM calls WHERE app_id = $1 AND id = $2 AND empty_log = 1";
pub(super) const REMOVE: &str = "DELETE FROM logs WHERE app_id = $1 AND call_id = $2";

impl SqlStore {
    pub(super) async fn do_log(&self, app_id: AppId, call_id: CallId) -> Result<Option<Bytes>> {
        let sql = self.dialect.sql(GET);
        let mut on = self.read().await?;
        let row = sqlx::query(sql).bind(app_id.to_string()).bind(call_id.to_string()).fetch_optional(&mut *on).await?;
        row.map(|row| Ok(Reader::new(&row).get::<Vec<u8>>()?.into())).transpose()
    }

    /// The same of a call, whose log has no row where it has no byte.
    pub(super) async fn do_log_of_call(&self, app_id: AppId, call_id: CallId) -> Result<Option<Bytes>> {
        if let Some(log) = self.do_log(app_id, call_id).await? {
            return Ok(Some(log));
        }
        let sql = self.dialect.sql(IS_EMPTY);
        let mut on = self.read().await?;
        let row = sqlx::query(sql).bind(app_id.to_string()).bind(call_id.to_string()).fetch_optional(&mut *on).await?;
        Ok(row.map(|_| Bytes::new()))
    }

    pub(super) async fn do_remove_logs(&self, app_id: AppId, calls: &[CallId]) -> Result<()> {
        let mut tx = self.begin().await?;
        for call_id in calls {
            let query = sqlx::query(self.dialect.sql(REMOVE)).bind(app_id.to_string()).bind(call_id.to_string());
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
