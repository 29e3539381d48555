//! What holds when there is not enough: of memory, of CPUs, of containers.

use std::collections::BTreeMap;

use super::*;

#[test]
fn who_holds_the_most_yields_to_a_function_that_starves() {
    let mut bench = Bench::new(Limits { memory: 256 * MB, ..LIMITS });
    let rich = bench.key;
    bench.call(1);
    bench.call(2);
    let a = bench.launched(10);
    bench.tick(ms(5_000));
    bench.launched(20);
    (3..20).for_each(|waiter| drop(bench.call(waiter)));
    let poor = SlotKey::new(AppId::generate(), FnId::generate(), &0);
    bench.call_key(poor, 100, hot());
    bench.seen.clear();
    bench.tick(ms(500));
    bench.freed(a, 10);
    assert!(matches!(bench.seen.pop(), Some(Action::Assign { container: 10, .. })), "not starved yet");
    bench.tick(ms(600));
    bench.freed(a, 10);
    assert_eq!(bench.seen, [Action::Retire { container: 10 }]);
    bench.gone(a);
    assert_eq!(bench.launches.iter().map(|at| at.key).collect::<Vec<_>>(), [poor]);
    assert_ne!(rich, poor);
}

#[test]
fn small_functions_do_not_take_piece_by_piece_what_a_large_one_waits_for() {
    let mut bench = Bench::new(Limits { memory: 256 * MB, ..LIMITS });
    let small = [bench.key, SlotKey::new(AppId::generate(), FnId::generate(), &0)];
    let containers = small.map(|key| {
        bench.call_key(key, 1, hot());
        bench.launched(10)
    });
    (2..20).for_each(|waiter| small.iter().for_each(|key| drop(bench.call_key(*key, waiter, hot()))));
    let large = SlotKey::new(AppId::generate(), FnId::generate(), &0);
    bench.call_key(large, 100, (0, Demand { memory: 256 * MB, cold: false }));
    bench.tick(ms(1_100));
    for at in containers {
        assert_eq!(bench.launches, []);
        bench.seen.clear();
        bench.freed(at, 10);
        assert_eq!(bench.seen, [Action::Retire { container: 10 }]);
        bench.gone(at);
    }
    assert_eq!(bench.launches.iter().map(|at| at.key).collect::<Vec<_>>(), [large]);
}

#[test]
fn short_calls_of_many_clients_start_few_containers() {
    let mut bench = Bench::new(LIMITS);
    let mut live: BTreeMap<u32, ContainerRef> = BTreeMap::new();
    let mut started = 0;
    (0..50).for_each(|waiter| drop(bench.call(waiter)));
    // Half a minute in which every container answers after a millisecond and every answer is followed by a call.
    // Starts take 200 ms.
    for step in 0..30_000u32 {
        bench.tick(ms(1));
        let ready = if step % 200 == 199 { std::mem::take(&mut bench.launches) } else { Vec::new() };
        for at in ready {
            started += 1;
            live.insert(started, at);
            let mut actions = Actions::new();
            bench.node.launched(at, started, bench.now, &mut actions);
            bench.note(actions);
        }
        let busy: Vec<u32> = bench
            .seen
            .drain(..)
            .map(|action| match action {
                Action::Assign { container, .. } => container,
                other => panic!("{other:?}"),
            })
            .collect();
        bench.now += Duration::from_micros(500);
        for container in busy {
            bench.freed(live[&container], container);
            drop(bench.call(step));
        }
    }
    assert!(started as usize <= LIMITS.short_call_containers(), "{started} containers");
    assert!(started > 1);
}

#[test]
fn short_calls_that_only_the_cpus_hold_up_start_no_more_containers() {
    let started_when = |cpu_has_room| {
        let mut bench = Bench::new(Limits { waiting_per_key: 1000, waiting: 1000, ..LIMITS });
        let containers: Vec<_> = (0..6).map(|n| (warm_beside(&mut bench, n), n)).collect();
        bench.node.tick(cpu_has_room, bench.now, &mut Actions::new());
        // They take 15 ms each; then 250 callers more come.
        for round in 0..130 {
            if round == 100 {
                (0..250).for_each(|waiter| drop(bench.call(waiter)));
            }
            bench.now += ms(15);
            for (at, container) in &containers {
                bench.node.answered(*at, bench.now);
                bench.freed(*at, *container);
                drop(bench.call(0));
            }
        }
        bench.launches.len()
    };
    assert_eq!(started_when(false), 0);
    assert!(started_when(true) > 0);
}

#[test]
fn memory_that_a_caller_waits_for_is_not_given_to_the_queue() {
    let mut bench = Bench::new(Limits { memory: 256 * MB, ..LIMITS });
    let at = warm_beside(&mut bench, 10);
    let large = SlotKey::new(AppId::generate(), FnId::generate(), &0);
    bench.call_key(large, 100, (0, Demand { memory: 256 * MB, cold: false }));
    let queued = SlotKey::new(AppId::generate(), FnId::generate(), &0);
    bench.ask(queued, (Asker::Queue, 200), hot());
    assert_eq!(bench.launches, [], "there is room for it, but a caller waits for that");
    bench.seen.clear();
    bench.freed(at, 10);
    bench.tick(ms(10));
    bench.gone(at);
    assert_eq!(bench.launches.iter().map(|at| at.key).collect::<Vec<_>>(), [large]);
}

#[test]
fn a_call_of_the_queue_that_lacks_memory_takes_no_container_from_callers() {
    let mut bench = Bench::new(Limits { memory: 256 * MB, ..LIMITS });
    let first = warm_beside(&mut bench, 10);
    warm_beside(&mut bench, 20);
    bench.call(3);
    let queued = SlotKey::new(AppId::generate(), FnId::generate(), &0);
    bench.ask(queued, (Asker::Queue, 200), hot());
    bench.tick(ms(5_000));
    bench.seen.clear();
    bench.freed(first, 10);
    assert_eq!(bench.seen, [Action::Assign { waiter: 3, container: 10, at: first }]);
    assert_eq!((bench.node.gauges().waiting, bench.node.gauges().callers), (1, 0));
}
