//! The node: all slot queues, and the memory and the starts they share.

mod gauges;

use std::collections::VecDeque;
use std::time::Duration;

use hearth_models::Error;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::queue::{Gone, Queue};
use super::{Action, Admission, Asker, ContainerRef, Demand, Limits, SlotKey, StartFailure, Ticket};

pub(crate) use gauges::{Containers, Gauges};

/// A key that has lacked memory for so long may take it from the key that holds the most.
const FAIR_WAIT: Duration = Duration::from_secs(1);

/// A start that takes longer leaves its place among the starts of the node to others.
const SLOW_START: Duration = Duration::from_secs(5);

/// Decides which call gets which container. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Scheduler<T, W, C> {
    limits: Limits,
    queues: FxHashMap<SlotKey, Queue<T, W, C>>,
    /// Keys with waiting calls, in turn.
    ring: VecDeque<SlotKey>,
    starting: usize,
    waiting: usize,
    reserved: u64,
    /// The part of `reserved` that containers on their way out will give back.
    leaving: u64,
    /// Since when some key has wanted a start that memory does not allow.
    short_since: Option<Instant>,
    cpu_has_room: bool,
    next_id: u64,
}

/// The memory that a key wants for one more container.
#[derive(Clone, Copy, Debug)]
struct Need {
    key: SlotKey,
    memory: u64,
    held: u64,
    since: Instant,
}

impl Need {
    fn of<T, W, C>(key: SlotKey, queue: &Queue<T, W, C>, now: Instant) -> Self {
        let since = queue.short_of_memory.unwrap_or(now);
        Self { key, memory: queue.demand.memory, held: queue.memory_held(), since }
    }

    /// Who holds less goes first, and then who has waited longer.
    const fn rank(&self) -> (u64, Instant) {
        (self.held, self.since)
    }

    fn goes_before(&self, other: &Self) -> bool {
        self.rank() < other.rank()
    }
}

impl<T: Clone, W, C> Scheduler<T, W, C> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            queues: FxHashMap::default(),
            ring: VecDeque::new(),
            starting: 0,
            waiting: 0,
            reserved: 0,
            leaving: 0,
            short_since: None,
            cpu_has_room: true,
            next_id: 0,
        }
    }

    // === what calls do ===

    /// A call asks for a container of `key`. `describe` says what one is made of, asked when the key is new.
    pub(crate) fn call(
        &mut self,
        key: SlotKey,
        (asker, waiter): (Asker, W),
        now: Instant,
        describe: impl FnOnce(&W) -> (T, Demand),
        actions: &mut Vec<Action<T, W, C>>,
    ) -> Admission<W, C> {
        let queue = self.queues.entry(key).or_insert_with(|| {
            let (template, demand) = describe(&waiter);
            Queue::new(template, demand, now)
        });
        if let Some((id, container)) = queue.take_idle(now) {
            return Admission::Now { waiter, container, at: ContainerRef { key, id } };
        }
        if let Some(error) = refusal(&self.limits, self.waiting, queue, now) {
            self.drop_if_empty(key, now);
            return Admission::Refused { waiter, error };
        }
        self.next_id += 1;
        let id = self.next_id;
        queue.join(id, asker, waiter, now);
        self.waiting += 1;
        if !queue.in_ring {
            queue.in_ring = true;
            self.ring.push_back(key);
        }
        self.launch_where_due(now, actions);
        Admission::Waiting(Ticket { key, id })
    }

    /// A waiting call leaves the line. It gets its waiter back unless it was served meanwhile.
    pub(crate) fn abandon(&mut self, ticket: Ticket, now: Instant) -> Option<W> {
        let waiter = self.queues.get_mut(&ticket.key)?.leave(ticket.id, now)?;
        self.waiting -= 1;
        self.drop_if_empty(ticket.key, now);
        Some(waiter)
    }

    // === what containers do ===

    /// A hot container is ready for its first call.
    pub(crate) fn launched(
        &mut self,
        at: ContainerRef,
        container: C,
        now: Instant,
        actions: &mut Vec<Action<T, W, C>>,
    ) {
        if self.end_start(at, now) {
            self.offer(at, container, now, actions);
        } else {
            actions.push(Action::Retire { container });
        }
    }

    /// The container that a cold call started for itself runs.
    pub(crate) fn cold_started(&mut self, at: ContainerRef, now: Instant, actions: &mut Vec<Action<T, W, C>>) {
        if self.end_start(at, now)
            && let Some(queue) = self.queues.get_mut(&at.key)
        {
            queue.forgive();
            queue.mark_busy(at.id, now);
        }
        self.launch_where_due(now, actions);
    }

    /// A start failed, or what it started was no use for even one call. The waiting calls are told when nothing else
    /// can serve them; while other starts are under way, the call is told that has waited longest, if it has waited for all
    /// of this one. So nobody waits for more than one failing start, and one that fails by chance costs one call.
    pub(crate) fn start_failed(
        &mut self,
        at: ContainerRef,
        failure: &StartFailure,
        now: Instant,
        actions: &mut Vec<Action<T, W, C>>,
    ) {
        let was = self.forget(at);
        let Some(queue) = self.queues.get_mut(&at.key) else { return };
        queue.note_failure(failure, now);
        let told = match was {
            _ if queue.demand.cold => 0,
            _ if queue.containers() == 0 => queue.line.len(),
            Some(Gone::Starting(_)) if failure.blame_key && !queue.is_served() => {
                usize::from(queue.has_waited_for(at.id))
            }
            _ => 0,
        };
        for waiter in (0..told).map_while(|_| queue.next(now)) {
            self.waiting -= 1;
            actions.push(Action::Refuse { waiter, failure: failure.clone() });
        }
        self.launch_where_due(now, actions);
        self.drop_if_empty(at.key, now);
    }

    /// The call of a container is answered; it will be [freed](Self::freed) or [gone](Self::gone) in a moment.
    pub(crate) fn answered(&mut self, at: ContainerRef, now: Instant) {
        if let Some(queue) = self.queues.get_mut(&at.key) {
            queue.answered(at.id, now);
        }
    }

    /// A container may serve another call: the next in line gets it, or it idles.
    pub(crate) fn freed(&mut self, at: ContainerRef, container: C, now: Instant, actions: &mut Vec<Action<T, W, C>>) {
        if !self.queues.get_mut(&at.key).is_some_and(|queue| queue.finish_work(at.id)) {
            // Nobody accounts for it any more.
            actions.push(Action::Retire { container });
        } else if self.must_yield(at.key, now) {
            self.let_go(at, container, actions);
            self.launch_where_due(now, actions);
        } else {
            self.offer(at, container, now, actions);
        }
    }

    /// Hands a container that is accounted for to the next in line.
    fn offer(&mut self, at: ContainerRef, container: C, now: Instant, actions: &mut Vec<Action<T, W, C>>) {
        let Some(queue) = self.queues.get_mut(&at.key) else { return };
        if let Some(waiter) = queue.next(now) {
            self.waiting -= 1;
            queue.mark_busy(at.id, now);
            actions.push(Action::Assign { waiter, container, at });
        } else if queue.may_idle() {
            queue.put_idle(at.id, container, now);
        } else {
            self.let_go(at, container, actions);
        }
        self.launch_where_due(now, actions);
    }

    fn let_go(&mut self, at: ContainerRef, container: C, actions: &mut Vec<Action<T, W, C>>) {
        let Some(queue) = self.queues.get_mut(&at.key) else { return };
        queue.mark_retiring(at.id);
        self.leaving += queue.demand.memory;
        actions.push(Action::Retire { container });
    }

    /// An idle container wants to go, because it idled long enough or died. Whether it may: false when it was
    /// given to a call at this very moment.
    pub(crate) fn leave(&mut self, at: ContainerRef) -> bool {
        let Some(queue) = self.queues.get_mut(&at.key) else { return true };
        let idle = queue.retire_idle(at.id).is_some();
        if idle {
            self.leaving += queue.demand.memory;
        }
        idle
    }

    /// A container is gone and its memory is free, whatever it did before. Every container ends here but those
    /// whose start failed.
    pub(crate) fn gone(&mut self, at: ContainerRef, now: Instant, actions: &mut Vec<Action<T, W, C>>) {
        self.forget(at);
        self.launch_where_due(now, actions);
        self.drop_if_empty(at.key, now);
    }

    /// What the container was, if anybody accounted for it.
    fn forget(&mut self, at: ContainerRef) -> Option<Gone> {
        let queue = self.queues.get_mut(&at.key)?;
        let was = queue.forget(at.id)?;
        let memory = queue.demand.memory;
        self.reserved -= memory;
        match was {
            Gone::Starting(start) => self.starting -= usize::from(!start.slow),
            Gone::Retiring => self.leaving -= memory,
            Gone::Live => {}
        }
        Some(was)
    }

    // === what the node does ===

    /// Time has passed: starts may be due. Whether calls wait, so that it should be told again soon.
    pub(crate) fn tick(&mut self, cpu_has_room: bool, now: Instant, actions: &mut Vec<Action<T, W, C>>) -> bool {
        self.cpu_has_room = cpu_has_room;
        self.release_slow_starts(now);
        self.launch_where_due(now, actions);
        !self.ring.is_empty()
    }

    /// What containers of these keys are made of changed or was deleted, or the server stops: idle ones go at once, the
    /// others when nobody waits for them any more. Calls that wait keep the definition that they came with, and what is
    /// made for them does not outlive them.
    pub(crate) fn retire(&mut self, which: impl Fn(&SlotKey) -> bool, actions: &mut Vec<Action<T, W, C>>) {
        for (_, queue) in self.queues.iter_mut().filter(|(key, _)| which(key)) {
            let retired = queue.retire_all();
            self.leaving += queue.demand.memory * retired.len() as u64;
            actions.extend(retired.into_iter().map(|container| Action::Retire { container }));
        }
    }

    /// Forgets keys that nothing is left of; to be called now and then.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let empty: Vec<SlotKey> =
            self.queues.iter().filter(|(_, queue)| queue.is_empty(now)).map(|(key, _)| *key).collect();
        empty.into_iter().for_each(|key| self.drop_if_empty(key, now));
    }

    #[cfg(test)]
    pub(super) fn counted_starts(&self) -> usize {
        self.starting
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.ring.is_empty() && self.leaving == 0
    }

    /// Starts containers for the keys that want one, in turn, while starts and memory are free.
    fn launch_where_due(&mut self, now: Instant, actions: &mut Vec<Action<T, W, C>>) {
        let mut untried = self.ring.len();
        let mut short = false;
        let mut first = self.first_in_need(now);
        let callers_lack_memory = self.callers_lack_memory();
        // Room that could not be made, or was, need not be looked for again in the same turn.
        let mut least_tried = u64::MAX;
        while untried > 0 && self.starting < self.limits.starts() {
            untried -= 1;
            let Some(key) = self.ring.pop_front() else { break };
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            if queue.line.is_empty() {
                queue.in_ring = false;
                queue.short_of_memory = None;
                continue;
            }
            self.ring.push_back(key);
            if !queue.wants_start(&self.limits, self.cpu_has_room, now) {
                continue;
            }
            if callers_lack_memory && queue.callers() == 0 {
                continue;
            }
            let need = Need::of(key, queue, now);
            // Memory that comes free in small pieces would never suffice for a large function otherwise.
            let kept =
                first.filter(|first| first.key != key && first.goes_before(&need)).map_or(0, |first| first.memory);
            if self.reserved + need.memory + kept <= self.limits.memory {
                self.start(key, now, actions);
                untried = self.ring.len();
                first = self.first_in_need(now);
                continue;
            }
            short = true;
            queue.short_of_memory.get_or_insert(now);
            if need.memory < least_tried {
                least_tried = need.memory;
                self.evict_for(key, need.memory, actions);
            }
        }
        if short {
            self.short_since.get_or_insert(now);
        } else if untried == 0 {
            self.short_since = None;
        }
    }

    fn start(&mut self, key: SlotKey, now: Instant, actions: &mut Vec<Action<T, W, C>>) {
        let Some(queue) = self.queues.get_mut(&key) else { return };
        self.next_id += 1;
        let at = ContainerRef { key, id: self.next_id };
        queue.begin_start(at.id, self.starting == 0, now);
        self.starting += 1;
        self.reserved += queue.demand.memory;
        if !queue.demand.cold {
            actions.push(Action::Launch { template: queue.template.clone(), at });
        } else if let Some(waiter) = queue.next(now) {
            self.waiting -= 1;
            actions.push(Action::Admit { waiter, template: queue.template.clone(), at });
        }
    }

    /// Makes room for `need` bytes by letting idle containers of other keys go, least recently used first; none
    /// when that would not be enough.
    fn evict_for(&mut self, key: SlotKey, need: u64, actions: &mut Vec<Action<T, W, C>>) {
        let missing = |this: &Self| (this.reserved - this.leaving + need).saturating_sub(this.limits.memory);
        let others = || self.queues.iter().filter(|(other, _)| **other != key);
        let evictable: u64 = others().map(|(_, queue)| queue.demand.memory * queue.idle() as u64).sum();
        if missing(self) > evictable {
            return;
        }
        while missing(self) > 0 {
            let oldest = self
                .queues
                .iter()
                .filter(|(other, _)| **other != key)
                .filter_map(|(other, queue)| queue.oldest_idle().map(|(id, since)| (since, *other, id)))
                .min();
            let Some((_, other, id)) = oldest else { return };
            let Some(queue) = self.queues.get_mut(&other) else { return };
            let Some(container) = queue.retire_idle(id) else { return };
            self.leaving += queue.demand.memory;
            actions.push(Action::Retire { container });
        }
    }

    /// Whether a container of `key` that was freed just now, and counts nowhere yet, has to go: another key has lacked
    /// memory for too long, and of all keys this one holds the most.
    fn must_yield(&self, key: SlotKey, now: Instant) -> bool {
        let own = self.queues.get(&key).map_or(0, |queue| queue.memory_held() + queue.demand.memory);
        self.first_in_need(now).is_some_and(|first| first.key != key && first.held < own)
            && self.queues.values().all(|queue| queue.memory_held() <= own)
    }

    /// Whether memory that is free is a caller's rather than the queue's.
    fn callers_lack_memory(&self) -> bool {
        self.short_since.is_some() && self.queues.values().any(Queue::keeps_a_caller_waiting)
    }

    /// Of the keys whose callers have lacked memory for too long, the one whose turn it is.
    fn first_in_need(&self, now: Instant) -> Option<Need> {
        let overdue = |since: Instant| now.saturating_duration_since(since) > FAIR_WAIT;
        // Most questions end here: the queues are looked through only where one of them may be starved.
        self.short_since.filter(|since| overdue(*since))?;
        let starved = |queue: &Queue<T, W, C>| queue.callers() > 0 && queue.short_of_memory.is_some_and(overdue);
        let needs =
            self.queues.iter().filter(|(_, queue)| starved(queue)).map(|(key, queue)| Need::of(*key, queue, now));
        needs.min_by_key(Need::rank)
    }

    /// False when nobody accounts for it any more.
    fn end_start(&mut self, at: ContainerRef, now: Instant) -> bool {
        let alone = self.starting == 1;
        let ended = self.queues.get_mut(&at.key).and_then(|queue| queue.end_start(at.id, alone, now));
        self.starting -= usize::from(ended.is_some_and(|start| !start.slow));
        ended.is_some()
    }

    /// A start that takes very long must not keep the starts of others from their turn.
    fn release_slow_starts(&mut self, now: Instant) {
        if self.starting >= self.limits.starts() {
            let slow: usize = self.queues.values_mut().map(|queue| queue.mark_slow(SLOW_START, now)).sum();
            self.starting -= slow;
        }
    }

    fn drop_if_empty(&mut self, key: SlotKey, now: Instant) {
        if self.queues.get(&key).is_some_and(|queue| queue.is_empty(now)) {
            self.queues.remove(&key);
            self.ring.retain(|other| *other != key);
        }
    }
}

/// Why a call may not even wait.
fn refusal<T, W, C>(limits: &Limits, waiting: usize, queue: &Queue<T, W, C>, now: Instant) -> Option<Error> {
    const MIB: u64 = 1024 * 1024;
    if queue.demand.memory > limits.memory {
        let (need, have) = (queue.demand.memory / MIB, limits.memory / MIB);
        return Some(Error::NoCapacity(format!("function needs {need} MB of memory, this server has {have} MB")));
    }
    if let Some(error) = queue.refusal(now) {
        return Some(error);
    }
    if queue.line.len() >= limits.waiting_per_key {
        return Some(Error::NoCapacity("too many calls of this function are waiting".to_owned()));
    }
    if waiting >= limits.waiting {
        return Some(Error::NoCapacity("too many calls are waiting on this server".to_owned()));
    }
    None
}
