//! Containers that nobody looks after any more.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::stream::{self, StreamExt};

use super::DockerDriver;
use super::create::{INSTANCE_LABEL, SERVER_LABEL};
use super::observer::Operation;
use super::removal::{Belongings, Life};
use crate::Error;

const LIST_LIMIT: Duration = Duration::from_secs(30);

/// Removals at a time.
const CONCURRENT: usize = 4;

/// A container that some Hearth made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The engine's id of it.
    pub id: String,
    /// Its name, without the engine's slash.
    pub name: String,
    /// The server it says it belongs to.
    pub server: String,
    /// The process of that server that made it.
    pub instance: String,
    /// The image it runs, as the engine names it.
    pub image: String,
    /// In the engine's words, such as `Up 5 minutes`.
    pub status: String,
}

// === impl DockerDriver ===

impl DockerDriver {
    /// All containers of any Hearth on this engine, those in use included.
    pub async fn list(&self) -> Result<Vec<Leftover>, Error> {
        self.list_labelled(SERVER_LABEL.to_owned()).await
    }

    /// Removes the container `id`, whatever it does. That it is gone is fine.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let removed = self.remover.remove(id).await;
        removed.map_err(|fault| fault.into_error(Operation::RemoveContainer))
    }

    /// Removes what earlier processes of this server left. One that the engine will not let go now is tried again in
    /// the background, as any other.
    pub(super) async fn remove_own_leftovers(&self) -> Result<usize, Error> {
        let template = &self.maker.template;
        let own = self.list_labelled(format!("{SERVER_LABEL}={}", template.server)).await?;
        let instance = template.instance.to_string();
        let orphans: Vec<_> = own.into_iter().filter(|found| found.instance != instance).collect();
        let count = orphans.len();
        stream::iter(orphans)
            .for_each_concurrent(CONCURRENT, async |orphan| {
                if self.remove(&orphan.id).await.is_err() {
                    drop(self.remover.guard(orphan.id, Life::default(), Belongings::default()));
                }
            })
            .await;
        if let Some(sockets) = self.sockets.clone() {
            // It cannot panic, and what is left is logged.
            tokio::task::spawn_blocking(move || sockets.remove_leftovers()).await.ok();
        }
        Ok(count)
    }

    async fn list_labelled(&self, label: String) -> Result<Vec<Leftover>, Error> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let request = self.engine.api().list_containers(Some(options));
        let found = self.engine.call(Operation::ListContainers, LIST_LIMIT, request).await;
        let found = found.map_err(|fault| fault.into_error(Operation::ListContainers))?;
        Ok(found.into_iter().filter_map(Leftover::read).collect())
    }
}

// === impl Leftover ===

impl Leftover {
    fn read(found: ContainerSummary) -> Option<Self> {
        let mut labels = found.labels.unwrap_or_default();
        let name = found.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        Some(Self {
            id: found.id?,
            name: name.trim_start_matches('/').to_owned(),
            server: labels.remove(SERVER_LABEL).unwrap_or_default(),
            instance: labels.remove(INSTANCE_LABEL).unwrap_or_default(),
            image: found.image.unwrap_or_default(),
            status: found.status.unwrap_or_default(),
        })
    }
}
