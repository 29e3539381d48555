//! What a container of Hearth is like.
//!
//! A function gets its own memory, without swap behind it, a bounded number of processes, and no privilege at all
//! (v1 contract A.5). `Init` stays unset: a function is one process most of the time, it is always killed and never
//! asked to stop, and zombies of the others are bounded by the limit on processes.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use hearth_models::{InstanceId, ServerId};
use ulid::Ulid;

use crate::ContainerSpec;

/// The label that names the server a container belongs to.
pub(super) const SERVER_LABEL: &str = "hearth.server";

/// The label that names the process of that server which created it.
pub(super) const INSTANCE_LABEL: &str = "hearth.instance";

/// What all containers of this process have in common.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) server: ServerId,
    pub(super) instance: InstanceId,
    pub(super) hostname: String,
    pub(super) network: Option<String>,
    pub(super) pids_limit: u32,
}

/// A name that no other container has.
pub(super) fn new_name() -> String {
    format!("hearth-{}", Ulid::generate())
}

// === impl Template ===

impl Template {
    pub(super) fn body(&self, spec: &ContainerSpec) -> ContainerCreateBody {
        ContainerCreateBody {
            hostname: Some(self.hostname.clone()),
            image: Some(spec.image.id.clone()),
            env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            labels: Some(self.labels(spec)),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            // The container sees EOF when its server dies.
            stdin_once: Some(true),
            tty: Some(false),
            host_config: Some(self.host_config(spec)),
            ..ContainerCreateBody::default()
        }
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
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Image;

    #[test]
    fn a_container_is_hardened_and_says_whose_it_is() {
        let template = Template {
            server: ServerId::generate(),
            instance: InstanceId::generate(),
            hostname: "vm".to_owned(),
            network: None,
            pids_limit: 1024,
        };
        let spec = ContainerSpec {
            image: Image { id: "sha256:abc".to_owned(), has_healthcheck: false },
            env: vec![("FN_PATH".to_owned(), "/a=b".to_owned())],
            memory_bytes: 128 << 20,
            cpu_millis: Some(250),
            labels: vec![
                ("hearth.function".to_owned(), "f".to_owned()),
                (SERVER_LABEL.to_owned(), "someone else".to_owned()),
            ],
        };
        let body = serde_json::to_value(template.body(&spec)).unwrap();
        let expected = json!({
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
        assert_eq!(without_nulls(body), expected);
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
