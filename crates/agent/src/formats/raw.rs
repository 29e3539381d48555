//! `default`: everything until end of file is the body. Whether it counts is up to the exit code.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Event, Head};

/// Reads an answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    begun: bool,
}

impl Answer {
    pub(super) fn step(&mut self, input: &mut Bytes) -> Option<Event> {
        if input.is_empty() {
            return None;
        }
        Some(self.head(None).unwrap_or_else(|| Event::Data(std::mem::take(input))))
    }

    pub(super) fn close(&mut self) -> Event {
        self.head(Some(0)).unwrap_or(Event::End)
    }

    fn head(&mut self, length: Option<u64>) -> Option<Event> {
        let first = !std::mem::replace(&mut self.begun, true);
        first.then(|| Event::Head(Head { status: StatusCode::OK, headers: HeaderMap::new(), length }))
    }
}
