//! The settings of the driver.

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
    /// How long pulling one image may take.
    pub pull_limit: Duration,
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
            pull_limit: Duration::from_mins(5),
        }
    }
}
