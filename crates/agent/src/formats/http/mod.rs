//! `http`: HTTP/1.1 over stdin and stdout.

mod answer;
mod chunked;
mod head;
mod request;
#[cfg(test)]
mod tests;

pub(super) use answer::Answer;
pub(in crate::formats) use request::write_line;
pub(crate) use request::{BodyFraming, CHUNK_FRAME, LAST_CHUNK, chunk, request_head};
