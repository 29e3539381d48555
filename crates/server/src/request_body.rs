//! The body of a request under the server's limits, and what becomes of a body that nobody reads to its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hearth_agent::BodyError;
use hearth_models::Error;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::task::TaskTracker;

/// A client that is still sending when its answer is out is read from for so long, and for so many bytes. Closing on
/// it at once would reset the connection and could destroy the answer on its way.
const LINGER: (Duration, u64) = (Duration::from_secs(2), 16 * 1024 * 1024);

/// The body of a request: never longer than its limit, never silent for longer than its timeout.
#[derive(Debug)]
pub(crate) struct ClientBody {
    body: Option<Body>,
    max: u64,
    left: u64,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    linger: Option<TaskTracker>,
}

impl ClientBody {
    /// `body` under the limits `max` and `idle`. What remains of it unread when it is dropped is read by `tasks`.
    ///
    /// # Errors
    /// [`Error::ContentLengthTooLarge`]: its head says already that it is too long.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        (max, idle): (u64, Duration),
        tasks: &TaskTracker,
    ) -> Result<Self, Error> {
        // A client that waits to be told to go on has sent nothing; reading from it would tell it to.
        let linger = (!headers.contains_key(EXPECT)).then(|| tasks.clone());
        let body = Self { body: Some(body), max, left: max, idle, timer: None, linger };
        match declared_length(headers) {
            Some(actual) if actual > max => Err(Error::ContentLengthTooLarge { actual, max }),
            _ => Ok(body),
        }
    }

    /// Reads all of it.
    pub(crate) async fn read(self) -> Result<Bytes, Error> {
        Ok(self.collect().await?.to_bytes())
    }

    fn finish(&mut self, with: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if with == BodyError::BrokeOff {
            self.body = None;
        }
        Poll::Ready(Some(Err(with)))
    }
}

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(body) = this.body.as_mut() else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
            let idle = this.idle;
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
            ready!(timer.as_mut().poll(cx));
            return this.finish(BodyError::TooSlow);
        };
        this.timer = None;
        match frame {
            None => {
                this.body = None;
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "request body broke off");
                this.finish(BodyError::BrokeOff)
            }
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = this.left.checked_sub(length) else {
                    return this.finish(BodyError::TooLarge { max: this.max });
                };
                this.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !body.is_end_stream());
        // Without a runtime the connection is gone too.
        if let (Some(body), Some(tasks), Ok(_runtime)) = (unread, self.linger.take(), Handle::try_current()) {
            tasks.spawn(discard(body));
        }
    }
}

async fn discard(mut body: Body) {
    let (time, mut left) = LINGER;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            if left == 0 {
                break;
            }
        }
    };
    // Whether it ended or time did, the connection is the client's no longer.
    drop(timeout(time, reading).await);
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::HeaderValue;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn chunks(chunks: Vec<Result<Bytes, std::io::Error>>) -> Body {
        Body::from_stream(stream::iter(chunks))
    }

    fn body(body: Body, max: u64) -> ClientBody {
        ClientBody::new(&HeaderMap::new(), body, (max, MINUTE), &TaskTracker::new()).unwrap()
    }

    #[tokio::test]
    async fn a_body_within_its_limit_is_read_whole() {
        let read = body(chunks(vec![Ok("ab".into()), Ok("cd".into())]), 4).read().await;
        assert_eq!(read, Ok(Bytes::from_static(b"abcd")));
    }

    #[tokio::test]
    async fn a_body_that_grows_over_its_limit_is_refused() {
        let read = body(chunks(vec![Ok("ab".into()), Ok("cde".into())]), 4).read().await;
        assert_eq!(read, Err(Error::BodyTooLarge { max: 4 }));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_payload() {
        let broken = vec![Ok("ab".into()), Err(std::io::Error::other("reset"))];
        assert_eq!(body(chunks(broken), 4).read().await, Err(Error::InvalidPayload));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(body(stalled, 4).read().await, Err(Error::BodyTimeout));
    }

    #[test]
    fn a_declared_length_over_the_limit_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        let refused = ClientBody::new(&headers, Body::empty(), (4, MINUTE), &TaskTracker::new());
        assert_eq!(refused.err(), Some(Error::ContentLengthTooLarge { actual: 5, max: 4 }));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_discarded_for_a_while() {
        let tasks = TaskTracker::new();
        let endless = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        drop(ClientBody::new(&HeaderMap::new(), endless, (4, MINUTE), &tasks));
        assert_eq!(tasks.len(), 1);
        tasks.close();
        tasks.wait().await;
    }
}
