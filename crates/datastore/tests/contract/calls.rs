use std::sync::Arc;

use bytes::Bytes;
use hearth_datastore::{Datastore, Node, Record, Recorded};
use hearth_models::{
    Call, CallFilter, CallId, CallType, Error, FnId, InstanceId, Metrics, PerPage, Reason, Stat, Status, Timestamp,
    TriggerId,
};
use tokio::task::JoinSet;

use crate::make::{accepted, app, failed, node, record, running, succeeded, told};

pub(crate) async fn a_call_comes_back_with_everything(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let mut call = Call::accept(app.id, FnId::generate(), CallType::Sync);
    call.path = "/é'\"\\%".to_owned();
    call.trigger_id = Some(TriggerId::generate());
    call.attempts = u32::MAX - 1;
    call.start().unwrap();
    let point = |ms, value| Stat {
        timestamp: Timestamp::from_millis(ms),
        metrics: Metrics { cpu_total: value, net_tx: 1, mem_limit: u64::MAX, ..Metrics::default() },
    };
    call.stats = (0..240).map(|n| point(1_795_287_585_162 + n, n.unsigned_abs())).collect();
    call.fail(Reason::BadOutput, "line\n\u{2028}\"quoted\" 'é'").unwrap();
    let fresh = accepted(app.id, "");
    store.record(node(), &[record(call.clone(), None), record(fresh.clone(), None)]).await.unwrap();
    assert_eq!(store.call(app.id, call.id).await.unwrap(), call);
    assert_eq!(store.call(app.id, fresh.id).await.unwrap(), fresh);
    assert_eq!(store.calls(app.id, &CallFilter::default()).await.unwrap(), [fresh, call]);

    let nul = {
        let mut call = running(app.id, "/");
        call.fail(Reason::BadOutput, "a\0b").unwrap();
        call
    };
    store.record(node(), &[record(nul.clone(), None)]).await.unwrap();
    assert_eq!(store.call(app.id, nul.id).await.unwrap().error(), Some("a\u{fffd}b"));
}

pub(crate) async fn logs_come_back_byte_for_byte(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let big: Vec<u8> = (0..1u32 << 20).map(|n| (n % 251) as u8).collect();
    let logs: Vec<Option<Bytes>> = vec![
        Some(Bytes::from_static(b"plain\n")),
        Some(Bytes::new()),
        None,
        Some(Bytes::from_static(b"\0\xff\xfe\0")),
        Some(Bytes::from(big)),
        Some((0..=255u8).collect()),
    ];
    let records: Vec<Arc<Record>> =
        logs.into_iter().map(|log| Arc::new(Record { call: succeeded(app.id, "/"), log })).collect();
    store.record(node(), &records).await.unwrap();
    for record in &records {
        let found = store.log(app.id, record.call.id).await;
        match &record.log {
            Some(log) => assert_eq!(found.unwrap(), log),
            None => assert_eq!(told(found), Error::LogNotFound),
        }
    }
    // A group in which no log has a byte.
    let silent = record(succeeded(app.id, "/"), &b""[..]);
    store.record(node(), std::slice::from_ref(&silent)).await.unwrap();
    assert_eq!(store.log(app.id, silent.call.id).await.unwrap(), "");
    // One that was stored before it had ended.
    let mut long = running(app.id, "/");
    store.record(node(), &[record(long.clone(), None)]).await.unwrap();
    assert_eq!(told(store.log(app.id, long.id).await), Error::LogNotFound);
    long.succeed().unwrap();
    store.record(node(), &[record(long.clone(), &b""[..])]).await.unwrap();
    assert_eq!(store.log(app.id, long.id).await.unwrap(), "");
}

/// Some databases are told once what the calls of a group have in common.
pub(crate) async fn calls_of_a_group_may_differ_in_anything(store: Arc<dyn Datastore>) {
    let apps = [app(&*store, "one").await.id, app(&*store, "two").await.id];
    let functions = [FnId::generate(), FnId::generate()];
    let triggers = [None, Some(TriggerId::generate()), Some(TriggerId::generate())];
    let call = |n: usize| {
        let mut call = running(apps[n % 2], ["/", ""][n / 2 % 2]);
        call.fn_id = functions[n / 4 % 2];
        call.trigger_id = triggers[n / 8 % 3];
        if n < 24 {
            call.succeed().unwrap()
        } else {
            call.fail(Reason::Killed, "why").unwrap()
        }
        call
    };
    for first in [0, 9, 18, 31, 47] {
        let group: Vec<_> = (first..48).chain(0..first).map(|n| record(call(n), None)).collect();
        store.record(node(), &group).await.unwrap();
        for record in &group {
            assert_eq!(store.call(record.call.app_id, record.call.id).await.unwrap(), record.call);
        }
    }
}

pub(crate) async fn a_thousand_records_are_one_group(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let records: Vec<Arc<Record>> = (0..1000)
        .map(|n| {
            let log = Some(Bytes::from(format!("log {n}")));
            Arc::new(Record { call: succeeded(app.id, &format!("/{}", n % 7)), log })
        })
        .collect();
    let recorded = store.record(node(), &records).await.unwrap();
    assert_eq!(recorded, Recorded { stored: 1000, ..Recorded::default() });
    for record in records.iter().step_by(97) {
        assert_eq!(store.call(app.id, record.call.id).await.unwrap(), record.call);
        assert_eq!(Some(store.log(app.id, record.call.id).await.unwrap()), record.log);
    }
    assert_eq!(store.record(node(), &[]).await.unwrap(), Recorded::default());
}

/// Some databases are asked in statements of a few sizes.
pub(crate) async fn groups_of_every_size_are_stored(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    for size in [1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 257] {
        let records: Vec<_> = (0..size).map(|_| record(succeeded(app.id, "/"), &b"log"[..])).collect();
        let recorded = store.record(node(), &records).await.unwrap();
        assert_eq!(recorded, Recorded { stored: size, ..Recorded::default() });
        for record in &records {
            assert_eq!(store.call(app.id, record.call.id).await.unwrap(), record.call, "of {size}");
            assert_eq!(store.log(app.id, record.call.id).await.unwrap(), "log", "of {size}");
        }
    }
}

pub(crate) async fn recording_again_changes_nothing(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let records = [
        record(succeeded(app.id, "/"), &b"a"[..]),
        record(failed(app.id, "/", Reason::Killed), &b"b"[..]),
        record(running(app.id, "/"), None),
    ];
    for _ in 0..3 {
        let recorded = store.record(node(), &records).await.unwrap();
        assert_eq!(recorded, Recorded { stored: 3, ..Recorded::default() });
    }
    let calls = store.calls(app.id, &CallFilter::default()).await.unwrap();
    let expected: Vec<Call> = records.iter().rev().map(|record| record.call.clone()).collect();
    assert_eq!(calls, expected);
}

pub(crate) async fn a_final_state_is_never_overwritten(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let running = running(app.id, "/");
    let mut ended = running.clone();
    ended.fail(Reason::Timeout, "Timed out").unwrap();
    let mut other = running.clone();
    other.succeed().unwrap();
    for (call, shown) in [(&running, &running), (&ended, &ended), (&running, &ended), (&other, &ended)] {
        store.record(node(), &[record(call.clone(), None)]).await.unwrap();
        assert_eq!(store.call(app.id, running.id).await.unwrap(), *shown);
    }
}

pub(crate) async fn a_group_may_hold_a_call_twice(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queued = accepted(app.id, "/");
    let mut running = queued.clone();
    running.start().unwrap();
    let mut ended = running.clone();
    ended.succeed().unwrap();
    let orders = [[&queued, &running, &ended], [&ended, &queued, &running]];
    for order in orders {
        let group = order.map(|call| record(call.clone(), None));
        let recorded = store.record(node(), &group).await.unwrap();
        assert_eq!(recorded.stored, 3);
        assert_eq!(store.call(app.id, ended.id).await.unwrap(), ended);
    }
}

pub(crate) async fn records_of_apps_that_are_gone_are_discarded(store: Arc<dyn Datastore>) {
    let (here, gone) = (app(&*store, "here").await, hearth_models::AppId::generate());
    let group = [
        record(succeeded(gone, "/"), &b"x"[..]),
        record(succeeded(here.id, "/"), &b"y"[..]),
        record(succeeded(gone, "/"), None),
    ];
    let recorded = store.record(node(), &group).await.unwrap();
    assert_eq!(recorded, Recorded { stored: 1, discarded: 2, superseded: 0, let_go: vec![0, 2] });
    assert_eq!(told(store.call(gone, group[0].call.id).await), Error::CallNotFound);
    assert_eq!(told(store.log(gone, group[0].call.id).await), Error::LogNotFound);
    assert_eq!(store.log(here.id, group[1].call.id).await.unwrap(), "y");
}

pub(crate) async fn a_call_belongs_to_its_app(store: Arc<dyn Datastore>) {
    let (mine, other) = (app(&*store, "mine").await, app(&*store, "other").await);
    let call = succeeded(mine.id, "/");
    store.record(node(), &[record(call.clone(), &b"x"[..])]).await.unwrap();
    assert_eq!(told(store.call(other.id, call.id).await), Error::CallNotFound);
    assert_eq!(told(store.log(other.id, call.id).await), Error::LogNotFound);
    assert_eq!(told(store.call(mine.id, CallId::generate()).await), Error::CallNotFound);
    assert!(store.calls(other.id, &CallFilter::default()).await.unwrap().is_empty());
}

pub(crate) async fn earlier_instances_calls_are_interrupted(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let earlier = node();
    let now = Node { instance_id: InstanceId::generate(), ..earlier };
    let (queued, run) = (accepted(app.id, "/"), running(app.id, "/"));
    let ended = succeeded(app.id, "/");
    let before = [&queued, &run, &ended].map(|call| record(call.clone(), None));
    store.record(earlier, &before).await.unwrap();
    let (mine, foreign) = (running(app.id, "/"), running(app.id, "/"));
    store.record(now, &[record(mine.clone(), None)]).await.unwrap();
    store.record(node(), &[record(foreign.clone(), None)]).await.unwrap();

    assert_eq!(store.interrupt(now).await.unwrap(), 2);
    assert_eq!(store.interrupt(now).await.unwrap(), 0);
    for id in [queued.id, run.id] {
        let call = store.call(app.id, id).await.unwrap();
        assert_eq!((call.status(), call.reason()), (Status::Error, Some(Reason::Platform)));
        assert!(call.error().is_some() && call.completed_at().is_some());
    }
    for call in [ended, mine, foreign] {
        assert_eq!(store.call(app.id, call.id).await.unwrap(), call);
    }
}

pub(crate) async fn many_writers_lose_nothing(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let mut tasks = JoinSet::new();
    for writer in 0..8 {
        let (store, app_id) = (Arc::clone(&store), app.id);
        tasks.spawn(async move {
            for _ in 0..10 {
                let group: Vec<_> = (0..5).map(|_| record(succeeded(app_id, "/w"), &b"l"[..])).collect();
                store.record(node(), &group).await.unwrap();
                let name = format!("app-{writer}-{}", CallId::generate());
                let name = name[..30].to_owned();
                store.insert_app(&hearth_models::App::new(name, Default::default()).unwrap()).await.ok();
            }
        });
    }
    tasks.join_all().await;
    let mut filter = CallFilter { per_page: PerPage::from_query(Some("100")), ..CallFilter::default() };
    let mut seen = 0;
    loop {
        let page = store.calls(app.id, &filter).await.unwrap();
        seen += page.len();
        filter.cursor = page.last().map(|call| call.id.to_string());
        if page.len() < 100 {
            break;
        }
    }
    assert_eq!(seen, 400);
}
