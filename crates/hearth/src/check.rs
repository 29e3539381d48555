//! `hearth check`: looks at everything that a server with these settings would need, leaves everything as it was, and says
//! what is wrong and what to do about it.

mod sockets;

use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hearth_datastore::{Inspected, inspect, open_logs};
use hearth_drivers::docker::{About, about};
use hearth_models::FunctionLimits;
use rustix::fs::{Access, access, statvfs};
use tokio::net::TcpListener;

use crate::open_files;
use crate::settings::{Data, Settings};
use crate::units::human;

/// Below this a server soon cannot store its records.
const LITTLE_DISK: u64 = 1 << 30;

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    says: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// The server comes up; something will be worse than it could be.
    Poor {
        advice: String,
    },
    /// The server would not come up, or would not be of use.
    Broken {
        advice: String,
    },
}

/// Looks at everything and prints what it finds. Whether a server would come up.
///
/// # Errors
/// What is found cannot be printed.
pub(crate) async fn check(settings: &Settings) -> io::Result<bool> {
    let mut findings = vec![memory(settings.agent.memory)];
    findings.extend(
        settings.warnings.iter().map(|warning| Finding::poor("settings", warning, "see docs/configuration.md")),
    );
    findings.extend(docker(settings.docker.host.as_deref()).await);
    findings.extend(sockets::sockets(&settings.docker, &settings.data.directory).await);
    findings.extend(data(&settings.data.directory));
    findings.push(database(&settings.data.database_url).await);
    findings.push(queue(&settings.data).await);
    findings.push(logs(&settings.data).await);
    findings.push(port("port", settings.server.listen).await);
    if let Some(admin) = settings.server.admin_listen {
        findings.push(port("admin port", admin).await);
    }
    findings.push(files(settings));
    let mut out = io::stdout().lock();
    findings.iter().try_for_each(|finding| finding.print(&mut out))?;
    let broken = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Broken { .. })).count();
    match broken {
        0 => writeln!(out, "\na server with these settings can start")?,
        n => writeln!(out, "\nto be fixed before a server can start: {n}")?,
    }
    Ok(broken == 0)
}

async fn docker(host: Option<&str>) -> Vec<Finding> {
    match about(host).await {
        Ok(about) => engine(&about),
        Err(error @ hearth_drivers::Error::Setting { .. }) => {
            let advice = "use another engine, or a newer one, and say where it is with --docker-host";
            vec![Finding::broken("docker", hearth_drivers::Chain(&error), advice)]
        }
        Err(error) => {
            let advice = "start Docker, or say where it is with --docker-host; this user needs write access to its socket \
                (root has it, and members of the group docker)";
            vec![Finding::broken("docker", hearth_drivers::Chain(&error), advice)]
        }
    }
}

fn engine(about: &About) -> Vec<Finding> {
    let About { address, version, api_version, cgroup_version, .. } = about;
    let mut found = vec![Finding::fine("docker", format!("{version} (API {api_version}) at {address}"))];
    let groups = format!("version {cgroup_version}");
    found.push(if about.groups_visible {
        Finding::fine("control groups", format!("{groups}, visible: calls of 50 ms and more have samples"))
    } else {
        let advice = "run the server on the machine of the engine and let it see /sys/fs/cgroup, or live with samples once a \
            second from the engine";
        Finding::poor("control groups", format!("{groups}, not visible from here"), advice)
    });
    for (can, what) in [
        (about.limits_memory, "the memory of containers"),
        (about.limits_swap, "the swap of containers"),
        (about.limits_pids, "the processes of containers"),
    ] {
        if !can {
            let advice = "turn on the control group for it in the kernel (cgroup_enable=memory swapaccount=1)";
            found.push(Finding::poor("limits", format!("the engine cannot limit {what}"), advice));
        }
    }
    // Only where the engine is on this machine is its directory one of ours.
    if address.starts_with("unix:") && Path::new(&about.root).exists() {
        found.extend(disk("images", Path::new(&about.root)));
    }
    found
}

fn memory(capacity: u64) -> Finding {
    let default = FunctionLimits::default().memory_bytes();
    let says = format!("{} for containers", human(capacity));
    if capacity < default {
        let advice = format!("a function has {} unless it says otherwise: free some, or set --memory", human(default));
        return Finding::broken("memory", says, &advice);
    }
    Finding::fine("memory", format!("{says}: {} of them with the default of {}", capacity / default, human(default)))
}

/// The data directory: whether it may be used, and how full its disk is.
fn data(directory: &Path) -> Vec<Finding> {
    let shown = directory.display();
    let Some(there) = existing(directory) else {
        return vec![Finding::broken("data", format!("{shown} cannot be made"), "choose another with --data-dir")];
    };
    if let Err(error) = access(&there, Access::WRITE_OK | Access::EXEC_OK) {
        let advice = format!("let this user write to {}, or choose another with --data-dir", there.display());
        return vec![Finding::broken("data", format!("{shown}: {error}"), &advice)];
    }
    let says = if there == directory { shown.to_string() } else { format!("{shown}, which the server will make") };
    let mut found = vec![Finding::fine("data", says)];
    found.extend(disk("disk", &there));
    found
}

/// The directory itself, or the one nearest above it that is there.
fn existing(directory: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(directory).ok()?;
    if directory.is_dir() {
        return Some(directory.to_owned());
    }
    absolute.ancestors().find(|above| above.exists()).filter(|above| above.is_dir()).map(Path::to_owned)
}

fn disk(what: &'static str, directory: &Path) -> Option<Finding> {
    let usage = statvfs(directory).ok()?;
    let free = usage.f_bavail.saturating_mul(usage.f_frsize);
    let says = format!("{} free in {}", human(free), directory.display());
    Some(if free < LITTLE_DISK {
        Finding::poor(what, says, "free some, or keep fewer calls (--keep-calls, --keep-calls-per-app)")
    } else {
        Finding::fine(what, says)
    })
}

async fn database(url: &str) -> Finding {
    match inspect(url).await {
        Ok(Inspected::New) => Finding::fine("database", "empty; the server will make its tables"),
        Ok(Inspected::Schema { found, known }) if found < known => Finding::fine(
            "database",
            format!("schema {found}; the server will bring it to {known}: make a backup first"),
        ),
        Ok(Inspected::Schema { found, .. }) => {
            Finding::fine("database", format!("schema {found}, as this version needs it"))
        }
        Err(error) => Finding::broken("database", error, "mend FN_DB_URL, or the database"),
    }
}

async fn queue(data: &Data) -> Finding {
    // Nothing is read or written there, so it does not matter for which database.
    match data.queue.connect("check").await {
        Ok(None) => Finding::fine("queue", "its order is in the database"),
        Ok(Some(_)) => Finding::fine("queue", "whoever keeps its order answers"),
        Err(error) => {
            Finding::broken("queue", error, "mend FN_MQ_URL, or leave it out: then the database keeps the order")
        }
    }
}

async fn logs(data: &Data) -> Finding {
    let Some(url) = &data.logs_url else {
        return Finding::fine("logs", "in the database");
    };
    let advice = "mend FN_LOGSTORE_URL, or leave it out: then the database keeps the logs";
    if url.starts_with("file:") || url.starts_with("s3:") {
        return match open_logs(url).await {
            Ok(store) => {
                store.close().await;
                Finding::fine("logs", "a log can be written and removed there")
            }
            Err(error) => Finding::broken("logs", error, advice),
        };
    }
    match inspect(url).await {
        Ok(_) => Finding::fine("logs", "in a database of their own"),
        Err(error) => Finding::broken("logs", error, advice),
    }
}

async fn port(what: &'static str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address).await {
        Ok(_) => Finding::fine(what, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let advice = "stop what listens there (perhaps the server that these settings are of), or choose another";
            Finding::broken(what, format!("{address} is in use"), advice)
        }
        Err(error) => Finding::broken(what, format!("{address}: {error}"), "choose another with --listen and --port"),
    }
}

fn files(settings: &Settings) -> Finding {
    match open_files::raise(settings) {
        None => Finding::fine("open files", "as many as the settings may need"),
        Some(shortage) => Finding::poor("open files", shortage, "with systemd: LimitNOFILE=1048576"),
    }
}

// === impl Finding ===

impl Finding {
    fn fine(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Fine, says: says.into() }
    }

    fn poor(what: &'static str, says: impl Display, advice: &str) -> Self {
        Self { what, verdict: Verdict::Poor { advice: advice.to_owned() }, says: says.to_string() }
    }

    fn broken(what: &'static str, says: impl Display, advice: &str) -> Self {
        Self { what, verdict: Verdict::Broken { advice: advice.to_owned() }, says: says.to_string() }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { what, verdict, says } = self;
        let (word, advice) = match verdict {
            Verdict::Fine => ("ok", None),
            Verdict::Poor { advice } => ("poor", Some(advice)),
            Verdict::Broken { advice } => ("BROKEN", Some(advice)),
        };
        writeln!(out, "{word:<7} {what:<15} {says}")?;
        match advice {
            Some(advice) => writeln!(out, "{:23} to do: {advice}", ""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_memory_is_a_fault_and_enough_is_counted_in_functions() {
        assert!(matches!(memory(100 << 20).verdict, Verdict::Broken { .. }));
        assert_eq!(memory(1 << 30).says, "1.0 GiB for containers: 8 of them with the default of 128.0 MiB");
    }

    #[test]
    fn a_data_directory_may_be_made_where_this_user_may_write() {
        let home = tempfile::tempdir().unwrap();
        let new = home.path().join("deep/data");
        assert_eq!(data(&new)[0].verdict, Verdict::Fine);
        assert!(!home.path().join("deep").exists(), "nothing is made");
        std::fs::write(home.path().join("file"), "").unwrap();
        let below = data(&home.path().join("file/data"));
        assert!(matches!(below[0].verdict, Verdict::Broken { .. }), "{below:?}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let found = port("port", taken.local_addr().unwrap()).await;
        assert!(matches!(found.verdict, Verdict::Broken { .. }), "{found:?}");
        let mut text = Vec::new();
        found.print(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("BROKEN  port") && text.contains("\n                        to do: stop "), "{text}");
    }

    #[test]
    fn an_engine_that_cannot_limit_is_poor_and_not_broken() {
        let about = About {
            address: "tcp://h:2375".to_owned(),
            version: "20.10.24".to_owned(),
            api_version: "1.41".to_owned(),
            cgroup_version: "2".to_owned(),
            limits_memory: true,
            limits_swap: false,
            limits_pids: true,
            root: "/var/lib/docker".to_owned(),
            groups_visible: false,
        };
        let found = engine(&about);
        assert_eq!(found[0], Finding::fine("docker", "20.10.24 (API 1.41) at tcp://h:2375"));
        let poor: Vec<_> =
            found.iter().filter(|one| matches!(one.verdict, Verdict::Poor { .. })).map(|one| one.what).collect();
        assert_eq!((found.len(), poor), (3, vec!["control groups", "limits"]));
    }
}
