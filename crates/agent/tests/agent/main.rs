//! The agent through its front door, with a scripted driver and a clock that tests advance.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod background;
mod cold;
mod faults;
mod freeze;
mod hot;
mod isolation;
mod launches;
mod logs;
mod stream;
mod support;
mod traces;
