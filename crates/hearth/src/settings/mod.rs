//! Settings: from texts on the command line and in the environment to one typed value per component. Everything
//! that is wrong is reported at once, before anything is started.

mod docker;
mod source;
mod stores;
mod table;
#[cfg(test)]
mod tests;
mod traces;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hearth_datastore::{Recording, Retention};
use hearth_models::ServerId;

use crate::logging::{Level, LogFormat};
use crate::units::{ByteSize, Span};
use source::Reader;

pub(crate) use docker::Docker;
pub(crate) use source::{Invalid, Source};
pub(crate) use table::{ALL, Setting};
pub(crate) use traces::Traces;

/// Settings of a server, all of them good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) log: Log,
    pub(crate) data: Data,
    pub(crate) docker: Docker,
    pub(crate) recorder: Recorder,
    pub(crate) agent: hearth_agent::Settings,
    pub(crate) server: hearth_server::Settings,
    pub(crate) traces: Traces,
    /// Time for accepted calls to end when the server stops.
    pub(crate) drain: Duration,
    /// Threads of the runtime.
    pub(crate) workers: usize,
    /// What to tell the operator, who may have meant something else.
    pub(crate) warnings: Vec<String>,
}

/// What the server logs, and how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Log {
    pub(crate) level: Level,
    pub(crate) format: LogFormat,
}

/// Where the server keeps what it has to remember.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) directory: PathBuf,
    pub(crate) server_id: Option<ServerId>,
    pub(crate) database_url: String,
    /// Where logs are kept, if not in the database.
    pub(crate) logs_url: Option<String>,
    pub(crate) retention: Retention,
    pub(crate) queue: stores::QueueAt,
    pub(crate) max_queued_per_app: Option<u64>,
}

/// What is recorded, and how much of it may wait to be stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) recording: Recording,
    pub(crate) max_records: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
}

/// Where to listen, with or without a port.
#[derive(Clone, Copy, Debug)]
struct Listen {
    ip: IpAddr,
    port: Option<u16>,
}

// === impl Settings ===

impl Settings {
    /// Reads all settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(crate) fn read(source: &Source) -> Result<Self, Invalid> {
        let (source, unreadable) = &source.with_files();
        let mut reader = Reader::new(source);
        unreadable.iter().for_each(|problem| reader.problem(problem.clone()));
        let data = data(&mut reader);
        refuse_what_is_not_built(&mut reader);
        let mut settings = Self {
            log: log(&mut reader),
            docker: docker::read(&mut reader, source),
            recorder: recorder(&mut reader),
            agent: agent(&mut reader),
            server: server(&mut reader),
            traces: traces::traces(&mut reader),
            drain: Duration::from_secs(30),
            workers: default_workers(),
            warnings: warnings(source),
            data,
        };
        reader.set(&table::DRAIN_TIMEOUT, &mut settings.drain, |Span(time)| time);
        set_count(&mut reader, &table::WORKER_THREADS, &mut settings.workers);
        if let Some(admin) = settings.server.admin_listen.filter(|admin| !admin.ip().is_loopback()) {
            settings
                .warnings
                .push(format!("listening for operators on {admin}: whoever can reach it can change the log level"));
        }
        if !settings.server.listen.ip().is_loopback() {
            settings.warnings.push(format!(
                "listening on {}: whoever can reach it can run containers here, for there is no authentication",
                settings.server.listen
            ));
        }
        reader.finish(settings)
    }
}

/// A call costs the engine and the function more CPU than it costs the server, on the same machine: a worker for every
/// CPU would compete with what its calls wait for, and workers that hand tasks to each other cost more themselves.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).max(1))
}

fn data(reader: &mut Reader<'_>) -> Data {
    let directory = reader.text(&table::DATA_DIR).map_or_else(|| PathBuf::from("data"), |given| given.text.into());
    let url = reader.parse_with(&table::DB_URL, stores::database);
    let database_url = url.unwrap_or_else(|| default_database(&directory));
    let logs_url = reader.parse_with(&table::LOGSTORE_URL, |url| stores::logs(url, &database_url));
    let mut max_queued = 0;
    reader.set_positive(&table::MAX_QUEUED_PER_APP, &mut max_queued);
    Data {
        server_id: reader.parse(&table::SERVER_ID),
        logs_url: logs_url.flatten(),
        database_url,
        retention: retention(reader),
        queue: reader.parse_with(&table::MQ_URL, stores::queue).unwrap_or_default(),
        max_queued_per_app: Some(max_queued).filter(|max| *max > 0),
        directory,
    }
}

fn retention(reader: &mut Reader<'_>) -> Retention {
    let mut kept = Retention { age: Some(Duration::from_secs(30 * 86_400)), calls: NonZeroU64::new(1_000_000) };
    let age = |text: &str| match text.parse() {
        Ok(Span(age)) if age >= Duration::from_secs(60) => Ok(age),
        Ok(_) => Err("must be at least 1m".to_owned()),
        Err(error) => Err(format!("{error}, or none")),
    };
    let calls = |text: &str| text.parse().map_err(|_| "expected a whole number from 1, or none".to_owned());
    if let Some(age) = reader.parse_with(&table::KEEP_CALLS, |text| unless_none(text, age)) {
        kept.age = age;
    }
    if let Some(calls) = reader.parse_with(&table::KEEP_CALLS_PER_APP, |text| unless_none(text, calls)) {
        kept.calls = calls;
    }
    kept
}

/// A value, or the word for there being none.
fn unless_none<T>(text: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    match text.trim() {
        "none" => Ok(None),
        text => read(text).map(Some),
    }
}

/// The URL of a file in the data directory, whatever characters are in its name.
fn default_database(directory: &std::path::Path) -> String {
    let path =
        directory.join("hearth.db").to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite3://{path}")
}

fn refuse_what_is_not_built(reader: &mut Reader<'_>) {
    reader.parse_with::<()>(&table::DOCKER_TLS_VERIFY, |_| {
        Err("TLS to the Docker engine is not built yet; use its socket, or TCP in a network you trust".to_owned())
    });
}

fn log(reader: &mut Reader<'_>) -> Log {
    let mut log = Log::default();
    reader.set(&table::LOG_LEVEL, &mut log.level, |level| level);
    reader.set(&table::LOG_FORMAT, &mut log.format, |format| format);
    log
}

fn recorder(reader: &mut Reader<'_>) -> Recorder {
    let mut records = 0;
    reader.set_positive(&table::RECORDER_RECORDS, &mut records);
    let recording = reader.parse_with(&table::RECORD, |text| match text.trim() {
        "all" => Ok(Recording::All),
        "async" => Ok(Recording::Asynchronous),
        _ => Err("expected all or async".to_owned()),
    });
    Recorder {
        recording: recording.unwrap_or_default(),
        max_records: Some(records).filter(|records| *records > 0),
        max_bytes: reader.parse(&table::RECORDER_MEMORY).map(|ByteSize(bytes)| bytes),
    }
}

fn agent(reader: &mut Reader<'_>) -> hearth_agent::Settings {
    let mut agent =
        hearth_agent::Settings { memory: hearth_agent::memory_capacity(), ..hearth_agent::Settings::default() };
    set_size(reader, &table::MEMORY, &mut agent.memory);
    set_count(reader, &table::CPUS, &mut agent.cpus);
    set_count(reader, &table::MAX_CONTAINERS_PER_FUNCTION, &mut agent.max_containers_per_function);
    set_count(reader, &table::MAX_WAITING_PER_FUNCTION, &mut agent.max_waiting_per_function);
    set_count(reader, &table::MAX_WAITING, &mut agent.max_waiting);
    let mut millis = 0;
    reader.set_positive(&table::CONTAINER_CPU_MILLIS, &mut millis);
    agent.container_cpu_millis = Some(millis).filter(|millis| *millis > 0);
    reader.set(&table::MAX_LOG, &mut agent.max_log, in_memory);
    reader.set(&table::PREREAD, &mut agent.preread, in_memory);
    reader.set(&table::MAX_HELD_BODIES, &mut agent.max_held_bodies, in_memory);
    set_size(reader, &table::MAX_RESPONSE, &mut agent.max_response);
    let head = reader.parse_with(&table::MAX_HDR_RESPONSE_SIZE, |text| match text.trim().parse() {
        Ok(ByteSize(0)) => Ok(agent.max_response_head),
        Ok(size @ ByteSize(0x400..=0xa0_0000)) => Ok(in_memory(size)),
        Ok(_) => Err("expected 1KiB to 10MiB".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    agent.max_response_head = head.unwrap_or(agent.max_response_head);
    reader.set(&table::HOT_START_TIMEOUT_MSECS, &mut agent.socket_patience, Duration::from_millis);
    agent.allows_volumes = docker::flag(reader, &table::IMAGE_ENABLE_VOLUME);
    reader.set(&table::FREEZE_IDLE_MSECS, &mut agent.freeze_idle, |millis: i64| {
        u64::try_from(millis).ok().map(Duration::from_millis)
    });
    reader.set(&table::STDERR_DRAIN, &mut agent.drain, |Span(time)| time);
    reader.set(&table::MAX_STDERR_DRAIN, &mut agent.max_drain, |Span(time)| time);
    agent
}

fn server(reader: &mut Reader<'_>) -> hearth_server::Settings {
    let mut server = hearth_server::Settings::default();
    let mut port = 8080;
    reader.set(&table::PORT, &mut port, |port| port);
    let listen = reader.parse(&table::LISTEN).unwrap_or(Listen::LOCAL);
    server.listen = SocketAddr::new(listen.ip, listen.port.unwrap_or(port));
    server.admin_listen = reader.parse_with(&table::ADMIN_LISTEN, |text| {
        text.trim().parse().map_err(|_| "expected an IP address with a port, like 127.0.0.1:8081".to_owned())
    });
    set_count(reader, &table::MAX_CONNECTIONS, &mut server.max_connections);
    set_time(reader, &table::HEADER_TIMEOUT, &mut server.header_timeout);
    set_time(reader, &table::BODY_TIMEOUT, &mut server.body_timeout);
    set_time(reader, &table::WRITE_TIMEOUT, &mut server.write_timeout);
    let head = |text: &str| match text.trim().parse::<ByteSize>() {
        Ok(size @ ByteSize(0x400..=0x2_0000)) => Ok(in_memory(size)),
        Ok(_) => Err("expected 1KiB to 128KiB".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    server.max_head = reader.parse_with(&table::MAX_REQUEST_HEAD, head).unwrap_or(server.max_head);
    reader.set(&table::MAX_API_BODY, &mut server.max_api_body, |ByteSize(bytes)| bytes);
    set_size(reader, &table::MAX_REQUEST, &mut server.max_body);
    reader.set(&table::API_CORS_ORIGINS, &mut server.cors, |cors| cors);
    if let Some(headers) = reader.parse(&table::API_CORS_HEADERS) {
        server.cors = server.cors.with_headers(headers);
    }
    server.public_url = reader.parse_with(&table::PUBLIC_LB_URL, public_url);
    server
}

/// One slash at the end is the path's that follows.
fn public_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    if !is_url || text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Err("expected a URL that begins with http:// or https://".to_owned());
    }
    Ok(text.strip_suffix('/').unwrap_or(text).to_owned())
}

/// More than this is a mistake, and more than a semaphore can count.
const MOST: usize = 1_000_000;

fn set_count(reader: &mut Reader<'_>, setting: &Setting, place: &mut usize) {
    let count = |text: &str| match text.trim().parse() {
        Ok(count @ 1..=MOST) => Ok(count),
        _ => Err(format!("expected a whole number from 1 to {MOST}")),
    };
    if let Some(count) = reader.parse_with(setting, count) {
        *place = count;
    }
}

/// A size of which 0 says nothing: what the contract's servers do not limit then has its default here.
fn set_size(reader: &mut Reader<'_>, setting: &Setting, place: &mut u64) {
    if let Some(ByteSize(bytes @ 1..)) = reader.parse(setting) {
        *place = bytes;
    }
}

/// A time without which the server would wait for ever, or not at all. A number alone is seconds, as the contract's servers
/// read it (v2 contract B.4.11).
fn set_time(reader: &mut Reader<'_>, setting: &Setting, place: &mut Duration) {
    let seconds = |text: &str| text.trim().parse().ok().map(|seconds| Span(Duration::from_secs(seconds)));
    let time = |text: &str| match seconds(text).map_or_else(|| text.parse(), Ok) {
        Ok(Span(Duration::ZERO)) => Err("must be longer than nothing".to_owned()),
        Ok(Span(time)) => Ok(time),
        Err(error) => Err(error.to_string()),
    };
    if let Some(time) = reader.parse_with(setting, time) {
        *place = time;
    }
}

fn in_memory(ByteSize(bytes): ByteSize) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn warnings(source: &Source) -> Vec<String> {
    let unknown = source.unknown().into_iter();
    unknown.map(|name| format!("{name} is set, and no setting has this name")).collect()
}

// === impl Listen ===

impl Listen {
    const LOCAL: Self = Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: None };
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { ip: address.ip(), port: Some(address.port()) });
        }
        let ip =
            text.parse().map_err(|_| "expected an IP address like 127.0.0.1, or one with a port like [::1]:8080")?;
        Ok(Self { ip, port: None })
    }
}
