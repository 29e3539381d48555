//! The books of a scripted driver.

use std::collections::BTreeMap;

/// What a scripted driver was asked for, and which containers it has now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Every reference asked for, in order.
    pub asked: Vec<String>,
    /// Every pull that was tried, in order.
    pub pulled: Vec<String>,
    /// How many containers were ever created.
    pub created: usize,
    /// How many were ever started.
    pub started: usize,
    /// How many times one was frozen.
    pub freezes: usize,
    /// How many times one was thawed.
    pub thaws: usize,
    /// How many were removed.
    pub removed: usize,
    /// The most that ran at one time.
    pub max_live: usize,
    /// The containers that exist now, by id.
    pub containers: BTreeMap<String, State>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started yet.
    Created,
    /// Its program runs.
    Running,
    /// Its program halts.
    Frozen,
    /// Its program ended; it still occupies the engine.
    Exited,
}

// === impl Ledger ===

impl Ledger {
    /// How many containers run now, frozen ones included.
    #[must_use]
    pub fn live(&self) -> usize {
        self.count(State::Running) + self.frozen()
    }

    /// How many of them are frozen.
    #[must_use]
    pub fn frozen(&self) -> usize {
        self.count(State::Frozen)
    }

    /// How many containers exist now, in whatever state.
    #[must_use]
    pub fn existing(&self) -> usize {
        self.containers.len()
    }

    /// No container is left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.containers.is_empty()
    }

    pub(super) fn create(&mut self, id: &str) {
        self.created += 1;
        self.containers.insert(id.to_owned(), State::Created);
    }

    pub(super) fn start(&mut self, id: &str) {
        self.started += 1;
        self.set(id, State::Running);
        self.max_live = self.max_live.max(self.live());
    }

    pub(super) fn freeze(&mut self, id: &str) {
        self.freezes += 1;
        self.set(id, State::Frozen);
    }

    pub(super) fn thaw(&mut self, id: &str) {
        self.thaws += 1;
        self.set(id, State::Running);
    }

    pub(super) fn exit(&mut self, id: &str) {
        self.set(id, State::Exited);
    }

    pub(super) fn remove(&mut self, id: &str) {
        if self.containers.remove(id).is_some() {
            self.removed += 1;
        }
    }

    fn count(&self, state: State) -> usize {
        self.containers.values().filter(|now| **now == state).count()
    }

    /// A container that was removed meanwhile stays removed.
    fn set(&mut self, id: &str, state: State) {
        if let Some(now) = self.containers.get_mut(id) {
            *now = state;
        }
    }
}
