//! Which calls of the queue may be reserved now, and how many.
//!
//! Reserved is what will begin in a moment: per function as many calls as there are containers for, or memory to start
//! some, and of quick functions as many as end in a moment. A function that has no room is left out, so that it keeps
//! neither the calls of others waiting nor more of its own than can begin.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_models::FnId;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::slots::{Containers, Demand, Gauges};

/// Reserved are as many as end in this time.
const AHEAD: Duration = Duration::from_millis(50);
/// Over which time that is measured.
const MEASURED: Duration = Duration::from_millis(500);
/// Reserved and not begun at most, however fast they are.
const MOST: usize = 256;
/// A function whose call found no slot is left out for so long.
const REST: Duration = Duration::from_secs(1);
/// What is known of a function that is left out is believed for so long: it may have become smaller.
const BELIEVED: Duration = Duration::from_secs(10);

/// How things stand on the node, and with the containers of the functions that the gate knows.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) node: Gauges,
    pub(super) containers: FxHashMap<FnId, Containers>,
}

/// What to ask the queue for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) at_most: usize,
    /// Functions that have no room.
    pub(super) except: Vec<FnId>,
}

/// The calls of one function.
#[derive(Debug)]
struct Line {
    demand: Demand,
    /// Reserved and not begun.
    waiting: usize,
    /// When the last ones ended.
    ended: VecDeque<Instant>,
    /// Since when it has been left out: from when it has as many as it may until half of them have begun.
    full_since: Option<Instant>,
    rests_until: Option<Instant>,
}

/// Counts the calls of the queue on this node.
#[derive(Debug)]
pub(crate) struct Gate {
    lines: Mutex<FxHashMap<FnId, Line>>,
    changed: Notify,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// As many as the launch policy starts containers for at a time, and a few to go on with.
    least: usize,
    containers_per_function: usize,
}

/// A call that was reserved and has not begun. Dropped when it begins or will not.
#[derive(Debug)]
pub(crate) struct Waiting {
    gate: Arc<Gate>,
    function: FnId,
}

impl Gate {
    pub(super) fn new(cpus: usize, containers_per_function: usize) -> Self {
        let bounds = Bounds { least: 2 * cpus + 2, containers_per_function };
        Self { lines: Mutex::default(), changed: Notify::new(), bounds }
    }

    /// Whether it knows anything of a function.
    pub(super) fn knows(&self, function: FnId) -> bool {
        self.lock().contains_key(&function)
    }

    /// What to ask for; nothing while callers wait for a slot or memory is short.
    pub(super) fn ask(&self, view: &View) -> Option<Ask> {
        let now = Instant::now();
        let mut lines = self.lock();
        lines.retain(|_, line| line.is_of_use(now));
        if view.node.callers > 0 || free(&view.node) < view.node.memory_capacity / 4 {
            return None;
        }
        let pledged = self.bounds.pledged(&lines, view);
        let (mut asked, mut except) = (0, Vec::new());
        for (function, line) in lines.iter_mut() {
            let wanted = self.bounds.wanted(line, *function, view, pledged);
            if line.is_full(wanted, now) {
                except.push(*function);
            } else {
                asked += wanted - line.waiting;
            }
        }
        let room = MOST.saturating_sub(lines.values().map(|line| line.waiting).sum());
        except.sort_unstable();
        (room > 0).then(|| Ask { at_most: asked.max(self.bounds.least).min(room), except })
    }

    /// Takes in a call that was reserved, if it will find a slot in a moment.
    pub(super) fn admit(gate: &Arc<Self>, function: FnId, demand: Demand, view: &View) -> Option<Waiting> {
        let now = Instant::now();
        let mut lines = gate.lock();
        lines.entry(function).or_insert_with(|| Line::new(demand)).demand = demand;
        let pledged = gate.bounds.pledged(&lines, view);
        let line = lines.get_mut(&function)?;
        if line.waiting >= gate.bounds.wanted(line, function, view, pledged) {
            line.full_since.get_or_insert(now);
            return None;
        }
        line.waiting += 1;
        drop(lines);
        Some(Waiting { gate: Arc::clone(gate), function })
    }

    /// An attempt has ended.
    pub(super) fn ended(&self, function: FnId) {
        let now = Instant::now();
        if let Some(line) = self.lock().get_mut(&function) {
            line.ended.push_back(now);
            line.forget_old(now);
        }
    }

    /// A call found no slot although it should have, or nobody knows what it needs.
    pub(super) fn rest(&self, function: FnId) {
        let unknown = Demand { memory: 0, cold: false };
        let mut lines = self.lock();
        let line = lines.entry(function).or_insert_with(|| Line::new(unknown));
        line.rests_until = Some(Instant::now() + REST);
    }

    /// Returns when a function may have room again, since this was called last.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, FxHashMap<FnId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bounds {
    /// How many calls of a function may be reserved and not begun.
    fn wanted(self, line: &Line, function: FnId, view: &View, pledged: u64) -> usize {
        let memory = line.demand.memory.max(1);
        if memory > view.node.memory_capacity {
            // It is to be told so.
            return 1;
        }
        let containers = view.containers.get(&function).copied().unwrap_or_default();
        let fits = usize::try_from(free(&view.node).saturating_sub(pledged) / memory).unwrap_or(usize::MAX);
        let can_start = fits.saturating_add(self.unserved(line, containers));
        let more = self.containers_per_function.saturating_sub(containers.busy);
        let at_once = can_start.saturating_add(containers.starting + containers.idle).min(more);
        let soon = (line.ended.len() * AHEAD.as_millis() as usize).div_ceil(MEASURED.as_millis() as usize);
        at_once.min(self.least).max(soon).min(MOST)
    }

    /// Calls that a container has to be started for.
    fn unserved(self, line: &Line, containers: Containers) -> usize {
        let serve = if line.demand.cold { 0 } else { containers.busy + containers.idle };
        line.waiting.min(self.least).saturating_sub(containers.starting + serve)
    }

    /// Memory for containers that will be started for what is reserved.
    fn pledged(self, lines: &FxHashMap<FnId, Line>, view: &View) -> u64 {
        let of = |(function, line): (&FnId, &Line)| {
            let containers = view.containers.get(function).copied().unwrap_or_default();
            line.demand.memory.saturating_mul(self.unserved(line, containers) as u64)
        };
        lines.iter().map(of).fold(0, u64::saturating_add)
    }
}

impl Line {
    const fn new(demand: Demand) -> Self {
        Self { demand, waiting: 0, ended: VecDeque::new(), full_since: None, rests_until: None }
    }

    /// Whether it is left out, now that so many of its calls are wanted.
    fn is_full(&mut self, wanted: usize, now: Instant) -> bool {
        let rests = self.rests_until.is_some_and(|until| until > now);
        let full = self.waiting >= wanted || (self.full_since.is_some() && self.waiting * 2 > wanted);
        if full {
            self.full_since.get_or_insert(now);
        } else {
            self.full_since = None;
        }
        full || rests
    }

    /// Whether anything would be lost with it.
    fn is_of_use(&mut self, now: Instant) -> bool {
        self.forget_old(now);
        let left_out = self.full_since.is_some_and(|since| now.saturating_duration_since(since) < BELIEVED);
        let rests = self.rests_until.is_some_and(|until| until > now);
        self.waiting > 0 || !self.ended.is_empty() || left_out || rests
    }

    fn forget_old(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|at| now.duration_since(*at) > MEASURED) {
            self.ended.pop_front();
        }
    }
}

/// Memory that nothing works in: that of idle containers is had for the asking.
const fn free(node: &Gauges) -> u64 {
    node.memory_capacity.saturating_sub(node.memory_reserved).saturating_add(node.memory_idle)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let room = {
            let mut lines = self.gate.lock();
            let Some(line) = lines.get_mut(&self.function) else { return };
            line.waiting -= 1;
            line.full_since.is_some()
        };
        if room {
            self.gate.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Demand = Demand { memory: 10, cold: false };
    const LARGE: Demand = Demand { memory: 600, cold: true };

    /// A node with 1000 bytes.
    fn view(callers: usize, reserved: u64, idle: u64) -> View {
        let node = Gauges {
            callers,
            memory_reserved: reserved,
            memory_idle: idle,
            memory_capacity: 1000,
            ..Gauges::default()
        };
        View { node, containers: FxHashMap::default() }
    }

    fn gate() -> Arc<Gate> {
        Arc::new(Gate::new(2, 100))
    }

    fn admit(gate: &Arc<Gate>, function: FnId, demand: Demand, view: &View, times: usize) -> Vec<Waiting> {
        (0..times).map_while(|_| Gate::admit(gate, function, demand, view)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn reserved_is_what_the_node_can_start() {
        let (gate, function, view) = (gate(), FnId::generate(), view(0, 0, 0));
        assert_eq!(gate.ask(&view), Some(Ask { at_most: 6, except: vec![] }));
        let mut waiting = admit(&gate, function, SMALL, &view, 10);
        assert_eq!(waiting.len(), 6);
        assert_eq!(gate.ask(&view), Some(Ask { at_most: 6, except: vec![function] }), "others may come");
        waiting.truncate(4);
        assert_eq!(gate.ask(&view).unwrap().except, [function], "less than half is not worth a question");
        waiting.truncate(3);
        gate.changed().await;
        assert_eq!(gate.ask(&view).unwrap().except, []);
        assert_eq!(admit(&gate, function, SMALL, &view, 10).len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn quick_functions_have_more_reserved() {
        let (gate, function, view) = (gate(), FnId::generate(), view(0, 0, 0));
        drop(admit(&gate, function, SMALL, &view, 1));
        (0..1000).for_each(|_| gate.ended(function));
        assert_eq!(gate.ask(&view).unwrap().at_most, 100);
        (0..9000).for_each(|_| gate.ended(function));
        assert_eq!(gate.ask(&view).unwrap().at_most, MOST);
        tokio::time::advance(2 * MEASURED).await;
        assert_eq!(gate.ask(&view).unwrap().at_most, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_function_keeps_nobody_else_out() {
        let (gate, large, small) = (gate(), FnId::generate(), FnId::generate());
        let empty = view(0, 0, 0);
        let one = admit(&gate, large, LARGE, &empty, 6);
        assert_eq!(one.len(), 1, "as many as fit");
        assert_eq!(admit(&gate, small, SMALL, &empty, 10).len(), 6);
        // It runs: what is free does not suffice for another, and suffices for the small one.
        drop(one);
        let mut runs = view(0, 600, 0);
        runs.containers.insert(large, Containers { busy: 1, ..Containers::default() });
        assert_eq!(gate.ask(&runs).unwrap().except, [large]);
        assert_eq!(admit(&gate, large, LARGE, &runs, 1).len(), 0);
        assert_eq!(gate.ask(&empty).unwrap().except, [], "it has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn memory_that_is_pledged_is_not_promised_again() {
        let (gate, view) = (gate(), view(0, 0, 0));
        let first = admit(&gate, FnId::generate(), LARGE, &view, 1);
        assert_eq!(admit(&gate, FnId::generate(), LARGE, &view, 1).len(), 0);
        drop(first);
        assert_eq!(admit(&gate, FnId::generate(), LARGE, &view, 1).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_has_no_more_than_its_containers_serve() {
        let (gate, function) = (Arc::new(Gate::new(2, 1)), FnId::generate());
        let mut view = view(0, 10, 0);
        view.containers.insert(function, Containers { busy: 1, ..Containers::default() });
        assert_eq!(admit(&gate, function, SMALL, &view, 1).len(), 0);
        view.containers.insert(function, Containers { idle: 1, ..Containers::default() });
        assert_eq!(admit(&gate, function, SMALL, &view, 2).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_never_fit_is_taken_to_be_told_so() {
        let demand = Demand { memory: 2000, cold: false };
        assert_eq!(admit(&gate(), FnId::generate(), demand, &view(0, 0, 0), 9).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_found_no_slot_rests_for_a_moment() {
        let (gate, function, view) = (gate(), FnId::generate(), view(0, 0, 0));
        drop(admit(&gate, function, SMALL, &view, 1));
        gate.rest(function);
        assert_eq!(gate.ask(&view).unwrap().except, [function]);
        tokio::time::advance(2 * REST).await;
        assert_eq!(gate.ask(&view).unwrap().except, []);
        assert!(!gate.knows(function), "nothing is kept of it");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_come_first() {
        let gate = gate();
        let _waiting = admit(&gate, FnId::generate(), SMALL, &view(0, 0, 0), 6);
        assert!(gate.ask(&view(0, 0, 0)).is_some());
        assert_eq!(gate.ask(&view(1, 0, 0)), None, "however many of the queue wait too");
    }

    #[test]
    fn a_quarter_of_the_memory_stays_free_or_idle() {
        assert!(gate().ask(&view(0, 750, 0)).is_some());
        assert_eq!(gate().ask(&view(0, 751, 0)), None);
        assert!(gate().ask(&view(0, 1000, 250)).is_some());
    }
}
