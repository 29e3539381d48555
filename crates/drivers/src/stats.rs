//! Samples of a container from its control group and from `/proc`, without asking the engine.
//!
//! The engine's own statistics come once a second over a connection. Where the container's control group is visible
//! (the server runs on the engine's host) the same figures are a few small files away: they are opened once per
//! container and read in place. Both versions of control groups are read; what comes out is the same as from the
//! engine's stream, except that it may be had at any moment.

mod layout;
mod parse;
mod sampler;

pub(crate) use layout::{Group, Layout};
pub(crate) use sampler::CgroupSampler;
