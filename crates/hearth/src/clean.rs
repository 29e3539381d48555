//! `hearth clean`: shows the containers that servers left on an engine, and removes those it is told to.
//!
//! A server removes its own leftovers at its next start. This is for those whose data directory is gone, so that
//! nobody will ever claim them. Whether another server still runs cannot be seen from here; so nothing is removed
//! that was not named.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use clap::Args;
use hearth_drivers::docker::{DockerConfig, DockerDriver, Leftover, Unobserved};
use hearth_models::{InstanceId, ServerId};

use crate::settings::Settings;

/// What to remove.
#[derive(Args, Debug)]
pub(crate) struct CleanArgs {
    /// Removes the containers of this server, running or not; can be given more than once
    #[arg(long, value_name = "SERVER")]
    remove: Vec<String>,
    /// Removes the containers of every server, those of servers that run included
    #[arg(long)]
    remove_all: bool,
    /// The Docker engine: unix:///path or tcp://host:port [env: FN_DOCKER_HOST, DOCKER_HOST]
    #[arg(long, value_name = "URL")]
    docker_host: Option<String>,
}

impl CleanArgs {
    /// The settings among the arguments, by flag.
    pub(crate) fn flags(&self) -> BTreeMap<&'static str, String> {
        self.docker_host.iter().map(|host| ("docker-host", host.clone())).collect()
    }
}

/// Lists, and removes what `args` name.
pub(crate) async fn clean(args: &CleanArgs, settings: Settings) -> anyhow::Result<()> {
    // Not a server's: nothing carries these ids.
    let config =
        DockerConfig { host: settings.docker.host, ..DockerConfig::new(ServerId::generate(), InstanceId::generate()) };
    let driver = DockerDriver::connect(config, Arc::new(Unobserved)).await?;
    let mut found = driver.list().await?;
    found.sort_by(|a, b| (&a.server, &a.name).cmp(&(&b.server, &b.name)));
    let known: BTreeSet<&str> = found.iter().map(|one| one.server.as_str()).collect();
    if let Some(unknown) = args.remove.iter().find(|server| !known.contains(server.as_str())) {
        anyhow::bail!("no container of server {unknown} is here");
    }
    let mut out = std::io::stdout().lock();
    if found.is_empty() {
        writeln!(out, "no containers of any Hearth server")?;
        return Ok(());
    }
    writeln!(out, "{:26}  {:34}  {:24}  STATUS", "SERVER", "CONTAINER", "IMAGE")?;
    let mut removed = 0;
    for one in &found {
        let Leftover { server, name, image, status, .. } = one;
        let goes = args.remove_all || args.remove.contains(server);
        if goes {
            driver.remove(&one.id).await?;
            removed += 1;
        }
        writeln!(out, "{server:26}  {name:34}  {image:24}  {}", if goes { "removed" } else { status })?;
    }
    match removed {
        0 => writeln!(out, "\nto remove those of a server that is gone for good: hearth clean --remove SERVER")?,
        n => writeln!(out, "\n{n} of {} removed", found.len())?,
    }
    Ok(())
}
