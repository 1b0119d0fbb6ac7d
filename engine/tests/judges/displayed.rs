//! What a trader is shown as available can be spent, wherever it lies: one order at a time.

use proptest::prelude::*;
use protocol::{
    AccountId, Command, Event, Reject, SymbolId,
    command::{CancelAll, Place, SetLeverage, SetMarginMode, Tick},
    limits::{EARMARK_US, RECALL_WAIT_US, SWEEP_AFTER_US},
    order::{MarginMode, OrderType, Side, TimeInForce},
};

use crate::{
    auditor::Auditor,
    bench::{Bench, index, outcome},
    differential::cases,
    lending::{Cluster, deposit},
    sweeps::link,
    trading::limit,
};

const ALICE: u32 = 1;
const BOB: u32 = 2;

struct Venue {
    cluster: Cluster,
    /// By trading shard, from 1 on: a replay of its log, and who listens to it.
    audits: [(Bench, Auditor); 4],
    marks: [i64; 4],
}

impl Venue {
    fn new(alice: i64) -> Self {
        let mut cluster = Cluster::new();
        cluster.send(0, &deposit(ALICE, 1, alice));
        cluster.send(0, &deposit(BOB, 1, 1 << 40));
        for shard in 1..4 {
            cluster.send(shard, &link(true));
        }
        let audits = [0, 1, 2, 3].map(|shard| (Bench::new(shard), Auditor::default()));
        Self { cluster, audits, marks: [100; 4] }
    }

    /// Cross equity less what it must cover, on one shard, by its events.
    fn available(&mut self, shard: usize) -> i128 {
        let node = &self.cluster.nodes[shard];
        let (replay, auditor) = &mut self.audits[shard];
        let known = replay.log.len();
        for (header, payload) in node.log.iter().skip(known) {
            replay.ts = header.ts - 1;
            auditor.take(header.ts, &replay.apply_bytes(header.kind, payload).events());
        }
        auditor.available(ALICE)
    }

    /// Sends an order as a gateway does; how it ended, and whether it had fitted what is shown. While
    /// a margin call is open nothing that opens is taken there; and one that another shard makes
    /// while the ledger collects what the order lacks comes first, so the next try may be needed.
    fn place(&mut self, shard: usize, order: Place) -> (Reject, bool) {
        let others: i128 = (1..4).filter(|at| *at != shard).map(|at| self.available(at)).sum();
        let free = i128::from(self.cluster.cash.get(&(0, order.account.0)).copied().unwrap_or(0));
        let calls = self.calls();
        let test = outcome(&self.cluster.send(shard, &Command::TestPlace(order)));
        let fits = test.reject == Reject::NeedMargin && i128::from(test.amount) <= free + others;
        let reject = self.cluster.place(shard, order);
        (reject, fits && self.calls() == calls)
    }

    fn calls(&self) -> usize {
        self.cluster.nodes.iter().map(|node| node.calls.len()).sum()
    }

    /// Everybody rests until what he has not used has gone home.
    fn rest(&mut self) {
        for node in &mut self.cluster.nodes {
            node.ts += SWEEP_AFTER_US;
        }
        for shard in 1..4 {
            self.cluster.send(shard, &Command::Tick(Tick { _reserved: 0 }));
            // an index that is away for so long would end trading
            self.mark(shard, self.marks[shard]);
        }
        self.cluster.drain();
    }

    fn mark(&mut self, shard: usize, mark: i64) {
        self.marks[shard] = mark;
        self.cluster.send(shard, &index(1, mark));
    }

    fn pass_time(&mut self) {
        for node in &mut self.cluster.nodes {
            node.ts += EARMARK_US + RECALL_WAIT_US;
        }
    }
}

proptest! {
    #![proptest_config(cases(20, 6_000))]

    #[test]
    fn an_order_that_fits_is_never_short_of_margin(
        alice in 10_000i64..400_000,
        steps in prop::collection::vec((0u8..13, 1usize..4, -4i64..5, 1i64..9), 1..40),
    ) {
        let mut venue = Venue::new(alice);
        for (choice, shard, near, qty) in steps {
            let side = if choice % 2 == 0 { Side::Buy } else { Side::Sell };
            match choice {
                0..=5 => {
                    let order = limit(ALICE, side, 100 + near, qty);
                    let order = if near == 4 { at_market(order) } else { order };
                    let (reject, fits) = venue.place(shard, order);
                    prop_assert!(!(fits && reject == Reject::InsufficientMargin), "shard {shard}");
                }
                6 | 7 => {
                    let order = limit(BOB, side, 100 + near, qty);
                    venue.place(shard, order);
                }
                8 => venue.mark(shard, 100 + near),
                9 => venue.rest(),
                10 => {
                    let mode = if near < 0 { MarginMode::Cross } else { MarginMode::Isolated };
                    let (account, symbol, _pad) = (AccountId(ALICE), SymbolId(1), 0);
                    let set = SetMarginMode { account, symbol, mode, _pad };
                    venue.cluster.send(shard, &Command::SetMarginMode(set));
                }
                11 => {
                    let (account, symbol, _pad) = (AccountId(ALICE), SymbolId(1), 0);
                    let set = SetLeverage { account, symbol, leverage: 3 + 2 * qty as u8, _pad };
                    venue.cluster.send(shard, &Command::SetLeverage(set));
                }
                _ => {
                    let (account, symbol) = (AccountId(ALICE), SymbolId(1));
                    let all = CancelAll { account, symbol, _pad: [0; 2] };
                    venue.cluster.send(shard, &Command::CancelAll(all));
                }
            }
            venue.pass_time();
        }
    }
}

fn at_market(order: Place) -> Place {
    let (order_type, time_in_force) = (OrderType::Market, TimeInForce::Ioc);
    Place { order_type, time_in_force, price: 0, ..order }
}

/// What shards have given back by themselves can be spent on any of them, and again.
#[test]
fn money_that_went_home_is_spent() {
    let mut venue = Venue::new(100_000);
    for _ in 0..3 {
        for shard in [1, 2, 3] {
            let (reject, fits) = venue.place(shard, limit(ALICE, Side::Buy, 100, 5));
            assert_eq!((reject, fits), (Reject::None, true));
            venue.rest();
            let (account, symbol) = (AccountId(ALICE), SymbolId(1));
            let all = CancelAll { account, symbol, _pad: [0; 2] };
            venue.cluster.send(shard, &Command::CancelAll(all));
            venue.rest();
            assert_eq!(venue.cluster.cash[&(0, ALICE)], 100_000, "all is free again");
        }
    }
    let (reject, fits) = venue.place(1, limit(ALICE, Side::Buy, 100, 19));
    assert_eq!((reject, fits), (Reject::None, true), "wherever it lies");
}

#[test]
fn money_that_lies_elsewhere_is_spent() {
    let mut venue = Venue::new(100_000);
    // a lot holds 5,050 back: nine on shard 1, nine on shard 2, and one more nowhere
    for shard in [1, 2] {
        let (reject, fits) = venue.place(shard, limit(ALICE, Side::Buy, 100, 9));
        assert_eq!((reject, fits), (Reject::None, true));
        venue.pass_time();
    }
    let (reject, fits) = venue.place(3, limit(ALICE, Side::Buy, 100, 2));
    assert_eq!((reject, fits), (Reject::InsufficientMargin, false));
    let (reject, fits) = venue.place(3, limit(ALICE, Side::Buy, 100, 1));
    assert_eq!((reject, fits), (Reject::None, true));
    let accepted = |event: &Event| matches!(event, Event::OrderAccepted(_));
    assert!(!venue.cluster.nodes[3].send(&index(1, 100)).iter().any(accepted));
}
