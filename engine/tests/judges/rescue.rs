//! Who has what he needs on another shard is not liquidated: the shards and their ledger together,
//! with marks that move on one shard at a time and messages that come in time.

use proptest::prelude::*;
use protocol::{
    AccountId, Command, Event,
    command::Tick,
    event::OrderAccepted,
    limits::{EARMARK_US, MARGIN_CALL_GRACE_DOWN_US},
    order::{OrderOrigin, Side},
};

use crate::{
    bench::index,
    differential::cases,
    lending::{Cluster, deposit, lend},
    sweeps::link,
    trading::limit,
};

const ACCOUNTS: u32 = 3;
/// Ticks after a mark, each of which does what has come due.
const TURNS: usize = 6;

struct Venue {
    cluster: Cluster,
    /// The shards' indices: where bids and asks lean to one side, a mark is elsewhere.
    indices: [i64; 4],
    transfers: u64,
    /// Calls that brought something, and accounts that were liquidated all the same.
    helped: usize,
    liquidated: usize,
}

impl Venue {
    fn new() -> Self {
        let mut cluster = Cluster::new();
        for shard in 1..4 {
            cluster.send(shard, &link(true));
        }
        for account in 1..=ACCOUNTS {
            cluster.send(0, &deposit(account, 1, 45_000));
            for shard in 1..4 {
                cluster.send(0, &lend(account, shard, 15_000));
            }
        }
        cluster.drain();
        Self { cluster, indices: [100; 4], transfers: 1, helped: 0, liquidated: 0 }
    }

    fn positions(&self, account: AccountId) -> [i64; 4] {
        let position = |shard| self.cluster.positions.get(&(shard, account.0)).copied();
        [0, 1, 2, 3].map(|shard| position(shard).unwrap_or(0))
    }

    /// What other shards could give to an account in need, and what is free. What has come free on
    /// one of them by a trade since the call is for the next call: each shard is asked once.
    fn elsewhere(&self, account: u32, shard: usize, then: [i64; 4]) -> i128 {
        let now = self.positions(AccountId(account));
        let others = (1..4).filter(|other| *other != shard && now[*other] == then[*other]);
        let spare = others.map(|other| {
            let (equity, must_stay) =
                self.cluster.worth(other as u8, account, self.cluster.marks[other]);
            (equity - (6 * must_stay + 4).div_euclid(5)).max(0)
        });
        let spare = spare.sum::<i128>();
        let free = self.cluster.cash.get(&(0, account)).copied().unwrap_or(0);
        spare + i128::from(free).max(0)
    }

    /// Moves a shard's mark, and lets ledger and shards do what follows from it.
    fn mark(&mut self, shard: usize, mark: i64) -> Result<(), TestCaseError> {
        self.indices[shard] = mark;
        for node in &mut self.cluster.nodes {
            // earmarks are over, and no index is stale
            node.ts += EARMARK_US;
        }
        for other in (1..4).filter(|other| *other != shard) {
            self.cluster.send(other, &index(1, self.indices[other]));
        }
        self.settle(shard)?;
        self.cluster.send(shard, &index(1, mark));
        self.settle(shard)
    }

    fn settle(&mut self, shard: usize) -> Result<(), TestCaseError> {
        let mut called = Vec::new();
        for _ in 0..TURNS {
            let events = self.cluster.send(shard, &Command::Tick(Tick { _reserved: 0 }));
            for event in &events {
                match event {
                    Event::MarginCallIssued(call) => {
                        called.push((call.account, self.positions(call.account)));
                    }
                    Event::OrderAccepted(order) if order.origin == OrderOrigin::Liquidation => {
                        self.liquidated += 1;
                        self.judge(order, shard, &called)?;
                    }
                    _ => {}
                }
            }
            let before = called.iter().map(|call| self.cash(shard, call.0)).sum::<i64>();
            self.cluster.drain();
            let after = called.iter().map(|call| self.cash(shard, call.0)).sum::<i64>();
            self.helped += usize::from(after > before);
        }
        Ok(())
    }

    /// One that was called for at these marks has got all that there was.
    fn judge(
        &mut self,
        order: &OrderAccepted,
        shard: usize,
        called: &[(AccountId, [i64; 4])],
    ) -> Result<(), TestCaseError> {
        let last = called.iter().rev().find(|call| call.0 == order.account);
        if let Some((_, then)) = last {
            let left = self.elsewhere(order.account.0, shard, *then);
            prop_assert_eq!(left, 0, "shard {} liquidates {:?}", shard, order);
        }
        Ok(())
    }

    fn cash(&self, shard: usize, account: AccountId) -> i64 {
        self.cluster.cash.get(&(shard as u8, account.0)).copied().unwrap_or(0)
    }

    /// An account and its neighbour trade with each other, as far as they have margin.
    fn deal(&mut self, shard: usize, account: u32, qty: i64) {
        let price = self.indices[shard];
        let other = account % ACCOUNTS + 1;
        self.cluster.place(shard, limit(account, Side::Buy, price, qty));
        self.cluster.place(shard, limit(other, Side::Sell, price, qty));
    }

    fn step(&mut self, step: (u8, usize, u32, i64)) -> Result<(), TestCaseError> {
        let (choice, shard, account, size) = step;
        match choice {
            0 if size < 7 => {
                self.transfers += 1;
                let amount = 4_000 * size + 1;
                self.cluster.send(0, &deposit(account, self.transfers, amount));
            }
            0 | 1 => self.deal(shard, account, 1 + size % 8),
            _ => {
                let mark = (self.indices[shard] + 2 * size - 20).clamp(70, 130);
                return self.mark(shard, mark);
            }
        }
        Ok(())
    }
}

fn steps() -> impl Strategy<Value = Vec<(u8, usize, u32, i64)>> {
    prop::collection::vec((0u8..5, 1usize..4, 1..=ACCOUNTS, 0i64..21), 1..60)
}

proptest! {
    #![proptest_config(cases(40, 8_000))]

    #[test]
    fn nobody_is_liquidated_who_has_it_elsewhere(steps in steps()) {
        let mut venue = Venue::new();
        for step in steps {
            venue.step(step)?;
        }
    }
}

/// A mark is not always its index: a book that leans to one side takes it along.
#[test]
fn what_others_can_give_is_at_their_marks() {
    let mut venue = Venue::new();
    for step in [
        (2, 1, 1, 3),
        (1, 1, 2, 5),
        (2, 2, 1, 1),
        (0, 2, 1, 7),
        (2, 2, 1, 16),
        (0, 1, 3, 10),
        (1, 2, 3, 3),
        (2, 2, 1, 12),
        (2, 2, 1, 14),
        (1, 2, 2, 1),
        (2, 2, 1, 7),
        (2, 1, 1, 6),
    ] {
        venue.step(step).unwrap();
    }
}

/// A shard that has given what it could closes a position of the same account before the answer comes.
#[test]
fn what_comes_free_meanwhile_is_for_the_next_call() {
    let mut venue = Venue::new();
    for step in [
        (2, 3, 1, 2),
        (2, 1, 1, 15),
        (0, 2, 3, 12),
        (0, 2, 2, 11),
        (1, 2, 2, 1),
        (0, 2, 1, 17),
        (2, 2, 1, 2),
        (2, 3, 1, 13),
        (0, 3, 2, 19),
        (0, 1, 2, 7),
        (0, 2, 1, 7),
        (2, 1, 1, 0),
        (0, 3, 3, 10),
        (2, 3, 1, 6),
        (0, 1, 1, 0),
        (2, 2, 1, 0),
        (0, 2, 1, 7),
        (2, 2, 1, 11),
        (0, 1, 1, 0),
        (0, 1, 2, 1),
        (0, 1, 3, 11),
        (0, 1, 1, 0),
        (0, 2, 2, 8),
        (2, 3, 1, 8),
        (1, 2, 3, 2),
        (2, 1, 1, 0),
        (2, 3, 1, 0),
        (2, 2, 1, 0),
    ] {
        venue.step(step).unwrap();
    }
}

#[test]
fn calls_help_but_not_all() {
    let mut venue = Venue::new();
    let mut random = 7u64;
    let mut below = |n: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % n
    };
    for _ in 0..1_500 {
        let step = (below(5) as u8, 1 + below(3) as usize, 1 + below(3) as u32, below(21) as i64);
        venue.step(step).unwrap();
    }
    let Venue { helped, liquidated, .. } = venue;
    assert!(helped > 50 && liquidated > 10, "{helped} helped, {liquidated} liquidated");
}

/// A call waits for a ledger that is away, and nobody is liquidated meanwhile; what it sends when
/// it is back is in time.
#[test]
fn who_has_it_is_not_liquidated_while_the_ledger_is_away() {
    let mut cluster = Cluster::new();
    for (account, amount) in [(1, 15_500), (2, 900_000)] {
        cluster.send(0, &deposit(account, 1, amount));
        cluster.send(0, &lend(account, 1, amount));
    }
    cluster.send(0, &deposit(1, 2, 50_000));
    cluster.drain();
    cluster.place(1, limit(2, Side::Sell, 100, 3));
    cluster.place(1, limit(1, Side::Buy, 100, 3));
    cluster.send(1, &link(false));
    let liquidated = |cluster: &mut Cluster| {
        let mut events = cluster.send(1, &index(1, 95));
        events.extend(cluster.send(1, &Command::Tick(Tick { _reserved: 0 })));
        let forced = |event: &Event| match event {
            Event::OrderAccepted(order) => order.origin == OrderOrigin::Liquidation,
            _ => false,
        };
        events.iter().any(forced)
    };
    for _ in 0..19 {
        cluster.nodes[1].ts += MARGIN_CALL_GRACE_DOWN_US / 20;
        assert!(!liquidated(&mut cluster));
    }
    let called = cluster.nodes[1].calls.len();
    assert_eq!(called, 1, "one call, which is open");
    cluster.send(1, &link(true));
    cluster.drain();
    // a quarter of what was free came, more than the 1,360 that were asked for
    assert_eq!(cluster.worth(1, 1, 95), (350 + 12_500, 1_140));
    for _ in 0..9 {
        assert!(!liquidated(&mut cluster));
    }
}
