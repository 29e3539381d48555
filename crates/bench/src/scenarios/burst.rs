//! Many functions called for the first time at the same moment.

use std::sync::Arc;

use anyhow::Result;
use hearth_drivers::Running;
use tokio::sync::Semaphore;

use crate::bare::{Bare, Stream};
use crate::bench::Bench;
use crate::function::{Format, Function, Recording};
use crate::load::{Exchange, Load};
use crate::report::Row;

const FUNCTIONS: usize = 32;

pub(crate) async fn run(bench: &mut Bench, name: &'static str) -> Result<()> {
    let mut section = bench.section(name, "first calls of 32 functions at once").await?;
    let functions: Vec<Function> =
        (0..FUNCTIONS).map(|n| Function::silent(format!("{name}-{n:02}"), Format::Http)).collect();
    let recording = bench.deploy_and_record(&functions[0]).await?;
    for function in &functions[1..] {
        bench.deploy(function).await?;
    }

    let permits = Arc::new(Semaphore::new(2 * bench.cpus));
    let starts = (0..FUNCTIONS).map(|_| FirstCall {
        bare: bench.bare.clone(),
        recording: recording.clone(),
        permits: Arc::clone(&permits),
        stream: None,
    });
    let (starts, window) = Load::begin_once(starts.collect()).end().await;
    let bare = Row::of(format!("bare, {} at a time", 2 * bench.cpus), window.into_figures());
    drop(starts);
    bench.settle().await?;

    let mut callers = Vec::new();
    for function in &functions {
        callers.extend(function.callers(bench.address, 1).await?);
    }
    // Each makes one call: they are told that it is over before it has begun.
    let figures = bench.measure_while(callers, async { Ok(()) }).await?;
    let hearth = Row::of(format!("hearth, {FUNCTIONS} clients"), figures);
    for function in &functions {
        bench.withdraw(function).await?;
    }
    section.notes.push(format!("the last answer came after {:.2}x the time", hearth.max_us() / bare.max_us()));
    section.rows.extend([bare, hearth]);
    bench.finish(section).await
}

/// Starts a container and asks it once, when it is its turn.
struct FirstCall {
    bare: Bare,
    recording: Recording,
    permits: Arc<Semaphore>,
    stream: Option<Stream>,
}

impl Exchange for FirstCall {
    async fn exchange(&mut self) -> Result<()> {
        let _permit = self.permits.acquire().await?;
        let running: Running = self.bare.start(&self.recording).await?;
        let stream = self.stream.insert(Stream::new(running, &self.recording));
        stream.exchange().await
    }
}
