//! The crates depend on each other in one direction only, and each foreign world has one door: what ARCHITECTURE.md
//! says, held against the manifests.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Who may depend on which crates of this workspace, directly. A crate that is not listed may depend on none.
const ARROWS: &[(&str, &[&str])] = &[
    ("hearth-models", &[]),
    ("hearth-drivers", &["hearth-models"]),
    ("hearth-datastore", &["hearth-models"]),
    ("hearth-queue", &["hearth-models", "hearth-datastore"]),
    ("hearth-agent", &["hearth-models", "hearth-drivers", "hearth-datastore", "hearth-queue"]),
    ("hearth-server", &["hearth-models", "hearth-drivers", "hearth-datastore", "hearth-queue", "hearth-agent"]),
    (
        "hearth",
        &["hearth-models", "hearth-drivers", "hearth-datastore", "hearth-queue", "hearth-agent", "hearth-server"],
    ),
    // What an embedder needs is all in there.
    ("hearth-embed", &["hearth"]),
    // The load harness drives the server from outside, and the engine beside it; and it queues calls as the agent does.
    ("hearth-bench", &["hearth-models", "hearth-drivers", "hearth-datastore", "hearth-agent"]),
    // The torture harness drives servers from outside, and looks at what they left in their store.
    ("hearth-torture", &["hearth-models", "hearth-datastore"]),
];

/// Foreign crates that only some of ours may name, tests included.
const DOORS: &[(&str, &[&str])] = &[
    ("bollard", &["hearth-drivers"]),
    ("sqlx", &["hearth-datastore"]),
    ("axum", &["hearth-server"]),
    ("redis", &["hearth-queue"]),
];

/// What the vocabulary may not know: it does no I/O.
const NOT_IN_MODELS: &[&str] = &["tokio", "tokio-util", "sqlx", "bollard", "axum", "hyper", "reqwest"];

/// What one manifest says.
#[derive(Debug, Default)]
struct Manifest {
    /// What the crate itself is built from.
    built_from: BTreeSet<String>,
    /// The same with what its tests and build scripts need.
    named: BTreeSet<String>,
}

fn manifests() -> BTreeMap<String, Manifest> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let manifest = |package: &Value| {
        let mut manifest = Manifest::default();
        for dependency in package["dependencies"].as_array().unwrap() {
            manifest.named.insert(text(&dependency["name"]));
            // Normal dependencies have no kind.
            if dependency["kind"].is_null() {
                manifest.built_from.insert(text(&dependency["name"]));
            }
        }
        (text(&package["name"]), manifest)
    };
    metadata["packages"].as_array().unwrap().iter().map(manifest).collect()
}

fn allowed<'a>(table: &'a [(&str, &'a [&'a str])], name: &str) -> &'a [&'a str] {
    table.iter().find_map(|(key, allowed)| (*key == name).then_some(*allowed)).unwrap_or_default()
}

#[test]
fn crates_depend_in_one_direction() {
    let manifests = manifests();
    let wrong: Vec<_> = manifests
        .iter()
        .flat_map(|(name, manifest)| manifest.built_from.iter().map(move |other| (name, other)))
        .filter(|(_, other)| manifests.contains_key(*other))
        .filter(|(name, other)| !allowed(ARROWS, name).contains(&other.as_str()))
        .map(|(name, other)| format!("{name} -> {other}"))
        .collect();
    assert!(wrong.is_empty(), "against the arrows of ARCHITECTURE.md: {wrong:#?}");
}

#[test]
fn foreign_worlds_have_one_door_each() {
    let manifests = manifests();
    let wrong: Vec<_> = DOORS
        .iter()
        .flat_map(|(door, keepers)| manifests.iter().map(move |(name, manifest)| (door, keepers, name, manifest)))
        .filter(|(door, keepers, name, manifest)| manifest.named.contains(**door) && !keepers.contains(&name.as_str()))
        .map(|(door, keepers, name, _)| format!("{name} names {door}, which only {keepers:?} may"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_vocabulary_does_no_input_and_no_output() {
    let models = &manifests()["hearth-models"].named;
    let wrong: Vec<_> = NOT_IN_MODELS.iter().filter(|name| models.contains(**name)).collect();
    assert!(wrong.is_empty(), "hearth-models names {wrong:?}");
}

/// A table with a name that is misspelt would allow everything.
#[test]
fn the_crates_that_the_rules_are_about_exist() {
    let manifests = manifests();
    for name in [
        "hearth-models",
        "hearth-drivers",
        "hearth-datastore",
        "hearth-queue",
        "hearth-agent",
        "hearth-server",
        "hearth",
    ] {
        assert!(manifests.contains_key(name), "{name}");
        assert!(ARROWS.iter().any(|(listed, _)| *listed == name), "{name}");
    }
    for (door, keepers) in DOORS {
        assert!(manifests[keepers[0]].built_from.contains(*door), "{} no longer names {door}", keepers[0]);
    }
}
