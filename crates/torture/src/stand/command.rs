//! Programs that are run to their end.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program, whatever comes of it.
pub(super) async fn attempt(program: &str, arguments: &[&str]) -> Result<Output> {
    let run = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, run).await.with_context(|| format!("{program} {arguments:?} does not end"))?;
    output.with_context(|| format!("cannot run {program}"))
}

/// Runs a program that has to succeed, and gives what it printed.
pub(super) async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = attempt(program, arguments).await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {}", complaint.trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
