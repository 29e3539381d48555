//! Listening to what happens to the engine's images.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder};
use futures_util::StreamExt;
use hearth_models::Timestamp;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::engine::Engine;
use super::images::Images;

/// The engine replays what happened in this time before we asked, so that nothing falls between asking and being
/// heard, even if its clock is off. It costs an inspect or two.
const OVERLAP: Duration = Duration::from_secs(5);

/// A silent engine is asked this often whether it is still there: a connection over a network can die unnoticed.
const PROBE: Duration = Duration::from_secs(15);

/// Keeps `images` true until `stop`.
pub(super) async fn listen(engine: Arc<Engine>, images: Images, stop: CancellationToken) {
    stop.run_until_cancelled(async {
        let mut backoff = pauses();
        loop {
            if listen_once(&engine, &images).await {
                backoff = pauses();
            }
            images.unwatch();
            sleep(backoff.pause()).await;
        }
    })
    .await;
}

const fn pauses() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(1))
}

/// Listens until the connection ends; says whether there was one.
async fn listen_once(engine: &Engine, images: &Images) -> bool {
    let mut events = pin!(engine.api().events(Some(options())));
    let mut probe = interval(PROBE);
    probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watching = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) if changes_images(&event) => images.forget(),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return watching,
            },
            // The first tick comes at once.
            _ = probe.tick() => match engine.ping().await {
                Ok(()) if !watching => {
                    watching = true;
                    images.watch();
                }
                Ok(()) => {}
                Err(_) => return watching,
            },
        }
    }
}

fn options() -> EventsOptions {
    let since = Timestamp::now().as_millis() - i64::try_from(OVERLAP.as_millis()).unwrap_or(0);
    let seconds = format!("{}.{:03}", since.div_euclid(1000), since.rem_euclid(1000));
    let filters = HashMap::from([("type", vec!["image"])]);
    EventsOptionsBuilder::new().since(&seconds).filters(&filters).build()
}

/// Some events only read images; all others may change what a reference names.
fn changes_images(event: &EventMessage) -> bool {
    !matches!(event.action.as_deref(), Some("push" | "save"))
}
