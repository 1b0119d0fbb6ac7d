//! The dependency rules of docs/architecture.md, held over `cargo metadata`: dependencies point
//! inward, heavy crates live where they may, the engine stays pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// What each inner crate may depend on directly; a crate that is not named here is an outer one.
const ALLOWED: &[(&str, &[&str])] = &[
    ("protocol", &["zerocopy", "xxhash-rust"]),
    ("rules", &["protocol"]),
    ("prefetch", &[]),
    ("engine", &["protocol", "rules", "prefetch", "hashbrown", "siphasher", "xxhash-rust"]),
];

/// Pairs that must not meet, not even through others.
const APART: &[(&str, &[&str])] = &[
    ("journal", &["engine", "rules", "replication", "transport", "node", "gateway", "tokio"]),
    ("replication", &["engine", "rules", "journal", "transport", "node", "gateway", "tokio"]),
    ("transport", &["engine", "rules", "journal", "replication", "node", "gateway", "tokio"]),
    ("gateway", &["engine", "journal", "replication", "node"]),
    // TLS is rustls: no library of the machine has a say in it
    ("gateway", &["native-tls", "openssl", "openssl-sys"]),
    ("node", &["tokio", "axum", "sqlx", "gateway"]),
    ("engine", &["std", "serde", "tracing", "rand"]),
];

/// Crates that only the named ones of ours may depend on directly.
const CONFINED: &[(&str, &[&str])] = &[
    ("aeron-rs", &["transport"]),
    ("rusteron-media-driver", &["media-driver"]),
    ("sqlx", &["gateway"]),
    ("axum", &["gateway"]),
    ("disruptor", &["node", "perf"]),
    ("memmap2", &["journal"]),
];

struct Graph {
    /// Direct dependencies that a build uses (not those of tests), by crate name.
    direct: BTreeMap<String, BTreeSet<String>>,
    ours: BTreeSet<String>,
}

impl Graph {
    fn read() -> Self {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
        let names: BTreeMap<&str, &str> = rows(&metadata["packages"])
            .map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap()))
            .collect();
        let ours = rows(&metadata["workspace_members"])
            .map(|id| names[id.as_str().unwrap()].to_owned())
            .collect();
        let mut direct: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in rows(&metadata["resolve"]["nodes"]) {
            let from = names[node["id"].as_str().unwrap()].to_owned();
            let to = direct.entry(from).or_default();
            for dep in rows(&node["deps"]) {
                if rows(&dep["dep_kinds"]).any(|k| k["kind"].is_null()) {
                    to.insert(names[dep["pkg"].as_str().unwrap()].to_owned());
                }
            }
        }
        Self { direct, ours }
    }

    fn reach(&self, from: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(name) = open.pop() {
            for next in self.direct.get(name).into_iter().flatten() {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen
    }
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn inner_crates_depend_on_nothing_but_what_they_may() {
    let graph = Graph::read();
    for (name, allowed) in ALLOWED {
        for dependency in &graph.direct[*name] {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn dependencies_point_inward() {
    let graph = Graph::read();
    for (name, apart) in APART {
        let reach = graph.reach(name);
        for other in *apart {
            assert!(!reach.contains(other), "{name} must not reach {other}");
        }
    }
}

#[test]
fn heavy_crates_stay_where_they_may_be() {
    let graph = Graph::read();
    for (heavy, homes) in CONFINED {
        for name in &graph.ours {
            let uses = graph.direct[name].contains(*heavy);
            assert!(!uses || homes.contains(&name.as_str()), "{name} must not use {heavy}");
        }
    }
}

#[test]
fn the_words_and_the_mind_are_no_std() {
    for path in ["engine/protocol/src/lib.rs", "engine/rules/src/lib.rs", "engine/src/lib.rs"] {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let text = std::fs::read_to_string(format!("{root}/{path}")).expect("the crate is there");
        assert!(text.contains("#![no_std]"), "{path} must be no_std");
    }
}
