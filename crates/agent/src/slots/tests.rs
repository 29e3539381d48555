//! The scheduler without a runtime: what it decides in named situations.

mod contention;
mod whatever;

use std::time::Duration;

use hearth_models::{AppId, Error, FnId};
use tokio::time::Instant;

use super::*;

type Node = Scheduler<u8, u32, u32>;
type Actions = Vec<Action<u8, u32, u32>>;

const MB: u64 = 1024 * 1024;
const LIMITS: Limits = Limits { memory: 1024 * MB, cpus: 2, containers_per_key: 100, waiting_per_key: 50, waiting: 80 };

fn hot() -> (u8, Demand) {
    (0, Demand { memory: 128 * MB, cold: false })
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One function on a node, and the launches that were asked for.
struct Bench {
    node: Node,
    now: Instant,
    key: SlotKey,
    launches: Vec<ContainerRef>,
    seen: Vec<Action<u8, u32, u32>>,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let key = SlotKey::new(AppId::generate(), FnId::generate(), &0);
        Self { node: Node::new(limits), now: Instant::now(), key, launches: vec![], seen: vec![] }
    }

    fn call(&mut self, waiter: u32) -> Admission<u32, u32> {
        self.call_key(self.key, waiter, hot())
    }

    fn call_key(&mut self, key: SlotKey, waiter: u32, what: (u8, Demand)) -> Admission<u32, u32> {
        self.ask(key, (Asker::Caller, waiter), what)
    }

    fn ask(&mut self, key: SlotKey, who: (Asker, u32), what: (u8, Demand)) -> Admission<u32, u32> {
        let mut actions = Actions::new();
        let admission = self.node.call(key, who, self.now, |_| what, &mut actions);
        self.note(actions);
        admission
    }

    fn tick(&mut self, after: Duration) {
        self.now += after;
        let mut actions = Actions::new();
        self.node.tick(true, self.now, &mut actions);
        self.note(actions);
    }

    fn launched(&mut self, container: u32) -> ContainerRef {
        let at = self.launches.remove(0);
        let mut actions = Actions::new();
        self.node.launched(at, container, self.now, &mut actions);
        self.note(actions);
        at
    }

    fn freed(&mut self, at: ContainerRef, container: u32) {
        let mut actions = Actions::new();
        self.node.freed(at, container, self.now, &mut actions);
        self.note(actions);
    }

    fn gone(&mut self, at: ContainerRef) {
        let mut actions = Actions::new();
        self.node.gone(at, self.now, &mut actions);
        self.note(actions);
    }

    fn note(&mut self, actions: Actions) {
        for action in actions {
            match action {
                Action::Launch { at, .. } => self.launches.push(at),
                other => self.seen.push(other),
            }
        }
    }
}

#[test]
fn the_first_call_starts_one_container_and_gets_it() {
    let mut bench = Bench::new(LIMITS);
    assert!(matches!(bench.call(1), Admission::Waiting(_)));
    assert_eq!(bench.launches.len(), 1);
    let at = bench.launched(10);
    assert_eq!(bench.seen, [Action::Assign { waiter: 1, container: 10, at }]);
    bench.freed(at, 10);
    assert_eq!(bench.call(2), Admission::Now { waiter: 2, container: 10, at });
}

/// Makes one more container, which stays busy.
fn warm_beside(bench: &mut Bench, container: u32) -> ContainerRef {
    let at = warm(bench, container);
    let Admission::Now { .. } = bench.call(0) else { panic!("warm") };
    at
}

#[test]
fn the_most_recently_used_container_is_taken_first() {
    let mut bench = Bench::new(LIMITS);
    let first = warm(&mut bench, 10);
    let Admission::Now { .. } = bench.call(2) else { panic!("warm") };
    let second = warm(&mut bench, 20);
    bench.freed(first, 10);
    assert!(matches!(bench.call(4), Admission::Now { container: 10, .. }));
    assert!(matches!(bench.call(5), Admission::Now { container: 20, at, .. } if at == second));
}

/// Makes one more idle container.
fn warm(bench: &mut Bench, container: u32) -> ContainerRef {
    let Admission::Waiting(_) = bench.call(container + 1000) else { panic!("an idle one was left") };
    while bench.launches.is_empty() {
        bench.tick(ms(100));
    }
    let at = bench.launched(container);
    bench.now += ms(1);
    bench.freed(at, container);
    bench.seen.clear();
    at
}

#[test]
fn long_calls_grow_to_a_container_each() {
    let limits = Limits { memory: 64 * 128 * MB, waiting_per_key: 100, waiting: 100, ..LIMITS };
    let mut bench = Bench::new(limits);
    (0..40).for_each(|waiter| drop(bench.call(waiter)));
    let mut started = 0;
    // Starts take 200 ms, calls for ever.
    for _ in 0..200 {
        let ready: Vec<ContainerRef> = bench.launches.drain(..).collect();
        assert!(ready.len() <= limits.starts());
        bench.tick(ms(200));
        for at in ready {
            started += 1;
            let mut actions = Actions::new();
            bench.node.launched(at, started, bench.now, &mut actions);
            bench.note(actions);
        }
    }
    assert_eq!(started, 40);
    assert_eq!(bench.node.gauges().waiting, 0);
}

#[test]
fn never_more_starts_than_waiting_calls() {
    let mut bench = Bench::new(LIMITS);
    bench.call(1);
    (0..100).for_each(|_| bench.tick(ms(100)));
    assert_eq!(bench.launches.len(), 1);
}

#[test]
fn a_caller_that_calls_again_at_once_gets_the_container_that_just_answered() {
    let mut bench = Bench::new(LIMITS);
    bench.call(1);
    bench.tick(ms(200));
    let at = bench.launched(10);
    for waiter in 2..10 {
        bench.now += ms(5_000);
        bench.node.answered(at, bench.now);
        assert!(matches!(bench.call(waiter), Admission::Waiting(_)));
        bench.tick(ms(1));
        bench.freed(at, 10);
        assert!(matches!(bench.seen.pop(), Some(Action::Assign { container: 10, .. })));
    }
    assert!(bench.launches.is_empty());
}

#[test]
fn a_single_quick_caller_has_two_containers_in_turn_before_long() {
    let mut bench = Bench::new(LIMITS);
    bench.call(1);
    bench.tick(ms(200));
    let at = bench.launched(10);
    let mut calls = 1;
    while bench.launches.is_empty() {
        calls += 1;
        assert!(calls < 10_000);
        bench.now += Duration::from_micros(100);
        bench.node.answered(at, bench.now);
        bench.call(calls);
        bench.tick(Duration::from_micros(300));
        bench.freed(at, 10);
    }
    bench.now += ms(200);
    let other = bench.launched(20);
    bench.seen.clear();
    for calls in (calls..calls + 10_000).step_by(2) {
        for (here, container, there) in [(at, 10, 20), (other, 20, 10)] {
            bench.now += Duration::from_micros(100);
            bench.node.answered(here, bench.now);
            assert!(matches!(bench.call(calls), Admission::Now { container, .. } if container == there));
            bench.now += Duration::from_micros(300);
            bench.freed(here, container);
        }
    }
    assert!(bench.launches.is_empty());
}

#[test]
fn short_calls_that_are_held_up_for_a_moment_start_no_more_containers() {
    let mut bench = Bench::new(LIMITS);
    let most = u32::try_from(LIMITS.short_call_containers()).unwrap();
    let mut all = Vec::new();
    for container in 1..=most {
        assert!(matches!(bench.call(container), Admission::Waiting(_)));
        while bench.launches.is_empty() {
            bench.tick(ms(100));
        }
        bench.now += ms(200);
        all.push((bench.launched(container), container));
    }
    for (at, container) in &all {
        bench.node.answered(*at, bench.now);
        bench.freed(*at, *container);
    }
    for _ in 0..100 {
        let Admission::Now { at, container, .. } = bench.call(0) else { panic!("they idle") };
        bench.now += ms(1);
        bench.node.answered(at, bench.now);
        bench.freed(at, container);
    }
    for _ in &all {
        assert!(matches!(bench.call(0), Admission::Now { .. }));
    }
    (0..45).for_each(|waiter| drop(bench.call(waiter)));
    for _ in 0..9 {
        bench.tick(ms(10));
    }
    assert!(bench.launches.is_empty(), "something held them up");
    for _ in 0..9 {
        bench.tick(ms(10));
    }
    assert!(!bench.launches.is_empty(), "they are long by now");
}

#[test]
fn a_failed_start_is_told_to_all_who_wait_for_it_and_repeated_ones_are_answered_from_memory() {
    let mut bench = Bench::new(LIMITS);
    let failure = StartFailure::new(Error::StartFailed("no such file".into()), true);
    for round in 0..2 {
        bench.call(round * 10 + 1);
        bench.call(round * 10 + 2);
        let at = bench.launches.pop().unwrap();
        let mut actions = Actions::new();
        bench.node.start_failed(at, &failure, bench.now, &mut actions);
        let told = |waiter| Action::Refuse { waiter, failure: failure.clone() };
        assert_eq!(actions, [told(round * 10 + 1), told(round * 10 + 2)]);
    }
    assert_eq!(bench.call(30), Admission::Refused { waiter: 30, error: failure.error.clone() });
    bench.now += back_off(2) + ms(1);
    assert!(matches!(bench.call(31), Admission::Waiting(_)));
    assert_eq!(bench.node.gauges().memory_reserved, 128 * MB);
}

#[test]
fn nobody_waits_for_more_than_one_failing_start() {
    let mut bench = Bench::new(LIMITS);
    bench.call(1);
    bench.call(2);
    bench.call(3);
    bench.tick(ms(1_000));
    bench.tick(ms(1_000));
    assert_eq!(bench.launches.len(), 3);
    let failure = StartFailure::new(Error::InitTimedOut, true);
    let fails = |bench: &mut Bench| {
        let mut actions = Actions::new();
        bench.node.start_failed(bench.launches.remove(0), &failure, bench.now, &mut actions);
        bench.note(actions);
    };
    let told = |waiter| Action::Refuse { waiter, failure: StartFailure::new(Error::InitTimedOut, true) };
    bench.tick(ms(3_000));
    fails(&mut bench);
    assert_eq!(bench.seen, [told(1)], "who has waited for it alone");
    // However long the back-off, the starts under way say more than another could.
    bench.call(4);
    bench.call(5);
    bench.tick(ms(900));
    assert_eq!(bench.launches.len(), 2);
    fails(&mut bench);
    assert_eq!(bench.seen, [told(1), told(2)]);
    bench.tick(ms(900));
    fails(&mut bench);
    assert_eq!(bench.seen, [told(1), told(2), told(3), told(4), told(5)], "nothing is left that could serve them");
    assert!(matches!(bench.call(6), Admission::Refused { .. }));
    assert!(bench.launches.is_empty());
}

#[test]
fn a_start_that_fails_beside_another_is_not_told_to_who_came_after_it_began() {
    let mut bench = Bench::new(LIMITS);
    let tickets = [1, 2].map(|waiter| match bench.call(waiter) {
        Admission::Waiting(ticket) => ticket,
        other => panic!("{other:?}"),
    });
    bench.tick(ms(1_000));
    assert_eq!(bench.launches.len(), 2);
    for ticket in tickets {
        assert!(bench.node.abandon(ticket, bench.now).is_some());
    }
    bench.call(3);
    let second = bench.launches.pop().unwrap();
    let failure = StartFailure::new(Error::InitTimedOut, true);
    let mut actions = Actions::new();
    bench.node.start_failed(second, &failure, bench.now, &mut actions);
    assert_eq!(actions, []);
    let at = bench.launched(10);
    assert_eq!(bench.seen, [Action::Assign { waiter: 3, container: 10, at }]);
}

#[test]
fn a_failed_start_is_not_told_while_another_container_lives() {
    let mut bench = Bench::new(LIMITS);
    let at = warm(&mut bench, 10);
    bench.call(1);
    bench.call(2);
    bench.tick(ms(5_000));
    let second = bench.launches.pop().unwrap();
    let failure = StartFailure::new(Error::Internal, true);
    let mut actions = Actions::new();
    bench.node.start_failed(second, &failure, bench.now, &mut actions);
    assert!(!actions.iter().any(|action| matches!(action, Action::Refuse { .. })));
    bench.freed(at, 10);
    assert_eq!(bench.seen, [Action::Assign { waiter: 2, container: 10, at }]);
}

#[test]
fn idle_containers_of_others_make_room_oldest_first_and_only_if_that_is_enough() {
    let mut bench = Bench::new(Limits { memory: 300 * MB, ..LIMITS });
    let old = warm(&mut bench, 10);
    bench.key = SlotKey::new(AppId::generate(), FnId::generate(), &1);
    bench.now += ms(10);
    warm(&mut bench, 20);
    let third = SlotKey::new(AppId::generate(), FnId::generate(), &2);
    bench.call_key(third, 1, (0, Demand { memory: 290 * MB, cold: false }));
    let retired: Vec<_> = bench.seen.drain(..).collect();
    assert_eq!(retired, [Action::Retire { container: 10 }, Action::Retire { container: 20 }]);
    assert!(bench.launches.is_empty(), "the memory is not free yet");
    bench.gone(old);
    assert!(bench.launches.is_empty());
    let gauges = bench.node.gauges();
    assert_eq!((gauges.memory_reserved, gauges.waiting), (128 * MB, 1));
}

#[test]
fn a_call_larger_than_the_node_is_refused_at_once() {
    let mut bench = Bench::new(LIMITS);
    let what = (0, Demand { memory: 2048 * MB, cold: true });
    let Admission::Refused { error, .. } = bench.call_key(bench.key, 1, what) else { panic!("let in") };
    assert_eq!(error.status(), 503);
    assert_eq!(bench.node.gauges(), Gauges { memory_capacity: LIMITS.memory, ..Gauges::default() });
}

#[test]
fn lines_are_bounded_per_function_and_per_node() {
    let mut bench = Bench::new(LIMITS);
    (0..50).for_each(|waiter| drop(bench.call(waiter)));
    assert!(matches!(bench.call(99), Admission::Refused { error: Error::NoCapacity(_), .. }));
    bench.key = SlotKey::new(AppId::generate(), FnId::generate(), &0);
    (0..30).for_each(|waiter| drop(bench.call(waiter)));
    assert!(matches!(bench.call(99), Admission::Refused { error: Error::NoCapacity(_), .. }));
}

#[test]
fn a_changed_function_keeps_no_container_of_before() {
    let mut bench = Bench::new(LIMITS);
    let idle = warm(&mut bench, 10);
    let Admission::Now { .. } = bench.call(1) else { panic!("warm") };
    let other = warm(&mut bench, 20);
    let mut actions = Actions::new();
    let function = bench.key.function;
    bench.node.retire(|key| key.function == function, &mut actions);
    assert_eq!(actions, [Action::Retire { container: 20 }]);
    bench.freed(idle, 10);
    assert_eq!(bench.seen, [Action::Retire { container: 10 }]);
    bench.gone(idle);
    bench.gone(other);
    assert_eq!(bench.node.gauges().memory_reserved, 0);
    warm(&mut bench, 30);
    assert!(matches!(bench.call(2), Admission::Now { container: 30, .. }));
}

#[test]
fn what_is_made_for_calls_of_a_changed_function_serves_them_and_goes() {
    let mut bench = Bench::new(LIMITS);
    (1..=3).for_each(|waiter| drop(bench.call(waiter)));
    let mut actions = Actions::new();
    bench.node.retire(|_| true, &mut actions);
    assert_eq!(actions, []);
    let at = bench.launched(10);
    assert!(bench.launches.is_empty(), "the container that was on its way is as good as another");
    for waiter in 1..=3 {
        assert_eq!(bench.seen, [Action::Assign { waiter, container: 10, at }]);
        bench.seen.clear();
        bench.freed(at, 10);
    }
    assert_eq!(bench.seen, [Action::Retire { container: 10 }]);
    bench.gone(at);
    assert!(bench.node.is_empty());
}

#[test]
fn cold_calls_start_one_container_each_within_the_starts_of_the_node() {
    let mut bench = Bench::new(LIMITS);
    let cold = (0, Demand { memory: 128 * MB, cold: true });
    (0..6).for_each(|waiter| drop(bench.call_key(bench.key, waiter, cold)));
    let admitted: Vec<(u32, ContainerRef)> = bench
        .seen
        .drain(..)
        .map(|action| match action {
            Action::Admit { waiter, at, .. } => (waiter, at),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(admitted.iter().map(|(waiter, _)| *waiter).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let mut actions = Actions::new();
    bench.node.cold_started(admitted[0].1, bench.now, &mut actions);
    assert!(matches!(actions[..], [Action::Admit { waiter: 4, .. }]));
}

#[test]
fn a_start_that_takes_very_long_does_not_keep_others_from_starting() {
    let mut bench = Bench::new(Limits { memory: 64 * 128 * MB, ..LIMITS });
    for n in 0..LIMITS.starts() {
        let key = SlotKey::new(AppId::generate(), FnId::generate(), &n);
        bench.call_key(key, 1, hot());
    }
    let slow: Vec<ContainerRef> = bench.launches.drain(..).collect();
    bench.call(100);
    bench.tick(ms(4_000));
    assert!(bench.launches.is_empty());
    bench.tick(ms(2_000));
    assert_eq!(bench.launches.iter().map(|at| at.key).collect::<Vec<_>>(), [bench.key]);
    bench.launched(1);
    for (n, at) in (10u32..).zip(slow) {
        let mut actions = Actions::new();
        bench.node.launched(at, n, bench.now, &mut actions);
        assert!(matches!(actions[..], [Action::Assign { waiter: 1, .. }]));
    }
    assert_eq!(bench.node.counted_starts(), 0);
}
