//! Where traces go: to collectors that speak OTLP or Zipkin, in batches, from one bounded queue.
//!
//! A collector that is slow or away costs traces and nothing else: what does not fit into the queue is dropped and counted,
//! a batch is tried a few times and then given up.

#[cfg(feature = "otel")]
mod otlp;
mod zipkin;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hearth_agent::{Trace, TraceSink};
use prometheus::{IntCounterVec, Opts, Registry};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, StatusCode, Url};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// Traces that may wait to be sent.
const QUEUE: usize = 4_096;
/// Spans in one request.
const BATCH: usize = 1_000;
/// A batch that is not full waits so long for more.
const LINGER: Duration = Duration::from_secs(1);
/// One try to send a batch.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Tries of one batch, with twice the pause before each.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Time for the last batches when the server stops.
const LAST: Duration = Duration::from_secs(5);
/// That a collector does not take traces is said so often.
const COMPLAIN: Duration = Duration::from_secs(60);

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) url: Url,
    /// What it wants to be told with each request; secrets perhaps.
    pub(crate) headers: HeaderMap,
}

/// What a collector speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Version 2, JSON.
    Zipkin,
    /// Over HTTP, in protobuf.
    #[cfg(feature = "otel")]
    Otlp,
}

/// Takes traces for [`Export`].
#[derive(Clone, Debug)]
pub(crate) struct Exporter {
    queue: mpsc::Sender<Trace>,
    spans: IntCounterVec,
}

/// Sends them.
pub(crate) struct Export {
    queue: mpsc::Receiver<Trace>,
    client: Client,
    targets: Vec<Target>,
    spans: IntCounterVec,
    complained: Option<Instant>,
}

/// What is counted, whether traces are sent or not.
pub(crate) fn counter(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let options = Opts::new("hearth_trace_spans_total", "Spans by what became of them");
    let spans = IntCounterVec::new(options, &["outcome"])?;
    for outcome in ["sent", "failed", "dropped"] {
        spans.with_label_values(&[outcome]);
    }
    registry.register(Box::new(spans.clone()))?;
    Ok(spans)
}

impl Exporter {
    /// A sink, and the service that has to run for anything to be sent to `targets`.
    pub(crate) fn new(targets: Vec<Target>, spans: IntCounterVec) -> reqwest::Result<(Arc<Self>, Export)> {
        let (sender, queue) = mpsc::channel(QUEUE);
        // Neither proxies nor redirects: a collector is where the setting says.
        let client =
            Client::builder().timeout(ATTEMPT).no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let export = Export { queue, client, targets, spans: spans.clone(), complained: None };
        Ok((Arc::new(Self { queue: sender, spans }), export))
    }
}

impl TraceSink for Exporter {
    fn take(&self, trace: Trace) {
        if let Err(error) = self.queue.try_send(trace) {
            let (mpsc::error::TrySendError::Full(trace) | mpsc::error::TrySendError::Closed(trace)) = error;
            self.spans.with_label_values(&["dropped"]).inc_by(trace.spans.len() as u64);
        }
    }
}

impl Export {
    /// Sends until `stop`, then what is left, for a short time.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(first)) = stop.run_until_cancelled(self.queue.recv()).await {
            let batch = self.gather(first, &stop).await;
            // A stop does not wait for a collector that is away, but for this batch's turn among the last ones.
            self.send(&batch).await;
        }
        self.queue.close();
        let last = async {
            while let Some(first) = self.queue.recv().await {
                let batch = self.gather(first, &stop).await;
                self.send(&batch).await;
            }
        };
        if timeout(LAST, last).await.is_err() {
            tracing::warn!("the last traces could not be sent");
        }
    }

    /// What comes within a moment, as far as it fits into one request.
    async fn gather(&mut self, first: Trace, stop: &CancellationToken) -> Vec<Trace> {
        let (mut spans, mut batch) = (first.spans.len(), vec![first]);
        let end = Instant::now() + LINGER;
        while spans < BATCH {
            let next = tokio::select! {
                biased;
                next = timeout_at(end, self.queue.recv()) => next,
                () = stop.cancelled() => Ok(self.queue.try_recv().ok()),
            };
            let Ok(Some(trace)) = next else { break };
            spans += trace.spans.len();
            batch.push(trace);
        }
        batch
    }

    async fn send(&mut self, batch: &[Trace]) {
        let spans: usize = batch.iter().map(|trace| trace.spans.len()).sum();
        for target in &self.targets {
            let sent = post(&self.client, target, batch).await;
            let outcome = if sent.is_ok() { "sent" } else { "failed" };
            self.spans.with_label_values(&[outcome]).inc_by(spans as u64);
            let Err(error) = sent else { continue };
            if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN) {
                self.complained = Some(Instant::now());
                tracing::warn!(collector = %target, spans, "traces could not be sent: {error:#}");
            }
        }
    }
}

/// Sends a batch, again when that may help.
async fn post(client: &Client, target: &Target, batch: &[Trace]) -> anyhow::Result<()> {
    let body = target.protocol.encode(batch)?;
    let mut pause = FIRST_PAUSE;
    for left in (0..TRIES).rev() {
        let request = client.post(target.url.clone()).headers(target.headers.clone());
        let answer = request.header(CONTENT_TYPE, target.protocol.content_type()).body(body.clone()).send().await;
        match answer.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => return Ok(()),
            Ok(status) if left == 0 || !may_pass(status) => anyhow::bail!("it answered {status}"),
            // A URL may hold a password.
            Err(error) if left == 0 => return Err(error.without_url().into()),
            Ok(_) | Err(_) => {}
        }
        sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}

fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

impl Protocol {
    fn encode(self, batch: &[Trace]) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Zipkin => Ok(zipkin::encode(batch)?),
            #[cfg(feature = "otel")]
            Self::Otlp => Ok(otlp::encode(batch)),
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Zipkin => "application/json",
            #[cfg(feature = "otel")]
            Self::Otlp => "application/x-protobuf",
        }
    }
}

/// Without what may be secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.url.host_str().unwrap_or_default())?;
        match self.url.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
