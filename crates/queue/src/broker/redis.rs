//! A queue in Redis: one sorted set of ids.
//!
//! The score is the place, with the tier (2 minus the priority) above it, and ids of one score sort by their bytes: so
//! the least member is the next. `ZADD` and `ZPOPMIN` are atomic each, and since the store decides who may run what, no
//! step has to be atomic with another. A score is a double and exact up to 2^53; a place needs 42 bits until the year
//! 2109.

use std::time::Duration;

use async_trait::async_trait;
use hearth_datastore::Standing;
use hearth_models::{CallId, Priority, Timestamp};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, cmd};
use tokio::time::timeout;

use super::{Broker, BrokerError};

/// What the keys begin with; the [identity](hearth_datastore::QueueStore::identity) of the store follows.
const KEY: &str = "hearth:ready:";
/// The weight of a tier: more than any place.
const TIER: i64 = 1 << 45;
/// The longest that one operation may take, reconnecting included.
const DEADLINE: Duration = Duration::from_secs(3);

/// A queue in Redis.
pub struct RedisBroker {
    connection: ConnectionManager,
    key: String,
}

impl std::fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBroker").field("key", &self.key).finish_non_exhaustive()
    }
}

impl RedisBroker {
    /// Connects to the server that `url` names (`redis://[:password@]host[:port][/database]`, or `redis+unix:///path`), to
    /// keep the order of the store whose identity this is. Several stores may have theirs in one server.
    ///
    /// # Errors
    /// The URL is wrong or the server does not answer.
    pub async fn connect(url: &str, identity: &str) -> Result<Self, BrokerError> {
        let client = Client::open(url).map_err(failed)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(2)
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        let connection = within(ConnectionManager::new_with_config(client, config)).await?;
        Ok(Self { connection, key: format!("{KEY}{identity}") })
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn push(&self, calls: &[Standing]) -> Result<(), BrokerError> {
        if calls.is_empty() {
            return Ok(());
        }
        let mut add = cmd("ZADD");
        add.arg(&self.key).arg("NX");
        for call in calls {
            add.arg(score(call)).arg(call.call_id.to_string());
        }
        let mut connection = self.connection.clone();
        within(add.query_async::<()>(&mut connection)).await
    }

    async fn take(&self, at_most: usize) -> Result<Vec<Standing>, BrokerError> {
        if at_most == 0 {
            return Ok(Vec::new());
        }
        let mut pop = cmd("ZPOPMIN");
        pop.arg(&self.key).arg(at_most);
        let mut connection = self.connection.clone();
        let taken: Vec<(String, f64)> = within(pop.query_async(&mut connection)).await?;
        // A member that is no id was not put there by Hearth.
        let read = |(id, score): (String, f64)| Some(standing(id.parse().ok()?, score));
        Ok(taken.into_iter().filter_map(read).collect())
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        let mut connection = self.connection.clone();
        within(cmd("PING").query_async::<()>(&mut connection)).await
    }
}

fn score(call: &Standing) -> i64 {
    let tier = Priority::MAX.get() - call.priority.get();
    i64::from(tier) * TIER + call.place.as_millis().clamp(0, TIER - 1)
}

fn standing(call_id: CallId, score: f64) -> Standing {
    // A double of at most 47 bits is exact.
    let score = score as i64;
    let tier = u8::try_from(score / TIER).unwrap_or_default();
    let priority = Priority::try_from(Priority::MAX.get().saturating_sub(tier)).unwrap_or_default();
    Standing { call_id, priority, place: Timestamp::from_millis(score % TIER) }
}

fn failed(error: redis::RedisError) -> BrokerError {
    BrokerError(error.into())
}

async fn within<T>(operation: impl Future<Output = redis::RedisResult<T>>) -> Result<T, BrokerError> {
    match timeout(DEADLINE, operation).await {
        Ok(result) => result.map_err(failed),
        Err(late) => Err(BrokerError(late.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_keeps_priority_and_place_and_their_order() {
        let mut scores = Vec::new();
        for priority in [2, 1, 0] {
            for ms in [0, 1, 1_795_287_584_890, 1_795_287_584_891, TIER - 1] {
                let priority = Priority::try_from(priority).unwrap();
                let call = Standing { call_id: CallId::generate(), priority, place: Timestamp::from_millis(ms) };
                let score = score(&call);
                assert_eq!(standing(call.call_id, score as f64), call);
                scores.push(score);
            }
        }
        assert!(scores.is_sorted_by(|a, b| a < b));
    }
}
