//! The slot queue of one key: its containers, its waiting calls, and when it wants another container.

use std::collections::VecDeque;
use std::time::Duration;

use hearth_models::Error;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::Instant;

use super::average::Average;
use super::{Asker, Demand, Limits, StartFailure, back_off};

/// Start time of a container where none was measured yet, in seconds (a 2-core machine with Docker 20.10).
const DEFAULT_START: f64 = 0.188;
/// Calls shorter than this, in seconds, do not get ever more containers only because they wait.
const SHORT_CALL: f64 = 0.020;
/// Calls that are known to be short may be held up for so long, in seconds, by what else goes on: by a container that starts.
const HELD_UP: f64 = 0.100;
/// The sum of waiting, in start times, that justifies a start while the CPU has room.
const PATIENCE: f64 = 4.0;

#[derive(Debug)]
pub(super) struct Waiting<W> {
    pub(super) id: u64,
    asker: Asker,
    pub(super) waiter: W,
}

#[derive(Debug)]
pub(super) struct Idle<C> {
    pub(super) id: u64,
    pub(super) container: C,
    pub(super) since: Instant,
}

/// A container that executes or drains.
#[derive(Clone, Copy, Debug)]
struct Busy {
    since: Instant,
    /// Its call is answered; it will be free in a moment.
    draining: bool,
}

#[derive(Clone, Copy, Debug)]
struct Starting {
    since: Instant,
    /// No other start was in flight when it began.
    alone: bool,
    /// It has taken so long that it no longer counts among the starts of the node.
    slow: bool,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    error: Error,
    until: Instant,
}

/// See the module's documentation. `T`, `W` and `C` are those of [`super::Action`].
#[derive(Debug)]
pub(super) struct Queue<T, W, C> {
    pub(super) template: T,
    pub(super) demand: Demand,
    /// In the order of their ids, which is the order in which they came.
    pub(super) line: VecDeque<Waiting<W>>,
    /// Of these, calls whose callers wait.
    callers: usize,
    /// The key stands in the node's ring of keys that may want a start.
    pub(super) in_ring: bool,
    /// Since when a wanted start has lacked memory.
    pub(super) short_of_memory: Option<Instant>,
    idle: Vec<Idle<C>>,
    busy: FxHashMap<u64, Busy>,
    starting: FxHashMap<u64, Starting>,
    retiring: FxHashSet<u64>,
    /// The function changed or is gone, and no call has come since: containers serve who waits, and then go.
    outdated: bool,
    execution: Average,
    start: Average,
    /// Waiting time, summed over the line since the last start.
    waited: Duration,
    waited_until: Instant,
    failures: Option<Failures>,
}

impl<T, W, C> Queue<T, W, C> {
    pub(super) fn new(template: T, demand: Demand, now: Instant) -> Self {
        Self {
            template,
            demand,
            line: VecDeque::new(),
            callers: 0,
            in_ring: false,
            short_of_memory: None,
            idle: Vec::new(),
            busy: FxHashMap::default(),
            starting: FxHashMap::default(),
            retiring: FxHashSet::default(),
            outdated: false,
            execution: Average::new(),
            start: Average::new(),
            waited: Duration::ZERO,
            waited_until: now,
            failures: None,
        }
    }

    // === the line ===

    pub(super) fn join(&mut self, id: u64, asker: Asker, waiter: W, now: Instant) {
        self.count_waiting(now);
        self.outdated = false;
        self.callers += usize::from(asker == Asker::Caller);
        self.line.push_back(Waiting { id, asker, waiter });
    }

    pub(super) fn next(&mut self, now: Instant) -> Option<W> {
        self.count_waiting(now);
        let waiting = self.line.pop_front()?;
        Some(self.out_of_line(waiting))
    }

    pub(super) fn leave(&mut self, id: u64, now: Instant) -> Option<W> {
        self.count_waiting(now);
        let at = self.line.binary_search_by_key(&id, |waiting| waiting.id).ok()?;
        let waiting = self.line.remove(at)?;
        Some(self.out_of_line(waiting))
    }

    fn out_of_line(&mut self, waiting: Waiting<W>) -> W {
        self.callers -= usize::from(waiting.asker == Asker::Caller);
        waiting.waiter
    }

    /// Those in the line for whom somebody waits.
    pub(super) const fn callers(&self) -> usize {
        self.callers
    }

    /// Somebody waits for a container that there is no memory for.
    pub(super) const fn keeps_a_caller_waiting(&self) -> bool {
        self.callers > 0 && self.short_of_memory.is_some()
    }

    fn count_waiting(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.waited_until);
        self.waited += passed.saturating_mul(u32::try_from(self.line.len()).unwrap_or(u32::MAX));
        self.waited_until = now;
    }

    // === containers ===

    /// Takes the most recently used idle container.
    pub(super) fn take_idle(&mut self, now: Instant) -> Option<(u64, C)> {
        let Idle { id, container, .. } = self.idle.pop()?;
        self.busy.insert(id, Busy { since: now, draining: false });
        Some((id, container))
    }

    /// Takes `id` out of the idle ones, if it is there, because it goes.
    pub(super) fn retire_idle(&mut self, id: u64) -> Option<C> {
        let at = self.idle.iter().position(|idle| idle.id == id)?;
        self.retiring.insert(id);
        Some(self.idle.remove(at).container)
    }

    /// Takes all idle containers out, and the others as soon as nobody waits for them.
    pub(super) fn retire_all(&mut self) -> Vec<C> {
        self.outdated = true;
        let idle = std::mem::take(&mut self.idle);
        self.retiring.extend(idle.iter().map(|idle| idle.id));
        idle.into_iter().map(|idle| idle.container).collect()
    }

    pub(super) fn oldest_idle(&self) -> Option<(u64, Instant)> {
        self.idle.first().map(|idle| (idle.id, idle.since))
    }

    pub(super) fn put_idle(&mut self, id: u64, container: C, now: Instant) {
        self.idle.push(Idle { id, container, since: now });
    }

    pub(super) fn begin_start(&mut self, id: u64, alone: bool, now: Instant) {
        self.count_waiting(now);
        self.waited = Duration::ZERO;
        self.short_of_memory = None;
        self.starting.insert(id, Starting { since: now, alone, slow: false });
    }

    /// The start of `id` is over. None when it was not known to be starting.
    pub(super) fn end_start(&mut self, id: u64, alone: bool, now: Instant) -> Option<EndedStart> {
        let Starting { since, alone: began_alone, slow } = self.starting.remove(&id)?;
        if began_alone && alone && !slow {
            self.start.add(now - since);
        }
        Some(EndedStart { slow })
    }

    /// Starts that have taken longer than `patience` and counted until now. A health check may take minutes; it uses
    /// little of the node meanwhile.
    pub(super) fn mark_slow(&mut self, patience: Duration, now: Instant) -> usize {
        let is_slow = |start: &&mut Starting| !start.slow && now.saturating_duration_since(start.since) > patience;
        self.starting.values_mut().filter(is_slow).map(|start| start.slow = true).count()
    }

    /// A container that a call made for itself runs: nothing is wrong with starting them.
    pub(super) fn forgive(&mut self) {
        self.failures = None;
    }

    /// A start failed. If the key is to blame, it will be answered from memory when that happens again.
    pub(super) fn note_failure(&mut self, failure: &StartFailure, now: Instant) {
        if failure.blame_key {
            let count = self.failures.as_ref().map_or(0, |failures| failures.count) + 1;
            self.failures = Some(Failures { count, error: failure.error.clone(), until: now + back_off(count) });
        }
    }

    /// A container came back, after a call or from one that did not need it. False when it was not known to work.
    pub(super) fn finish_work(&mut self, id: u64) -> bool {
        let Some(busy) = self.busy.remove(&id) else { return false };
        if busy.draining {
            self.failures = None;
        }
        true
    }

    /// The call of a working container is answered; only its late log lines are waited for.
    pub(super) fn answered(&mut self, id: u64, now: Instant) {
        if let Some(busy) = self.busy.get_mut(&id).filter(|busy| !busy.draining) {
            busy.draining = true;
            self.execution.add(now - busy.since);
        }
    }

    /// Whether a container that nobody waits for is worth keeping.
    pub(super) const fn may_idle(&self) -> bool {
        !self.outdated
    }

    pub(super) fn mark_busy(&mut self, id: u64, now: Instant) {
        self.busy.insert(id, Busy { since: now, draining: false });
    }

    pub(super) fn mark_retiring(&mut self, id: u64) {
        self.retiring.insert(id);
    }

    /// The container is gone: what it was. None when it was not known.
    pub(super) fn forget(&mut self, id: u64) -> Option<Gone> {
        if self.busy.remove(&id).is_some() {
            return Some(Gone::Live);
        }
        if let Some(Starting { slow, .. }) = self.starting.remove(&id) {
            return Some(Gone::Starting(EndedStart { slow }));
        }
        if self.retiring.remove(&id) {
            return Some(Gone::Retiring);
        }
        let at = self.idle.iter().position(|idle| idle.id == id)?;
        self.idle.remove(at);
        Some(Gone::Live)
    }

    // === counts ===

    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn idle_memory(&self) -> u64 {
        self.demand.memory.saturating_mul(self.idle.len() as u64)
    }

    pub(super) fn starting(&self) -> usize {
        self.starting.len()
    }

    pub(super) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Containers on their way out.
    pub(super) fn retiring(&self) -> usize {
        self.retiring.len()
    }

    /// Containers that hold memory and will serve: idle, working, starting.
    pub(super) fn containers(&self) -> usize {
        self.idle.len() + self.busy.len() + self.starting.len()
    }

    /// There is a container that has become ready.
    pub(super) fn is_served(&self) -> bool {
        self.idle.len() + self.busy.len() > 0
    }

    /// The first in the line came before the start of `id` began. Ids of calls and of containers are of one sequence.
    pub(super) fn has_waited_for(&self, id: u64) -> bool {
        self.line.front().is_some_and(|first| first.id < id)
    }

    pub(super) fn memory_held(&self) -> u64 {
        self.demand.memory.saturating_mul(self.containers() as u64)
    }

    /// Nothing would be lost with it.
    pub(super) fn is_empty(&self, now: Instant) -> bool {
        self.containers() == 0
            && self.retiring.is_empty()
            && self.line.is_empty()
            && self.failures.as_ref().is_none_or(|failures| failures.until <= now)
    }

    // === the launch policy ===

    /// The answer from memory for a call of a key that keeps failing to start.
    pub(super) fn refusal(&self, now: Instant) -> Option<Error> {
        let failures = self.failures.as_ref().filter(|failures| failures.until > now)?;
        (self.containers() == 0 && failures.count > 1).then(|| failures.error.clone())
    }

    /// Whether one more container should be started now, memory aside.
    pub(super) fn wants_start(&mut self, limits: &Limits, cpu_has_room: bool, now: Instant) -> bool {
        self.count_waiting(now);
        let n = self.containers();
        // A hot start serves whoever is first when it is done; a cold call has left the line with its own start.
        let served = if self.demand.cold { 0 } else { self.starting.len() };
        if self.line.len() <= served || n >= limits.containers_per_key {
            return false;
        }
        // After a failure one start at a time is enough to find out whether it was the last one.
        let trying = !self.demand.cold && !self.starting.is_empty();
        if self.failures.as_ref().is_some_and(|failures| trying || failures.until > now && n > 0) {
            return false;
        }
        if self.demand.cold || n == 0 {
            return true;
        }
        let start = self.start.seconds_or(DEFAULT_START);
        let execution = self.expected_execution(now);
        // Who waits for a container that only drains waits for a moment, however long its calls take.
        let draining = self.busy.values().filter(|busy| busy.draining).count();
        let long_waiting = self.line.len().saturating_sub(draining);
        let may_grow = execution >= SHORT_CALL || n < limits.short_call_containers();
        // Where the CPUs have nothing to give, short calls only look longer, and every further container makes them so.
        if long_waiting as f64 * execution / n as f64 > start && (may_grow || cpu_has_room) {
            return true;
        }
        // Many such moments count, though: a single quick caller is best served by two containers in turn.
        cpu_has_room && may_grow && self.waited.as_secs_f64() > PATIENCE * start
    }

    /// Average execution time in seconds; calls that still run contribute at least their age. Where calls are known to be
    /// short, that has to be more than the start of a container holds up the others of its machine: it would bring about more.
    fn expected_execution(&self, now: Instant) -> f64 {
        let known = self.execution.seconds_or(0.0);
        if self.busy.is_empty() {
            return known;
        }
        let is_short = self.execution.is_known() && known < SHORT_CALL;
        let age = |busy: &Busy| match now.saturating_duration_since(busy.since).as_secs_f64() {
            _ if busy.draining => known,
            age if is_short && age < HELD_UP => known,
            age => age.max(known),
        };
        self.busy.values().map(age).sum::<f64>() / self.busy.len() as f64
    }
}

/// A start that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedStart {
    /// It no longer counted among the starts of the node.
    pub(super) slow: bool,
}

/// What a container was when it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Live,
    Starting(EndedStart),
    Retiring,
}
