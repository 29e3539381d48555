//! `json`: one object per request on stdin, one per answer on stdout.

mod answer;
mod object;
mod request;
mod scan;
#[cfg(test)]
mod tests;

pub(super) use answer::Answer;
pub(crate) use request::request;
