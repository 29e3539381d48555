//! The settings of the driver.

use std::path::PathBuf;
use std::time::Duration;

use hearth_models::{InstanceId, ServerId};

use super::credentials::CredentialSources;

/// The settings of a [`DockerDriver`](super::DockerDriver).
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// `DOCKER_HOST`: `unix:///path` or `tcp://host:port`. None is the local socket.
    pub host: Option<String>,
    /// Whose containers these are.
    pub server: ServerId,
    /// Which process of that server makes them.
    pub instance: InstanceId,
    /// Where credentials for registries may be.
    pub credentials: CredentialSources,
    /// Where samples come from.
    pub stats_from: StatsFrom,
    /// The network of containers; none is the engine's default.
    pub network: Option<String>,
    /// How many processes and threads a container may have at a time.
    pub pids_limit: u32,
    /// For containers with [`Contract::Socket`](crate::Contract::Socket); without it there can be none.
    pub sockets: Option<SocketConfig>,
    /// How long pulling one image may take.
    pub pull_limit: Duration,
}

/// What containers that listen on a socket get.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// Where their socket directories are made.
    pub directory: PathBuf,
    /// The same place as the engine sees it, where that is another: an absolute path on its machine, or the name of a
    /// volume that is mounted at `directory`.
    pub engine_directory: Option<String>,
    /// Each directory is a tmpfs of its own, mounted with these options.
    pub tmpfs: Option<String>,
    /// What the containers are like.
    pub contract: SocketContract,
}

/// What containers that listen on a socket are like; the defaults are those of the contract (v2 contract B.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketContract {
    /// Limits of their processes.
    pub limits: ProcessLimits,
    /// They run as the user that their image names, and may do what the engine lets containers do.
    pub keeps_user: bool,
    /// They may write to their file system.
    pub writable_root: bool,
    /// Their logs come through the engine. Otherwise they are launched, by a program of the server, with its own pipe for
    /// what they write, where that can be done.
    pub engine_logs: bool,
}

/// Limits of the processes in a container; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Processes and threads at a time.
    pub pids: u32,
    /// Open files of one process.
    pub open_files: u32,
    /// Memory that one process may lock, in bytes.
    pub locked_memory: u64,
    /// Signals that wait to be delivered.
    pub pending_signals: u32,
    /// Bytes in POSIX message queues.
    pub message_queues: u64,
}

/// Where samples come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsFrom {
    /// From control groups where they are visible, from the engine otherwise.
    #[default]
    Auto,
    /// From the engine, about once a second.
    Engine,
}

// === impl ProcessLimits ===

impl Default for ProcessLimits {
    /// Those of the contract (v2 contract B.4.12).
    fn default() -> Self {
        Self { pids: 50, open_files: 350, locked_memory: 64 << 10, pending_signals: 5_000, message_queues: 800 << 10 }
    }
}

// === impl DockerConfig ===

impl DockerConfig {
    /// The local engine and defaults, without any credentials.
    #[must_use]
    pub fn new(server: ServerId, instance: InstanceId) -> Self {
        Self {
            host: None,
            server,
            instance,
            credentials: CredentialSources::default(),
            stats_from: StatsFrom::default(),
            network: None,
            pids_limit: 1024,
            sockets: None,
            pull_limit: Duration::from_mins(10),
        }
    }
}
