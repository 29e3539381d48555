//! The agent through its front door, with a scripted driver and a clock that tests advance.

mod cold;
mod faults;
mod hot;
mod isolation;
mod support;
