//! The gateway's connection to the shards: commands there, events back, exactly once each.

use protocol::{Command, Micros, Seq, ShardId, event::Outcome};

/// Where handlers hand in commands.
#[derive(Clone)]
pub struct Orders {}

/// What a shard made of a command, and where in its log.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    pub outcome: Outcome,
    pub shard: ShardId,
    pub seq: Seq,
    pub ts: Micros,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// It was sent and may have been or may yet be applied.
    #[error("the outcome is unknown")]
    Unknown,
    /// A queue limit was met; nothing was sent.
    #[error("too many commands are under way")]
    Busy,
    /// The shard cannot be reached; nothing was sent.
    #[error("the shard cannot be reached")]
    Unavailable,
}

impl Orders {
    /// Sends a command and waits for its outcome; the views show its effects by then.
    ///
    /// `expires_at` is when the shard shall no longer apply it (log time, 0: never).
    pub async fn submit(
        &self,
        _shard: ShardId,
        _command: Command,
        _expires_at: Micros,
    ) -> Result<Reply, SubmitError> {
        Err(SubmitError::Unavailable)
    }
}
