//! What a container of Hearth is like.
//!
//! A function gets its own memory, without swap behind it, a bounded number of processes, and no privilege at all
//! (v1 contract A.5). `Init` stays unset: a function is one process most of the time, it is always killed and never
//! asked to stop, and zombies of the others are bounded by the limit on processes. The contract of `http-stream` promises
//! and forbids more: functions are written for it.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits};
use hearth_models::{InstanceId, ServerId};
use ulid::Ulid;

use super::config::{ProcessLimits, SocketContract};
use super::launch::launches;
use super::sockets::Directory;
use crate::{ContainerSpec, Contract, SOCKET_DIRECTORY, Syslog};

/// The label that names the server a container belongs to.
pub(super) const SERVER_LABEL: &str = "hearth.server";

/// The label that names the process of that server which created it.
pub(super) const INSTANCE_LABEL: &str = "hearth.instance";

/// The user in a container that listens on a socket.
const USER: &str = "1000:1000";

/// What all containers of this process have in common.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) server: ServerId,
    pub(super) instance: InstanceId,
    pub(super) hostname: String,
    pub(super) network: Option<String>,
    pub(super) pids_limit: u32,
    /// Of containers that listen on a socket.
    pub(super) socket_contract: SocketContract,
}

/// A name that no other container has.
pub(super) fn new_name() -> String {
    format!("hearth-{}", Ulid::generate())
}

// === impl Template ===

impl Template {
    /// What to ask the engine for. `directory` is that of the container's socket, if it has one.
    pub(super) fn body(&self, spec: &ContainerSpec, directory: Option<&Directory>) -> ContainerCreateBody {
        let mut body = self.common(spec);
        match (spec.contract, directory) {
            (Contract::Socket, Some(directory)) => {
                self.listens(&mut body, &directory.source);
                if let Some(source) = directory.launch.as_ref().filter(|_| !spec.image.command.is_empty()) {
                    launches(&mut body, &spec.image.command, source);
                }
            }
            (Contract::Socket, None) | (Contract::Pipes, _) => reads_stdin(&mut body),
        }
        body
    }

    fn common(&self, spec: &ContainerSpec) -> ContainerCreateBody {
        ContainerCreateBody {
            hostname: Some(self.hostname.clone()),
            image: Some(spec.image.id.clone()),
            env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            labels: Some(self.labels(spec)),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            host_config: Some(self.host_config(spec)),
            ..ContainerCreateBody::default()
        }
    }

    /// The contract of `http-stream` (v2 contract B.5.1).
    fn listens(&self, body: &mut ContainerCreateBody, directory: &str) {
        let SocketContract { limits, keeps_user, writable_root, engine_logs: _ } = self.socket_contract;
        let ProcessLimits { pids, open_files, locked_memory, pending_signals, message_queues } = limits;
        let ulimits = [
            ("nofile", open_files.into()),
            ("memlock", locked_memory),
            ("sigpending", pending_signals.into()),
            ("msgqueue", message_queues),
        ];
        let host = body.host_config.get_or_insert_default();
        if keeps_user {
            (host.cap_drop, host.security_opt) = (None, None);
        } else {
            body.user = Some(USER.to_owned());
        }
        if !writable_root {
            host.readonly_rootfs = Some(true);
            host.tmpfs = Some(HashMap::from([("/tmp".to_owned(), String::new())]));
        }
        // A mount and not a bind: the engine refuses a directory that it cannot find, instead of making one.
        host.mounts = Some(vec![Mount {
            typ: Some(MountType::BIND),
            source: Some(directory.to_owned()),
            target: Some(SOCKET_DIRECTORY.to_owned()),
            ..Mount::default()
        }]);
        host.init = Some(true);
        host.pids_limit = (pids > 0).then(|| pids.into());
        host.ulimits = Some(ulimits.into_iter().filter(|(_, limit)| *limit > 0).map(ulimit).collect());
    }

    fn labels(&self, spec: &ContainerSpec) -> HashMap<String, String> {
        let ours = [
            (SERVER_LABEL.to_owned(), self.server.to_string()),
            (INSTANCE_LABEL.to_owned(), self.instance.to_string()),
        ];
        // Ours come last: nobody else says whose container this is.
        spec.labels.iter().cloned().chain(ours).collect()
    }

    fn host_config(&self, spec: &ContainerSpec) -> HostConfig {
        let memory = i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX);
        HostConfig {
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: spec
                .cpu_millis
                .map(|millis| i64::try_from(millis.saturating_mul(1_000_000)).unwrap_or(i64::MAX)),
            pids_limit: Some(i64::from(self.pids_limit)),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            network_mode: self.network.clone(),
            log_config: Some(log_config(spec.syslog.as_ref())),
            ..HostConfig::default()
        }
    }
}

/// What the engine does with a container's output beside handing it to who is attached (v2 contract B.5.1).
fn log_config(syslog: Option<&Syslog>) -> HostConfigLogConfig {
    let Some(Syslog { address, tag }) = syslog else {
        return HostConfigLogConfig { typ: Some("none".to_owned()), config: None };
    };
    let options = [
        ("syslog-address", address.as_str()),
        ("syslog-facility", "user"),
        ("syslog-format", "rfc5424"),
        ("tag", tag.as_str()),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    HostConfigLogConfig { typ: Some("syslog".to_owned()), config: Some(HashMap::from(options)) }
}

fn reads_stdin(body: &mut ContainerCreateBody) {
    body.attach_stdin = Some(true);
    body.open_stdin = Some(true);
    // The container sees EOF when its server dies.
    body.stdin_once = Some(true);
}

fn ulimit((name, limit): (&str, u64)) -> ResourcesUlimits {
    let limit = Some(i64::try_from(limit).unwrap_or(i64::MAX));
    ResourcesUlimits { name: Some(name.to_owned()), soft: limit, hard: limit }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Image;

    #[test]
    fn a_container_is_hardened_and_says_whose_it_is() {
        let mut template = Template {
            server: ServerId::generate(),
            instance: InstanceId::generate(),
            hostname: "vm".to_owned(),
            network: None,
            pids_limit: 1024,
            socket_contract: SocketContract::default(),
        };
        let mut spec = ContainerSpec {
            contract: Contract::Pipes,
            image: Image {
                id: "sha256:abc".to_owned(),
                has_healthcheck: false,
                has_volume: false,
                command: ["/fn".to_owned(), "serve".to_owned()].into(),
            },
            env: vec![("FN_PATH".to_owned(), "/a=b".to_owned())],
            memory_bytes: 128 << 20,
            cpu_millis: Some(250),
            labels: vec![
                ("hearth.function".to_owned(), "f".to_owned()),
                (SERVER_LABEL.to_owned(), "someone else".to_owned()),
            ],
            tapped: false,
            syslog: None,
        };
        let mut expected = json!({
            "Hostname": "vm",
            "Image": "sha256:abc",
            "Env": ["FN_PATH=/a=b"],
            "Labels": {
                "hearth.function": "f",
                "hearth.server": template.server.to_string(),
                "hearth.instance": template.instance.to_string(),
            },
            "AttachStdin": true, "AttachStdout": true, "AttachStderr": true,
            "OpenStdin": true, "StdinOnce": true, "Tty": false,
            "HostConfig": {
                "Memory": 134_217_728, "MemorySwap": 134_217_728, "NanoCpus": 250_000_000, "PidsLimit": 1024,
                "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "LogConfig": { "Type": "none" },
            },
        });
        assert_eq!(body(&template, &spec), expected);

        spec.contract = Contract::Socket;
        for key in ["AttachStdin", "OpenStdin", "StdinOnce"] {
            expected.as_object_mut().unwrap().remove(key);
        }
        expected["User"] = json!("1000:1000");
        let host = expected["HostConfig"].as_object_mut().unwrap();
        let ulimit = |name, limit| json!({ "Name": name, "Soft": limit, "Hard": limit });
        host.extend(
            json!({
                "PidsLimit": 50, "Init": true, "ReadonlyRootfs": true, "Tmpfs": { "/tmp": "" },
                "Mounts": [{ "Type": "bind", "Source": "/d/1", "Target": "/tmp/iofs" }],
                "Ulimits": [
                    ulimit("nofile", 350), ulimit("memlock", 65536), ulimit("sigpending", 5000),
                    ulimit("msgqueue", 819_200),
                ],
            })
            .as_object()
            .cloned()
            .unwrap(),
        );
        assert_eq!(body(&template, &spec), expected);

        template.socket_contract =
            SocketContract { keeps_user: true, writable_root: true, ..SocketContract::default() };
        expected.as_object_mut().unwrap().remove("User");
        for key in ["CapDrop", "SecurityOpt", "ReadonlyRootfs", "Tmpfs"] {
            expected["HostConfig"].as_object_mut().unwrap().remove(key);
        }
        assert_eq!(body(&template, &spec), expected);

        let launched = Directory::found_at("/d/1", Some("/d/launch"));
        let launched = serde_json::to_value(template.body(&spec, Some(&launched))).unwrap();
        assert_eq!(launched["Entrypoint"], json!(["/.hearth/launch", "/tmp/iofs/.hearth.log"]));
        assert_eq!(launched["Cmd"], json!(["/fn", "serve"]));
        let mount = without_nulls(launched["HostConfig"]["Mounts"][1].clone());
        assert_eq!(
            mount,
            json!({"Type": "bind", "Source": "/d/launch", "Target": "/.hearth/launch", "ReadOnly": true})
        );

        spec.syslog = Some(Syslog { address: "tcp+tls://h:6514".to_owned(), tag: "app_id=a,fn_id=f".to_owned() });
        expected["HostConfig"]["LogConfig"] = json!({
            "Type": "syslog",
            "Config": {
                "syslog-address": "tcp+tls://h:6514", "syslog-facility": "user", "syslog-format": "rfc5424",
                "tag": "app_id=a,fn_id=f",
            },
        });
        assert_eq!(body(&template, &spec), expected);
    }

    fn body(template: &Template, spec: &ContainerSpec) -> Value {
        let directory = Directory::found_at("/d/1", None);
        without_nulls(serde_json::to_value(template.body(spec, Some(&directory))).unwrap())
    }

    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(map) => map
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
            other => other,
        }
    }
}
