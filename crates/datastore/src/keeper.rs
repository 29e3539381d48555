//! Removes in the background what is not kept: calls beyond their retention, and what removed apps left behind.
//!
//! It needs no input but the store: removed apps are noted there, and which calls are too many or too old is asked of
//! it anew each time. So whatever a server that died left undone, the next one does. Of several servers on one store
//! one does it at a time; two that both believe it is theirs do no harm, since every step can be repeated.
//!
//! Calls do not feel it: deletions go in batches that are sized by how long the last one took, and most of the time
//! passes between them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_models::{App, AppId, CallId, Cursor, Page, Timestamp};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{Datastore, Duty, History, Node, Result, Retention};

/// How often it looks whether an app was removed, and how long it lets a store alone that failed.
const LOOK: Duration = Duration::from_secs(5);
/// For how long it takes the duty. As long again, and another server takes over from one that died.
const DUTY: Duration = Duration::from_secs(60);

/// How a [`Keeper`] works.
#[derive(Clone, Copy, Debug)]
pub struct KeeperSettings {
    /// Who works.
    pub node: Node,
    /// Which calls are kept.
    pub retention: Retention,
    /// How often all apps are gone through. When that takes long, less often: it is a hundredth of the time at most.
    pub every: Duration,
}

impl KeeperSettings {
    /// The defaults, for `node`.
    #[must_use]
    pub const fn new(node: Node, retention: Retention) -> Self {
        Self { node, retention, every: Duration::from_secs(60) }
    }
}

/// What a [`Keeper`] did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Calls removed because they were too old or too many.
    pub trimmed: u64,
    /// Removed apps of which nothing is left.
    pub purged_apps: u64,
    /// Times that all apps were gone through.
    pub rounds: u64,
    /// When that was last done.
    pub last_round: Option<Timestamp>,
    /// Times that the store failed it.
    pub failures: u64,
}

/// The background service that removes what is not kept.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<dyn Datastore>,
    calls: Arc<dyn History>,
    settings: KeeperSettings,
    kept: Arc<Mutex<Kept>>,
    pace: Pace,
    on_duty_until: Option<Instant>,
}

/// Tells what a [`Keeper`] did, also while it runs.
#[derive(Clone, Debug)]
pub struct KeeperWatch(Arc<Mutex<Kept>>);

// === impl Keeper ===

impl Keeper {
    /// A keeper of the calls of `calls`, which are those of the apps of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Datastore>, calls: Arc<dyn History>, settings: KeeperSettings) -> Self {
        Self { store, calls, settings, kept: Arc::default(), pace: Pace::new(), on_duty_until: None }
    }

    /// Tells what this keeper does.
    #[must_use]
    pub fn watch(&self) -> KeeperWatch {
        KeeperWatch(Arc::clone(&self.kept))
    }

    /// Works until `cancel`. What is left then goes after the next start.
    pub async fn run(mut self, cancel: CancellationToken) {
        let work = async {
            let mut next_round = Instant::now();
            loop {
                if let Err(error) = self.work(&mut next_round).await {
                    self.count(|kept| kept.failures += 1);
                    tracing::warn!(error = error.chain(), "calls that are not kept stay for now");
                }
                sleep(LOOK).await;
            }
        };
        cancel.run_until_cancelled(work).await.unwrap_or_default()
    }

    async fn work(&mut self, next_round: &mut Instant) -> Result<()> {
        self.pace.restart();
        // An app that cannot be purged keeps nobody from being trimmed.
        let purged = self.purge_removed().await;
        self.pace.restart();
        self.trim_all(next_round).await?;
        purged
    }

    async fn purge_removed(&mut self) -> Result<()> {
        while let Some(app_id) = self.store.removed_app().await? {
            if !self.is_on_duty().await? {
                return Ok(());
            }
            self.purge(app_id).await?;
        }
        Ok(())
    }

    async fn trim_all(&mut self, next_round: &mut Instant) -> Result<()> {
        let began = Instant::now();
        if began >= *next_round {
            let removing = self.round().await?;
            let looking = began.elapsed().saturating_sub(removing);
            *next_round = Instant::now() + self.settings.every.max(looking * 100);
            self.count(|kept| {
                kept.rounds += 1;
                kept.last_round = Some(Timestamp::now());
            });
        }
        Ok(())
    }

    async fn purge(&mut self, app_id: AppId) -> Result<()> {
        loop {
            let began = Instant::now();
            if !self.calls.purge(app_id, self.pace.size).await? {
                self.count(|kept| kept.purged_apps += 1);
                return Ok(());
            }
            self.rest(began).await;
            if !self.is_on_duty().await? {
                return Ok(());
            }
        }
    }

    /// Goes through all apps. Returns how long the removing took, pauses included.
    async fn round(&mut self) -> Result<Duration> {
        let mut removing = Duration::ZERO;
        let mut page = Page::default();
        loop {
            let apps: Vec<App> = self.store.apps(&page).await?;
            for app in &apps {
                if let Some(before) = self.calls.oldest_kept(app.id, self.settings.retention).await? {
                    let began = Instant::now();
                    self.trim(app.id, before).await?;
                    removing += began.elapsed();
                }
            }
            match apps.last() {
                Some(last) if apps.len() >= page.size.get() => page.after = Cursor::after(&*last.name),
                _ => return Ok(removing),
            }
        }
    }

    /// Removes the calls of an app that are older than `before` and have ended.
    async fn trim(&mut self, app_id: AppId, before: CallId) -> Result<()> {
        let mut after = None;
        loop {
            let calls = self.calls.ended(app_id, after, before, self.pace.size).await?;
            if calls.is_empty() || !self.is_on_duty().await? {
                return Ok(());
            }
            after = calls.last().copied();
            let began = Instant::now();
            let removed = self.calls.remove_calls(app_id, &calls).await?;
            self.count(|kept| kept.trimmed += removed);
            self.rest(began).await;
        }
    }

    async fn rest(&mut self, began: Instant) {
        sleep(self.pace.after(began.elapsed())).await;
    }

    /// Whether this server is the one that removes things, which it asks for when there is something to remove.
    async fn is_on_duty(&mut self) -> Result<bool> {
        let now = Instant::now();
        if self.on_duty_until.is_none_or(|until| now + DUTY / 2 > until) {
            let taken = self.store.take_duty(Duty::Keeper, self.settings.node, DUTY).await?;
            self.on_duty_until = taken.then_some(now + DUTY);
        }
        Ok(self.on_duty_until.is_some())
    }

    fn count(&self, count: impl FnOnce(&mut Kept)) {
        count(&mut lock(&self.kept));
    }
}

// === impl KeeperWatch ===

impl KeeperWatch {
    /// What was done so far.
    #[must_use]
    pub fn kept(&self) -> Kept {
        *lock(&self.0)
    }
}

/// Numbers that are counted one by one: poison is no reason to stop.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many rows go at a time, and how long nothing does after that.
///
/// A batch holds up whoever wants to write meanwhile, and takes a processor from the calls, so it should be short, and
/// rare enough that few calls meet one. But what is removed has to keep up with what comes in: work that takes long gets
/// more of the time, step by step.
#[derive(Debug)]
struct Pace {
    size: usize,
    /// When this work began.
    since: Instant,
}

impl Pace {
    const LEAST: usize = 50;
    const MOST: usize = 1000;
    /// The time that a batch should take.
    const BATCH: Duration = Duration::from_millis(3);
    /// Pauses are so many times as long as the batch before them, for as long as that is enough.
    const PAUSES: u32 = 16;
    /// So many when the work has no end.
    const FEWEST_PAUSES: u32 = 2;
    /// After each such time pauses are halved.
    const STEP: Duration = Duration::from_mins(3);
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(2);

    fn new() -> Self {
        Self { size: 100, since: Instant::now() }
    }

    /// Something new is begun.
    fn restart(&mut self) {
        self.since = Instant::now();
    }

    /// A batch took so long. Returns how long to leave the store to others.
    fn after(&mut self, took: Duration) -> Duration {
        if took > Self::BATCH {
            self.size = (self.size / 2).max(Self::LEAST);
        } else if took < Self::BATCH / 2 {
            self.size = (self.size * 2).min(Self::MOST);
        }
        let steps = self.since.elapsed().as_secs() / Self::STEP.as_secs();
        let halved = u32::try_from(steps).ok().and_then(|steps| Self::PAUSES.checked_shr(steps)).unwrap_or(0);
        (took * halved.max(Self::FEWEST_PAUSES)).clamp(Self::SHORTEST, Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn batches_grow_while_they_are_short_and_shrink_when_they_are_long() {
        let mut pace = Pace::new();
        let short = [200, 400, 800, 1000, 1000];
        for size in short {
            assert_eq!(pace.after(Duration::from_micros(500)), Pace::SHORTEST);
            assert_eq!(pace.size, size);
        }
        assert_eq!(pace.after(Duration::from_millis(2)), Duration::from_millis(32));
        assert_eq!(pace.size, 1000, "about right");
        for _ in 0..20 {
            assert_eq!(pace.after(Duration::from_secs(60)), Pace::LONGEST);
        }
        assert_eq!(pace.size, Pace::LEAST);
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_an_end_gets_more_of_the_time() {
        let mut pace = Pace::new();
        let batch = Duration::from_millis(10);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            pauses.push((pace.after(batch).as_millis() / batch.as_millis()) as u32);
            advance(Pace::STEP).await;
        }
        assert_eq!(pauses, [16, 8, 4, 2, 2, 2]);
        advance(Duration::from_secs(86_400)).await;
        assert_eq!(pace.after(batch), batch * 2);
        pace.restart();
        assert_eq!(pace.after(batch), batch * 16);
    }
}
