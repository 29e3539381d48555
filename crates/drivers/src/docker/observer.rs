//! What the engine was asked, how it went and how long it took, for whoever keeps metrics.

use std::fmt::Debug;
use std::time::Duration;

/// Something the engine is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Operation {
    InspectImage,
    PullImage,
    CreateContainer,
    AttachContainer,
    StartContainer,
    InspectContainer,
    WaitContainer,
    PauseContainer,
    UnpauseContainer,
    KillContainer,
    RemoveContainer,
    ListContainers,
    InspectVolume,
    Ping,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The engine did it.
    Done,
    /// The engine answered that it would not, or that what was asked about does not exist.
    Refused,
    /// There was no answer, or none that could be read.
    Failed,
}

/// Is told of every request to the engine, retries included. Runs on the path of the call: it must only count.
pub trait Observer: Debug + Send + Sync + 'static {
    /// The engine was asked to do `operation`; `took` is the time until the answer.
    fn engine_call(&self, operation: Operation, outcome: Outcome, took: Duration);
}

/// For who keeps no metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

// === impl Operation ===

impl Operation {
    /// Every operation there is.
    pub const ALL: [Self; 14] = [
        Self::InspectImage,
        Self::PullImage,
        Self::CreateContainer,
        Self::AttachContainer,
        Self::StartContainer,
        Self::InspectContainer,
        Self::WaitContainer,
        Self::PauseContainer,
        Self::UnpauseContainer,
        Self::KillContainer,
        Self::RemoveContainer,
        Self::ListContainers,
        Self::InspectVolume,
        Self::Ping,
    ];

    /// The name that the contract gives the span of this operation (v1 contract B.9.2), or one like it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InspectImage => "docker_inspect_image",
            Self::PullImage => "docker_pull_image",
            Self::CreateContainer => "docker_create_container",
            Self::AttachContainer => "docker_attach_container",
            Self::StartContainer => "docker_start_container",
            Self::InspectContainer => "docker_inspect_container",
            Self::WaitContainer => "docker_wait_container",
            Self::PauseContainer => "docker_pause_container",
            Self::UnpauseContainer => "docker_unpause_container",
            Self::KillContainer => "docker_kill_container",
            Self::RemoveContainer => "docker_remove_container",
            Self::ListContainers => "docker_list_containers",
            Self::InspectVolume => "docker_inspect_volume",
            Self::Ping => "docker_ping",
        }
    }

    /// The same in words, for messages: what the engine failed to do.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::InspectImage => "inspect the image",
            Self::PullImage => "pull the image",
            Self::CreateContainer => "create the container",
            Self::AttachContainer => "attach to the container",
            Self::StartContainer => "start the container",
            Self::InspectContainer => "inspect the container",
            Self::WaitContainer => "wait for the container",
            Self::PauseContainer => "pause the container",
            Self::UnpauseContainer => "unpause the container",
            Self::KillContainer => "kill the container",
            Self::RemoveContainer => "remove the container",
            Self::ListContainers => "list containers",
            Self::InspectVolume => "inspect the volume",
            Self::Ping => "answer a ping",
        }
    }
}

// === impl Unobserved ===

impl Observer for Unobserved {
    fn engine_call(&self, _operation: Operation, _outcome: Outcome, _took: Duration) {}
}
