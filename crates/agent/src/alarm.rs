//! An alarm that can be set anew for every call and costs next to nothing as long as it does not ring.
//!
//! tokio registers a timer with the runtime when it is first waited for and strikes it off when it is dropped, both under
//! a lock; one that is due before all others wakes the runtime's driver with a system call besides. A call that takes a
//! tenth of a millisecond would do that once for each of its deadlines, none of which ever comes. So an alarm stays
//! registered for the earliest that it was set for. It wakes its task too early then, once, and is registered for what it
//! is set for by now.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// Rings at one time after the other, for one task.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// Must be called on a tokio runtime.
    pub(crate) fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now())) }
    }

    /// Waits for `end`. Cancelling this loses nothing.
    pub(crate) async fn until(&mut self, end: Instant) {
        poll_fn(|cx| self.poll(cx, end)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, end: Instant) -> Poll<()> {
        if self.sleep.deadline() > end {
            self.sleep.as_mut().reset(end);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= end {
                return Poll::Ready(());
            }
            // It rings for what it was set for before.
            self.sleep.as_mut().reset(end);
        }
    }
}

/// What `future` gives, if it does by `end`. Nearly always it is ready, and then no timer is made.
pub(crate) async fn by<F: Future>(end: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = std::pin::pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout_at(end, future).await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_was_last_set_for_whatever_it_was_set_for_before() {
        let (begun, at) = (Instant::now(), Duration::from_millis);
        let mut alarm = Alarm::new();
        assert!(alarm.until(begun + at(10)).now_or_never().is_none());
        alarm.until(begun + at(30)).await;
        assert_eq!(begun.elapsed(), at(30), "later than it was set for at first");
        assert!(alarm.until(begun + at(90)).now_or_never().is_none());
        alarm.until(begun + at(50)).await;
        assert_eq!(begun.elapsed(), at(50), "earlier");
        alarm.until(begun + at(50)).await;
        alarm.until(begun + at(20)).await;
        assert_eq!(begun.elapsed(), at(50), "what is past is past");
        alarm.until(begun + at(90)).await;
        assert_eq!(begun.elapsed(), at(90));
    }
}
