//! Margin rounds: an order short of margin waits for the ledger to lend, then goes out once more.
//!
//! While a round is open, later commands of the same account on the same symbol wait behind it,
//! so that they reach the shard in the order in which their client sent them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use protocol::{AccountId, Command, ShardId, SymbolId, event::EventHeader, event::Outcome};

use super::{HELD_MAX, session::Request};

/// What keeps its order: one account on one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    pub shard: ShardId,
    pub account: AccountId,
    pub symbol: SymbolId,
}

impl Lane {
    /// The lane of a trader's command; others have none.
    pub fn of(shard: ShardId, command: &Command) -> Option<Self> {
        let (account, symbol) = match command {
            Command::Place(body) | Command::TestPlace(body) => (body.account, body.symbol),
            Command::Amend(body) => (body.account, body.symbol),
            Command::Cancel(body) => (body.account, body.symbol),
            Command::CancelAll(body) | Command::CancelAllAlgos(body) => (body.account, body.symbol),
            Command::PlaceAlgo(body) => (body.account, body.symbol),
            Command::CancelAlgo(body) => (body.account, body.symbol),
            Command::Countdown(body) => (body.account, body.symbol),
            Command::SetLeverage(body) => (body.account, body.symbol),
            Command::SetMarginMode(body) => (body.account, body.symbol),
            Command::MoveMargin(body) => (body.account, body.symbol),
            Command::Open(_)
            | Command::Tick(_)
            | Command::Genesis(_)
            | Command::LinkState(_)
            | Command::ListSymbol(_)
            | Command::SetBrackets(_)
            | Command::SetFees(_)
            | Command::SetSymbolState(_)
            | Command::Settle(_)
            | Command::IndexPrices(_)
            | Command::Deposit(_)
            | Command::Lend(_)
            | Command::Withdraw(_)
            | Command::Grant(_)
            | Command::Recall(_)
            | Command::Return(_)
            | Command::LinkAck(_)
            | Command::SetPositionMode(_)
            | Command::Hold(_)
            | Command::Release(_)
            | Command::Held(_)
            | Command::MarginCall(_)
            | Command::Debt(_) => return None,
        };
        Some(Self { shard, account, symbol })
    }
}

/// The order that a round is about.
pub struct Short<W> {
    pub owner: W,
    pub request: Request,
    /// What the shard said: the answer, if the ledger refuses.
    pub outcome: Outcome,
    pub header: EventHeader,
}

/// A round that is over: what it was about and what has waited behind it, in order.
pub struct Closed<W> {
    pub lane: Lane,
    pub short: Short<W>,
    pub held: VecDeque<(W, Request)>,
}

/// What to do with a command.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, never kept")]
pub enum Admit<W> {
    Send(W, Request),
    Held,
    /// Too many wait already.
    Full(W),
}

pub struct Rounds<W> {
    open: BTreeMap<Lane, Round<W>>,
    /// Lends whose outcome has come but whose answer has not, by their number.
    lends: HashMap<u64, Lane>,
    /// What each shard has applied of the ledger's stream to it.
    applied: BTreeMap<ShardId, u64>,
}

struct Round<W> {
    short: Short<W>,
    lend: Option<u64>,
    /// The grant's place in the ledger's stream; `None`: not granted yet.
    granted: Option<u64>,
    /// Commands that were under way when the round began and were short as well stand first.
    held: VecDeque<(W, Request)>,
    again: usize,
}

impl<W> Default for Rounds<W> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), lends: HashMap::new(), applied: BTreeMap::new() }
    }
}

impl<W> Rounds<W> {
    /// Lets a command pass, or makes it wait behind the round of its lane.
    pub fn admit(&mut self, lane: Lane, owner: W, request: Request) -> Admit<W> {
        match self.open.get_mut(&lane) {
            None => Admit::Send(owner, request),
            Some(round) if round.held.len() >= HELD_MAX => Admit::Full(owner),
            Some(round) => {
                round.held.push_back((owner, request));
                Admit::Held
            }
        }
    }

    /// Begins a round; true when the ledger is to be asked, false when the order waits behind
    /// another one of its lane.
    pub fn begin(&mut self, lane: Lane, short: Short<W>) -> bool {
        if let Some(round) = self.open.get_mut(&lane) {
            round.held.insert(round.again, (short.owner, short.request));
            round.again += 1;
            return false;
        }
        let held = VecDeque::new();
        self.open.insert(lane, Round { short, lend: None, granted: None, held, again: 0 });
        true
    }

    /// The ledger has taken the Lend; its answer comes later, unless it has come already.
    pub fn lending(&mut self, lane: Lane, number: u64) {
        if let Some(round) = self.open.get_mut(&lane)
            && round.granted.is_none()
        {
            round.lend = Some(number);
            self.lends.insert(number, lane);
        }
    }

    /// The lane of a Lend by its number.
    pub fn lane_of(&self, number: u64) -> Option<Lane> {
        self.lends.get(&number).copied()
    }

    /// The ledger has lent; the round ends when the shard has what was lent.
    pub fn granted(&mut self, lane: Lane, link_seq: u64) -> Option<Closed<W>> {
        self.open.get_mut(&lane)?.granted = Some(link_seq);
        let there = self.applied.get(&lane.shard).is_some_and(|applied| *applied >= link_seq);
        if there { self.close(lane) } else { None }
    }

    /// A shard has applied the ledger's stream up to `link_seq`: the rounds that waited for that.
    pub fn applied(&mut self, shard: ShardId, link_seq: u64) -> Vec<Closed<W>> {
        let applied = self.applied.entry(shard).or_default();
        *applied = link_seq.max(*applied);
        let due = |round: &Round<W>| round.granted.is_some_and(|granted| granted <= link_seq);
        self.close_where(|lane, round| lane.shard == shard && due(round))
    }

    /// The rounds whose order nobody waits for any more.
    pub fn overdue(&mut self, now: Duration) -> Vec<Closed<W>> {
        self.close_where(|_, round| round.short.request.deadline <= now)
    }

    /// Ends a round.
    pub fn close(&mut self, lane: Lane) -> Option<Closed<W>> {
        let round = self.open.remove(&lane)?;
        if let Some(number) = round.lend {
            self.lends.remove(&number);
        }
        Some(Closed { lane, short: round.short, held: round.held })
    }

    fn close_where(&mut self, due: impl Fn(&Lane, &Round<W>) -> bool) -> Vec<Closed<W>> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let lanes: Vec<Lane> =
            self.open.iter().filter(|(lane, round)| due(lane, round)).map(|(l, _)| *l).collect();
        lanes.into_iter().filter_map(|lane| self.close(lane)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{command::CancelAll, event::EventHeader};
    use zerocopy::TryFromBytes;

    const LANE: Lane = Lane { shard: ShardId(2), account: AccountId(5), symbol: SymbolId(7) };

    fn request(deadline_ms: u64) -> Request {
        let body = CancelAll { account: LANE.account, symbol: LANE.symbol, _pad: [0; 2] };
        Request {
            command: Command::CancelAll(body),
            expires_at: 0,
            last_try: false,
            deadline: Duration::from_millis(deadline_ms),
        }
    }

    fn short(owner: u32) -> Short<u32> {
        let outcome = Outcome::try_read_from_bytes(&[0; size_of::<Outcome>()]).unwrap();
        Short { owner, request: request(100), outcome, header: EventHeader::default() }
    }

    fn held(closed: &Closed<u32>) -> Vec<u32> {
        closed.held.iter().map(|(owner, _)| *owner).collect()
    }

    #[test]
    fn a_round_ends_when_the_shard_has_what_was_lent() {
        let mut rounds = Rounds::default();
        assert!(rounds.begin(LANE, short(1)));
        rounds.lending(LANE, 9);
        assert_eq!(rounds.lane_of(9), Some(LANE));
        assert!(rounds.granted(LANE, 4).is_none());
        assert!(rounds.applied(ShardId(1), 9).is_empty());
        assert!(rounds.applied(LANE.shard, 3).is_empty());
        let closed = rounds.applied(LANE.shard, 4);
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].short.owner, 1);
        assert_eq!(rounds.lane_of(9), None);
    }

    #[test]
    fn a_grant_that_was_applied_before_its_answer_came_ends_the_round_at_once() {
        let mut rounds = Rounds::default();
        assert!(rounds.applied(LANE.shard, 4).is_empty());
        assert!(rounds.begin(LANE, short(1)));
        assert!(rounds.granted(LANE, 4).is_some());
    }

    #[test]
    fn later_commands_wait_in_order_behind_those_that_were_short_as_well() {
        let mut rounds = Rounds::default();
        assert!(matches!(rounds.admit(LANE, 0, request(1)), Admit::Send(0, _)));
        assert!(rounds.begin(LANE, short(1)));
        assert!(matches!(rounds.admit(LANE, 4, request(1)), Admit::Held));
        assert!(!rounds.begin(LANE, short(2)));
        assert!(!rounds.begin(LANE, short(3)));
        assert!(matches!(rounds.admit(LANE, 5, request(1)), Admit::Held));
        let other = Lane { symbol: SymbolId(8), ..LANE };
        assert!(matches!(rounds.admit(other, 6, request(1)), Admit::Send(6, _)));
        assert_eq!(held(&rounds.close(LANE).unwrap()), [2, 3, 4, 5]);
        assert!(matches!(rounds.admit(LANE, 7, request(1)), Admit::Send(7, _)));
    }

    #[test]
    fn a_round_has_a_deadline_and_a_bound() {
        let mut rounds = Rounds::default();
        assert!(rounds.begin(LANE, short(1)));
        for owner in 0..HELD_MAX as u32 {
            assert!(matches!(rounds.admit(LANE, owner, request(1)), Admit::Held));
        }
        assert!(matches!(rounds.admit(LANE, 1, request(1)), Admit::Full(1)));
        assert!(rounds.overdue(Duration::from_millis(99)).is_empty());
        let closed = rounds.overdue(Duration::from_millis(100));
        assert_eq!(closed[0].held.len(), HELD_MAX);
    }
}
