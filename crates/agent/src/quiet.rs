//! The wait for late log lines, shorter than a millisecond.
//!
//! Tokio's timers count in milliseconds; four times the drain window would be lost after every call. On Linux a
//! timer of the kernel is precise to some 50 µs and costs two system calls.

use std::time::Duration;

/// A timer for waits of fractions of a millisecond.
#[derive(Debug)]
pub(crate) struct Quiet {
    #[cfg(target_os = "linux")]
    timer: Option<linux::Timer>,
}

impl Quiet {
    /// `precise` asks for the kernel's timer; without it, or where there is none, tokio's is used, which tests
    /// can pause.
    #[cfg(target_os = "linux")]
    pub(crate) fn new(precise: bool) -> Self {
        let timer = precise.then(linux::Timer::new).and_then(|timer| {
            timer.inspect_err(|error| tracing::warn!(%error, "no kernel timer, draining takes whole milliseconds")).ok()
        });
        Self { timer }
    }

    /// See above.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new(_precise: bool) -> Self {
        Self {}
    }

    /// Waits for `time`.
    pub(crate) async fn wait(&mut self, time: Duration) {
        #[cfg(target_os = "linux")]
        if let Some(timer) = &mut self.timer {
            match timer.wait(time).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "kernel timer failed, draining takes whole milliseconds");
                    self.timer = None;
                }
            }
        }
        tokio::time::sleep(time).await;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            #[expect(deprecated, reason = "its successor is unsafe for descriptors that others may close; we own ours")]
            AsyncFd::new(fd).map(Self)
        }

        pub(super) async fn wait(&mut self, time: Duration) -> io::Result<()> {
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            // Zero would disarm the timer.
            let nanos = time.subsec_nanos().max(u32::from(time.is_zero()));
            let it_value =
                Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: nanos.into() };
            let spec = Itimerspec { it_interval: zero, it_value };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
            loop {
                let mut ready = self.0.readable().await?;
                let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut [0; 8])?));
                if let Ok(result) = read {
                    // It fires once: looked at again before it is set again, it would only say that it has not.
                    ready.clear_ready();
                    return result.map(drop);
                }
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test]
        async fn a_wait_can_be_abandoned_and_repeated() {
            let mut timer = Timer::new().unwrap();
            let long = timer.wait(Duration::from_secs(3600));
            assert!(futures_util::FutureExt::now_or_never(long).is_none());
            let begun = tokio::time::Instant::now();
            for _ in 0..10 {
                timer.wait(Duration::from_micros(250)).await.unwrap();
            }
            assert!(begun.elapsed() >= Duration::from_micros(2_500));
        }
    }
}
