//! What is measured.

mod at_once;
mod burst;
mod cold;
mod cold_stream;
mod hot;
mod idle;
mod large;
mod mixed;
mod queue;
mod records;
mod sleeper;
mod stream;
mod trimming;
mod versus;

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
    HotStream,
    HotStreamLogging,
    Large,
    AtOnce,
    Sleeper,
    Cold,
    ColdLogging,
    ColdStream,
    Mixed,
    Burst,
    Records,
    QueueAccept,
    QueueDrain,
    QueueStart,
    QueueIdle,
    Trimming,
    Versus,
}

// === impl Scenario ===

impl Scenario {
    /// All of them, in the order in which they run: memory is looked at first, before there was any load.
    pub(crate) const ALL: [Self; 22] = [
        Self::Idle,
        Self::HotHttp,
        Self::HotHttpLogging,
        Self::HotJson,
        Self::HotJsonLogging,
        Self::HotStream,
        Self::HotStreamLogging,
        Self::Large,
        Self::AtOnce,
        Self::Sleeper,
        Self::Cold,
        Self::ColdLogging,
        Self::ColdStream,
        Self::Mixed,
        Self::Burst,
        Self::Records,
        Self::QueueAccept,
        Self::QueueDrain,
        Self::QueueStart,
        Self::QueueIdle,
        Self::Trimming,
        Self::Versus,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::HotHttp => "hot-http",
            Self::HotHttpLogging => "hot-http-logging",
            Self::HotJson => "hot-json",
            Self::HotJsonLogging => "hot-json-logging",
            Self::HotStream => "hot-stream",
            Self::HotStreamLogging => "hot-stream-logging",
            Self::Large => "large",
            Self::AtOnce => "at-once",
            Self::Sleeper => "sleeper",
            Self::Cold => "cold",
            Self::ColdLogging => "cold-logging",
            Self::ColdStream => "cold-stream",
            Self::Mixed => "mixed",
            Self::Burst => "burst",
            Self::Records => "records",
            Self::QueueAccept => "queue-accept",
            Self::QueueDrain => "queue-drain",
            Self::QueueStart => "queue-start",
            Self::QueueIdle => "queue-idle",
            Self::Trimming => "trimming",
            Self::Versus => "versus",
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
            Self::HotStream => {
                let function = Function::silent(name, Format::HttpStream);
                stream::run(bench, name, "hot http-stream, silent", &function).await
            }
            Self::HotStreamLogging => {
                let function = Function::logging(name, Format::HttpStream);
                stream::run(bench, name, "hot http-stream, a line of log per call", &function).await
            }
            Self::Large => large::run(bench, name).await,
            Self::AtOnce => at_once::run(bench, name).await,
            Self::Sleeper => sleeper::run(bench, name).await,
            Self::Cold => {
                cold::run(bench, name, "cold default, silent", &Function::silent(name, Format::Default)).await
            }
            Self::ColdLogging => {
                let function = Function::logging(name, Format::Default);
                cold::run(bench, name, "cold default, a line of log per call", &function).await
            }
            Self::ColdStream => cold_stream::run(bench, name).await,
            Self::Mixed => mixed::run(bench, name).await,
            Self::Burst => burst::run(bench, name).await,
            Self::Records => records::run(bench, name).await,
            Self::QueueAccept => queue::accept(bench, name).await,
            Self::QueueDrain => queue::drain(bench, name).await,
            Self::QueueStart => queue::start(bench, name).await,
            Self::QueueIdle => queue::idle(bench, name).await,
            Self::Trimming => trimming::run(bench, name).await,
            Self::Versus => versus::run(bench, name).await,
        }
    }
}
