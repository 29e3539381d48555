//! The `hearth` command: settings, wiring, signals. What concerns the whole process is chosen here and nowhere else: the
//! runtime (tokio's), the TLS provider (ring), the log, and the exit code.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::cli::{Action, Cli, Flags};
use crate::logging::LevelSwitch;
use crate::settings::{Settings, Source};
use crate::signals::Signals;
use crate::wiring::{Hearth, Own, StartError};

/// Wrong usage or bad settings (`EX_USAGE`).
const USAGE: u8 = 64;
/// Records of calls could not be stored (`EX_IOERR`).
const RECORDS_LOST: u8 = 74;
/// A second signal.
const AT_ONCE: u8 = 130;

/// Does what the command line says; the exit code of the process.
#[must_use]
pub fn run() -> ExitCode {
    // The one TLS provider of this process. That there is one already cannot be: this is the first line.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let action = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage(&error),
    };
    let flags = match &action {
        Action::Serve(Flags(flags)) | Action::Check(Flags(flags)) | Action::Ready(Flags(flags)) => flags.clone(),
        Action::Clean(args) => args.flags(),
        // Concerns a server of which nothing is known here but its URL.
        Action::Call(_) => std::collections::BTreeMap::new(),
    };
    let settings = match Settings::read(&Source { flags, environment: environment() }) {
        Ok(settings) => settings,
        Err(invalid) => {
            invalid.0.iter().for_each(|problem| complain(problem));
            return ExitCode::from(USAGE);
        }
    };
    let workers = settings.workers;
    match action {
        Action::Serve(_) => start(settings),
        Action::Check(_) => in_runtime(workers, async move {
            match crate::check::check(&settings).await {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => told(Err(error.into())),
            }
        }),
        Action::Ready(_) => in_runtime(workers, async move { told(crate::ready::ready(&settings).await) }),
        Action::Clean(args) => in_runtime(workers, async move { told(crate::clean::clean(&args, settings).await) }),
        Action::Call(args) => in_runtime(workers, async move { told(crate::call::call(&args).await) }),
    }
}

/// The exit code of a command that tells why it failed.
fn told(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(settings: Settings) -> ExitCode {
    let level = match crate::logging::start(settings.log) {
        Ok(level) => level,
        Err(error) => {
            complain(&format!("cannot log: {error}"));
            return ExitCode::FAILURE;
        }
    };
    for warning in settings.warnings.iter().chain(&crate::open_files::raise(&settings)) {
        tracing::warn!("{warning}");
    }
    in_runtime(settings.workers, serve(settings, level))
}

fn in_runtime(workers: usize, work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(work);
    // After a second signal tasks may still run; nobody waits for them.
    runtime.shutdown_background();
    code
}

async fn serve(settings: Settings, level: LevelSwitch) -> ExitCode {
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot handle signals: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let started = tokio::select! {
        started = Hearth::start(settings, Own { log_level: Arc::new(level), ..Own::default() }) => started,
        // Nothing was accepted yet.
        _signal = signals.next() => return ExitCode::SUCCESS,
    };
    let mut hearth = match started {
        Ok(hearth) => hearth,
        Err(error) => return refuse(error),
    };
    let code = tokio::select! {
        signal = signals.next() => {
            tracing::info!("{signal}: stopping; a second signal stops at once");
            ExitCode::SUCCESS
        }
        error = hearth.failure() => {
            tracing::error!(%error, "a service of the server failed: stopping");
            ExitCode::FAILURE
        }
    };
    tokio::select! {
        lost = hearth.stop() => if lost == 0 { code } else { ExitCode::from(RECORDS_LOST) },
        signal = signals.next() => {
            tracing::warn!("{signal} again: stopping at once; the next start cleans up");
            ExitCode::from(AT_ONCE)
        }
    }
}

fn refuse(error: StartError) -> ExitCode {
    let code = error.exit_code();
    complain(&format!("{:#}", anyhow::Error::from(error)));
    ExitCode::from(code)
}

/// Help and version are no mistakes; everything else about the command line is.
fn usage(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
    match error.print() {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Variables that are not Unicode cannot be settings.
pub(crate) fn environment() -> std::collections::BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// One line to the operator, before or instead of the log.
#[expect(clippy::print_stderr, reason = "there is no log yet, or nobody reads it")]
fn complain(line: &str) {
    eprintln!("hearth: {line}");
}
