use super::*;

fn source(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> Source {
    Source {
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn read(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> Settings {
    Settings::read(&source(flags, environment)).unwrap()
}

#[test]
fn the_defaults_are_those_the_table_tells() {
    let settings = read(&[], &[]);
    let told = |name: &str| ALL.iter().find(|setting| setting.flag == name).unwrap().default;
    let size = |name: &str| told(name).parse::<ByteSize>().unwrap().0;
    let time = |name: &str| told(name).parse::<Span>().unwrap().0;
    let count = |name: &str| told(name).parse::<usize>().unwrap();
    let (server, agent) = (settings.server, settings.agent);
    assert_eq!(server.listen.to_string(), format!("{}:{}", told("listen"), told("port")));
    assert_eq!(server.max_connections, count("max-connections"));
    assert_eq!(server.header_timeout, time("header-timeout"));
    assert_eq!(server.body_timeout, time("body-timeout"));
    assert_eq!(server.write_timeout, time("write-timeout"));
    assert_eq!((server.max_api_body, server.max_body), (size("max-api-body"), size("max-request")));
    assert_eq!(server.max_head as u64, size("max-request-head"));
    assert_eq!(settings.drain, time("drain-timeout"));
    assert_eq!(agent.max_response, size("max-response"));
    assert_eq!(agent.max_response_head as u64, size("max-hdr-response-size"));
    assert_eq!((agent.max_log as u64, agent.preread as u64), (size("max-log"), size("preread")));
    assert_eq!((agent.drain, agent.max_drain), (time("stderr-drain"), time("max-stderr-drain")));
    assert_eq!(agent.max_containers_per_function, count("max-containers-per-function"));
    assert_eq!(agent.max_waiting_per_function, count("max-waiting-per-function"));
    assert_eq!(agent.max_waiting, count("max-waiting"));
    assert_eq!(settings.data.database_url, "sqlite3://data/hearth.db");
    let kept = settings.data.retention;
    assert_eq!(
        (kept.age.unwrap(), kept.calls.unwrap().get() as usize),
        (time("keep-calls"), count("keep-calls-per-app"))
    );
    let node =
        hearth_datastore::Node { server_id: ServerId::generate(), instance_id: hearth_models::InstanceId::generate() };
    let recorder = hearth_datastore::RecorderSettings::new(node);
    assert_eq!(recorder.max_records as usize, count("recorder-records"));
    assert_eq!(recorder.max_bytes, size("recorder-memory"));
    let docker = hearth_drivers::docker::DockerConfig::new(node.server_id, node.instance_id);
    assert_eq!(docker.pids_limit as usize, count("docker-pids"));
    assert_eq!(docker.pull_limit.as_millis() as usize, count("hot-pull-timeout-msecs"));
    assert!(settings.warnings.is_empty());
}

#[test]
fn a_flag_beats_our_variable_and_that_beats_the_older_one() {
    let port =
        |flags: &[(&'static str, &str)], environment: &[(&str, &str)]| read(flags, environment).server.listen.port();
    let all = [("FN_PORT", "2"), ("PORT", "3")];
    assert_eq!(port(&[("port", "1")], &all), 1);
    assert_eq!(port(&[], &all), 2);
    assert_eq!(port(&[], &all[1..]), 3);
    assert_eq!(port(&[], &[("FN_PORT", " "), ("PORT", "3")]), 3, "an empty variable says nothing");
    assert_eq!(port(&[], &[("FN_LISTEN", "127.0.0.1:9"), ("PORT", "3")]), 9);
    assert_eq!(read(&[], &[("FN_LISTEN", "::1")]).server.listen.to_string(), "[::1]:8080");
}

#[test]
fn calls_may_be_kept_for_ever() {
    let kept = |age: &str, calls: &str| {
        let settings = Settings::read(&source(&[("keep-calls", age), ("keep-calls-per-app", calls)], &[]));
        settings.map(|settings| settings.data.retention)
    };
    assert_eq!(kept("none", " none "), Ok(Retention::default()));
    let some = kept("90m", "1").unwrap();
    assert_eq!((some.age.unwrap().as_secs(), some.calls.unwrap().get()), (5400, 1));
    for (age, calls) in [("59s", "1"), ("0", "1"), ("1d", "0"), ("1d", "-1"), ("1d", "many")] {
        assert_eq!(kept(age, calls).unwrap_err().0.len(), 1, "{age} {calls}");
    }
}

#[test]
fn settings_of_the_contract_are_read_as_it_writes_them() {
    let settings = read(
        &[],
        &[
            ("FN_API_CORS_ORIGINS", "*"),
            ("FN_API_CORS_HEADERS", "X-Own"),
            ("FN_MAX_HDR_RESPONSE_SIZE", "4096"),
            ("FN_HOT_PULL_TIMEOUT_MSECS", "1500"),
            ("FN_FREEZE_IDLE_MSECS", "50"),
            ("FN_DISABLE_UNPRIVILEGED_CONTAINERS", "1"),
            ("FN_DISABLE_READONLY_ROOTFS", "T"),
            ("FN_DISABLE_DIRECT_LOGS", "1"),
            ("FN_IMAGE_ENABLE_VOLUME", "true"),
            ("FN_IOFS_TMPFS", "true"),
            ("FN_IOFS_OPTS", "size=1m,nr_inodes=16"),
        ],
    );
    let cors: hearth_server::Cors = "*".parse().unwrap();
    assert_eq!(settings.server.cors, cors.with_headers("X-Own".parse().unwrap()));
    assert_eq!(settings.agent.max_response_head, 4096);
    assert!(settings.agent.allows_volumes);
    assert_eq!(settings.docker.pull_limit, Some(Duration::from_millis(1500)));
    assert_eq!(settings.agent.freeze_idle, Some(Duration::from_millis(50)));
    let sockets = settings.docker.sockets;
    assert!(sockets.contract.keeps_user && sockets.contract.writable_root && sockets.contract.engine_logs);
    assert_eq!(sockets.tmpfs.as_deref(), Some("size=1m,nr_inodes=16"));
    assert_eq!(settings.warnings, [""; 0]);

    let defaults =
        read(&[], &[("FN_MAX_HDR_RESPONSE_SIZE", "0"), ("FN_IOFS_TMPFS", "False"), ("FN_IOFS_OPTS", "size=1m")]);
    assert_eq!(defaults.agent.max_response_head, 64 * 1024);
    assert_eq!(defaults.docker.sockets.tmpfs, None);
    assert!(!defaults.agent.allows_volumes);
    assert_eq!(defaults.agent.freeze_idle, None);
    let freeze = |text| read(&[("freeze-idle-msecs", text)], &[]).agent.freeze_idle;
    assert_eq!((freeze("-1"), freeze("0")), (None, Some(Duration::ZERO)));
    let wrong = [("FN_IOFS_TMPFS", "yes"), ("FN_MAX_HDR_RESPONSE_SIZE", "11MiB"), ("FN_API_CORS_HEADERS", "A B:")];
    assert_eq!(Settings::read(&source(&[], &wrong)).unwrap_err().0.len(), 3);
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let wrong = source(
        &[("listen", "nowhere"), ("max-request", "lots")],
        &[
            ("PORT", "http"),
            ("FN_LOG_LEVEL", "loud"),
            ("API_CORS", "example.com"),
            ("MQ_URL", "bolt:///data/mq.db"),
            ("DB_URL", "oracle://u:secret@h/db"),
            ("LOGSTORE_URL", "ftp://key:secret@h/r/b"),
            ("ZIPKIN_URL", "zipkin:9411"),
            ("DOCKER_TLS_VERIFY", "1"),
            ("FN_MAX_CONNECTIONS", "0"),
            ("FN_HEADER_TIMEOUT", "0s"),
            ("FN_MAX_REQUEST_HEAD", "1MiB"),
            ("FN_DRAIN_TIMEOUT", "30"),
            ("FN_SERVER_ID", "me"),
            ("FN_DOCKER_STATS", "maybe"),
            ("FN_DOCKER_PIDS", "0"),
        ],
    );
    let Invalid(problems) = Settings::read(&wrong).unwrap_err();
    assert_eq!(problems.len(), 17, "{problems:#?}");
    for expected in [
        "bad setting --listen 'nowhere': expected an IP address",
        "bad setting --max-request 'lots': expected a whole number of bytes",
        "bad setting PORT 'http': ",
        "bad setting FN_LOG_LEVEL 'loud': Invalid log level.",
        "bad setting API_CORS 'example.com': origin 'example.com' does not begin with http:// or https://",
        "bad setting MQ_URL: bolt is not supported; the queue is kept in the database",
        "bad setting DB_URL: db type not supported oracle",
        "bad setting FN_MAX_REQUEST_HEAD '1MiB': expected 1KiB to 128KiB",
        "bad setting FN_DRAIN_TIMEOUT '30': expected a whole number and a unit",
    ] {
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{expected} in {problems:#?}");
    }
    assert!(!problems.iter().any(|problem| problem.contains("secret")), "{problems:#?}");
}

#[test]
fn variables_that_no_setting_has_are_warned_of_and_open_doors_too() {
    let settings =
        read(&[("listen", "0.0.0.0")], &[("FN_LISTENN", "x"), ("FN_DB_URL", "sqlite3://x.db"), ("OTHER", "x")]);
    assert_eq!(settings.warnings[0], "FN_LISTENN is set, and no setting has this name");
    assert!(settings.warnings[1].starts_with("listening on 0.0.0.0:8080: "), "{:?}", settings.warnings);
    assert_eq!(settings.warnings.len(), 2);
    assert_eq!(settings.data.database_url, "sqlite3://x.db");
}

#[test]
fn the_default_database_is_in_the_data_directory_whatever_its_name() {
    let settings = read(&[("data-dir", "/var/lib/a?b#c%d")], &[]);
    assert_eq!(settings.data.database_url, "sqlite3:///var/lib/a%3Fb%23c%25d/hearth.db");
}

#[test]
fn settings_that_have_another_name_in_the_contract_are_read_under_both() {
    let contracts = [
        ("FN_MAX_REQUEST_SIZE", "1000"),
        ("FN_MAX_RESPONSE_SIZE", "2000"),
        ("FN_MAX_REQUEST_HEADER_SIZE", "4096"),
        ("FN_MAX_TOTAL_MEMORY_BYTES", "268435456"),
        ("FN_MAX_LOG_SIZE_BYTES", "3000"),
        ("FN_REQUEST_HEADER_READ_TIMEOUT", "7"),
        ("FN_REQUEST_BODY_READ_TIMEOUT", "2m5s"),
        ("FN_RESPONSE_WRITE_TIMEOUT", "500ms"),
        ("FN_DOCKER_NETWORKS", " functions "),
    ];
    let settings = read(&[], &contracts);
    let (server, agent) = (&settings.server, &settings.agent);
    assert_eq!((server.max_body, server.max_head), (1000, 4096));
    assert_eq!((agent.max_response, agent.memory, agent.max_log), (2000, 256 << 20, 3000));
    assert_eq!(server.header_timeout, Duration::from_secs(7));
    assert_eq!(server.body_timeout, Duration::from_secs(125));
    assert_eq!(server.write_timeout, Duration::from_millis(500));
    assert_eq!(settings.docker.network.as_deref(), Some("functions"));
    assert_eq!(settings.warnings, [""; 0]);

    let own =
        [("FN_MAX_REQUEST", "1"), ("FN_MAX_RESPONSE", "2"), ("FN_BODY_TIMEOUT", "3s"), ("FN_DOCKER_NETWORK", "n")];
    let settings = read(&[], &[&contracts[..], &own].concat());
    assert_eq!((settings.server.max_body, settings.agent.max_response), (1, 2));
    assert_eq!(settings.server.body_timeout, Duration::from_secs(3));
    assert_eq!(settings.docker.network.as_deref(), Some("n"));

    // What is not limited there has its default here.
    let (off, defaults) = (
        read(&[], &[("FN_MAX_REQUEST_SIZE", "0"), ("FN_MAX_RESPONSE_SIZE", "0"), ("FN_MAX_TOTAL_MEMORY_BYTES", "0")]),
        read(&[], &[]),
    );
    assert_eq!((off.server.max_body, off.agent.max_response), (defaults.server.max_body, defaults.agent.max_response));
    assert!(off.agent.memory > 0);
    let wrong = [
        ("FN_DOCKER_NETWORKS", "a b"),
        ("FN_REQUEST_BODY_READ_TIMEOUT", "0"),
        ("FN_RESPONSE_WRITE_TIMEOUT", "5x"),
        ("FN_MAX_REQUEST_HEADER_SIZE", "1048576"),
    ];
    let Invalid(problems) = Settings::read(&source(&[], &wrong)).unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:#?}");
    let networks = "bad setting FN_DOCKER_NETWORKS 'a b': expected the name of one network";
    assert!(problems.iter().any(|problem| problem == networks), "{problems:#?}");
}

#[test]
fn a_public_url_keeps_its_path_and_loses_one_slash() {
    let url =
        |text: &str| Settings::read(&source(&[], &[("FN_PUBLIC_LB_URL", text)])).map(|read| read.server.public_url);
    for (text, kept) in [
        ("https://lb.example/base/", "https://lb.example/base"),
        (" http://lb.example:81 ", "http://lb.example:81"),
        ("http://lb.example//", "http://lb.example/"),
    ] {
        assert_eq!(url(text), Ok(Some(kept.to_owned())));
    }
    assert_eq!(url(""), Ok(None));
    assert!(url("lb.example").is_err() && url("http://a b").is_err());
}

#[test]
fn a_value_may_stand_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (url, port) = (file("url", "sqlite3://secret.db\n"), file("port", "81\n"));
    let settings = read(&[], &[("FN_DB_URL_FILE", &url), ("PORT_FILE", &port)]);
    assert_eq!((settings.data.database_url.as_str(), settings.server.listen.port()), ("sqlite3://secret.db", 81));
    assert_eq!(settings.warnings, [""; 0]);
    let settings = read(&[], &[("FN_PORT", "82"), ("FN_PORT_FILE", &port)]);
    assert_eq!(settings.server.listen.port(), 82, "a value that is given itself wins");
    let bad = file("bad", "oracle://u:secret@h/db");
    let wrong = source(&[], &[("FN_PORT_FILE", "/nowhere/port"), ("FN_DB_URL_FILE", &bad), ("FN_OTHER_FILE", "x")]);
    let Invalid(problems) = Settings::read(&wrong).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("bad setting FN_PORT_FILE '/nowhere/port': "), "{problems:#?}");
    assert!(!problems[1].contains("secret"), "{problems:#?}");
}
