//! What is measured.

mod at_once;
mod burst;
mod cold;
mod hot;
mod idle;
mod mixed;
mod records;
mod sleeper;
mod trimming;

use anyhow::Result;

use crate::bench::Bench;
use crate::function::{Format, Function};

/// One of the loads that the server is put under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Idle,
    HotHttp,
    HotHttpLogging,
    HotJson,
    HotJsonLogging,
    AtOnce,
    Sleeper,
    Cold,
    ColdLogging,
    Mixed,
    Burst,
    Records,
    Trimming,
}

// === impl Scenario ===

impl Scenario {
    /// All of them, in the order in which they run: memory is looked at first, before there was any load.
    pub(crate) const ALL: [Self; 13] = [
        Self::Idle,
        Self::HotHttp,
        Self::HotHttpLogging,
        Self::HotJson,
        Self::HotJsonLogging,
        Self::AtOnce,
        Self::Sleeper,
        Self::Cold,
        Self::ColdLogging,
        Self::Mixed,
        Self::Burst,
        Self::Records,
        Self::Trimming,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::HotHttp => "hot-http",
            Self::HotHttpLogging => "hot-http-logging",
            Self::HotJson => "hot-json",
            Self::HotJsonLogging => "hot-json-logging",
            Self::AtOnce => "at-once",
            Self::Sleeper => "sleeper",
            Self::Cold => "cold",
            Self::ColdLogging => "cold-logging",
            Self::Mixed => "mixed",
            Self::Burst => "burst",
            Self::Records => "records",
            Self::Trimming => "trimming",
        }
    }

    pub(crate) async fn run(self, bench: &mut Bench) -> Result<()> {
        let name = self.name();
        let hot = |function, title, judged| hot::Hot { name, title, function, judged };
        match self {
            Self::Idle => idle::run(bench, name).await,
            Self::HotHttp => hot(Function::silent(name, Format::Http), "hot http, silent", true).run(bench).await,
            Self::HotHttpLogging => {
                hot(Function::logging(name, Format::Http), "hot http, a line of log per call", true).run(bench).await
            }
            Self::HotJson => hot(Function::silent(name, Format::Json), "hot json, silent", false).run(bench).await,
            Self::HotJsonLogging => {
                hot(Function::logging(name, Format::Json), "hot json, a line of log per call", false).run(bench).await
            }
            Self::AtOnce => at_once::run(bench, name).await,
            Self::Sleeper => sleeper::run(bench, name).await,
            Self::Cold => {
                cold::run(bench, name, "cold default, silent", &Function::silent(name, Format::Default)).await
            }
            Self::ColdLogging => {
                let function = Function::logging(name, Format::Default);
                cold::run(bench, name, "cold default, a line of log per call", &function).await
            }
            Self::Mixed => mixed::run(bench, name).await,
            Self::Burst => burst::run(bench, name).await,
            Self::Records => records::run(bench, name).await,
            Self::Trimming => trimming::run(bench, name).await,
        }
    }
}
