//! Commands whose answer is an event of its own: taken by the ledger first, settled later.
//!
//! What needs nobody else is settled in the frame that takes it, and is then seen before the
//! frame's outcome.

use std::{collections::HashMap, time::Duration};

use protocol::{Reject, SessionId};

use super::Reply;

/// A command by its session and its number there.
pub type Key = (SessionId, u64);

pub struct Settlements<W> {
    waiting: HashMap<Key, Waiting<W>>,
    /// Settled, and their outcome is not seen yet.
    early: HashMap<Key, Reject>,
}

struct Waiting<W> {
    waiter: W,
    reply: Reply,
    deadline: Duration,
}

impl<W> Default for Settlements<W> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), early: HashMap::new() }
    }
}

impl<W> Settlements<W> {
    /// The ledger has taken a command; who is to be told what now, if it is settled already.
    pub fn taken(&mut self, waiter: W, reply: Reply, deadline: Duration) -> Option<(W, Reply)> {
        let key = (reply.outcome.session, reply.outcome.number);
        if let Some(reject) = self.early.remove(&key) {
            return Some((waiter, settled(reply, reject)));
        }
        self.waiting.insert(key, Waiting { waiter, reply, deadline });
        None
    }

    /// A command is settled; who is to be told what now. One that somebody here waits for (`ours`)
    /// is remembered until its outcome is seen.
    pub fn settled(&mut self, key: Key, reject: Reject, ours: bool) -> Option<(W, Reply)> {
        if let Some(Waiting { waiter, reply, .. }) = self.waiting.remove(&key) {
            return Some((waiter, settled(reply, reject)));
        }
        if ours {
            self.early.insert(key, reject);
        }
        None
    }

    /// Those that nobody waits for any more.
    pub fn overdue(&mut self, now: Duration) -> Vec<W> {
        let late = self.waiting.extract_if(|_, waiting| waiting.deadline <= now);
        late.map(|(_, waiting)| waiting.waiter).collect()
    }
}

fn settled(reply: Reply, reject: Reject) -> Reply {
    let outcome = protocol::event::Outcome { reject, ..reply.outcome };
    Reply { outcome, ..reply }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{ShardId, event::Outcome};
    use zerocopy::TryFromBytes;

    const SESSION: SessionId = SessionId(3);

    fn reply(number: u64) -> Reply {
        let outcome = Outcome::try_read_from_bytes(&[0; size_of::<Outcome>()]).unwrap();
        let outcome = Outcome { session: SESSION, number, ..outcome };
        Reply { outcome, shard: ShardId::LEDGER, seq: 1, ts: 1 }
    }

    fn told(told: Option<(u32, Reply)>) -> Option<(u32, Reject)> {
        told.map(|(waiter, reply)| (waiter, reply.outcome.reject))
    }

    #[test]
    fn an_answer_waits_for_its_settlement() {
        let mut settlements = Settlements::default();
        let deadline = Duration::from_millis(100);
        assert_eq!(told(settlements.taken(7, reply(1), deadline)), None);
        assert_eq!(told(settlements.taken(8, reply(2), deadline)), None);
        let refused = Reject::WithdrawalTooLarge;
        assert_eq!(told(settlements.settled((SESSION, 2), refused, false)), Some((8, refused)));
        assert!(settlements.overdue(Duration::from_millis(99)).is_empty());
        assert_eq!(settlements.overdue(deadline), [7]);
        assert_eq!(told(settlements.settled((SESSION, 1), Reject::None, false)), None);
    }

    #[test]
    fn what_was_settled_first_is_answered_at_once() {
        let mut settlements = Settlements::default();
        let deadline = Duration::from_millis(100);
        assert_eq!(told(settlements.settled((SESSION, 1), Reject::None, true)), None);
        // another gateway's is not kept
        assert_eq!(told(settlements.settled((SessionId(9), 1), Reject::None, false)), None);
        assert_eq!(told(settlements.taken(7, reply(1), deadline)), Some((7, Reject::None)));
        assert_eq!((settlements.early.len(), settlements.waiting.len()), (0, 0));
    }
}
