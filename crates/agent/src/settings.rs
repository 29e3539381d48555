//! What can be set of the agent, with its defaults.

use std::sync::Arc;
use std::time::Duration;

use crate::{CallListener, Tracer};

/// Settings of the agent. Sizes are bytes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory that containers may reserve together.
    pub memory: u64,
    /// CPUs of the node; decides how many starts are in flight.
    pub cpus: usize,
    /// CPU limit of one container in thousandths of a core.
    pub container_cpu_millis: Option<u64>,
    /// Containers of one function at most.
    pub max_containers_per_function: usize,
    /// Calls of one function that may wait for a slot.
    pub max_waiting_per_function: usize,
    /// Calls that may wait for a slot on the node.
    pub max_waiting: usize,
    /// Stored log of a call; what comes after is discarded.
    pub max_log: usize,
    /// Body of an answer.
    pub max_response: u64,
    /// Head of an answer in the formats `http` and `http-stream`.
    pub max_response_head: usize,
    /// How much of a request body is read before a slot is asked for.
    pub preread: usize,
    /// What all requests that wait or run may hold of their bodies together.
    pub max_held_bodies: usize,
    /// A hot container goes back to the idle ones once its stderr was silent for so long after an answer.
    pub drain: Duration,
    /// Drain windows are timed by the kernel, to fractions of a millisecond. Off, tokio's clock is used, which tests
    /// can pause.
    pub precise_drain: bool,
    /// How long a function that listens on a socket may take to open it, from its container's start.
    pub socket_patience: Duration,
    /// Images of `http-stream` functions may declare volumes.
    pub allows_volumes: bool,
    /// A container that has had nothing to do for so long is frozen until its next call. Never, without it.
    pub freeze_idle: Option<Duration>,
    /// Upper bound of the drain window however late a container's stderr comes.
    pub max_drain: Duration,
    /// Traces calls, if any are to be traced.
    pub tracer: Option<Tracer>,
    /// Are asked before calls, and told after, in this order.
    pub listeners: Vec<Arc<dyn CallListener>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory: 2 * 1024 * 1024 * 1024,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            container_cpu_millis: None,
            max_containers_per_function: 512,
            max_waiting_per_function: 1_000,
            max_waiting: 10_000,
            max_log: 1024 * 1024,
            max_response: 64 * 1024 * 1024,
            max_response_head: 64 * 1024,
            preread: 256 * 1024,
            max_held_bodies: 256 * 1024 * 1024,
            drain: Duration::from_micros(250),
            precise_drain: true,
            socket_patience: Duration::from_secs(5),
            allows_volumes: false,
            freeze_idle: None,
            max_drain: Duration::from_millis(5),
            tracer: None,
            listeners: Vec::new(),
        }
    }
}
