use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const PIECE: usize = 32 * 1024;

/// A body without end, and how many bytes of it were asked for.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(PIECE, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE])))))
    }
}

#[tokio::test(start_paused = true)]
async fn little_of_an_answer_is_kept_for_a_client_that_does_not_read() {
    let (near, mut client) = duplex(1024);
    let asked = Arc::new(AtomicUsize::new(0));
    let service = service_fn(|_request| {
        let body = Endless(Arc::clone(&asked));
        async move { Ok::<_, Infallible>(hyper::Response::new(body)) }
    });
    let settings = Settings::default();
    let connection =
        http(&settings).serve_connection(TokioIo::new(Patient::new(near, settings.write_timeout)), service);
    let client = async {
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(asked.load(Ordering::Relaxed) <= UNSENT_BYTES + PIECE, "{asked:?}");
        // There is more as soon as it is taken.
        client.read_exact(&mut vec![0; 1_000_000]).await.unwrap();
    };
    tokio::select! {
        ended = connection => panic!("{ended:?}"),
        () = client => {}
    }
}
