//! The timer of one connection. hyper waits for the head of each request under a deadline, and lets go of it when the head
//! is there, nearly always at once. One of tokio's timers would be entered and taken out again as often. Here a single one
//! stays from one request to the next, and is moved on when it goes off for a request that has come.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep_until};

type Clock = Pin<Box<Sleep>>;

/// Makes what is waited for on one connection, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// Not there while something waits for it.
    clock: Arc<Mutex<Option<Clock>>>,
}

#[derive(Debug)]
struct Waiting {
    deadline: tokio::time::Instant,
    /// There until it is dropped.
    clock: Option<Clock>,
    from: Arc<Mutex<Option<Clock>>>,
}

impl hyper::rt::Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let deadline = tokio::time::Instant::from_std(deadline);
        let kept = self.clock.lock().unwrap_or_else(PoisonError::into_inner).take();
        let clock =
            kept.filter(|clock| clock.deadline() <= deadline).unwrap_or_else(|| Box::pin(sleep_until(deadline)));
        Box::pin(Waiting { deadline, clock: Some(clock), from: Arc::clone(&self.clock) })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(clock) = this.clock.as_mut() else { return Poll::Ready(()) };
        ready!(clock.as_mut().poll(cx));
        if clock.deadline() < this.deadline {
            clock.as_mut().reset(this.deadline);
            ready!(clock.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}

impl hyper::rt::Sleep for Waiting {}

impl Drop for Waiting {
    fn drop(&mut self) {
        *self.from.lock().unwrap_or_else(PoisonError::into_inner) = self.clock.take();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use hyper::rt::Timer;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_at_the_deadline_of_who_waits_now() {
        let alarm = Alarm::default();
        let began = alarm.now();
        let mut first = alarm.sleep(3 * SECOND);
        assert_eq!(first.as_mut().now_or_never(), None);
        drop(first);
        tokio::time::sleep(SECOND).await;
        alarm.sleep(3 * SECOND).await;
        assert_eq!(alarm.now() - began, 4 * SECOND);
        // The clock has gone off.
        alarm.sleep(SECOND).await;
        assert_eq!(alarm.now() - began, 5 * SECOND);
        drop(alarm.sleep(60 * SECOND));
        alarm.sleep(SECOND).await;
        assert_eq!(alarm.now() - began, 6 * SECOND);
    }
}
