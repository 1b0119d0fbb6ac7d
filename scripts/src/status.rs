//! `exchange status`: what runs, and what each shard says of itself.

use serde_json::{Value, json};

use crate::{
    Error,
    admin::Admin,
    cluster::{ClusterFile, is_alive},
    config::SHARDS,
    layout::Layout,
    snapshots::{self, Failed, Newest},
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
    let (snapshots, failed) = snapshots_of(layout);
    Ok(json!({
        "base_url": file.base_url,
        "snapshots": snapshots,
        "snapshots_failed": failed,
        "admin_url": file.admin_url,
        "processes": processes,
        "gateway": gateway,
    }))
}

/// The newest snapshots, and what has failed; what can't be read is a failure, too.
fn snapshots_of(layout: &Layout) -> (Vec<Newest>, Vec<Failed>) {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for shard in 0..SHARDS {
        let unread = |error: Error| Failed { shard, age_s: 0, reason: error.to_string() };
        match snapshots::newest(layout, shard) {
            Ok(newest) => all.extend(newest),
            Err(error) => failures.push(unread(error)),
        }
        failures.extend(snapshots::failed(layout, shard).unwrap_or_else(|e| Some(unread(e))));
    }
    (all, failures)
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
    for row in status["snapshots_failed"].as_array().into_iter().flatten() {
        let (name, age) = (format!("engine {}", row["shard"]), &row["age_s"]);
        let reason = row["reason"].as_str().unwrap_or("?").trim_end();
        let _ = writeln!(text, "{name:<14}the last attempt failed, {age} s ago: {reason}");
    }
    let gateway = serde_json::to_string_pretty(&status["gateway"]).unwrap_or_default();
    let _ = writeln!(text, "\ngateway's view: {gateway}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::new(temp.path()).unwrap();
        for shard in [1, 2] {
            std::fs::create_dir_all(layout.shard(shard)).unwrap();
        }
        std::fs::write(layout.shard(1).join("snapshots"), "no directory").unwrap();
        std::fs::create_dir(layout.shard(2).join("snapshots")).unwrap();
        std::fs::write(layout.shard(2).join("snapshots/7.snapshot"), "").unwrap();
        let (newest, failed) = snapshots_of(&layout);
        assert_eq!(newest.iter().map(|row| (row.shard, row.seq)).collect::<Vec<_>>(), [(2, 7)]);
        assert_eq!(failed.iter().map(|row| row.shard).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_snapshot_that_failed_is_shown() {
        let mut status = json!({ "snapshots": [{ "shard": 1, "seq": 900, "age_s": 5 }] });
        assert!(!show(&status).contains("failed"));
        let reason = "the disk is full";
        status["snapshots_failed"] = json!([{ "shard": 2, "age_s": 7, "reason": reason }]);
        let shown = show(&status);
        let line = shown.lines().find(|line| line.contains("failed")).unwrap();
        assert!(line.starts_with("engine 2 ") && line.ends_with("7 s ago: the disk is full"));
    }
}
