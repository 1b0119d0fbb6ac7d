//! Why a benchmark has no result.

use crate::flow::Sums;

#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    #[error("{who} is wrong on this flow: it made {found}, the golden sums are {golden}")]
    Golden { who: &'static str, found: Sums, golden: Sums },
    #[error("this is not flow C: {missing}: {deeds}")]
    NotTheFlow { missing: &'static str, deeds: String },
    #[error("an engine ended in state {found:016x}, the flow leads to {expected:016x}")]
    State { found: u64, expected: u64 },
    #[error("the shard: {0}")]
    Shard(String),
    #[error("the shard: {0}")]
    Node(#[from] node::Error),
    #[error("input or output failed: {0}")]
    Write(#[from] std::io::Error),
    #[error("the result can't be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
}
