//! One shard's events, complete and in order, out of messages that may be lost, doubled or late.
//!
//! The follower names the event it wants next ten times a second. The node goes on from what it
//! has sent; only when something is missing does the follower ask it to go back.

use std::time::Duration;

use protocol::{DecodeError, Event, Seq, ShardId, event, wire};

use super::Received;

/// How often a follower says that it still listens.
pub const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// How long committed events may stay out before they count as lost.
pub const STALL_AFTER: Duration = Duration::from_millis(300);
/// The least time between two requests to go back, so that what is under way can arrive.
pub const REWIND_INTERVAL: Duration = Duration::from_millis(100);

pub struct Follower {
    shard: ShardId,
    /// The event that comes next; `None` until it is known where the tail is.
    next: Option<Place>,
    epoch: u32,
    incarnation: u64,
    committed: Seq,
    /// What was committed when the shard was met.
    goal: Option<Seq>,
    moved: Duration,
    said: Option<Duration>,
    rewound: Option<Duration>,
    gap: bool,
    /// What has come of a frame that is not whole yet.
    partial: Vec<Received>,
}

/// A place in a shard's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub seq: Seq,
    pub index: u32,
}

/// What to tell the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    pub from: Place,
    pub rewind: bool,
}

impl Follower {
    /// Begins with the first event of a seq, or with what comes after the shard was met.
    pub fn new(shard: ShardId, from: Option<Seq>) -> Self {
        Self {
            shard,
            next: from.map(|seq| Place { seq, index: 0 }),
            epoch: 0,
            incarnation: 0,
            committed: 0,
            goal: None,
            moved: Duration::ZERO,
            said: None,
            rewound: None,
            gap: false,
            partial: Vec::new(),
        }
    }

    /// Turns to a node, or to a new start of it.
    pub fn attach(&mut self, epoch: u32, incarnation: u64, committed: Seq, now: Duration) {
        self.epoch = epoch;
        self.incarnation = incarnation;
        self.moved = now;
        self.said = None;
        self.gap = false;
        self.hear(committed);
        self.goal.get_or_insert(committed);
    }

    /// Learns how far the shard is.
    pub fn hear(&mut self, committed: Seq) {
        self.committed = self.committed.max(committed);
        self.next.get_or_insert(Place { seq: committed + 1, index: 0 });
    }

    /// Takes the body of an Events message: frames that are whole now go to `out`, what was seen is
    /// passed over, what is beyond a gap is dropped and asked for again.
    pub fn take(
        &mut self,
        body: &[u8],
        now: Duration,
        out: &mut Vec<Received>,
    ) -> Result<(), DecodeError> {
        let (header, mut rest) = wire::events(body)?;
        let stale = (header.epoch, header.incarnation) < (self.epoch, self.incarnation);
        if header.shard != self.shard || stale {
            return Ok(());
        }
        self.hear(header.committed);
        while !rest.is_empty() {
            let (header, event, behind) = event::decode_next(rest)?;
            rest = behind;
            let Some(next) = self.next else { return Ok(()) };
            let place = Place { seq: header.seq, index: header.index };
            if place < next {
                continue;
            }
            if place > next {
                self.gap = true;
                return Ok(());
            }
            self.moved = now;
            self.gap = false;
            self.partial.push(Received { shard: self.shard, header, event });
            if matches!(event, Event::Outcome(_)) {
                self.next = Some(Place { seq: next.seq + 1, index: 0 });
                out.append(&mut self.partial);
            } else {
                self.next = Some(Place { seq: next.seq, index: next.index + 1 });
            }
        }
        Ok(())
    }

    /// What to say now, if it is time to.
    pub fn ask(&self, now: Duration) -> Option<Ask> {
        let from = self.next?;
        let behind = self.committed >= from.seq;
        let stalled = behind && now.saturating_sub(self.moved) >= STALL_AFTER;
        let may_rewind = self.rewound.is_none_or(|at| now.saturating_sub(at) >= REWIND_INTERVAL);
        let rewind = (self.gap || stalled) && may_rewind;
        let due = self.said.is_none_or(|at| now.saturating_sub(at) >= FOLLOW_INTERVAL);
        (rewind || due).then_some(Ask { from, rewind })
    }

    /// The ask is on its way.
    pub fn asked(&mut self, ask: Ask, now: Duration) {
        self.said = Some(now);
        if ask.rewind {
            self.rewound = Some(now);
            self.gap = false;
        }
    }

    /// Whether everything has come that the shard had committed when it was met. What is committed
    /// meanwhile does not count, or a busy shard would never be caught up with.
    pub fn caught_up(&self) -> bool {
        let goal = self.goal.filter(|_| self.said.is_some());
        self.next.zip(goal).is_some_and(|(next, goal)| next.seq > goal)
    }

    pub fn next(&self) -> Option<Place> {
        self.next
    }

    pub fn committed(&self) -> Seq {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::{
        Reject, SessionId,
        event::{EventHeader, Outcome, SymbolStateChanged},
        order::SymbolState,
        wire::EventsHeader,
    };
    use zerocopy::IntoBytes;

    const SHARD: ShardId = ShardId(1);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn outcome() -> Event {
        let mut bytes = [0u8; size_of::<Outcome>()];
        bytes[..8].copy_from_slice(SessionId(3).as_bytes());
        let event = Event::decode(protocol::EventKind::Outcome as u16, &bytes).unwrap();
        assert!(matches!(event, Event::Outcome(outcome) if outcome.reject == Reject::None));
        event
    }

    fn state() -> Event {
        let mut change = [0u8; size_of::<SymbolStateChanged>()];
        change[2] = SymbolState::Halted as u8;
        Event::decode(protocol::EventKind::SymbolStateChanged as u16, &change).unwrap()
    }

    fn message(epoch: u32, incarnation: u64, events: &[(Seq, u32, Event)]) -> Vec<u8> {
        let committed = events.last().map_or(0, |(seq, ..)| *seq);
        let header = EventsHeader { shard: SHARD, _pad: [0; 3], epoch, incarnation, committed };
        let mut bytes = header.as_bytes().to_vec();
        for (seq, index, event) in events {
            let header = EventHeader {
                seq: *seq,
                ts: 0,
                index: *index,
                kind: event.kind() as u16,
                len: event.body().len() as u16,
            };
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(event.body());
        }
        bytes
    }

    fn places(out: &[Received]) -> Vec<(Seq, u32)> {
        out.iter().map(|one| (one.header.seq, one.header.index)).collect()
    }

    #[test]
    fn takes_only_what_is_next_and_asks_for_what_is_missing() {
        let mut follower = Follower::new(SHARD, Some(1));
        let mut out = Vec::new();
        follower.attach(1, 1, 1, at(0));
        let start = Place { seq: 1, index: 0 };
        assert_eq!(follower.ask(at(0)), Some(Ask { from: start, rewind: false }));
        follower.asked(Ask { from: start, rewind: false }, at(0));
        assert_eq!(follower.ask(at(50)), None);

        assert!(!follower.caught_up());
        let first = message(1, 1, &[(1, 0, state()), (1, 1, outcome())]);
        follower.take(&first, at(1), &mut out).unwrap();
        follower.take(&first, at(2), &mut out).unwrap();
        assert_eq!(places(&out), [(1, 0), (1, 1)]);
        assert!(follower.caught_up());

        let third = message(1, 1, &[(3, 0, outcome())]);
        follower.take(&third, at(3), &mut out).unwrap();
        let missing = Place { seq: 2, index: 0 };
        assert_eq!(follower.ask(at(3)), Some(Ask { from: missing, rewind: true }));
        follower.asked(Ask { from: missing, rewind: true }, at(3));
        assert_eq!(follower.ask(at(4)), None);
        let both = message(1, 1, &[(2, 0, outcome()), (3, 0, outcome())]);
        follower.take(&both, at(5), &mut out).unwrap();
        assert_eq!(places(&out), [(1, 0), (1, 1), (2, 0), (3, 0)]);
    }

    #[test]
    fn a_lost_last_message_is_noticed_by_what_the_node_says_it_committed() {
        let mut follower = Follower::new(SHARD, Some(1));
        follower.attach(1, 1, 0, at(0));
        follower.asked(follower.ask(at(0)).unwrap(), at(0));
        follower.hear(1);
        assert!(follower.caught_up());
        assert!(!follower.ask(at(120)).unwrap().rewind);
        assert!(follower.ask(at(300)).unwrap().rewind);
    }

    #[test]
    fn old_epochs_old_starts_and_other_shards_are_not_heard() {
        let mut follower = Follower::new(SHARD, Some(1));
        let mut out = Vec::new();
        follower.attach(2, 7, 0, at(0));
        for (epoch, incarnation) in [(1, 9), (2, 6)] {
            let old = message(epoch, incarnation, &[(1, 0, outcome())]);
            follower.take(&old, at(1), &mut out).unwrap();
        }
        let mut other = message(2, 7, &[(1, 0, outcome())]);
        other[0] = 9;
        follower.take(&other, at(1), &mut out).unwrap();
        assert!(out.is_empty());
        follower.take(&message(2, 7, &[(1, 0, outcome())]), at(1), &mut out).unwrap();
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn the_tail_begins_behind_what_was_committed_when_the_node_was_met() {
        let mut follower = Follower::new(SHARD, None);
        assert_eq!(follower.ask(at(0)), None);
        follower.attach(1, 1, 41, at(0));
        assert_eq!(follower.ask(at(0)).unwrap().from, Place { seq: 42, index: 0 });
    }

    #[test]
    fn cut_messages_are_errors_and_keep_what_came_whole() {
        let mut follower = Follower::new(SHARD, Some(1));
        let mut out = Vec::new();
        follower.attach(1, 1, 0, at(0));
        let whole = message(1, 1, &[(1, 0, outcome()), (2, 0, outcome())]);
        for cut in 0..whole.len() {
            let _ = follower.take(&whole[..cut], at(1), &mut out);
        }
        assert_eq!(places(&out), [(1, 0)]);
        follower.take(&whole, at(2), &mut out).unwrap();
        assert_eq!(places(&out), [(1, 0), (2, 0)]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_break_the_order(
            changes: Vec<(usize, u8)>,
            tail: Vec<u8>,
        ) {
            let mut bytes = message(1, 1, &[(1, 0, state()), (1, 1, outcome()), (2, 0, outcome())]);
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            bytes.extend(tail);
            let mut follower = Follower::new(SHARD, Some(1));
            let mut out = Vec::new();
            follower.attach(1, 1, 0, at(0));
            let _ = follower.take(&bytes, at(1), &mut out);
            prop_assert!(places(&out).is_sorted());
        }
    }
}
