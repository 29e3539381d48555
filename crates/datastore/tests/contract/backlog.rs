//! What a lease costs on Postgres does not depend on how many calls wait. Its planner goes by statistics, which a queue
//! outruns, and keeps plans that were made while there was nothing: left to itself it walked through all that waits.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, Connection, Row};
use tokio::time::{sleep, timeout};

use crate::make;
use crate::queue::{at_once, submissions};

const WAITING: usize = 3000;
const LEASED: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lease_reads_on_postgres_does_not_grow_with_what_waits() {
    let stand = make::postgres().await;
    let store = stand.open().await;
    let app = make::app(&*store, "app").await;
    // Plans are made now, and kept.
    for _ in 0..20 {
        at_once(&store, 10, 0).await;
    }
    let queue = Arc::clone(&store).queue();
    assert_eq!(queue.accept(make::node(), &submissions(app.id, WAITING)).await.unwrap(), []);
    for _ in 0..LEASED / 10 {
        at_once(&store, 10, 10).await;
    }
    store.close().await;
    let read = rows_read(&stand.url()).await;
    // A row is looked at some ten times between its lease and its end.
    assert!(read < 30 * LEASED as i64, "{read} rows read for {LEASED} of {WAITING} calls");
    assert!(read > LEASED as i64, "{read}: nothing was counted");
    stand.remove().await;
}

/// Rows that all who used this database, and are gone, read in the tables of the queue.
async fn rows_read(url: &str) -> i64 {
    let mut on = AnyConnection::connect(url).await.unwrap();
    // Who leaves says what it read.
    let gone = async {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        while sqlx::query(others).fetch_one(&mut on).await.unwrap().get::<i64, _>(0) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    let read = "SELECT CAST(sum(seq_tup_read + idx_tup_fetch) AS BIGINT) FROM pg_stat_user_tables \
                WHERE relname IN ('queue', 'calls', 'payloads')";
    let read = sqlx::query(read).fetch_one(&mut on).await.unwrap().get(0);
    on.close().await.unwrap();
    read
}
