//! Apps, functions and triggers from memory: the call path asks for them once per call and must not wait for a disk. It
//! asks by app and path, or by the id of a function.
//!
//! * A definition is fresh for a moment, so that changes of other nodes show within a second.
//! * Every change through this node makes all of them stale at once, by raising a generation number. Management is rare
//!   next to calls, and one number cannot forget a key.
//! * Concurrent misses of one key ask the store once. So do concurrent refreshes.
//! * That something is not there is remembered just as briefly, apart from what is there, so that a scan of made-up
//!   paths cannot push definitions out.
//! * While the store is away the last known definition serves, for a bounded time. What is unknown stays unknown.

mod catalog;
mod recent;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hearth_models::{Error as ModelError, FnId};
use moka::future::Cache;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::recent::Recent;
use crate::{DefinitionStore, Error, Observed, Resolved, Result, StoreObserver, StoreOperation};

/// How long [`Definitions`] trusts what it knows.
#[derive(Clone, Copy, Debug)]
pub struct DefinitionsSettings {
    /// How long a definition is used without asking the store again.
    pub fresh: Duration,
    /// How long the last known definition serves while the store is away.
    pub last_known: Duration,
    /// How long a call waits for the store when there is a last known definition.
    pub refresh: Duration,
    /// Definitions kept at most, and as many paths that lead nowhere.
    pub capacity: u64,
}

impl Default for DefinitionsSettings {
    fn default() -> Self {
        Self {
            fresh: Duration::from_millis(750),
            last_known: Duration::from_secs(10 * 60),
            refresh: Duration::from_millis(250),
            capacity: 10_000,
        }
    }
}

/// A [`DefinitionStore`] that answers [`resolve`](DefinitionStore::resolve) and
/// [`resolve_function`](crate::Catalog::resolve_function) from memory. Everything else goes to the store behind it; changes
/// have to come through here to show at once.
#[derive(Debug)]
pub struct Definitions {
    store: Arc<dyn DefinitionStore>,
    settings: DefinitionsSettings,
    /// Part of what is known.
    recent: Recent<Arc<Known>>,
    known: Cache<String, Arc<Known>>,
    missing: Cache<String, Missing>,
    generation: AtomicU64,
    observed: Observed,
}

/// A definition as the store had it.
#[derive(Debug)]
struct Known {
    resolved: Arc<Resolved>,
    seen: Seen,
    /// Held by the one that refreshes; when the next try is due after one that failed.
    refresh: Mutex<Option<Instant>>,
}

/// What the call path asks.
#[derive(Clone, Copy, Debug, Hash)]
enum Question<'a> {
    Path { app: &'a str, path: &'a str },
    Function(FnId),
}

/// That there is no such app, route or function.
#[derive(Clone, Debug)]
struct Missing {
    error: ModelError,
    seen: Seen,
}

/// When the store was asked.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    generation: u64,
}

impl Definitions {
    /// Definitions of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn DefinitionStore>, settings: DefinitionsSettings) -> Self {
        Self {
            store,
            settings,
            recent: Recent::new(),
            known: Cache::builder().max_capacity(settings.capacity).time_to_live(settings.last_known).build(),
            missing: Cache::builder().max_capacity(settings.capacity).time_to_live(settings.fresh).build(),
            generation: AtomicU64::new(0),
            observed: Observed::default(),
        }
    }

    /// The same, with somebody who is told how long the store took.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn StoreObserver>) -> Self {
        self.observed = Observed(Some(observer));
        self
    }

    /// Asks the store what no memory answers.
    async fn ask(&self, question: Question<'_>) -> Result<Arc<Resolved>> {
        match question {
            Question::Path { app, path } => {
                self.observed.ask(StoreOperation::GetRoute, self.store.resolve(app, path)).await
            }
            Question::Function(id) => {
                self.observed.ask(StoreOperation::GetFunction, self.store.resolve_function(id)).await
            }
        }
    }

    async fn lookup(&self, question: Question<'_>) -> Result<Arc<Resolved>> {
        let asked = self.now();
        let fresh = |known: &Arc<Known>| self.is_fresh(known.seen, asked).then(|| Arc::clone(&known.resolved));
        match self.recent.get(question, fresh) {
            Some(resolved) => Ok(resolved),
            // In a box of its own, so that those that are answered already need no room for it.
            None => Box::pin(self.look_further(question, asked)).await,
        }
    }

    async fn look_further(&self, question: Question<'_>, asked: Seen) -> Result<Arc<Resolved>> {
        let key = question.key();
        if let Some(known) = self.known.get(&key).await {
            if self.is_fresh(known.seen, asked) {
                let resolved = Arc::clone(&known.resolved);
                self.recent.put(question, key, known);
                return Ok(resolved);
            }
            return self.refresh(key, &known, question, asked).await;
        }
        match self.missing.get(&key).await {
            Some(missing) if self.is_fresh(missing.seen, asked) => Err(missing.error.into()),
            _ => self.fetch(key, question, asked).await,
        }
    }

    /// The first look: together with all who look for the same.
    async fn fetch(&self, key: String, question: Question<'_>, asked: Seen) -> Result<Arc<Resolved>> {
        loop {
            let answer = self.known.try_get_with_by_ref(&key, async {
                let seen = self.now();
                let resolved = self.ask(question).await;
                let resolved = resolved.map_err(|error| (error, seen))?;
                Ok::<_, (Error, Seen)>(Known::new(resolved, seen))
            });
            match answer.await {
                Ok(known) if known.seen.generation >= asked.generation => {
                    return Ok(Arc::clone(&known.resolved));
                }
                // Whoever was asked along with us had asked before the change that we know of.
                Ok(known) => return self.refresh(key, &known, question, asked).await,
                Err(failed) if failed.1.generation < asked.generation => {}
                Err(failed) => match &failed.0 {
                    Error::Model(error) => return self.not_there(key, error.clone(), failed.1).await,
                    Error::Unavailable(_) => return Err(Error::Unavailable(Box::new(Shared(failed)))),
                    _ => return Err(Error::Database(Box::new(Shared(failed)))),
                },
            }
        }
    }

    /// A later look: one asks, and while the store does not answer, what was known serves.
    async fn refresh(&self, key: String, known: &Known, question: Question<'_>, asked: Seen) -> Result<Arc<Resolved>> {
        // Whoever holds it does so for one try, which has a deadline.
        let mut not_before = known.refresh.lock().await;
        if let Some(newer) = self.known.get(&key).await
            && self.is_fresh(newer.seen, asked)
        {
            return Ok(Arc::clone(&newer.resolved));
        }
        let seen = self.now();
        if not_before.is_some_and(|due| seen.at < due) {
            return self.last_known(known, seen, Error::Unavailable("the last try failed".into()));
        }
        let answer = timeout(self.settings.refresh, self.ask(question)).await;
        match answer.unwrap_or_else(|late| Err(Error::Unavailable(late.into()))) {
            Ok(resolved) => {
                let newer = Known::new(Arc::clone(&resolved), seen);
                self.known.insert(key, newer).await;
                Ok(resolved)
            }
            Err(Error::Model(error)) => {
                self.known.invalidate(&key).await;
                self.not_there(key, error, seen).await
            }
            Err(error) => {
                *not_before = Some(Instant::now() + self.settings.fresh);
                tracing::warn!(error = error.chain(), "the last known definition serves");
                self.last_known(known, seen, error)
            }
        }
    }

    async fn not_there(&self, key: String, error: ModelError, seen: Seen) -> Result<Arc<Resolved>> {
        let missing = Missing { error: error.clone(), seen };
        self.missing.insert(key, missing).await;
        Err(error.into())
    }

    fn last_known(&self, known: &Known, now: Seen, error: Error) -> Result<Arc<Resolved>> {
        if now.at.duration_since(known.seen.at) < self.settings.last_known {
            Ok(Arc::clone(&known.resolved))
        } else {
            Err(error)
        }
    }

    fn now(&self) -> Seen {
        Seen { at: Instant::now(), generation: self.generation.load(Ordering::Acquire) }
    }

    fn is_fresh(&self, seen: Seen, now: Seen) -> bool {
        seen.generation >= now.generation && now.at.saturating_duration_since(seen.at) < self.settings.fresh
    }

    /// Makes everything stale when it is dropped: when a change is done, or when its future is dropped and nobody knows
    /// whether it was.
    fn changing(&self) -> Changing<'_> {
        Changing(&self.generation)
    }
}

// === impl Question ===

impl Question<'_> {
    fn key(self) -> String {
        match self {
            // No app's name has a slash and every path begins with one; an id has none.
            Self::Path { app, path } => format!("{app}{path}"),
            Self::Function(id) => id.to_string(),
        }
    }

    fn has_key(self, key: &str) -> bool {
        match self {
            Self::Path { app, path } => key.strip_prefix(app) == Some(path),
            Self::Function(id) => *id.text() == *key,
        }
    }
}

struct Changing<'a>(&'a AtomicU64);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Known {
    fn new(resolved: Arc<Resolved>, seen: Seen) -> Arc<Self> {
        Arc::new(Self { resolved, seen, refresh: Mutex::default() })
    }
}

/// A failure that several callers are told of.
#[derive(Debug)]
struct Shared(Arc<(Error, Seen)>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.0.source()
    }
}
