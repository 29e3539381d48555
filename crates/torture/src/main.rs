//! `make torture`: asynchronous calls, while everything that they depend on is killed.
//!
//! The harness keeps a ledger of its own of every call that a server accepted with a 202. The calls' functions tell a
//! witness outside when they begin and when they end, and under which attempt. Meanwhile servers, the container engine,
//! containers and databases are killed, as drawn from a seed, and come back. Then the ledgers are compared: nothing that
//! was accepted may be lost, every call must have ended, every execution must be explained by an attempt of its own, and
//! no lease, no queued call, no container may be left. docs/async.md says how to read the verdict.

mod api;
mod audit;
mod ledger;
mod load;
mod options;
mod plan;
mod stand;
mod witness;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{Api, Record};
use crate::audit::{Evidence, Line, Verdict};
use crate::ledger::Ledger;
use crate::load::Load;
use crate::options::{Cli, Options, Part};
use crate::plan::{Plan, Store};
use crate::stand::Stand;

/// Time for every call to end once nothing is killed any more: as long as the longest wait for another attempt, and that
/// attempt.
const SETTLING: Duration = Duration::from_secs(600);
/// Where nothing ends for so long, the engine hangs: Docker sometimes does, once it was killed in the wrong moment.
const STILL: Duration = Duration::from_secs(75);
/// Nothing takes longer, whatever is broken.
const LONGEST: Duration = Duration::from_secs(3600);
/// Faults that are shown of one run.
const SHOWN: usize = 20;

fn main() -> ExitCode {
    // The one TLS provider of this process. That there is one already cannot be: this is the first line.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            // With stderr closed there is nothing left but the exit code.
            drop(writeln!(io::stderr(), "torture: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(Part::Witness { notes }) = cli.part {
            return witness::serve(&notes).await;
        }
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            result = Box::pin(torture(&cli.options)) => result,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("told to stop"),
        }
    })
}

async fn torture(options: &Options) -> Result<ExitCode> {
    ensure!(options.kills > 0 && options.calls >= options.kills, "at least one kill, and a call for each");
    let stores = if options.stores.is_empty() { &Store::ALL[..] } else { &options.stores };
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut all_well = true;
    for store in stores {
        say(format_args!("torture {store}: begins with seed={seed}"))?;
        let survived = timeout(LONGEST, Box::pin(one(*store, seed, options))).await.context("it does not end")?;
        all_well &= survived.with_context(|| format!("{store}, seed {seed}"))?;
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One run. Whether everything was as promised.
async fn one(store: Store, seed: u64, options: &Options) -> Result<bool> {
    let began = Instant::now();
    let plan = Plan::draw(store, seed, options.calls, options.kills);
    let stand = Stand::start(store, options).await?;
    let apis = stand.apis()?;
    apis[0].deploy(&options.image).await?;

    let ledger = Arc::<Ledger>::default();
    let load = Load::begin(plan.calls.clone(), &apis, &ledger, seed);
    let kills = Box::pin(kill_all(&stand, &plan, &load, seed)).await?;
    load.end().await?;
    ensure!(ledger.accepted_count() == plan.calls.len(), "not every call was accepted");
    let hangs = settle(&stand, &apis[0]).await?;

    let (records, strays) = records(&apis, &ledger).await?;
    let mut stand = Arc::into_inner(stand).context("somebody still kills")?;
    let faults: Vec<String> = stand.servers.iter().flat_map(stand::Server::faults).collect();
    faults.into_iter().for_each(|fault| ledger.fault(fault));
    let left = stand.stop().await?;
    let notes = stand.witness.notes()?;
    let deaths = stand.deaths().await;
    let entries = ledger.lock();
    let verdict = Verdict::of(&Evidence {
        entries: &entries,
        records: &records,
        strays: &strays,
        notes: &notes,
        deaths: &deaths,
        left: &left,
        engine_hung: hangs > 0,
    });
    for fault in verdict.faults.iter().take(SHOWN) {
        say(format_args!("torture {store}: {fault}"))?;
    }
    let (took, looks) = (began.elapsed(), entries.looks);
    say(Line { store, seed, kills: &kills, hangs, took, looks, verdict: &verdict })?;
    Ok(verdict.survived())
}

/// Lets calls go and kills, in turn. How often what was killed.
async fn kill_all(stand: &Arc<Stand>, plan: &Plan, load: &Load, seed: u64) -> Result<BTreeMap<&'static str, usize>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut kinds, mut under_way) = (BTreeMap::new(), JoinSet::new());
    let batch = plan.calls.len() / plan.kills.len();
    for kill in &plan.kills {
        load.release(batch);
        sleep(kill.after).await;
        stand.note(format_args!("{kill:?}"))?;
        let (stand_too, kill, chosen) = (Arc::clone(stand), *kill, random.u64(..));
        under_way.spawn(async move { stand_too.kill(kill, chosen).await });
        *kinds.entry(kill.victim.kind()).or_default() += 1;
        if !kill.hasty {
            all_done(&mut under_way).await?;
            stand.recovered().await?;
        }
    }
    load.release(plan.calls.len() - batch * plan.kills.len());
    all_done(&mut under_way).await?;
    stand.recovered().await?;
    Ok(kinds)
}

async fn all_done(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Waits until no call waits or runs. An engine that hangs meanwhile is restarted, as its operator would; how often that
/// was.
async fn settle(stand: &Stand, api: &Api) -> Result<usize> {
    let deadline = Instant::now() + SETTLING;
    let (mut restarts, mut before, mut since) = (0, Vec::new(), Instant::now());
    loop {
        let unended = api.unended().await?;
        // Past the deadline the verdict says how many there are.
        if unended.is_empty() || Instant::now() >= deadline {
            return Ok(restarts);
        }
        if unended != before {
            (before, since) = (unended, Instant::now());
        } else if since.elapsed() >= STILL {
            stand.note("nothing ends: the engine is restarted")?;
            stand.restart_engine(Signal::KILL, Duration::ZERO).await?;
            stand.recovered().await?;
            (restarts, since) = (restarts + 1, Instant::now());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The records of all that was promised, and those of what else there is.
async fn records(apis: &[Api], ledger: &Ledger) -> Result<(HashMap<String, Option<Record>>, Vec<Record>)> {
    let promised: Vec<String> = ledger.lock().promises.keys().cloned().collect();
    let mut records = HashMap::new();
    for (number, id) in promised.into_iter().enumerate() {
        let record = apis[number % apis.len()].record(&id).await?;
        ledger.seen(&id, record.clone());
        records.insert(id, record);
    }
    let all = apis[0].all().await?;
    let known: HashSet<&String> = records.keys().collect();
    let strays = all.into_iter().filter(|record| !known.contains(&record.id)).collect();
    Ok((records, strays))
}

/// A line for who runs this.
fn say(what: impl Display) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{what}").and_then(|()| out.flush()).context("cannot print")
}
