//! Changes of position modes: the ledger takes one, asks the shards, and answers some time later.

use std::{collections::BTreeMap, time::Duration};

use protocol::{Reject, Seq, ShardId, event::PositionModeSettled};

use super::Reply;

/// Who waits for the ledger's answer, by the change's seq.
#[derive(Debug)]
pub struct Modes<W> {
    waiting: BTreeMap<Seq, Waiting<W>>,
}

#[derive(Debug)]
struct Waiting<W> {
    owner: W,
    /// As the ledger took it.
    taken: Reply,
    deadline: Duration,
}

impl<W> Default for Modes<W> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new() }
    }
}

impl<W> Modes<W> {
    /// The ledger has taken a change: its outcome is not the answer yet.
    pub fn taken(&mut self, owner: W, taken: Reply, deadline: Duration) {
        self.waiting.insert(taken.seq, Waiting { owner, taken, deadline });
    }

    /// The ledger's answer, and who waits for it.
    pub fn settled(&mut self, settled: &PositionModeSettled) -> Option<(W, Reply)> {
        let Waiting { owner, mut taken, .. } = self.waiting.remove(&settled.change)?;
        taken.outcome.reject = settled.reject;
        Some((owner, taken))
    }

    /// Those that have waited too long: what becomes of their changes is unknown.
    pub fn overdue(&mut self, now: Duration) -> Vec<W> {
        let over = |_: &Seq, waiting: &mut Waiting<W>| waiting.deadline <= now;
        self.waiting.extract_if(.., over).map(|(_, waiting)| waiting.owner).collect()
    }
}

/// True for an outcome that is only the beginning of an answer.
pub const fn is_begun(reply: &Reply, command: &protocol::Command) -> bool {
    matches!(command, protocol::Command::SetPositionMode(_))
        && matches!(reply.outcome.reject, Reject::None)
        && reply.shard.0 == ShardId::LEDGER.0
}

#[cfg(test)]
mod tests {
    use protocol::{AccountId, SessionId, order::PositionMode};

    use super::*;

    fn taken(seq: Seq) -> Reply {
        let outcome = protocol::event::Outcome {
            session: SessionId(1),
            number: 1,
            order: protocol::OrderId::NONE,
            amount: 0,
            reject: Reject::None,
            command: 0,
            _pad: 0,
        };
        Reply { outcome, shard: ShardId::LEDGER, seq, ts: 5 }
    }

    fn settled(change: Seq, reject: Reject) -> PositionModeSettled {
        PositionModeSettled {
            session: SessionId(1),
            number: 1,
            change,
            account: AccountId(1),
            mode: PositionMode::Hedge,
            _pad: 0,
            reject,
        }
    }

    #[test]
    fn each_waits_for_its_own_answer_for_so_long() {
        let mut modes = Modes::default();
        for (seq, until) in [(7, 10), (8, 20), (9, 30)] {
            modes.taken(seq, taken(seq), Duration::from_secs(until));
        }
        let answer = modes.settled(&settled(8, Reject::PositionModeOrders));
        let answer = answer.map(|(owner, reply)| (owner, reply.outcome.reject, reply.seq));
        assert_eq!(answer, Some((8, Reject::PositionModeOrders, 8)));
        assert!(modes.settled(&settled(8, Reject::None)).is_none(), "once");
        assert!(modes.settled(&settled(6, Reject::None)).is_none(), "somebody else's");
        assert!(modes.overdue(Duration::from_secs(9)).is_empty());
        assert_eq!(modes.overdue(Duration::from_secs(10)), [7]);
        assert!(modes.settled(&settled(9, Reject::None)).is_some());
    }
}
