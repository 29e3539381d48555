//! How many calls of the queue may be reserved now.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Occupancy;

/// Reserved are as many as end in this time.
const AHEAD: Duration = Duration::from_millis(50);
/// Over which time that is measured.
const MEASURED: Duration = Duration::from_millis(500);
/// Reserved and not begun at most, however fast they are.
const MOST: usize = 256;

#[derive(Debug, Default)]
struct State {
    /// Reserved and not begun.
    waiting: usize,
    /// When the last ones ended.
    ended: VecDeque<Instant>,
}

/// Counts the calls of the queue on this node.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Notify,
    least: usize,
}

/// A call that was reserved and has not begun. Dropped when it begins or will not.
#[derive(Debug)]
pub(crate) struct Waiting {
    gate: Arc<Gate>,
}

impl Gate {
    pub(crate) fn new(cpus: usize) -> Self {
        // As many as the launch policy starts containers for at a time, and a few to go on with.
        Self { state: Mutex::default(), changed: Notify::new(), least: 2 * cpus + 2 }
    }

    pub(crate) fn enter(gate: &Arc<Self>) -> Waiting {
        gate.lock().waiting += 1;
        Waiting { gate: Arc::clone(gate) }
    }

    /// An attempt has ended.
    pub(crate) fn ended(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.ended.push_back(now);
        forget_old(&mut state.ended, now);
    }

    /// Returns when a call has begun, or will not begin, since this was called last.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many calls to reserve; none until it is worth asking for some.
    pub(crate) fn room(&self, node: &Occupancy) -> usize {
        let mut state = self.lock();
        forget_old(&mut state.ended, Instant::now());
        // Whoever else waits is a caller.
        if node.waiting > state.waiting {
            return 0;
        }
        let free = node.memory_capacity.saturating_sub(node.memory_reserved).saturating_add(node.memory_idle);
        if free < node.memory_capacity / 4 {
            return 0;
        }
        let soon = state.ended.len() * AHEAD.as_millis() as usize / MEASURED.as_millis() as usize;
        let wanted = soon.clamp(self.least, MOST);
        let room = wanted.saturating_sub(state.waiting);
        if room * 2 >= wanted { room } else { 0 }
    }

    /// Every change under the lock is complete before anything can panic, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_old(ended: &mut VecDeque<Instant>, now: Instant) {
    while ended.front().is_some_and(|at| now.duration_since(*at) > MEASURED) {
        ended.pop_front();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gate.lock().waiting -= 1;
        self.gate.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(waiting: usize, reserved: u64, idle: u64) -> Occupancy {
        Occupancy {
            waiting,
            memory_reserved: reserved,
            memory_idle: idle,
            memory_capacity: 1000,
            ..Occupancy::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reserved_is_what_the_node_can_start() {
        let gate = Arc::new(Gate::new(2));
        assert_eq!(gate.room(&node(0, 0, 0)), 6);
        let mut waiting: Vec<Waiting> = (0..4).map(|_| Gate::enter(&gate)).collect();
        assert_eq!(gate.room(&node(4, 0, 0)), 0, "less than half is not worth a question");
        waiting.truncate(3);
        gate.changed().await;
        assert_eq!(gate.room(&node(3, 0, 0)), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn quick_functions_have_more_reserved() {
        let gate = Arc::new(Gate::new(2));
        (0..1000).for_each(|_| gate.ended());
        assert_eq!(gate.room(&node(0, 0, 0)), 100);
        (0..9000).for_each(|_| gate.ended());
        assert_eq!(gate.room(&node(0, 0, 0)), MOST);
        tokio::time::advance(2 * MEASURED).await;
        assert_eq!(gate.room(&node(0, 0, 0)), 6);
    }

    #[test]
    fn callers_come_first() {
        let gate = Arc::new(Gate::new(2));
        let _waiting = Gate::enter(&gate);
        assert_eq!(gate.room(&node(1, 0, 0)), 5);
        assert_eq!(gate.room(&node(2, 0, 0)), 0);
    }

    #[test]
    fn a_quarter_of_the_memory_stays_free_or_idle() {
        let gate = Arc::new(Gate::new(2));
        assert_eq!(gate.room(&node(0, 750, 0)), 6);
        assert_eq!(gate.room(&node(0, 751, 0)), 0);
        assert_eq!(gate.room(&node(0, 1000, 250)), 6);
    }
}
