//! The recorder over a store that fails on command. The clock is paused: waits take no time and happen in order.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod list;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bench::{Bench, assert_balanced};
use bytes::Bytes;
use hearth_datastore::{Error, Record, Recording};
use hearth_models::{AppId, Call, CallFilter, CallType, Error as ModelError, Reason, Status};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_call_can_be_read_at_every_moment() {
    let bench = Bench::new(|_| {});
    bench.store.with(|state| state.away = true);
    let (app_id, recorder) = (bench.app_id, bench.recorder.clone());
    let mut call = bench.accepted();
    let id = call.id;
    let missing = recorder.call(app_id, id).await.unwrap_err();
    assert!(missing.is_unavailable());

    recorder.begin(&call);
    assert_eq!(recorder.call(app_id, id).await.unwrap().status(), Status::Queued);
    call.start().unwrap();
    recorder.update(&call);
    assert_eq!(recorder.call(app_id, id).await.unwrap().status(), Status::Running);
    assert_eq!(recorder.live(), 1);
    let no_log = recorder.log(app_id, id).await.unwrap_err();
    assert_eq!(no_log.to_model(), ModelError::LogNotFound);

    call.succeed().unwrap();
    let log = Some(Bytes::from_static(b"\0\xff"));
    recorder.accept(Record { call: call.clone(), log });
    assert_eq!(recorder.live(), 0);
    for away in [true, false] {
        bench.store.with(|state| state.away = away);
        if !away {
            assert_eq!(bench.settled().await.stored, 1);
        }
        assert_eq!(recorder.call(app_id, id).await.unwrap(), call);
        assert_eq!(recorder.log(app_id, id).await.unwrap(), &b"\0\xff"[..]);
    }
    // A change that comes late does not bring an ended call back.
    recorder.update(&call);
    assert_eq!(recorder.live(), 0);
    assert!(recorder.call(AppId::generate(), id).await.is_err());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_call_has_ended_once_that_is_stored() {
    let bench = Bench::new(|_| {});
    let (app_id, recorder) = (bench.app_id, bench.recorder.clone());
    let mut call = bench.accepted();
    call.call_type = CallType::Async;
    recorder.begin(&call);
    call.start().unwrap();
    recorder.update(&call);
    let running = call.clone();
    bench.store.with(|state| {
        state.calls.insert(call.id, running.clone());
        state.faulty.insert(call.id);
    });
    call.succeed().unwrap();
    recorder.accept(Record { call: call.clone(), log: None });
    // Until then it may be run again, so it has not ended.
    sleep(Duration::from_millis(10)).await;
    assert_eq!(recorder.call(app_id, call.id).await.unwrap(), running);
    bench.store.with(|state| state.faulty.clear());
    assert_eq!(bench.settled().await.stored, 1);
    assert_eq!(recorder.call(app_id, call.id).await.unwrap(), call);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_writer_writes_at_once_and_a_busy_one_collects() {
    let bench = Bench::new(|settings| settings.linger = Duration::from_millis(5));
    let began = Instant::now();
    bench.recorder.accept(bench.record());
    bench.settled().await;
    assert!(began.elapsed() < Duration::from_millis(3), "{:?}", began.elapsed());

    bench.store.with(|state| state.delay = Duration::from_millis(100));
    sleep(Duration::from_millis(50)).await;
    bench.recorder.accept(bench.record());
    sleep(Duration::from_millis(50)).await;
    for _ in 0..500 {
        bench.recorder.accept(bench.record());
    }
    let counts = bench.settled().await;
    assert_eq!(bench.store.with(|state| state.groups.clone()), [1, 1, 500]);
    assert_eq!((counts.groups, counts.stored), (3, 502));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_has_a_bound_of_records_and_of_bytes() {
    let bench = Bench::new(|settings| {
        settings.group_records = 10;
        settings.group_bytes = 9_000;
    });
    bench.store.with(|state| state.away = true);
    for bytes in [10, 10, 20_000, 10, 3_000, 3_000, 3_000] {
        let log = Some(Bytes::from(vec![0; bytes]));
        bench.recorder.accept(Record { call: bench.ended(), log });
    }
    for _ in 0..12 {
        bench.recorder.accept(Record { call: bench.ended(), log: None });
    }
    bench.store.with(|state| state.away = false);
    bench.settled().await;
    assert_eq!(bench.store.with(|state| state.groups.clone()), [2, 1, 3, 10, 3]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_the_store_is_away() {
    let bench = Bench::new(|_| {});
    bench.store.with(|state| state.away = true);
    let calls: Vec<Call> = (0..300).map(|_| bench.ended()).collect();
    for call in &calls {
        bench.recorder.accept(Record { call: call.clone(), log: None });
    }
    sleep(Duration::from_secs(20)).await;
    let counts = bench.recorder.counts();
    assert_balanced(counts);
    assert_eq!((counts.pending, counts.stored), (300, 0));
    assert!((8..40).contains(&counts.retries), "{counts:?}");

    bench.store.with(|state| state.away = false);
    let back = Instant::now();
    assert_eq!(bench.settled().await.stored, 300);
    assert!(back.elapsed() <= Duration::from_secs(3), "{:?}", back.elapsed());
    bench.store.with(|state| {
        for call in &calls {
            assert_eq!(state.calls[&call.id], *call);
        }
    });
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_is_lost_is_repeated_and_counted_once() {
    let bench = Bench::new(|_| {});
    bench.store.with(|state| state.lost_answers = 3);
    for _ in 0..10 {
        bench.recorder.accept(bench.record());
    }
    let counts = bench.settled().await;
    assert_eq!((counts.accepted, counts.stored, counts.retries), (10, 10, 3));
    assert_eq!(bench.store.with(|state| state.calls.len()), 10);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_asked_again() {
    let bench = Bench::new(|settings| settings.attempt = Duration::from_secs(1));
    bench.store.with(|state| state.delay = Duration::from_secs(3600));
    bench.recorder.accept(bench.record());
    sleep(Duration::from_millis(500)).await;
    bench.store.with(|state| state.delay = Duration::ZERO);
    let counts = bench.settled().await;
    assert_eq!((counts.stored, counts.retries), (1, 1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn there_is_no_room_while_too_much_waits_and_nothing_is_refused() {
    let bench = Bench::new(|settings| settings.max_records = 10);
    bench.store.with(|state| state.away = true);
    for _ in 0..10 {
        assert!(bench.recorder.has_room());
        bench.recorder.accept(bench.record());
    }
    assert!(!bench.recorder.has_room());
    bench.recorder.accept(bench.record());
    assert_eq!(bench.recorder.counts().pending, 11);
    bench.store.with(|state| state.away = false);
    assert_eq!(bench.settled().await.stored, 11);
    assert!(bench.recorder.has_room());
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn there_is_no_room_while_too_many_bytes_wait() {
    let bench = Bench::new(|settings| settings.max_bytes = 1 << 20);
    bench.store.with(|state| state.away = true);
    bench.recorder.accept(bench.record());
    assert!(bench.recorder.has_room());
    let log = Some(Bytes::from(vec![0; 1 << 20]));
    bench.recorder.accept(Record { call: bench.ended(), log });
    assert!(!bench.recorder.has_room());
    bench.store.with(|state| state.away = false);
    bench.settled().await;
    assert!(bench.recorder.has_room());
    assert_eq!(bench.recorder.counts().pending_bytes, 0);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_store_fails_on_does_not_hold_up_the_rest_for_ever() {
    let bench = Bench::new(|_| {});
    let records: Vec<Record> = (0..16).map(|_| bench.record()).collect();
    bench.store.with(|state| state.faulty.insert(records[5].call.id));
    for record in records {
        bench.recorder.accept(record);
    }
    let counts = bench.settled().await;
    assert_eq!((counts.stored, counts.refused), (15, 1));
    // Eight times as a whole, then once per half of what is left.
    let groups = bench.store.with(|state| state.groups.clone());
    assert_eq!(groups[..9], [16, 16, 16, 16, 16, 16, 16, 16, 8]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn refused_rows_are_isolated_and_the_rest_is_stored() {
    let bench = Bench::new(|_| {});
    bench.store.with(|state| state.away = true);
    let calls: Vec<Call> = (0..64).map(|_| bench.ended()).collect();
    let bad = [calls[0].id, calls[17].id, calls[63].id];
    for call in &calls {
        bench.recorder.accept(Record { call: call.clone(), log: None });
    }
    bench.store.with(|state| {
        state.refused.extend(bad);
        state.away = false;
    });
    let counts = bench.settled().await;
    assert_eq!((counts.stored, counts.refused), (61, 3));
    assert!(bench.store.with(|state| state.groups.len()) < 40);
    for call in &calls {
        let found = bench.recorder.call(bench.app_id, call.id).await;
        assert_eq!(found.is_ok(), !bad.contains(&call.id));
    }
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn late_records_of_a_deleted_app_are_discarded_and_counted() {
    let bench = Bench::new(|_| {});
    let gone = AppId::generate();
    bench.store.with(|state| state.gone.insert(gone));
    let mut late = bench.record();
    late.call.app_id = gone;
    bench.recorder.accept(late);
    bench.recorder.accept(bench.record());
    let counts = bench.settled().await;
    assert_eq!((counts.accepted, counts.stored, counts.discarded), (2, 1, 1));
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_writes_the_rest() {
    let bench = Bench::new(|settings| settings.group_records = 7);
    bench.store.with(|state| state.delay = Duration::from_millis(50));
    for _ in 0..100 {
        bench.recorder.accept(bench.record());
    }
    let counts = bench.stop().await;
    assert_balanced(counts);
    assert_eq!((counts.stored, counts.pending), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_has_a_deadline_and_says_what_is_left() {
    let bench = Bench::new(|settings| settings.drain = Duration::from_secs(3));
    bench.store.with(|state| state.away = true);
    for _ in 0..5 {
        bench.recorder.accept(bench.record());
    }
    let began = Instant::now();
    let counts = bench.stop().await;
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_balanced(counts);
    assert_eq!((counts.stored, counts.pending), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn long_calls_are_written_once_per_state_and_short_ones_only_at_their_end() {
    let bench = Bench::new(|_| {});
    let (mut long, mut short) = (bench.accepted(), bench.accepted());
    for call in [&mut long, &mut short] {
        bench.recorder.begin(call);
    }
    sleep(Duration::from_millis(900)).await;
    short.start().unwrap();
    short.succeed().unwrap();
    bench.recorder.accept(Record { call: short.clone(), log: None });
    long.start().unwrap();
    bench.recorder.update(&long);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.store.with(|state| state.calls[&long.id].status()), Status::Running);
    assert_eq!(bench.store.with(|state| state.groups.clone()), [1, 1]);
    assert_eq!(bench.recorder.counts().snapshots, 1);

    long.fail(Reason::Timeout, "Timed out").unwrap();
    bench.recorder.accept(Record { call: long.clone(), log: None });
    bench.settled().await;
    assert_eq!(bench.store.with(|state| state.calls[&long.id].clone()), long);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_snapshot_does_not_keep_the_others_from_the_store() {
    let bench = Bench::new(|_| {});
    let calls: Vec<Call> = (0..3).map(|_| bench.accepted()).collect();
    bench.store.with(|state| state.refused.insert(calls[1].id));
    for call in &calls {
        bench.recorder.begin(call);
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.store.with(|state| state.calls.len()), 2);
    assert_eq!(bench.store.with(|state| state.groups.len()), 4, "and is tried once");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_and_a_store_that_comes_and_goes() {
    let bench = Bench::new(|settings| {
        settings.max_records = 200;
        settings.longest_backoff = Duration::from_millis(60);
    });
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let recorder = bench.recorder.clone();
        let calls: Vec<Call> = (0..250).map(|_| bench.ended()).collect();
        callers.spawn(async move {
            for call in calls {
                recorder.begin(&call);
                let (app_id, id) = (call.app_id, call.id);
                recorder.accept(Record { call, log: None });
                match recorder.call(app_id, id).await {
                    Ok(call) => assert_eq!(call.status(), Status::Success),
                    Err(Error::Unavailable(_)) => {}
                    Err(other) => panic!("a call was nowhere: {other:?}"),
                }
            }
        });
    }
    while !callers.is_empty() {
        bench.store.with(|state| state.away = !state.away);
        let _ended = tokio::time::timeout(Duration::from_millis(5), callers.join_next()).await;
        assert_balanced(bench.recorder.counts());
    }
    bench.store.with(|state| state.away = false);
    let counts = bench.settled().await;
    assert_eq!((counts.accepted, counts.stored), (2000, 2000));
    assert_eq!(bench.stop().await.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn who_has_an_answer_reads_the_end_of_the_call() {
    let bench = Bench::new(|_| {});
    let (app_id, recorder) = (bench.app_id, bench.recorder.clone());
    let mut call = bench.accepted();
    call.start().unwrap();
    recorder.begin(&call);
    recorder.answered(call.id);
    let began = Instant::now();
    let mut ended = call.clone();
    ended.succeed().unwrap();
    let end = async {
        sleep(Duration::from_millis(30)).await;
        let log = Some(Bytes::from_static(b"late"));
        recorder.accept(Record { call: ended.clone(), log });
    };
    let filter = CallFilter::default();
    let (read, listed, log, ()) = tokio::join!(
        recorder.call(app_id, call.id),
        recorder.calls(app_id, &filter),
        recorder.log(app_id, call.id),
        end
    );
    assert_eq!(read.unwrap(), ended);
    assert_eq!(listed.unwrap(), [ended]);
    assert_eq!(log.unwrap(), "late");
    assert_eq!(began.elapsed(), Duration::from_millis(30));

    // An end that does not come holds readers up once, however many calls it does not come for.
    for _ in 0..5 {
        let stuck = bench.accepted();
        recorder.begin(&stuck);
        recorder.answered(stuck.id);
    }
    let began = Instant::now();
    assert_eq!(recorder.calls(app_id, &filter).await.unwrap().len(), 6);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    bench.stop().await;
}

/// A call can leave the table and enter the store while a list looks at one after the other.
#[tokio::test(start_paused = true)]
async fn what_ended_in_the_store_is_listed_as_ended() {
    let bench = Bench::new(|_| {});
    let mut call = bench.accepted();
    call.start().unwrap();
    bench.recorder.begin(&call);
    call.succeed().unwrap();
    bench.store.with(|state| state.calls.insert(call.id, call.clone()));
    let listed = bench.recorder.calls(bench.app_id, &CallFilter::default()).await;
    assert_eq!(listed.unwrap(), [call]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_that_leave_no_record_are_seen_until_they_end_and_counted() {
    let bench = Bench::new(|settings| settings.recording = Recording::Asynchronous);
    let mut call = bench.accepted();
    call.start().unwrap();
    bench.recorder.begin(&call);
    // Long enough that it would be written while it runs.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(bench.recorder.call(bench.app_id, call.id).await.unwrap().status(), Status::Running);
    call.succeed().unwrap();
    bench.recorder.accept(Record { call: call.clone(), log: None });
    let gone = bench.recorder.call(bench.app_id, call.id).await.unwrap_err();
    assert_eq!(gone.to_model(), ModelError::CallNotFound);

    let mut queued = bench.record();
    queued.call.call_type = CallType::Async;
    bench.recorder.accept(queued);
    let counts = bench.settled().await;
    assert_eq!((counts.accepted, counts.stored, counts.discarded, counts.snapshots), (2, 1, 1, 0));
    assert_balanced(counts);
    assert_eq!(bench.store.with(|state| state.calls.len()), 1);
    bench.stop().await;
}

/// What an asynchronous call ended with here is a claim until its lease has let it in.
#[tokio::test(start_paused = true)]
async fn an_asynchronous_call_is_shown_as_the_store_has_it() {
    let bench = Bench::new(|_| {});
    let (app_id, recorder) = (bench.app_id, bench.recorder.clone());
    let mut call = bench.accepted();
    call.call_type = CallType::Async;
    let id = call.id;
    bench.store.with(|state| state.calls.insert(id, call.clone()));
    recorder.begin(&call);
    let mut cancelled = call.clone();
    cancelled.fail(Reason::ApiRequest, "cancelled by a request").unwrap();
    call.start().unwrap();
    recorder.update(&call);
    assert_eq!(recorder.call(app_id, id).await.unwrap().status(), Status::Queued);
    // Somebody cancels it on another server.
    bench.store.with(|state| state.calls.insert(id, cancelled.clone()));
    assert_eq!(recorder.call(app_id, id).await.unwrap(), cancelled);
    assert_eq!(recorder.calls(app_id, &CallFilter::default()).await.unwrap(), std::slice::from_ref(&cancelled));
    // Its end here waits for the store.
    call.succeed().unwrap();
    recorder.accept(Record { call, log: Some(Bytes::from_static(b"log")) });
    assert!(recorder.is_pending(id));
    assert_eq!(recorder.call(app_id, id).await.unwrap(), cancelled);
    assert_eq!(recorder.log(app_id, id).await.unwrap_err().to_model(), ModelError::LogNotFound);
    assert_eq!(recorder.calls(app_id, &CallFilter::default()).await.unwrap(), [cancelled]);
    bench.stop().await;
    assert!(!recorder.is_pending(id));
}
