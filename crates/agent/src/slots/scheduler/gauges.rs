//! What can be seen of the node from outside.

use hearth_models::FnId;
use rustc_hash::FxHashMap;

use super::Scheduler;
use crate::slots::queue::Queue;

/// How things stand on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gauges {
    pub(crate) waiting: usize,
    /// Of these, calls whose callers wait.
    pub(crate) callers: usize,
    pub(crate) starting: usize,
    pub(crate) busy: usize,
    pub(crate) idle: usize,
    pub(crate) memory_reserved: u64,
    /// Of that, by containers that idle.
    pub(crate) memory_idle: u64,
    pub(crate) memory_capacity: u64,
    /// Containers that there are, those on their way out included.
    pub(crate) containers: usize,
}

/// The containers of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Containers {
    pub(crate) starting: usize,
    pub(crate) busy: usize,
    pub(crate) idle: usize,
}

impl<T: Clone, W, C> Scheduler<T, W, C> {
    /// How things stand.
    pub(crate) fn gauges(&self) -> Gauges {
        let start = Gauges {
            waiting: self.waiting,
            memory_reserved: self.reserved,
            memory_capacity: self.limits.memory,
            ..Gauges::default()
        };
        self.queues.values().fold(start, |sum, queue| Gauges {
            callers: sum.callers + queue.callers(),
            starting: sum.starting + queue.starting(),
            busy: sum.busy + queue.busy(),
            idle: sum.idle + queue.idle(),
            memory_idle: sum.memory_idle + queue.idle_memory(),
            containers: sum.containers + queue.containers() + queue.retiring(),
            ..sum
        })
    }

    /// What each key has: containers, and waiting calls.
    pub(crate) fn keys(&self) -> Vec<(T, Containers, usize)> {
        let of = |queue: &Queue<T, W, C>| {
            let containers = Containers { starting: queue.starting(), busy: queue.busy(), idle: queue.idle() };
            (queue.template.clone(), containers, queue.line.len())
        };
        self.queues.values().map(of).collect()
    }

    /// What each of these functions has.
    pub(crate) fn containers(&self, of: impl Fn(FnId) -> bool) -> FxHashMap<FnId, Containers> {
        let mut found: FxHashMap<FnId, Containers> = FxHashMap::default();
        for (key, queue) in self.queues.iter().filter(|(key, _)| of(key.function)) {
            let containers = found.entry(key.function).or_default();
            containers.starting += queue.starting();
            containers.busy += queue.busy();
            containers.idle += queue.idle();
        }
        found
    }
}
