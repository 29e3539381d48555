//! How long what a scripted container writes is under way, and what becomes of it there.

use std::collections::VecDeque;
use std::future::ready;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{Script, Taps};
use crate::{Error, Frame, Outlet};

type Frames = BoxStream<'static, Result<Frame, Error>>;

/// What the engine makes of what a program writes.
pub(super) fn carried(output: impl Stream<Item = Result<Frame, Error>> + Send + 'static, script: &Script) -> Frames {
    let (takes, lost) = (script.output_takes, script.taps == Taps::Unmarked);
    let output = output.filter(move |frame| ready(!(lost && matches!(frame, Ok(Frame::Mark(..))))));
    if !script.stdout_lags.is_zero() {
        return lagging(output.boxed(), script.stdout_lags);
    }
    if takes.is_zero() {
        return output.boxed();
    }
    output.then(move |frame| sleep(takes).map(|()| frame)).boxed()
}

/// What stderr writes overtakes what stdout writes.
fn lagging(output: Frames, lag: Duration) -> Frames {
    let behind: VecDeque<(Instant, Frame)> = VecDeque::new();
    let next = move |(mut output, mut behind): (Option<Frames>, VecDeque<(Instant, Frame)>)| async move {
        loop {
            let due = behind.front().map(|(due, _)| *due);
            let come = match (&mut output, due) {
                (None, None) => return None,
                (None, Some(due)) => {
                    sleep_until(due).await;
                    None
                }
                (Some(frames), None) => Some(frames.next().await),
                (Some(frames), Some(due)) => timeout_at(due, frames.next()).await.ok(),
            };
            match come {
                None => {
                    let (_, frame) = behind.pop_front()?;
                    return Some((Ok(frame), (output, behind)));
                }
                Some(None) => output = None,
                Some(Some(Ok(frame @ (Frame::Stdout(_) | Frame::Mark(Outlet::Stdout, _))))) => {
                    behind.push_back((Instant::now() + lag, frame));
                }
                Some(Some(other)) => return Some((other, (output, behind))),
            }
        }
    };
    stream::unfold((Some(output), behind), next).boxed()
}
