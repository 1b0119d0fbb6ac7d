//! `exchange status`: what runs, and what each shard says of itself.

use serde_json::{Value, json};

use crate::{
    Error,
    admin::Admin,
    cluster::{ClusterFile, is_alive},
    config::SHARDS,
    layout::Layout,
    snapshots,
};

/// The cluster as one JSON value: processes from `cluster.json`, shards from the gateway.
pub async fn read(layout: &Layout) -> Result<Value, Error> {
    let file = ClusterFile::read(layout)?;
    let processes: Vec<Value> = file
        .processes
        .iter()
        .map(|p| {
            let mut row = json!(p);
            row["alive"] = json!(is_alive(p.pid));
            row
        })
        .collect();
    let gateway = match Admin::new(&file.admin_url, &file.admin_token).get("/admin/status").await {
        Ok(status) => status,
        Err(error) => json!({ "error": error.to_string() }),
    };
    let snapshots = (0..SHARDS).map(|shard| snapshots::newest(layout, shard));
    let snapshots: Vec<_> =
        snapshots.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    Ok(json!({
        "base_url": file.base_url,
        "snapshots": snapshots,
        "admin_url": file.admin_url,
        "processes": processes,
        "gateway": gateway,
    }))
}

/// The same for people.
pub fn show(status: &Value) -> String {
    use std::fmt::Write as _;
    let mut text =
        format!("REST and WebSocket  {}\n\n", status["base_url"].as_str().unwrap_or("?"));
    let _ = writeln!(text, "{:<14}{:>8}  {:>8}  state", "process", "pid", "restarts");
    for row in status["processes"].as_array().into_iter().flatten() {
        let role = row["role"].as_str().unwrap_or("?");
        let name = row["shard"].as_u64().map_or_else(|| role.to_owned(), |s| format!("{role} {s}"));
        let state = if row["alive"] == json!(true) { "running" } else { "gone" };
        let _ = writeln!(text, "{name:<14}{:>8}  {:>8}  {state}", row["pid"], row["restarts"]);
    }
    let _ = writeln!(text, "\nsnapshots to start from");
    for row in status["snapshots"].as_array().into_iter().flatten() {
        let (name, seq, age) = (format!("engine {}", row["shard"]), &row["seq"], &row["age_s"]);
        let _ = writeln!(text, "{name:<14}seq {seq}, {age} s old");
    }
    let gateway = serde_json::to_string_pretty(&status["gateway"]).unwrap_or_default();
    let _ = writeln!(text, "\ngateway's view: {gateway}");
    text
}
