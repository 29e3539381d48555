//! The load harness of Hearth (`make bench`).
//!
//! It starts the real server with a database and records on, drives it over loopback with a client that does as little
//! as possible, and prints what it measured beside baselines of the same run: the same containers with the same
//! options, reached over Docker's attach streams without Hearth. Absolute figures say more about the machine than
//! about the server; the ratios are what counts. docs/benchmarks.md says how to read them.

mod answer;
mod bare;
mod bench;
mod census;
mod client;
mod function;
mod listening;
mod load;
mod options;
mod report;
mod sample;
mod scenarios;
mod server;
mod stage;
mod submitter;
mod table;
mod usage;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use hearth_models::ServerId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::bare::Bare;
use crate::bench::Bench;
use crate::options::Options;
use crate::scenarios::Scenario;
use crate::server::Server;
use crate::stage::Stage;
use crate::table::{Header, Verdicts};

/// The exit code of a run that missed a target, when asked for.
const MISSED: u8 = 2;

/// Servers that scenarios of one run may start beside the one that all share.
const MOST_GUESTS: usize = 32;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(code) => code,
        Err(error) => {
            // With stderr closed there is nothing left but the exit code.
            drop(writeln!(io::stderr(), "bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        Scenario::ALL.iter().try_for_each(|scenario| say(scenario.name()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let selected: Vec<Scenario> =
        Scenario::ALL.into_iter().filter(|scenario| options.selects(scenario.name())).collect();
    ensure!(!selected.is_empty(), "no scenario has such a name; --list prints them");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(options, &selected))
}

async fn measure(options: &Options, selected: &[Scenario]) -> Result<ExitCode> {
    std::fs::create_dir_all(&options.output).with_context(|| format!("cannot make {}", options.output.display()))?;
    let bare = Bare::connect(&options.image).await?;
    let binary = server_binary(options)?;
    let guests: Vec<ServerId> = std::iter::repeat_with(ServerId::generate).take(MOST_GUESTS).collect();
    let stage = Stage::new(binary.clone(), guests.clone(), options);
    let mut server = Server::spawn(&binary, &options.output)?;
    // What all scenarios need in turn is one large future.
    let work = Box::pin(scenarios(options, selected, &mut server, &bare, stage));
    let result = interruptible(work, options).await;
    // Whatever happened, nothing is left behind.
    let (id, stopped) = (server.id, server.stop().await);
    let all: Vec<ServerId> = guests.into_iter().chain([id]).collect();
    let left = bare.containers(&all).await.map(|left| left.len());
    for id in all {
        bare.clean_up(id).await?;
    }
    let code = result?;
    stopped?;
    ensure!(left? == 0, "the server left containers behind");
    Ok(code)
}

/// `hearth` is built beside this program.
fn server_binary(options: &Options) -> Result<PathBuf> {
    match &options.server {
        Some(binary) => Ok(binary.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("hearth")),
    }
}

/// Ends at a signal, and when it takes too long.
async fn interruptible<T>(work: impl Future<Output = Result<T>>, options: &Options) -> Result<T> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let limit = options.pace().limit;
    tokio::select! {
        result = timeout(limit, work) => result.with_context(|| format!("not done after {limit:?}"))?,
        _ = interrupt.recv() => bail!("interrupted; cleaning up"),
        _ = terminate.recv() => bail!("told to stop; cleaning up"),
    }
}

async fn scenarios(
    options: &Options,
    selected: &[Scenario],
    server: &mut Server,
    bare: &Bare,
    stage: Stage,
) -> Result<ExitCode> {
    server.until_ready().await?;
    let mut bench = Bench::new(options, server, bare, stage).await?;
    say(Header)?;
    for scenario in selected {
        scenario.run(&mut bench).await.with_context(|| format!("scenario {}", scenario.name()))?;
    }
    say(Verdicts(&bench.report))?;
    let stored = bench.report.store(&options.output)?;
    say(format_args!("results: {}", stored.display()))?;
    let missed = options.strict && bench.report.misses() > 0;
    Ok(if missed { ExitCode::from(MISSED) } else { ExitCode::SUCCESS })
}

/// A line for who runs this.
fn say(what: impl Display) -> Result<()> {
    writeln!(io::stdout(), "{what}").context("cannot print")
}
