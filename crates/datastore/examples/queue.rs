//! What the stored queue costs: calls accepted, and then leased and ended in groups, one transaction after the other.
//!
//!     cargo run --release -p hearth-datastore --example queue [name=value ...]
//!
//! `url` is a database of its own (a SQLite file in a temporary directory); `calls` are queued in one transaction, `group`
//! of them are leased and ended at a time, `rounds` says how often all of that is done.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_datastore::{Datastore, Node, Payload, Record, Submission, Terms, open};
use hearth_models::{App, Call, CallType, Config, FnId, InstanceId, Priority, ServerId, Timestamp};
use tokio::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut calls, mut group, mut rounds) = (10_000, 100, 3);
    let directory = tempfile::tempdir()?;
    let mut url = format!("sqlite3://{}", directory.path().join("bench.db").display());
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("url", value)) => value.clone_into(&mut url),
            Some(("calls", value)) => calls = value.parse()?,
            Some(("group", value)) => group = value.parse()?,
            Some(("rounds", value)) => rounds = value.parse()?,
            _ => return Err(format!("not known: {argument}").into()),
        }
    }
    let store = open(&url).await?;
    let app = App::new("bench", Config::default())?;
    store.insert_app(&app).await?;
    println!("of {calls} calls, each, in groups of {group}");
    for _ in 0..rounds {
        round(&store, &app, calls, group).await?;
    }
    store.close().await;
    Ok(())
}

async fn round(store: &Arc<dyn Datastore>, app: &App, calls: usize, group: usize) -> Result<(), Box<dyn Error>> {
    let queue = Arc::clone(store).queue();
    let node = Node { server_id: ServerId::generate(), instance_id: InstanceId::generate() };
    let fn_id = FnId::generate();
    let submission = || {
        let mut call = Call::accept(app.id, fn_id, CallType::Async);
        "/queue".clone_into(&mut call.path);
        // About what the head of a small request takes.
        let payload = Payload { head: "h".repeat(400), body: Bytes::from_static(&[b'x'; 32]) };
        Submission { due_at: call.created_at, call, priority: Priority::default(), payload }
    };
    let all: Vec<Submission> = (0..calls).map(|_| submission()).collect();
    let begun = Instant::now();
    queue.accept(node, &all).await?;
    let accepting = begun.elapsed();
    let (mut leasing, mut ending) = (Duration::ZERO, Duration::ZERO);
    loop {
        let begun = Instant::now();
        let now = Timestamp::now();
        let terms = Terms { node, except: &[], now, until: now.after(Duration::from_secs(30)) };
        let leased = queue.reserve(terms, group).await?;
        leasing += begun.elapsed();
        if leased.is_empty() {
            break;
        }
        let ended = |leased: hearth_datastore::Leased| -> Result<Arc<Record>, Box<dyn Error>> {
            let mut call = leased.call;
            call.succeed()?;
            Ok(Arc::new(Record { call, log: Some(Bytes::from_static(&[b'x'; 100])) }))
        };
        let records = leased.into_iter().map(ended).collect::<Result<Vec<_>, _>>()?;
        let begun = Instant::now();
        store.record(node, &records).await?;
        ending += begun.elapsed();
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / calls as f64;
    println!("accepted {:.0} us, leased {:.0} us, ended {:.0} us", each(accepting), each(leasing), each(ending));
    Ok(())
}
