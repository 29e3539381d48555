//! What holds whatever happens: random runs, checked after each step.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Call(usize),
    Abandon(usize),
    Launched(usize),
    StartFailed(usize, bool),
    Freed(usize),
    Died(usize),
    Leave(usize),
    Retire(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..4).prop_map(Step::Call),
        1 => any::<usize>().prop_map(Step::Abandon),
        4 => any::<usize>().prop_map(Step::Launched),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(at, blame)| Step::StartFailed(at, blame)),
        4 => any::<usize>().prop_map(Step::Freed),
        1 => any::<usize>().prop_map(Step::Died),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => (0usize..4).prop_map(Step::Retire),
        2 => (1u64..3_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..300)
}

/// The outside world of a random run: what is in flight, and what every call was told.
#[derive(Default)]
struct World {
    waiting: BTreeMap<u32, Ticket>,
    starting: Vec<(ContainerRef, Option<u32>)>,
    busy: Vec<(ContainerRef, u32)>,
    idle: BTreeMap<u32, ContainerRef>,
    retired: Vec<ContainerRef>,
    told: BTreeSet<u32>,
    refs: BTreeMap<u32, ContainerRef>,
}

impl World {
    fn told(&mut self, waiter: u32) {
        self.waiting.remove(&waiter);
        assert!(self.told.insert(waiter), "call {waiter} was answered twice");
    }

    fn carry_out(&mut self, actions: Actions) {
        for action in actions {
            match action {
                Action::Assign { waiter, container, at } => {
                    self.told(waiter);
                    self.idle.remove(&container);
                    assert!(!self.busy.iter().any(|(_, busy)| *busy == container), "two calls in one container");
                    self.busy.push((at, container));
                }
                Action::Launch { at, .. } => self.starting.push((at, None)),
                Action::Admit { waiter, at, .. } => {
                    self.told(waiter);
                    self.starting.push((at, Some(waiter)));
                }
                Action::Refuse { waiter, .. } => self.told(waiter),
                Action::Retire { container } => {
                    self.idle.remove(&container);
                    self.retired.push(self.refs[&container]);
                }
            }
        }
    }
}

fn pick<X>(from: &mut Vec<X>, at: usize) -> Option<X> {
    if from.is_empty() { None } else { Some(from.swap_remove(at % from.len())) }
}

proptest! {
    #[test]
    fn whatever_happens_bounds_hold_and_nothing_is_lost(steps in steps()) {
        let limits = Limits { memory: 900 * MB, waiting_per_key: 20, waiting: 30, ..LIMITS };
        let mut node = Node::new(limits);
        let mut world = World::default();
        let mut now = Instant::now();
        let app = AppId::generate();
        let functions: Vec<FnId> = (0..4).map(|_| FnId::generate()).collect();
        let demand = |n: usize| Demand { memory: [64, 128, 300, 128][n] * MB, cold: n == 3 };
        let mut next = 0u32;
        for step in steps {
            let mut actions = Actions::new();
            next += 1;
            match step {
                Step::Call(n) => {
                    let key = SlotKey::new(app, functions[n], &n);
                    let asker = if next.is_multiple_of(3) { Asker::Queue } else { Asker::Caller };
                    let admission = node.call(key, (asker, next), now, |_| (0, demand(n)), &mut actions);
                    match admission {
                        Admission::Now { waiter, container, at } => {
                            world.told(waiter);
                            prop_assert!(world.idle.remove(&container).is_some());
                            world.busy.push((at, container));
                        }
                        Admission::Waiting(ticket) => { world.waiting.insert(next, ticket); }
                        Admission::Refused { waiter, .. } => world.told(waiter),
                    }
                }
                Step::Abandon(at) => {
                    let found = world.waiting.iter().nth(at % world.waiting.len().max(1)).map(|(w, t)| (*w, *t));
                    if let Some((waiter, ticket)) = found {
                        prop_assert_eq!(node.abandon(ticket, now), Some(waiter));
                        world.told(waiter);
                    }
                }
                Step::Launched(at) => if let Some((at, cold)) = pick(&mut world.starting, at) {
                    if cold.is_some() {
                        node.cold_started(at, now, &mut actions);
                        world.refs.insert(next, at);
                        world.busy.push((at, next));
                    } else {
                        world.refs.insert(next, at);
                        world.idle.insert(next, at);
                        node.launched(at, next, now, &mut actions);
                    }
                },
                Step::StartFailed(at, blame_key) => if let Some((at, _)) = pick(&mut world.starting, at) {
                    let failure = StartFailure::new(Error::Internal, blame_key);
                    node.start_failed(at, &failure, now, &mut actions);
                },
                Step::Freed(at) => if let Some((at, container)) = pick(&mut world.busy, at) {
                    if at.key.function == functions[3] {
                        node.gone(at, now, &mut actions);
                    } else {
                        world.idle.insert(container, at);
                        node.freed(at, container, now, &mut actions);
                    }
                },
                Step::Died(at) => if let Some((at, _)) = pick(&mut world.busy, at) {
                    node.gone(at, now, &mut actions);
                },
                Step::Leave(at) => {
                    let found = world.idle.iter().nth(at % world.idle.len().max(1)).map(|(c, r)| (*c, *r));
                    if let Some((container, at)) = found {
                        prop_assert!(node.leave(at));
                        world.idle.remove(&container);
                        node.gone(at, now, &mut actions);
                    }
                }
                Step::Retire(n) => node.retire(|key| key.function == functions[n], &mut actions),
                Step::Wait(after) => {
                    now += ms(after);
                    node.tick(after % 2 == 0, now, &mut actions);
                }
            }
            world.carry_out(actions);
            while let Some(at) = world.retired.pop() {
                let mut actions = Actions::new();
                node.gone(at, now, &mut actions);
                world.carry_out(actions);
            }
            let gauges = node.gauges();
            prop_assert!(gauges.memory_reserved <= limits.memory);
            prop_assert!(node.counted_starts() <= limits.starts());
            prop_assert_eq!(gauges.starting, world.starting.len());
            prop_assert_eq!(gauges.waiting, world.waiting.len());
            prop_assert_eq!(gauges.busy, world.busy.len());
            prop_assert_eq!(gauges.idle, world.idle.len());
        }
        // Then everything ends well: every waiting call gets its answer within bounded rounds, nothing stays behind.
        for _ in 0..2_000 {
            now += ms(500);
            let mut actions = Actions::new();
            node.tick(true, now, &mut actions);
            for (at, cold) in world.starting.drain(..) {
                next += 1;
                if cold.is_some() {
                    node.cold_started(at, now, &mut actions);
                    node.gone(at, now, &mut actions);
                } else {
                    world.refs.insert(next, at);
                    world.idle.insert(next, at);
                    node.launched(at, next, now, &mut actions);
                }
            }
            for (at, container) in world.busy.drain(..) {
                if at.key.function == functions[3] {
                    node.gone(at, now, &mut actions);
                } else {
                    world.idle.insert(container, at);
                    node.freed(at, container, now, &mut actions);
                }
            }
            world.carry_out(actions);
            while let Some(at) = world.retired.pop() {
                let mut actions = Actions::new();
                node.gone(at, now, &mut actions);
                world.carry_out(actions);
            }
        }
        prop_assert!(world.waiting.is_empty(), "{} calls never got an answer", world.waiting.len());
        let mut actions = Actions::new();
        node.retire(|_| true, &mut actions);
        world.carry_out(actions);
        while let Some(at) = world.retired.pop() {
            node.gone(at, now, &mut Actions::new());
        }
        now += ms(60_000);
        node.sweep(now);
        prop_assert_eq!(node.gauges(), Gauges { memory_capacity: limits.memory, ..Gauges::default() });
        prop_assert!(node.is_empty());
    }
}
