//! Closed loops: each client makes its next call when it has the answer to the last one, at once or at its next turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::sample::Window;

/// Somebody who can make a call.
pub(crate) trait Exchange: Send + 'static {
    /// Makes one call and checks its answer.
    fn exchange(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Clients at work.
pub(crate) struct Load<E> {
    tasks: JoinSet<(E, Tally)>,
    begun: Instant,
    over: Arc<AtomicBool>,
}

/// What one client saw.
#[derive(Debug, Default)]
struct Tally {
    /// Of calls that went well.
    latencies: Vec<Duration>,
    errors: usize,
    first_error: Option<String>,
}

/// Lets `clients` make calls for `time`, and gives them back with what they saw.
pub(crate) async fn drive<E: Exchange>(clients: Vec<E>, time: Duration) -> (Vec<E>, Window) {
    let load = Load::begin(clients);
    sleep(time).await;
    load.end().await
}

// === impl Load ===

impl<E: Exchange> Load<E> {
    /// From now on, `clients` make calls.
    pub(crate) fn begin(clients: Vec<E>) -> Self {
        Self::begin_every(clients, Duration::ZERO)
    }

    /// The same, but each has its turn only this often, one after the other. A latency counts from the turn, also when
    /// the call before is late.
    pub(crate) fn begin_every(clients: Vec<E>, pause: Duration) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        let apart = pause / u32::try_from(clients.len()).unwrap_or(u32::MAX).max(1);
        let mut first = begun;
        for client in clients {
            tasks.spawn(calls(client, Arc::clone(&over), first, pause));
            first += apart;
        }
        Self { tasks, begun, over }
    }

    /// Each of `clients` makes one call, all at once.
    pub(crate) fn begin_once(clients: Vec<E>) -> Self {
        let load = Self::begin(clients);
        // Nobody has looked yet, or has a call under way.
        load.over.store(true, Ordering::Relaxed);
        load
    }

    /// No call is begun any more; waits for those under way.
    pub(crate) async fn end(mut self) -> (Vec<E>, Window) {
        self.over.store(true, Ordering::Relaxed);
        let (mut clients, mut window) = (Vec::new(), Window::default());
        while let Some(finished) = self.tasks.join_next().await {
            match finished {
                Ok((client, tally)) => {
                    clients.push(client);
                    window.add(tally.latencies, tally.errors, tally.first_error);
                }
                Err(error) => window.add(Vec::new(), 1, Some(error.to_string())),
            }
        }
        window.close(self.begun.elapsed());
        (clients, window)
    }
}

/// At least one call.
async fn calls<E: Exchange>(mut client: E, over: Arc<AtomicBool>, first: Instant, pause: Duration) -> (E, Tally) {
    let mut tally = Tally::default();
    let mut turn = first;
    loop {
        let begun = if pause.is_zero() {
            Instant::now()
        } else {
            sleep_until(turn).await;
            turn
        };
        turn += pause;
        match client.exchange().await {
            Ok(()) => tally.latencies.push(begun.elapsed()),
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert_with(|| format!("{error:#}"));
                // A server that refuses at once is not to be flooded with refused calls.
                sleep(Duration::from_millis(10)).await;
            }
        }
        if over.load(Ordering::Relaxed) {
            return (client, tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    struct Scripted {
        left_until_error: usize,
    }

    impl Exchange for Scripted {
        async fn exchange(&mut self) -> Result<()> {
            sleep(Duration::from_millis(1)).await;
            match self.left_until_error.checked_sub(1) {
                Some(left) => self.left_until_error = left,
                None => bail!("no more"),
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn clients_call_until_the_time_is_up_and_come_back() {
        let clients = vec![Scripted { left_until_error: 3 }, Scripted { left_until_error: usize::MAX }];
        let (clients, window) = drive(clients, Duration::from_millis(60)).await;
        assert_eq!(clients.len(), 2);
        assert!(window.calls() > 3, "{window:?}");
        assert!(window.errors > 0);
        assert_eq!(window.first_error.as_deref(), Some("no more"));
    }

    #[tokio::test]
    async fn once_is_once() {
        let clients = (0..5).map(|_| Scripted { left_until_error: 1 }).collect();
        let (_, window) = Load::begin_once(clients).end().await;
        assert_eq!((window.calls(), window.errors), (5, 0));
    }
}
