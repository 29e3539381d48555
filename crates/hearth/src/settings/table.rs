//! Every setting there is: its flag, its variables, its default and what it means. The command line, the environment,
//! the help text and the documentation all come from here.

/// One setting. Its own variable is `FN_` and the flag in capitals; some have older names as well, which lose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The flag, without its dashes.
    pub(crate) flag: &'static str,
    /// The names that the contract's servers read, the one that wins first.
    pub(crate) older: &'static [&'static str],
    /// How its value is called in the help text.
    pub(crate) value: &'static str,
    /// The default as people read it.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    /// Its value is never repeated in a message.
    pub(crate) secret: bool,
}

impl Setting {
    const fn new(flag: &'static str, value: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { flag, older: &[], value, default, help, secret: false }
    }

    const fn or(mut self, older: &'static [&'static str]) -> Self {
        self.older = older;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Its own variable.
    pub(crate) fn variable(&self) -> String {
        format!("FN_{}", self.flag.to_ascii_uppercase().replace('-', "_"))
    }
}

macro_rules! settings {
    ($($name:ident = $setting:expr;)*) => {
        $(pub(crate) const $name: Setting = $setting;)*
        /// All of them, in the order of the help text.
        pub(crate) const ALL: &[Setting] = &[$($name),*];
    };
}

settings! {
    LISTEN = Setting::new("listen", "ADDRESS", "127.0.0.1",
        "Where to listen: an IP address, with or without a port. 0.0.0.0 is every IPv4 interface");
    PORT = Setting::new("port", "PORT", "8080", "The port, where --listen has none. 0 lets the system choose").or(&["PORT"]);
    ADMIN_LISTEN = Setting::new("admin-listen", "ADDRESS:PORT", "none",
        "Where to listen for operators, like 127.0.0.1:8081: health, metrics, and the log level, which can be changed there");
    DATA_DIR = Setting::new("data-dir", "DIR", "./data", "Where the server keeps its id, its lock and its database");
    SERVER_ID = Setting::new("server-id", "ID", "kept in the data directory",
        "Whose containers these are, over restarts: 26 characters, a ULID");
    DB_URL = Setting::new("db-url", "URL", "hearth.db in the data directory",
        "The database: sqlite3:///absolute/path, sqlite3://relative/path, postgres://user:password@host:5432/database, or mysql:// like that (MariaDB too)").or(&["DB_URL"]).secret();
    LOGSTORE_URL = Setting::new("logstore-url", "URL", "the database",
        "Where logs of calls are kept: file:///directory, s3://key:secret@host/region/bucket?ssl=true, or another database").or(&["LOGSTORE_URL"]).secret();
    MQ_URL = Setting::new("mq-url", "URL", "the database",
        "Who keeps the order of asynchronous calls: memory:// or redis://[:password@]host[:port][/database]; the calls are always in the database").or(&["MQ_URL"]).secret();
    KEEP_CALLS = Setting::new("keep-calls", "TIME", "30d",
        "How long ended calls and their logs are kept; none is for ever");
    KEEP_CALLS_PER_APP = Setting::new("keep-calls-per-app", "NUMBER", "1000000",
        "How many calls of one app are kept, with their logs; none is all");
    WORKER_THREADS = Setting::new("worker-threads", "NUMBER", "half of the CPUs",
        "Threads that serve requests; the engine and the functions need CPUs as well");
    LOG_LEVEL = Setting::new("log-level", "LEVEL", "info",
        "What the server logs: debug, info, warn, error, fatal or panic").or(&["LOG_LEVEL"]);
    LOG_FORMAT = Setting::new("log-format", "FORMAT", "text", "How it logs: text or json");
    API_CORS_ORIGINS = Setting::new("api-cors-origins", "ORIGINS", "none",
        "Origins of web pages that may use the API, with commas between; * is any").or(&["API_CORS"]);
    API_CORS_HEADERS = Setting::new("api-cors-headers", "NAMES", "Origin,Content-Length,Content-Type",
        "Headers that these pages may send, with commas between");
    PUBLIC_LB_URL = Setting::new("public-lb-url", "URL", "where they asked",
        "Where clients of API v2 are told to invoke functions, like https://functions.example.org");
    ZIPKIN_URL = Setting::new("zipkin-url", "URL", "none",
        "Where traces go: a Zipkin, like http://zipkin:9411").or(&["ZIPKIN_URL"]).secret();
    OTLP_URL = Setting::new("otlp-url", "URL", "none",
        "Where traces go too: a collector that speaks OTLP over HTTP, like http://collector:4318").or(&["OTEL_EXPORTER_OTLP_ENDPOINT"]).secret();
    OTLP_HEADERS = Setting::new("otlp-headers", "NAME=VALUE,...", "none",
        "Headers for that collector, with commas between").or(&["OTEL_EXPORTER_OTLP_HEADERS"]).secret();
    TRACE_SHARE = Setting::new("trace-share", "NUMBER", "1",
        "Share of the calls that are traced, from 0 to 1, of those whose clients do not say");

    MAX_CONNECTIONS = Setting::new("max-connections", "NUMBER", "10000", "Connections at a time");
    HEADER_TIMEOUT = Setting::new("header-timeout", "TIME", "30s",
        "Time for a client to send the head of a request, and for an idle connection to be used again").or(&["FN_REQUEST_HEADER_READ_TIMEOUT"]);
    BODY_TIMEOUT = Setting::new("body-timeout", "TIME", "30s",
        "Time for the next piece of a request body to come").or(&["FN_REQUEST_BODY_READ_TIMEOUT"]);
    WRITE_TIMEOUT = Setting::new("write-timeout", "TIME", "60s",
        "Time for a client to take the next piece of its answer").or(&["FN_RESPONSE_WRITE_TIMEOUT"]);
    MAX_REQUEST_HEAD = Setting::new("max-request-head", "SIZE", "64KiB",
        "Request line and headers of a request, from 1KiB to 128KiB").or(&["FN_MAX_REQUEST_HEADER_SIZE"]);
    MAX_API_BODY = Setting::new("max-api-body", "SIZE", "1MiB", "Body of a management request");
    MAX_REQUEST = Setting::new("max-request", "SIZE", "64MiB",
        "Body of a request to a function; 0 is the default").or(&["FN_MAX_REQUEST_SIZE"]);
    MAX_RESPONSE = Setting::new("max-response", "SIZE", "64MiB",
        "Body of a function's answer; 0 is the default").or(&["FN_MAX_RESPONSE_SIZE"]);
    MAX_HDR_RESPONSE_SIZE = Setting::new("max-hdr-response-size", "SIZE", "64KiB",
        "Head of an answer in the formats http and http-stream, from 1KiB to 10MiB; 0 is the default");
    DRAIN_TIMEOUT = Setting::new("drain-timeout", "TIME", "30s", "Time for accepted calls to end when the server stops");

    DOCKER_HOST = Setting::new("docker-host", "URL", "unix:///var/run/docker.sock",
        "The Docker engine: unix:///path or tcp://host:port").or(&["DOCKER_HOST"]);
    DOCKER_TLS_VERIFY = Setting::new("docker-tls-verify", "FLAG", "none",
        "TLS to the Docker engine; not built yet").or(&["DOCKER_TLS_VERIFY"]);
    DOCKER_AUTH = Setting::new("docker-auth", "JSON", "none",
        "Credentials for registries, as in Docker's config.json").or(&["DOCKER_AUTH"]).secret();
    DOCKER_CONFIG = Setting::new("docker-config", "DIR", "~/.docker",
        "Where a config.json with credentials is").or(&["DOCKER_CONFIG"]);
    DOCKER_NETWORK = Setting::new("docker-network", "NAME", "the engine's", "The network of containers").or(&["FN_DOCKER_NETWORKS"]);
    DOCKER_PIDS = Setting::new("docker-pids", "NUMBER", "1024", "Processes and threads of one container");
    DOCKER_STATS = Setting::new("docker-stats", "SOURCE", "auto",
        "Where samples come from: auto (control groups where they are visible) or engine");

    IOFS_PATH = Setting::new("iofs-path", "DIR", "iofs in the data directory",
        "Where the sockets of http-stream functions are");
    IOFS_DOCKER_PATH = Setting::new("iofs-docker-path", "PATH", "found out",
        "The same place as the Docker engine sees it, for a server in a container where that cannot be found out: a path on the engine's machine, or the name of a volume");
    IOFS_TMPFS = Setting::new("iofs-tmpfs", "FLAG", "false",
        "Every socket directory is a tmpfs of its own, so that its size can be limited; the server needs CAP_SYS_ADMIN for it, and the engine has to see its mounts");
    IOFS_OPTS = Setting::new("iofs-opts", "OPTIONS", "none", "Mount options of these, like size=1m,nr_inodes=16; the pipe of a log takes an inode");
    DISABLE_UNPRIVILEGED_CONTAINERS = Setting::new("disable-unprivileged-containers", "FLAG", "false",
        "http-stream functions run as the user that their image names, with the engine's default capabilities");
    DISABLE_READONLY_ROOTFS = Setting::new("disable-readonly-rootfs", "FLAG", "false",
        "http-stream functions may write to the file system of their container");
    IMAGE_ENABLE_VOLUME = Setting::new("image-enable-volume", "FLAG", "false",
        "Images of http-stream functions may declare volumes");
    DISABLE_DIRECT_LOGS = Setting::new("disable-direct-logs", "FLAG", "false",
        "What http-stream functions log goes through the engine, which takes longer; their entry point stays as their image has it");
    HOT_PULL_TIMEOUT_MSECS = Setting::new("hot-pull-timeout-msecs", "NUMBER", "600000", "Milliseconds for the pull of one image");
    HOT_START_TIMEOUT_MSECS = Setting::new("hot-start-timeout-msecs", "NUMBER", "5000",
        "Milliseconds that an http-stream function has to open its socket");
    FREEZE_IDLE_MSECS = Setting::new("freeze-idle-msecs", "NUMBER", "never",
        "Milliseconds after which a container that has no call is paused, until its next one; 0 is at once, less than 0 never");
    MAX_PIDS = Setting::new("max-pids", "NUMBER", "50", "Processes and threads of one container of an http-stream function; 0 is no limit");
    MAX_OPEN_FILES = Setting::new("max-open-files", "NUMBER", "350", "Open files of each of its processes; 0 is the engine's limit");
    MAX_LOCKED_MEMORY = Setting::new("max-locked-memory", "BYTES", "65536", "Memory that each of them may lock; 0 is the engine's limit");
    MAX_PENDING_SIGNALS = Setting::new("max-pending-signals", "NUMBER", "5000", "Signals that may wait for them; 0 is the engine's limit");
    MAX_MESSAGE_QUEUE = Setting::new("max-message-queue", "BYTES", "819200", "Bytes in their POSIX message queues; 0 is the engine's limit");

    MEMORY = Setting::new("memory", "SIZE", "what is free at start",
        "Memory that containers may reserve together; 0 is the default").or(&["FN_MAX_TOTAL_MEMORY_BYTES"]);
    CPUS = Setting::new("cpus", "NUMBER", "those there are", "CPUs of the node; decides how many containers start at once");
    CONTAINER_CPU_MILLIS = Setting::new("container-cpu-millis", "NUMBER", "no limit",
        "CPU limit of one container in thousandths of a core");
    MAX_CONTAINERS_PER_FUNCTION = Setting::new("max-containers-per-function", "NUMBER", "512", "Containers of one function");
    MAX_WAITING_PER_FUNCTION = Setting::new("max-waiting-per-function", "NUMBER", "1000",
        "Calls of one function that may wait for a container");
    MAX_WAITING = Setting::new("max-waiting", "NUMBER", "10000", "Calls that may wait for a container");
    MAX_QUEUED_PER_APP = Setting::new("max-queued-per-app", "NUMBER", "100000",
        "Asynchronous calls of one app that may wait and run at a time");
    MAX_LOG = Setting::new("max-log", "SIZE", "1MiB", "Stored log of one call").or(&["FN_MAX_LOG_SIZE_BYTES"]);
    PREREAD = Setting::new("preread", "SIZE", "256KiB", "How much of a request body is read before a container is asked for");
    MAX_HELD_BODIES = Setting::new("max-held-bodies", "SIZE", "256MiB",
        "What all waiting requests may hold of their bodies together");
    STDERR_DRAIN = Setting::new("stderr-drain", "TIME", "250us",
        "Silence on stderr after an answer before a container takes its next call");
    MAX_STDERR_DRAIN = Setting::new("max-stderr-drain", "TIME", "5ms", "The most that this grows to for a container that is late");
    RECORD = Setting::new("record", "CALLS", "all",
        "Which calls leave a record: all, or async, only those that need one to be run");
    RECORDER_RECORDS = Setting::new("recorder-records", "NUMBER", "50000",
        "Ended calls that may wait to be stored before new ones are refused");
    RECORDER_MEMORY = Setting::new("recorder-memory", "SIZE", "128MiB", "Memory that they may hold before that");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn flags_and_variables_are_unique_and_described() {
        let flags: BTreeSet<_> = ALL.iter().map(|setting| setting.flag).collect();
        assert_eq!(flags.len(), ALL.len());
        let own: BTreeSet<_> = ALL.iter().map(Setting::variable).collect();
        let older: Vec<_> = ALL.iter().flat_map(|setting| setting.older).collect();
        assert_eq!(older.iter().collect::<BTreeSet<_>>().len(), older.len());
        assert!(older.iter().all(|name| !own.contains(**name)));
        assert!(ALL.iter().all(|setting| !setting.help.ends_with('.') && !setting.default.is_empty()));
    }

    #[test]
    fn the_contracts_variables_are_all_known() {
        for name in [
            "PORT",
            "DB_URL",
            "LOGSTORE_URL",
            "MQ_URL",
            "LOG_LEVEL",
            "API_CORS",
            "ZIPKIN_URL",
            "DOCKER_HOST",
            "DOCKER_TLS_VERIFY",
            "DOCKER_AUTH",
            "DOCKER_CONFIG",
        ] {
            assert!(ALL.iter().any(|setting| setting.older.contains(&name)), "{name}");
        }
        assert_eq!(DB_URL.variable(), "FN_DB_URL");
        assert_eq!(MAX_CONNECTIONS.variable(), "FN_MAX_CONNECTIONS");
    }

    /// The table of docs/configuration.md.
    fn markdown() -> String {
        let row = |setting: &Setting| {
            let older: String = setting.older.iter().map(|name| format!(", `{name}`")).collect();
            let Setting { flag, default, help, .. } = setting;
            format!("| `--{flag}` | `{}`{older} | {default} | {help} |\n", setting.variable())
        };
        let rows: String = ALL.iter().map(row).collect();
        format!("| flag | variables | default | meaning |\n|---|---|---|---|\n{rows}")
    }

    #[test]
    fn the_documentation_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let text = std::fs::read_to_string(path).unwrap();
        let table = markdown();
        assert!(text.contains(&table), "docs/configuration.md lacks this table:\n\n{table}");
    }

    /// The text of the files below a directory whose names end so.
    fn sources(directory: &Path, text: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// docs/limits.md names a setting, its default and a test in each row.
    #[test]
    fn every_documented_limit_has_its_setting_its_default_and_its_test() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let mut tests = String::new();
        for directory in ["crates", "tests"] {
            sources(&root.join(directory), &mut tests);
        }
        let text = std::fs::read_to_string(root.join("docs/limits.md")).unwrap();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with("| ") && line.contains("`--"))
            .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect();
        assert!(rows.len() >= 15, "{rows:?}");
        let fixed = text.split_once("Some have no setting:").unwrap().1;
        for row in fixed.lines().filter(|line| line.ends_with("` |")) {
            let test = row.trim_end_matches("` |").rsplit('`').next().unwrap();
            assert!(tests.contains(&format!("fn {test}(")), "there is no test called {test}");
        }
        for row in rows {
            let [_, flag, default, _, test] = row[..] else { panic!("{row:?}") };
            let setting = ALL.iter().find(|setting| format!("--{}", setting.flag) == flag);
            assert_eq!(setting.map(|setting| setting.default), Some(default), "{flag}");
            assert!(tests.contains(&format!("fn {test}(")), "{flag}: there is no test called {test}");
        }
    }
}
