//! Everything that asynchronous calls depend on, and the means to take it away.

mod command;
mod databases;
mod engine;
mod server;

use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use hearth_models::Timestamp;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::options::Options;
use crate::plan::{Kill, Store, Victim};
use crate::witness::Witness;
use databases::{Postgres, Redis};
use engine::Engine;
pub(crate) use engine::GATEWAY;
pub(crate) use server::Server;
use server::{Recipe, free_address};

/// Time for everything to be well again after a kill.
const RECOVERY: Duration = Duration::from_secs(180);

/// For so long after a server or an engine died, functions may begin that it was to start: with their input at its end.
const LATE: Duration = Duration::from_secs(10);

/// When a server or an engine died, and when it was back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// See above.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) servers: Vec<Server>,
    pub(crate) witness: Witness,
    /// One at a time brings them down and up again.
    engine: Mutex<Engine>,
    redis: Mutex<Option<Redis>>,
    postgres: Mutex<Option<Postgres>>,
    database_url: String,
    deaths: Mutex<Vec<Death>>,
    home: PathBuf,
    // Last: sockets and data of the above are in it.
    _scratch: TempDir,
}

// === impl Stand ===

impl Stand {
    pub(crate) async fn start(store: Store, options: &Options) -> Result<Arc<Self>> {
        let home = options.output.join(store.to_string());
        drop(std::fs::remove_dir_all(&home));
        std::fs::create_dir_all(&home)?;
        let home = home.canonicalize()?;
        // A socket's path must not be long, wherever the output goes.
        let scratch = tempfile::Builder::new().prefix("hearth-torture-").tempdir()?;
        let witness = Witness::start(&home).await?;
        let engine = Engine::start(scratch.path(), &home, witness.network()?, &options.image).await?;
        let postgres = if store.has_postgres() { Some(Postgres::start().await?) } else { None };
        let redis = if store == Store::Redis { Some(Redis::start(home.clone()).await?) } else { None };
        let database_url = match &postgres {
            Some(postgres) => postgres.url(),
            None => format!("sqlite3://{}", home.join("hearth.db").display()),
        };
        let mut settings = settings(&home, &engine, &database_url);
        settings.extend(redis.iter().map(|redis| ("FN_MQ_URL".to_owned(), redis.url())));
        let binary = server_binary(options)?;
        let mut servers = Vec::new();
        for number in 0..store.servers() {
            let directory = home.join(format!("server-{number}"));
            let (binary, settings) = (binary.clone(), settings.clone());
            servers.push(Server::start(Recipe { binary, directory, settings, address: free_address()? })?);
        }
        let this = Self {
            servers,
            witness,
            engine: Mutex::new(engine),
            redis: Mutex::new(redis),
            postgres: Mutex::new(postgres),
            database_url,
            deaths: Mutex::default(),
            home,
            _scratch: scratch,
        };
        this.recovered().await?;
        Ok(Arc::new(this))
    }

    /// A way to each of the servers.
    pub(crate) fn apis(&self) -> Result<Vec<Api>> {
        self.servers.iter().map(|server| Api::new(server.address)).collect()
    }

    /// Kills, and brings back.
    pub(crate) async fn kill(&self, kill: Kill, random: u64) -> Result<()> {
        match kill.victim {
            Victim::Server(number) => {
                let from = Timestamp::now();
                let back = self.servers[number].kill(kill.away);
                self.died(from).await;
                back
            }
            Victim::Engine => self.restart_engine(Signal::KILL, kill.away).await,
            Victim::EngineInOrder => self.restart_engine(Signal::TERM, kill.away).await,
            Victim::Container => self.harm_a_container(&["kill"], random).await,
            Victim::ContainerRemoved => self.harm_a_container(&["rm", "--force"], random).await,
            Victim::Postgres => {
                let postgres = self.postgres.lock().await;
                let postgres = postgres.as_ref().context("there is no Postgres")?;
                postgres.kill().await?;
                sleep(kill.away).await;
                postgres.start_again().await
            }
            Victim::Redis => {
                let mut redis = self.redis.lock().await;
                let redis = redis.as_mut().context("there is no Redis")?;
                redis.kill().await?;
                sleep(kill.away).await;
                redis.start_again().await
            }
        }
    }

    /// Writes a line to the diary of this run.
    pub(crate) fn note(&self, what: impl Display) -> Result<()> {
        let mut diary = File::options().create(true).append(true).open(self.home.join("diary"))?;
        Ok(writeln!(diary, "{} {what}", Timestamp::now())?)
    }

    pub(crate) async fn restart_engine(&self, signal: Signal, away: Duration) -> Result<()> {
        let mut engine = self.engine.lock().await;
        let from = Timestamp::now();
        engine.end(signal).await?;
        sleep(away).await;
        engine.run().await?;
        self.died(from).await;
        Ok(())
    }

    /// What is back again had died at `from`.
    async fn died(&self, from: Timestamp) {
        self.deaths.lock().await.push(Death { from, until: Timestamp::now() });
    }

    /// Every death of a server or an engine.
    pub(crate) async fn deaths(&self) -> Vec<Death> {
        self.deaths.lock().await.clone()
    }

    /// One that runs by now; there may be none.
    async fn harm_a_container(&self, command: &[&str], random: u64) -> Result<()> {
        let engine = self.engine.lock().await;
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            let running = engine.running().await?;
            let chosen = usize::try_from(random % running.len().max(1) as u64)?;
            if let Some(container) = running.get(chosen)
                && engine.harm(command, container).await?
            {
                break;
            }
        }
        Ok(())
    }

    /// Waits until all servers are ready.
    pub(crate) async fn recovered(&self) -> Result<()> {
        let deadline = Instant::now() + RECOVERY;
        for api in self.apis()? {
            while !api.is_ready().await {
                ensure!(Instant::now() < deadline, "a server is not ready; see {}", self.home.display());
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Stops the servers in good order. Says what is left of them: containers, and what is in the store's queue.
    pub(crate) async fn stop(&mut self) -> Result<Leftovers> {
        for server in &mut self.servers {
            server.stop().await?;
        }
        let containers = self.engine.lock().await.containers().await?;
        let store = hearth_datastore::open(&self.database_url).await?;
        let depth = Arc::clone(&store).queue().depth().await?;
        store.close().await;
        Ok(Leftovers { containers, leases: depth.leased, waiting: depth.ready + depth.delayed, dead: depth.dead })
    }
}

// === impl Death ===

impl Death {
    /// Whether a function that spoke at this moment may have had its input ended by it.
    pub(crate) fn explains(&self, at: Timestamp) -> bool {
        self.from <= at && at <= self.until.after(LATE)
    }
}

/// What is left once all servers have stopped.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    pub(crate) containers: Vec<String>,
    pub(crate) leases: u64,
    pub(crate) waiting: u64,
    pub(crate) dead: u64,
}

fn settings(home: &Path, engine: &Engine, database_url: &str) -> Vec<(String, String)> {
    [
        ("FN_DB_URL", database_url.to_owned()),
        ("FN_MEMORY", "4GiB".to_owned()),
        ("FN_LOG_LEVEL", "info".to_owned()),
        ("DOCKER_HOST", engine.host()),
        ("HOME", home.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// `hearth` is built beside this program.
fn server_binary(options: &Options) -> Result<PathBuf> {
    let binary = match &options.server {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("hearth"),
    };
    match binary.canonicalize() {
        Ok(binary) => Ok(binary),
        Err(_) => bail!("there is no {}; build it, or say where it is with --server", binary.display()),
    }
}
