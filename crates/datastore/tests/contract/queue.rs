use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{
    Advanced, Cancelled, Datastore, Depth, Lease, Leased, News, Payload, QueueStore, Record, Recorded, Standing,
    Submission, Terms, Verdict,
};
use hearth_models::{
    AppId, Call, CallFilter, CallId, CallType, Error, FnId, PerPage, Priority, Reason, Status, Timestamp, TriggerId,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::make::{app, node, record, told};

const LAST: u32 = 3;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_795_287_584_890).after(Duration::from_secs(seconds))
}

fn payload(body: impl Into<Bytes>) -> Payload {
    Payload { head: r#"{"é":"'\"\\"}"#.to_owned(), body: body.into() }
}

fn priority(number: u8) -> Priority {
    Priority::try_from(number).unwrap()
}

fn submission(app_id: AppId, due: u64) -> Submission {
    let call = Call::accept(app_id, FnId::generate(), CallType::Async);
    Submission { call, priority: priority(0), due_at: at(due), payload: payload("body") }
}

fn delayed(app_id: AppId, due: u64) -> Submission {
    let call = Call::accept_delayed(app_id, FnId::generate());
    Submission { call, ..submission(app_id, due) }
}

/// How many calls became due, lapsed and died.
fn counts(advanced: Result<Advanced, hearth_datastore::Error>) -> (usize, usize, usize) {
    let Advanced { due, lapsed, dead } = advanced.unwrap();
    (due.len(), lapsed.len(), dead.len())
}

fn terms(now: u64) -> Terms<'static> {
    Terms { node: node(), except: &[], now: at(now), until: at(now + 30) }
}

async fn accept(queue: &dyn QueueStore, submissions: &[Submission]) {
    assert_eq!(queue.accept(node(), submissions).await.unwrap(), []);
}

/// A store with an app and one ready call.
async fn one(store: &Arc<dyn Datastore>) -> (Arc<dyn QueueStore>, AppId, CallId) {
    let app = app(&**store, "app").await;
    let queue = Arc::clone(store).queue();
    let submission = submission(app.id, 0);
    accept(&*queue, std::slice::from_ref(&submission)).await;
    (queue, app.id, submission.call.id)
}

async fn reserve(queue: &dyn QueueStore, now: u64) -> Leased {
    let mut leased = queue.reserve(terms(now), 1).await.unwrap();
    leased.pop().unwrap()
}

pub(crate) fn submissions(app_id: AppId, count: usize) -> Vec<Submission> {
    (0..count).map(|_| submission(app_id, 0)).collect()
}

/// Leases and ends up to `at_most` calls, of which there are so many.
pub(crate) async fn at_once(store: &Arc<dyn Datastore>, at_most: usize, there: usize) {
    let leased = Arc::clone(store).queue().reserve(terms(0), at_most).await.unwrap();
    assert_eq!(leased.len(), there);
    let records: Vec<Arc<Record>> = leased.iter().map(success).collect();
    assert_eq!(store.record(node(), &records).await.unwrap().stored, there);
}

fn names(leased: &[Leased]) -> Vec<CallId> {
    leased.iter().map(|leased| leased.call.id).collect()
}

async fn status(store: &dyn Datastore, app_id: AppId, id: CallId) -> (Status, u32) {
    let call = store.call(app_id, id).await.unwrap();
    (call.status(), call.attempts)
}

fn success(leased: &Leased) -> Arc<Record> {
    let mut call = leased.call.clone();
    call.succeed().unwrap();
    record(call, &b"log"[..])
}

pub(crate) async fn a_queued_call_comes_back_with_its_request_byte_for_byte(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let every: Bytes = (0..=255u8).cycle().take(1 << 20).collect();
    let bodies = [every, Bytes::new(), Bytes::from_static(b"\0\xff"), Bytes::from_static(b"text")];
    let submissions: Vec<Submission> = bodies
        .into_iter()
        .map(|body| {
            let mut submission = submission(app.id, 0);
            submission.call.path = "/é'\"\\%".to_owned();
            submission.call.trigger_id = Some(TriggerId::generate());
            submission.payload.body = body;
            submission
        })
        .collect();
    accept(&*queue, &submissions).await;
    accept(&*queue, &[]).await;
    let leased = queue.reserve(terms(0), 9).await.unwrap();
    assert_eq!(leased.len(), submissions.len());
    for (leased, submitted) in leased.iter().zip(&submissions) {
        assert_eq!(leased.payload, submitted.payload);
        let (found, call) = (&leased.call, &submitted.call);
        assert_eq!((found.id, found.app_id, found.fn_id), (call.id, call.app_id, call.fn_id));
        assert_eq!((found.trigger_id, &found.path), (call.trigger_id, &call.path));
        assert_eq!((found.call_type, found.created_at), (CallType::Async, call.created_at));
        assert_eq!((found.status(), found.attempts, found.started_at()), (Status::Running, 1, Some(at(0))));
    }
}

pub(crate) async fn an_accepted_call_can_be_read_at_every_moment(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let submission = delayed(app.id, 10);
    let id = submission.call.id;
    accept(&*queue, std::slice::from_ref(&submission)).await;
    assert_eq!(store.call(app.id, id).await.unwrap(), submission.call);
    let listed = CallFilter { status: Some(Status::Delayed), ..CallFilter::default() };
    assert_eq!(store.calls(app.id, &listed).await.unwrap(), std::slice::from_ref(&submission.call));
    let advanced = queue.advance(at(10), LAST).await.unwrap();
    let standing = Standing { call_id: id, priority: priority(0), place: at(10) };
    assert_eq!(advanced, Advanced { due: vec![standing], ..Advanced::default() });
    assert_eq!(status(&*store, app.id, id).await, (Status::Queued, 0));
    let leased = reserve(&*queue, 10).await;
    assert_eq!(store.call(app.id, id).await.unwrap(), leased.call);
    let result = success(&leased);
    store.record(node(), std::slice::from_ref(&result)).await.unwrap();
    assert_eq!(store.call(app.id, id).await.unwrap(), result.call);
    assert_eq!(store.log(app.id, id).await.unwrap(), "log");
}

pub(crate) async fn accepting_again_changes_nothing(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let [waits, runs, ended] = [0, 1, 2].map(|due| submission(app.id, due));
    let all = [runs.clone(), ended.clone(), waits.clone()];
    accept(&*queue, &all).await;
    accept(&*queue, &all).await;
    let leased = queue.reserve_these(terms(0), &[runs.call.id, ended.call.id]).await.unwrap();
    store.record(node(), &[success(&leased[1])]).await.unwrap();
    accept(&*queue, &all).await;
    assert_eq!(status(&*store, app.id, waits.call.id).await, (Status::Queued, 0));
    assert_eq!(status(&*store, app.id, runs.call.id).await, (Status::Running, 1));
    assert_eq!(status(&*store, app.id, ended.call.id).await, (Status::Success, 1));
    assert_eq!(names(&queue.reserve(terms(0), 9).await.unwrap()), [waits.call.id]);
}

pub(crate) async fn calls_of_a_missing_app_are_not_accepted(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let (here, gone) = (submission(app.id, 0), submission(AppId::generate(), 0));
    let refused = queue.accept(node(), &[gone.clone(), here.clone()]).await.unwrap();
    assert_eq!(refused, [gone.call.id]);
    assert_eq!(names(&queue.reserve(terms(0), 9).await.unwrap()), [here.call.id]);
    assert_eq!(told(store.call(gone.call.app_id, gone.call.id).await), Error::CallNotFound);
}

pub(crate) async fn priority_goes_first_and_then_who_came_first(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let make = |(urgent, due)| Submission { priority: priority(urgent), ..submission(app.id, due) };
    let all = [(0, 1), (1, 5), (2, 9), (0, 0), (1, 4), (0, 1)].map(make);
    accept(&*queue, &all).await;
    let leased = queue.reserve(terms(9), 9).await.unwrap();
    let expected = [2, 4, 1, 3, 0, 5].map(|n: usize| all[n].call.id);
    assert_eq!(names(&leased), expected);
    let priorities: Vec<u8> = leased.iter().map(|leased| leased.priority.get()).collect();
    assert_eq!(priorities, [2, 1, 1, 0, 0, 0]);
}

pub(crate) async fn a_delayed_call_is_not_ready_before_its_time(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    assert_eq!(queue.next_due().await.unwrap(), None);
    let (later, now) = (delayed(app.id, 10), submission(app.id, 20));
    accept(&*queue, &[later.clone(), now.clone()]).await;
    assert_eq!(queue.next_due().await.unwrap(), Some(at(10)));
    assert_eq!(counts(queue.advance(at(9), LAST).await), (0, 0, 0));
    assert_eq!(names(&queue.reserve(terms(9), 1).await.unwrap()), [now.call.id]);
    assert_eq!(queue.reserve(terms(9), 1).await.unwrap().len(), 0);
    assert_eq!(counts(queue.advance(at(10), LAST).await), (1, 0, 0));
    assert_eq!(names(&queue.reserve(terms(10), 1).await.unwrap()), [later.call.id]);
}

pub(crate) async fn a_ready_call_is_leased_once(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    assert_eq!(queue.reserve(terms(0), 0).await.unwrap().len(), 0);
    let leased = reserve(&*queue, 0).await;
    assert_eq!(leased.lease(), Lease { call_id: id, attempt: 1 });
    assert_eq!(queue.reserve(terms(0), 1).await.unwrap().len(), 0);
    assert_eq!(queue.next_due().await.unwrap(), Some(at(30)));
    assert_eq!(queue.waiting(app_id).await.unwrap(), 1);
}

pub(crate) async fn only_ready_calls_are_leased_by_name(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let (ready, later) = (submission(app.id, 0), delayed(app.id, 10));
    accept(&*queue, &[ready.clone(), later.clone()]).await;
    let asked = [later.call.id, CallId::generate(), ready.call.id];
    assert_eq!(names(&queue.reserve_these(terms(0), &asked).await.unwrap()), [ready.call.id]);
    assert_eq!(queue.reserve_these(terms(0), &asked).await.unwrap().len(), 0);
}

pub(crate) async fn calls_of_functions_without_room_are_passed_over(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let all: Vec<Submission> = (0..3).map(|due| submission(app.id, due)).collect();
    accept(&*queue, &all).await;
    let [first, second, third] = [0, 1, 2].map(|n: usize| &all[n].call);
    let except = [first.fn_id, third.fn_id];
    let terms = Terms { except: &except, ..terms(9) };
    assert_eq!(names(&queue.reserve(terms, 9).await.unwrap()), [second.id]);
    assert_eq!(queue.reserve_these(terms, &[third.id, second.id]).await.unwrap().len(), 0);
    let terms = Terms { except: &except[..1], ..terms };
    assert_eq!(names(&queue.reserve_these(terms, &[third.id, first.id]).await.unwrap()), [third.id]);
    assert_eq!(status(&*store, app.id, first.id).await, (Status::Queued, 0));
    assert_eq!(names(&queue.reserve(Terms { except: &[], ..terms }, 9).await.unwrap()), [first.id]);
}

pub(crate) async fn a_discarded_call_ends_and_leaves_nothing(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    let lost = reserve(&*queue, 0).await;
    queue.advance(at(30), LAST).await.unwrap();
    let owner = reserve(&*queue, 30).await;
    let verdict = Verdict { reason: Reason::ApiRequest, error: "its route was deleted".to_owned() };
    assert!(!queue.discard(lost.lease(), &verdict, at(31)).await.unwrap());
    assert_eq!(status(&*store, app_id, id).await, (Status::Running, 2));
    assert!(queue.discard(owner.lease(), &verdict, at(31)).await.unwrap());
    assert!(!queue.discard(owner.lease(), &verdict, at(32)).await.unwrap());
    let call = store.call(app_id, id).await.unwrap();
    assert_eq!((call.status(), call.reason()), (Status::Cancelled, Some(Reason::ApiRequest)));
    assert_eq!((call.error(), call.completed_at()), (Some("its route was deleted"), Some(at(31))));
    assert_eq!(store.log(app_id, id).await.unwrap(), "");
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

pub(crate) async fn a_lapsed_lease_returns_to_its_old_place(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    accept(&*queue, &[submission(app_id, 1)]).await;
    let first = reserve(&*queue, 1).await;
    assert_eq!(counts(queue.advance(at(30), LAST).await), (0, 0, 0));
    assert_eq!(counts(queue.advance(at(31), LAST).await), (0, 1, 0));
    assert_eq!(status(&*store, app_id, id).await, (Status::Queued, 1));
    let again = reserve(&*queue, 31).await;
    assert_eq!((first.call.id, again.call.id, again.call.attempts), (id, id, 2));
}

pub(crate) async fn a_renewed_lease_does_not_lapse(store: Arc<dyn Datastore>) {
    let (queue, ..) = one(&store).await;
    let leased = reserve(&*queue, 0).await;
    let strange = Lease { attempt: 7, ..leased.lease() };
    let lost = queue.renew(&[leased.lease(), strange], at(60)).await.unwrap();
    assert_eq!(lost, [strange]);
    assert_eq!(counts(queue.advance(at(59), LAST).await), (0, 0, 0));
    assert_eq!(counts(queue.advance(at(60), LAST).await), (0, 1, 0));
    assert_eq!(queue.renew(&[leased.lease()], at(99)).await.unwrap(), [leased.lease()]);
    assert_eq!(queue.renew(&[], at(99)).await.unwrap(), []);
}

pub(crate) async fn a_lost_lease_ends_nothing(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    let lost = reserve(&*queue, 0).await;
    queue.advance(at(30), LAST).await.unwrap();
    let superseded = Recorded { superseded: 1, let_go: vec![0], ..Recorded::default() };
    assert_eq!(store.record(node(), &[success(&lost)]).await.unwrap(), superseded);
    assert_eq!(status(&*store, app_id, id).await, (Status::Queued, 1));
    let owner = reserve(&*queue, 30).await;
    assert_eq!(store.record(node(), &[success(&lost)]).await.unwrap(), superseded);
    let verdict = Verdict { reason: Reason::Platform, error: "late".to_owned() };
    assert!(!queue.retry(lost.lease(), at(31)).await.unwrap());
    assert!(!queue.bury(lost.lease(), &verdict, at(31)).await.unwrap());
    assert_eq!(queue.give_back(&[lost.lease()]).await.unwrap(), 0);
    assert_eq!(store.call(app_id, id).await.unwrap(), owner.call);
    assert_eq!(told(store.log(app_id, id).await), Error::LogNotFound);
    let recorded = store.record(node(), &[success(&lost), success(&owner)]).await.unwrap();
    assert_eq!(recorded, Recorded { stored: 1, superseded: 1, discarded: 0, let_go: vec![0] });
    assert_eq!(status(&*store, app_id, id).await, (Status::Success, 2));
}

pub(crate) async fn a_result_ends_the_call_in_the_queue(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    let leased = reserve(&*queue, 0).await;
    // How it runs is the queue's to tell, not the recorder's.
    let running = record(leased.call.clone(), None);
    assert_eq!(store.record(node(), &[running]).await.unwrap().superseded, 1);
    assert_eq!(queue.waiting(app_id).await.unwrap(), 1);
    assert_eq!(store.record(node(), &[success(&leased)]).await.unwrap().stored, 1);
    assert_eq!(queue.waiting(app_id).await.unwrap(), 0);
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    assert_eq!(queue.renew(&[leased.lease()], at(60)).await.unwrap(), [leased.lease()]);
    assert_eq!(status(&*store, app_id, id).await, (Status::Success, 1));
    assert_eq!(queue.cancel(app_id, id, at(1)).await.unwrap(), Cancelled::Ended);
}

pub(crate) async fn a_result_stored_twice_counts_once_and_stays(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    let leased = reserve(&*queue, 0).await;
    let result = success(&leased);
    for _ in 0..3 {
        let recorded = store.record(node(), std::slice::from_ref(&result)).await.unwrap();
        assert_eq!(recorded, Recorded { stored: 1, ..Recorded::default() });
        assert_eq!(store.call(app_id, id).await.unwrap(), result.call);
    }
}

pub(crate) async fn what_was_given_back_did_not_count_as_an_attempt(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    accept(&*queue, &[submission(app_id, 1)]).await;
    let leased = reserve(&*queue, 1).await;
    assert_eq!(queue.give_back(&[leased.lease()]).await.unwrap(), 1);
    assert_eq!(queue.give_back(&[leased.lease()]).await.unwrap(), 0);
    let call = store.call(app_id, id).await.unwrap();
    assert_eq!((call.status(), call.attempts, call.started_at()), (Status::Queued, 0, None));
    assert_eq!(reserve(&*queue, 1).await.lease(), Lease { call_id: id, attempt: 1 });
}

pub(crate) async fn a_retried_call_waits_and_keeps_its_place(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    accept(&*queue, &[submission(app_id, 1)]).await;
    let leased = reserve(&*queue, 1).await;
    assert!(queue.retry(leased.lease(), at(5)).await.unwrap());
    let call = store.call(app_id, id).await.unwrap();
    assert_eq!((call.status(), call.attempts, call.started_at()), (Status::Delayed, 1, None));
    assert_eq!(queue.next_due().await.unwrap(), Some(at(5)));
    assert_eq!(counts(queue.advance(at(5), 1).await), (1, 0, 0));
    assert_eq!(reserve(&*queue, 5).await.lease(), Lease { call_id: id, attempt: 2 });
}

pub(crate) async fn a_call_whose_server_is_lost_each_time_is_given_up(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    for attempt in 1..=LAST {
        let now = u64::from(attempt) * 100;
        assert_eq!(reserve(&*queue, now).await.call.attempts, attempt);
        let advanced = counts(queue.advance(at(now + 30), LAST).await);
        let dead = usize::from(attempt == LAST);
        assert_eq!(advanced, (0, 1 - dead, dead));
    }
    let call = store.call(app_id, id).await.unwrap();
    assert_eq!((call.status(), call.reason(), call.attempts), (Status::Error, Some(Reason::Platform), LAST));
    assert_eq!(call.error(), Some("given up after 3 attempts: the server that ran it was lost"));
    assert_eq!(queue.next_due().await.unwrap(), None);
    assert_eq!(queue.dead(app_id, None, PerPage::default()).await.unwrap(), [call]);
}

pub(crate) async fn a_buried_call_is_an_error_and_is_listed(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let verdict = Verdict { reason: Reason::NoCapacity, error: "no\0 memory".to_owned() };
    let submissions: Vec<Submission> = (0..3).map(|due| submission(app.id, due)).collect();
    accept(&*queue, &submissions).await;
    for leased in queue.reserve(terms(9), 9).await.unwrap() {
        assert!(queue.bury(leased.lease(), &verdict, at(10)).await.unwrap());
    }
    let dead = queue.dead(app.id, None, PerPage::default()).await.unwrap();
    let expected: Vec<CallId> = submissions.iter().rev().map(|dead| dead.call.id).collect();
    assert_eq!(dead.iter().map(|call| call.id).collect::<Vec<_>>(), expected);
    for call in &dead {
        assert_eq!((call.status(), call.reason()), (Status::Error, Some(Reason::NoCapacity)));
        assert_eq!((call.error(), call.completed_at()), (Some("no\u{fffd} memory"), Some(at(10))));
        assert_eq!(store.log(app.id, call.id).await.unwrap(), "");
    }
    let cursor = dead[0].id.to_string();
    let rest = queue.dead(app.id, Some(&cursor), PerPage::default()).await.unwrap();
    assert_eq!(rest, dead[1..]);
    assert_eq!(queue.dead(AppId::generate(), None, PerPage::default()).await.unwrap(), []);
    assert_eq!(queue.waiting(app.id).await.unwrap(), 0);
    assert_eq!(queue.cancel(app.id, dead[0].id, at(11)).await.unwrap(), Cancelled::Ended);
}

pub(crate) async fn a_dead_call_is_trimmed_with_its_request(store: Arc<dyn Datastore>) {
    let (queue, app_id, dead) = one(&store).await;
    let leased = reserve(&*queue, 1).await;
    let verdict = Verdict { reason: Reason::NoCapacity, error: "no memory".to_owned() };
    assert!(queue.bury(leased.lease(), &verdict, at(2)).await.unwrap());
    let waiting = submission(app_id, 0);
    accept(&*queue, std::slice::from_ref(&waiting)).await;
    let later = CallId::generate();
    assert_eq!(store.ended(app_id, None, later, 10).await.unwrap(), [dead]);
    assert_eq!(store.remove_calls(app_id, &[dead, waiting.call.id]).await.unwrap(), 1);
    assert_eq!(queue.dead(app_id, None, PerPage::default()).await.unwrap(), []);
    assert_eq!(told(queue.redrive(node(), app_id, dead).await), Error::CallNotFound);
    assert_eq!(queue.depth().await.unwrap().dead, 0, "its entry is gone too");
    assert_eq!(reserve(&*queue, 3).await.payload, waiting.payload, "what waits is kept");
}

pub(crate) async fn a_redriven_call_is_a_new_one_with_the_same_request(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let submission = Submission { priority: priority(1), payload: payload("\0\u{ff}"), ..submission(app.id, 0) };
    accept(&*queue, std::slice::from_ref(&submission)).await;
    let id = submission.call.id;
    assert_eq!(told(queue.redrive(node(), app.id, id).await), Error::CallNotFound);
    let leased = reserve(&*queue, 0).await;
    let verdict = Verdict { reason: Reason::Platform, error: "why".to_owned() };
    queue.bury(leased.lease(), &verdict, at(1)).await.unwrap();
    assert_eq!(told(queue.redrive(node(), AppId::generate(), id).await), Error::CallNotFound);

    let again = queue.redrive(node(), app.id, id).await.unwrap().call;
    assert_ne!(again.id, id);
    assert_eq!(store.call(app.id, again.id).await.unwrap(), again);
    assert_eq!(status(&*store, app.id, id).await, (Status::Error, 1));
    assert_eq!(queue.dead(app.id, None, PerPage::default()).await.unwrap(), []);
    assert_eq!(told(queue.redrive(node(), app.id, id).await), Error::CallNotFound);
    let leased = reserve(&*queue, 9).await;
    assert_eq!(leased.standing().place, again.created_at);
    assert_eq!((leased.call.id, leased.call.fn_id, leased.call.attempts), (again.id, submission.call.fn_id, 1));
    assert_eq!((leased.payload, leased.priority), (submission.payload, submission.priority));
}

pub(crate) async fn a_cancelled_call_ends_wherever_it_was(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let [runs, waits, later] = [submission(app.id, 0), submission(app.id, 1), delayed(app.id, 99)];
    accept(&*queue, &[waits.clone(), runs.clone(), later.clone()]).await;
    let leased = reserve(&*queue, 1).await;
    for (submission, met) in
        [(&waits, Cancelled::Waiting), (&later, Cancelled::Waiting), (&runs, Cancelled::Running(leased.lease()))]
    {
        let id = submission.call.id;
        assert_eq!(told(queue.cancel(AppId::generate(), id, at(2)).await), Error::CallNotFound);
        assert_eq!(queue.cancel(app.id, id, at(2)).await.unwrap(), met);
        assert_eq!(queue.cancel(app.id, id, at(3)).await.unwrap(), Cancelled::Ended);
        let call = store.call(app.id, id).await.unwrap();
        assert_eq!((call.status(), call.reason()), (Status::Cancelled, Some(Reason::ApiRequest)));
        assert_eq!((call.completed_at(), call.error()), (Some(at(2)), Some("cancelled by a request")));
        assert_eq!(store.log(app.id, id).await.unwrap(), "");
    }
    assert_eq!(store.record(node(), &[success(&leased)]).await.unwrap().superseded, 1);
    assert_eq!(status(&*store, app.id, runs.call.id).await, (Status::Cancelled, 1));
    assert_eq!(queue.depth().await.unwrap(), Depth::default());

    let mut sync = Call::accept(app.id, FnId::generate(), CallType::Sync);
    sync.start().unwrap();
    store.record(node(), &[record(sync.clone(), None)]).await.unwrap();
    assert_eq!(queue.cancel(app.id, sync.id, at(2)).await.unwrap(), Cancelled::NotQueued);
}

pub(crate) async fn earlier_instances_leases_are_released(store: Arc<dyn Datastore>) {
    let (queue, app_id, id) = one(&store).await;
    accept(&*queue, &[submission(app_id, 1)]).await;
    let (earlier, other) = (terms(0), terms(0));
    let now = hearth_datastore::Node { instance_id: node().instance_id, ..earlier.node };
    queue.reserve(earlier, 1).await.unwrap();
    queue.reserve(other, 1).await.unwrap();
    assert_eq!(counts(queue.release_own(earlier.node, at(1), LAST).await), (0, 0, 0));
    assert_eq!(counts(queue.release_own(now, at(1), LAST).await), (0, 1, 0));
    assert!(queue.release_own(now, at(1), LAST).await.unwrap().is_empty());
    assert_eq!(status(&*store, app_id, id).await, (Status::Queued, 1));
    assert_eq!(reserve(&*queue, 1).await.lease(), Lease { call_id: id, attempt: 2 });
    // Synchronous calls that were left open are interrupted; these are not.
    assert_eq!(store.interrupt(now).await.unwrap(), 0);
}

pub(crate) async fn a_removed_app_takes_its_queue_along(store: Arc<dyn Datastore>) {
    let (queue, app_id, _) = one(&store).await;
    accept(&*queue, &(0..3).map(|due| submission(app_id, due)).collect::<Vec<_>>()).await;
    let leased = reserve(&*queue, 0).await;
    store.remove_app("app").await.unwrap();
    assert_eq!(queue.reserve(terms(9), 9).await.unwrap().len(), 0);
    assert_eq!(store.record(node(), &[success(&leased)]).await.unwrap().discarded, 1);
    assert_eq!(queue.waiting(app_id).await.unwrap(), 3);
    while store.purge(app_id, 100).await.unwrap() {}
    assert_eq!(queue.waiting(app_id).await.unwrap(), 0);
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
}

pub(crate) async fn the_depth_tells_what_there_is(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    assert_eq!(queue.depth().await.unwrap(), Depth::default());
    let ready: Vec<Submission> = [3, 2, 5, 4].map(|due| submission(app.id, due)).into();
    accept(&*queue, &ready).await;
    accept(&*queue, &[delayed(app.id, 9)]).await;
    reserve(&*queue, 9).await;
    let verdict = Verdict { reason: Reason::Platform, error: "why".to_owned() };
    queue.bury(reserve(&*queue, 9).await.lease(), &verdict, at(9)).await.unwrap();
    reserve(&*queue, 9).await;
    let depth = Depth { ready: 1, delayed: 1, leased: 2, dead: 1, oldest: Some(at(5)) };
    assert_eq!(queue.depth().await.unwrap(), depth);
    assert_eq!(queue.waiting(app.id).await.unwrap(), 4);
    let standing = queue.ready(None, 9).await.unwrap();
    assert_eq!(standing.len(), 1);
    assert_eq!((standing[0].call_id, standing[0].place), (ready[2].call.id, at(5)));
    assert_eq!(queue.ready(Some(standing[0].call_id), 9).await.unwrap(), []);
}

pub(crate) async fn many_nodes_lease_every_call_once(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let all: Vec<Submission> = (0..200).map(|due| submission(app.id, due)).collect();
    accept(&*queue, &all).await;
    let mut nodes = JoinSet::new();
    for _ in 0..4 {
        let (store, queue) = (Arc::clone(&store), Arc::clone(&queue));
        nodes.spawn(async move {
            let mut done = Vec::new();
            loop {
                let leased = queue.reserve(terms(999), 7).await.unwrap();
                let results: Vec<Arc<Record>> = leased.iter().map(success).collect();
                assert_eq!(store.record(node(), &results).await.unwrap().stored, results.len());
                done.extend(names(&leased));
                if leased.is_empty() {
                    return done;
                }
            }
        });
    }
    let done = nodes.join_all().await.concat();
    assert_eq!(done.len(), all.len());
    assert_eq!(BTreeSet::from_iter(done), all.iter().map(|call| call.call.id).collect());
}

pub(crate) async fn what_others_make_ready_is_heard_of(store: Arc<dyn Datastore>) {
    let app = app(&*store, "app").await;
    let queue = Arc::clone(&store).queue();
    let me = node();
    // Not everywhere does anybody tell.
    let Some(mut news) = queue.listen(me).await.unwrap() else { return };
    let hears = async |news: &mut Box<dyn News>| {
        timeout(Duration::from_secs(10), news.next()).await.unwrap().unwrap();
    };
    queue.accept(node(), &[submission(app.id, 0)]).await.unwrap();
    hears(&mut news).await;
    // What this node says itself, and what is not ready, is no news: the next that is heard is what somebody gave back.
    queue.accept(me, &[submission(app.id, 0)]).await.unwrap();
    queue.accept(node(), &[delayed(app.id, 1000)]).await.unwrap();
    let silence = timeout(Duration::from_millis(100), news.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    let leased = queue.reserve(terms(1), 1).await.unwrap();
    queue.give_back(&[leased[0].lease()]).await.unwrap();
    hears(&mut news).await;
}
