use bytes::Bytes;
use hearth_datastore::{LogEntry, open_logs};
use hearth_models::{AppId, CallId};

use crate::stand::Stand;

fn entry(app_id: AppId, log: impl Into<Bytes>) -> LogEntry {
    LogEntry { app_id, call_id: CallId::generate(), log: log.into() }
}

pub(crate) async fn logs_come_back_byte_for_byte(stand: Stand) {
    let app_id = AppId::generate();
    let big: Vec<u8> = (0..1u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let logs = [
        entry(app_id, "plain\n"),
        entry(app_id, Bytes::new()),
        entry(app_id, &b"\0\xff\xfe\0"[..]),
        entry(app_id, big),
        entry(app_id, "the same line again and again\n".repeat(30_000)),
        entry(app_id, [&[0x1f, 0x8b][..], &[0; 1000]].concat()),
    ];
    stand.logs.put(&logs).await.unwrap();
    stand.logs.put(&[]).await.unwrap();
    for LogEntry { app_id, call_id, log } in logs {
        assert!(stand.logs.get(app_id, call_id).await.unwrap().unwrap() == log, "{} bytes", log.len());
    }
    assert_eq!(stand.logs.get(app_id, CallId::generate()).await.unwrap(), None);
    stand.remove().await;
}

pub(crate) async fn the_first_log_stays(stand: Stand) {
    let first = entry(AppId::generate(), "one");
    stand.logs.put(std::slice::from_ref(&first)).await.unwrap();
    for again in [first.clone(), LogEntry { log: "two".into(), ..first.clone() }] {
        stand.logs.put(&[again]).await.unwrap();
        assert_eq!(stand.logs.get(first.app_id, first.call_id).await.unwrap().unwrap(), "one");
    }
    stand.remove().await;
}

pub(crate) async fn a_log_belongs_to_its_app(stand: Stand) {
    let mine = entry(AppId::generate(), "mine");
    let other = entry(AppId::generate(), "other");
    stand.logs.put(&[mine.clone(), other.clone()]).await.unwrap();
    assert_eq!(stand.logs.get(other.app_id, mine.call_id).await.unwrap(), None);
    stand.logs.remove(other.app_id, &[mine.call_id]).await.unwrap();
    assert!(!stand.logs.purge(AppId::generate(), 10).await.unwrap());
    assert_eq!(stand.logs.get(mine.app_id, mine.call_id).await.unwrap().unwrap(), "mine");
    stand.remove().await;
}

pub(crate) async fn logs_are_removed_one_by_one_and_app_by_app(stand: Stand) {
    let (app_id, other) = (AppId::generate(), entry(AppId::generate(), "other"));
    let logs: Vec<LogEntry> = (0..25).map(|n| entry(app_id, format!("log {n}"))).collect();
    stand.logs.put(&logs).await.unwrap();
    stand.logs.put(std::slice::from_ref(&other)).await.unwrap();
    let ids: Vec<CallId> = logs.iter().map(|log| log.call_id).collect();
    stand.logs.remove(app_id, &ids[..10]).await.unwrap();
    stand.logs.remove(app_id, &ids[5..12]).await.unwrap();
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(stand.logs.get(app_id, *id).await.unwrap().is_some(), n >= 12, "{n}");
    }
    let mut batches = 0;
    while stand.logs.purge(app_id, 5).await.unwrap() {
        batches += 1;
    }
    assert_eq!(batches, 3);
    assert_eq!(stand.logs.get(app_id, ids[24]).await.unwrap(), None);
    assert_eq!(stand.logs.get(other.app_id, other.call_id).await.unwrap().unwrap(), "other");
    stand.remove().await;
}

pub(crate) async fn a_store_that_is_opened_again_has_its_logs(stand: Stand) {
    let kept = entry(AppId::generate(), "kept");
    stand.logs.put(std::slice::from_ref(&kept)).await.unwrap();
    stand.logs.close().await;
    let again = open_logs(&stand.url).await.unwrap();
    assert_eq!(again.get(kept.app_id, kept.call_id).await.unwrap().unwrap(), "kept");
    again.close().await;
    stand.remove().await;
}
