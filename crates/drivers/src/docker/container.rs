//! The life of one container, from the engine's answer to its guard.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions};
use futures_util::FutureExt;

use super::create::{Template, new_name};
use super::direct::Direct;
use super::engine::{Engine, Fault};
use super::images::Images;
use super::marks::Secret;
use super::observer::Operation;
use super::removal::{Belongings, Life, Remover};
use super::sockets::{Directory, Listener, Place, Sockets};
use super::tap::PipeTap;
use super::writes::Writes;
use super::{attach, exit, health, usage};
use crate::input::{Keeper, Kept};
use crate::stats::{CgroupSampler, Layout};
use crate::{Container, ContainerSpec, Contract, Error, Guard, Phases, Running, StatsSource};

const CREATE_LIMIT: Duration = Duration::from_mins(1);
const ATTACH_LIMIT: Duration = Duration::from_secs(10);
const START_LIMIT: Duration = Duration::from_mins(2);
/// The same where the engine connects to a syslog server first. It has no limit of its own for that.
const SYSLOG_START_LIMIT: Duration = Duration::from_secs(10);
const INSPECT_LIMIT: Duration = Duration::from_secs(5);

/// Makes containers.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) engine: Arc<Engine>,
    pub(super) images: Images,
    pub(super) remover: Remover,
    pub(super) sockets: Option<Arc<Sockets>>,
    pub(super) template: Arc<Template>,
    pub(super) groups: Arc<Groups>,
    pub(super) writes: Option<Writes>,
}

/// Where samples come from on this engine.
#[derive(Debug)]
pub(super) struct Groups {
    layout: Option<Layout>,
    /// A container ran and its control group was nowhere: it is another machine's, or hidden from us.
    hidden: AtomicBool,
    /// It is known whether the stdin of containers can be looked into, and where it cannot that was said.
    told: AtomicBool,
}

struct Created {
    engine: Arc<Engine>,
    groups: Arc<Groups>,
    /// Where it is to have a tap.
    writes: Option<Writes>,
    has_healthcheck: bool,
    listener: Option<Listener>,
    /// Where its log comes out, if that is not where the engine has it.
    log: Option<Direct>,
    /// The engine connects to a syslog server for it.
    syslog: bool,
    life: Life,
    input: Kept,
    guard: Guard,
}

// === impl Maker ===

impl Maker {
    /// Creates a container. Must run to its end: only then is it known whether there is something to remove.
    pub(super) async fn create(&self, mut spec: ContainerSpec) -> Result<Box<dyn Container>, Error> {
        let (mut directory, listener, log) = match self.place(&spec)? {
            Some(Place { directory, listener, log }) => (Some(directory), Some(listener), log),
            None => (None, None, None),
        };
        let created = match self.create_once(&spec, &mut directory).await {
            Err(fault) if fault.is_not_found() => {
                spec.image = self.find_again(&spec, fault).await?;
                self.create_once(&spec, &mut directory).await
            }
            other => other,
        };
        let (life, keeper) = (Life::default(), Keeper::default());
        let input = keeper.kept();
        let belongings = Belongings { input: keeper, directory };
        let syslog = spec.syslog.is_some();
        let created = created.map_err(if syslog { into_syslog_create_error } else { into_create_error })?;
        let guard = self.remover.guard(created, life.clone(), belongings);
        Ok(Box::new(Created {
            engine: Arc::clone(&self.engine),
            groups: Arc::clone(&self.groups),
            // What else is written to stdout is answers.
            writes: self.writes.clone().filter(|_| spec.has_tap()),
            has_healthcheck: spec.image.has_healthcheck,
            listener,
            log,
            syslog,
            life,
            input,
            guard,
        }))
    }

    /// What there has to be for the container's socket, if it is to have one.
    fn place(&self, spec: &ContainerSpec) -> Result<Option<Place>, Error> {
        let failed = |error: io::Error| Error::Engine {
            operation: "get a socket directory",
            message: error.to_string(),
            source: None,
        };
        match (spec.contract, &self.sockets) {
            (Contract::Pipes, _) => Ok(None),
            (Contract::Socket, Some(sockets)) => {
                // An image that says nothing of what it runs is the engine's to refuse.
                let with_log = spec.has_tap() && !spec.image.command.is_empty();
                sockets.make(with_log).map(Some).map_err(failed)
            }
            (Contract::Socket, None) => Err(failed(io::Error::other("there is no place for them"))),
        }
    }

    /// The id of a new container. A directory that may be in use goes with what may turn up.
    async fn create_once(&self, spec: &ContainerSpec, directory: &mut Option<Directory>) -> Result<String, Fault> {
        let name = new_name();
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let body = self.template.body(spec, directory.as_ref());
        // The body is large and would be part of every future around this one.
        let request = Box::pin(self.engine.api().create_container(Some(options), body));
        match self.engine.call(Operation::CreateContainer, CREATE_LIMIT, request).await {
            Ok(answer) => Ok(answer.id),
            Err(fault) => {
                if fault.is_uncertain() {
                    self.remover.remove_doubtful(name, directory.take());
                }
                Err(fault)
            }
        }
    }

    /// The image went away after it was looked up. It is asked for once more, under the name it had.
    async fn find_again(&self, spec: &ContainerSpec, fault: Fault) -> Result<crate::Image, Error> {
        self.images.forget();
        match self.images.name_of(&spec.image) {
            Some(reference) => Ok(self.images.get(&reference).await?.image),
            None => Err(into_create_error(fault)),
        }
    }
}

fn into_create_error(fault: Fault) -> Error {
    fault.into_judged(Operation::CreateContainer, |message| Error::Create { message })
}

/// Why a container with a syslog server was not created: a socket of that which is not there is found first.
fn into_syslog_create_error(fault: Fault) -> Error {
    match fault {
        Fault::Refused { status: 400, message } if message.starts_with("stat ") => Error::Log { message },
        fault => into_create_error(fault),
    }
}

/// Why it did not start: what takes so long is a host that does not answer.
fn into_syslog_start_error(fault: Fault) -> Error {
    match fault {
        Fault::Late(limit) => Error::Log { message: format!("no syslog server that answers within {limit:?}") },
        fault => fault.into_start_error(Operation::StartContainer),
    }
}

// === impl Created ===

#[async_trait]
impl Container for Created {
    async fn start_noting(self: Box<Self>, phases: &mut Phases) -> Result<Running, Error> {
        let Self { engine, groups, writes, has_healthcheck, listener, log, syslog, life, input, guard } = *self;
        let id = guard.id().to_owned();

        let writes = writes.filter(|_| log.is_none()).map(|writes| (writes, Secret::draw()));
        let secret = writes.as_ref().map(|(_, secret)| *secret);
        // Before it starts, so that nothing it writes is lost.
        phases.begin("attach");
        let attached = engine
            .call(Operation::AttachContainer, ATTACH_LIMIT, attach::attach(engine.address(), &id, secret))
            .await
            .map_err(|fault| fault.into_start_error(Operation::AttachContainer))?;
        // From here on, for this may be given up as the container starts.
        let (mut output, mut tap) = (attached.output, None);
        if let Some(log) = log {
            tap = Some(log.tap());
            output = log.output(output).map_err(|error| Error::Engine {
                operation: "watch a log",
                message: error.to_string(),
                source: None,
            })?;
        }
        let output = input.clone().output(output);
        let stdin = input.input(attached.stdin);
        life.begin();
        phases.begin("start");
        let request = engine.api().start_container(&id, None::<StartContainerOptions>);
        let limit = if syslog { SYSLOG_START_LIMIT } else { START_LIMIT };
        let started = engine.call(Operation::StartContainer, limit, request).await;
        started.map_err(|fault| match syslog {
            true => into_syslog_start_error(fault),
            false => fault.into_start_error(Operation::StartContainer),
        })?;
        phases.begin("ready");
        if has_healthcheck {
            health::until_healthy(&engine, &id).await?;
        }

        let sampler = groups.sampler(&engine, &id).await;
        if let Some((sampler, (writes, secret))) = sampler.as_ref().zip(writes) {
            tap = PipeTap::open(sampler.process(), secret, &writes).map(|tap| Box::new(tap) as _);
        }
        let stats = match sampler {
            Some(sampler) => StatsSource::Direct(Box::new(sampler)),
            None => StatsSource::Stream(usage::stream(&engine, id.clone())),
        };
        phases.end();
        Ok(Running {
            stdin,
            socket: listener.map(|listener| Box::new(listener) as _),
            output,
            tap,
            stats,
            exit: exit::exit(engine, id).inspect(move |_| life.end()).boxed(),
            guard,
        })
    }
}

// === impl Groups ===

impl Groups {
    pub(super) fn new(layout: Option<Layout>) -> Self {
        Self { layout, hidden: AtomicBool::new(false), told: AtomicBool::new(false) }
    }

    /// A sampler of the container `id`, which was just started; none where control groups cannot be seen, or when
    /// it ended already.
    async fn sampler(&self, engine: &Engine, id: &str) -> Option<CgroupSampler> {
        let Some(layout) = self.layout.as_ref().filter(|_| !self.hidden.load(Ordering::Relaxed)) else {
            self.tell(false);
            return None;
        };
        let group = match layout.find(id) {
            Some(group) => group,
            None if layout.is_known() => return None,
            None => self.search(layout, engine, id).await?,
        };
        let sampler = CgroupSampler::open(&group);
        match &sampler {
            Ok(_) if self.told.load(Ordering::Relaxed) => {}
            Ok(sampler) => {
                if let Some(sees) = sampler.sees_stdin() {
                    self.tell(sees);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.tell(false),
            // It ended already, which says nothing about the others.
            Err(_) => {}
        }
        sampler.ok()
    }

    /// Says once that nobody can look into the stdin of containers, unless that works.
    fn tell(&self, sees_stdin: bool) {
        if !self.told.swap(true, Ordering::Relaxed) && !sees_stdin {
            tracing::warn!(
                "the stdin of containers is not visible (it takes root, on the machine of the engine, in its PID \
                 namespace): what a function leaves unread of a request is not noticed"
            );
        }
    }

    /// Happens until one container was found, or one was seen running that could not be.
    async fn search(&self, layout: &Layout, engine: &Engine, id: &str) -> Option<crate::stats::Group> {
        let request = engine.api().inspect_container(id, None::<InspectContainerOptions>);
        let answer = engine.call(Operation::InspectContainer, INSPECT_LIMIT, request).await.ok()?;
        let pid = u64::try_from(answer.state?.pid?).ok().filter(|pid| *pid > 0)?;
        let group = layout.find_by_process(id, pid);
        if group.is_none() {
            self.hidden.store(true, Ordering::Relaxed);
            self.tell(false);
            tracing::info!("control groups of containers are not visible: samples come from the engine, once a second");
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_syslog_server_is_to_blame_for_is_told_from_what_it_is_not() {
        let refused = |status, message: &str| Fault::Refused { status, message: message.to_owned() };
        let create = |fault| matches!(into_syslog_create_error(fault), Error::Log { .. });
        // In the words of Docker 20.10.
        assert!(create(refused(400, "stat /nowhere: no such file or directory")));
        assert!(!create(refused(400, "No command specified")) && !create(Fault::Late(CREATE_LIMIT)));
        let start = |fault| matches!(into_syslog_start_error(fault), Error::Log { .. });
        assert!(start(Fault::Late(SYSLOG_START_LIMIT)));
        assert!(!start(refused(400, "exec: no such file")) && !start(refused(500, "no space left on device")));
    }
}
