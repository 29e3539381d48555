//! Waiting for what must come to be.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(20);

/// Looks again and again until `probe` finds what it looks for. A test fails with what it saw last when that has not
/// come to be within `deadline`.
pub(crate) async fn eventually<T, Seen: Display>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, Seen>,
) -> T {
    let begin = Instant::now();
    loop {
        let seen = match probe().await {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(begin.elapsed() < deadline, "not within {deadline:?}: {what}; last seen: {seen}");
        sleep(POLL).await;
    }
}
