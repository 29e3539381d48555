//! Servers that share a Postgres tell each other of calls that are ready, so that an idle one begins them at once.
//!
//! It is a hint: who misses it finds the calls when it looks for them the next time. Nobody is told before the
//! transaction is committed.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use hearth_models::InstanceId;
use sqlx::AnyConnection;
use sqlx::postgres::PgListener;

use crate::sql::{DEADLINE, SqlStore, within};
use crate::{News, Node, Result};

const CHANNEL: &str = "hearth_queue";
/// A function that returns nothing can only be called like this: the driver knows no type for nothing.
const TELL: &str = "SELECT 1 FROM pg_notify('hearth_queue', $1)";

/// Where news come from: the URL of the database, which may hold a password.
pub(in crate::sql) struct Source(pub(in crate::sql) String);

/// One connection that listens.
#[derive(Debug)]
struct Ear {
    listener: PgListener,
    /// What this server says itself is no news.
    own: String,
}

impl Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

#[async_trait]
impl News for Ear {
    async fn next(&mut self) -> Result<()> {
        // None: the connection was lost, and news with it.
        while let Some(news) = self.listener.try_recv().await? {
            if news.payload() != self.own {
                break;
            }
        }
        Ok(())
    }
}

impl SqlStore {
    /// Says that there are ready calls. Heard by all but `by` when the transaction is committed.
    pub(super) async fn tell(&self, on: &mut AnyConnection, by: Option<InstanceId>) -> Result<()> {
        if self.news.is_some() {
            let by = by.map(|by| by.to_string()).unwrap_or_default();
            sqlx::query(self.dialect.sql(TELL)).bind(by).execute(on).await?;
        }
        Ok(())
    }

    pub(super) async fn do_listen(&self, node: Node) -> Result<Option<Box<dyn News>>> {
        let Some(Source(url)) = &self.news else { return Ok(None) };
        let listening = within(DEADLINE, async {
            let mut listener = PgListener::connect(url).await?;
            listener.listen(CHANNEL).await?;
            Ok(listener)
        });
        Ok(Some(Box::new(Ear { listener: listening.await?, own: node.instance_id.to_string() })))
    }
}
