//! Changing a position mode by example: the ledger asks all shards, and changes it on all or none.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::{
    AccountId, Command, Event, Reject,
    command::{CancelAll, SetPositionMode, Tick},
    event::{PositionModeChanged, PositionModeSettled},
    limits::MODE_WAIT_US,
    order::{PositionMode, PositionSide, Side},
};

use crate::{
    bench::outcome,
    differential::cases,
    lending::{Cluster, deposit, lend},
    trading::limit,
};

const ALICE: u32 = 1;
/// Nodes of the cluster: the ledger and two shards.
const LEDGER: usize = 0;

fn set(mode: PositionMode) -> Command {
    Command::SetPositionMode(SetPositionMode { account: AccountId(ALICE), mode, _pad: [0; 3] })
}

/// A buy of one lot on one of the shards.
fn order(position_side: PositionSide) -> Command {
    let order = limit(ALICE, Side::Buy, 90, 1);
    Command::Place(protocol::command::Place { position_side, ..order })
}

fn settled(events: &[Event]) -> Option<PositionModeSettled> {
    events.iter().find_map(|event| match event {
        Event::PositionModeSettled(settled) => Some(*settled),
        _ => None,
    })
}

/// Alice has money on shard 1 and on shard 2.
fn funded() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.send(LEDGER, &deposit(ALICE, 1, 100_000));
    cluster.send(LEDGER, &lend(ALICE, 1, 40_000));
    cluster.send(LEDGER, &lend(ALICE, 2, 40_000));
    cluster.drain();
    cluster
}

/// Delivers the ledger's oldest message to a shard, and what the shard answers.
fn round(cluster: &mut Cluster, shard: u8) -> Vec<Event> {
    let mut outbox = cluster.nodes[LEDGER].engine.outbox();
    let nth = outbox.position(|(to, _, _)| to.0 == shard).expect("there is something to say");
    drop(outbox);
    cluster.deliver(LEDGER, nth, true);
    cluster.deliver(shard.into(), 0, true)
}

#[test]
fn a_mode_changes_on_all_shards() {
    let mut cluster = funded();
    cluster.nodes[LEDGER].refused(&set(PositionMode::OneWay), Reject::PositionModeUnchanged);
    cluster.nodes[1].refused(&order(PositionSide::Long), Reject::PositionSideMismatch);
    let events = cluster.send(LEDGER, &set(PositionMode::Hedge));
    assert_eq!((outcome(&events).reject, settled(&events)), (Reject::None, None));
    // one change at a time
    cluster.nodes[LEDGER].refused(&set(PositionMode::Hedge), Reject::LedgerBusy);
    assert_eq!(settled(&round(&mut cluster, 1)), None);
    // what is held takes no orders of either kind
    cluster.nodes[1].refused(&order(PositionSide::Both), Reject::AccountHeld);
    cluster.nodes[1].refused(&order(PositionSide::Long), Reject::AccountHeld);
    assert_eq!(settled(&round(&mut cluster, 2)), None);
    let done = settled(&round(&mut cluster, 3)).expect("all have answered");
    assert_eq!((done.reject, done.mode), (Reject::None, PositionMode::Hedge));
    assert_eq!(cluster.nodes[LEDGER].engine.wake_at(), None);
    // a shard that has not heard of it yet still takes no orders
    cluster.nodes[2].refused(&order(PositionSide::Both), Reject::AccountHeld);
    cluster.drain();
    for shard in [1, 2] {
        cluster.nodes[shard].refused(&order(PositionSide::Both), Reject::PositionSideMismatch);
        cluster.nodes[shard].ok(&order(PositionSide::Long));
    }
}

#[test]
fn an_open_order_or_a_position_anywhere_keeps_the_mode() {
    let mut cluster = funded();
    cluster.send(2, &order(PositionSide::Both));
    cluster.send(LEDGER, &set(PositionMode::Hedge));
    round(&mut cluster, 1);
    round(&mut cluster, 2);
    let done = settled(&round(&mut cluster, 3)).expect("all have answered");
    assert_eq!((done.reject, done.mode), (Reject::PositionModeOrders, PositionMode::OneWay));
    cluster.drain();
    // alice trades on as before
    cluster.nodes[1].ok(&order(PositionSide::Both));

    // bob takes the order: now there is a position on shard 2 and an order on shard 1
    cluster.send(LEDGER, &deposit(2, 1, 100_000));
    cluster.send(LEDGER, &lend(2, 2, 40_000));
    cluster.drain();
    cluster.send(2, &Command::Place(limit(2, Side::Sell, 90, 1)));
    cluster.send(LEDGER, &set(PositionMode::Hedge));
    round(&mut cluster, 2);
    round(&mut cluster, 3);
    let done = settled(&round(&mut cluster, 1)).expect("all have answered");
    assert_eq!(done.reject, Reject::PositionModeOrders, "orders are said first");
    cluster.drain();
    let all = CancelAll { account: AccountId(ALICE), symbol: protocol::SymbolId(1), _pad: [0; 2] };
    cluster.nodes[1].ok(&Command::CancelAll(all));
    cluster.send(LEDGER, &set(PositionMode::Hedge));
    round(&mut cluster, 1);
    round(&mut cluster, 2);
    let done = settled(&round(&mut cluster, 3)).expect("all have answered");
    assert_eq!(done.reject, Reject::PositionModePosition);
}

/// A shard that does not answer in time has not agreed; its late word changes nothing.
#[test]
fn a_silent_shard_keeps_the_mode() {
    let mut cluster = funded();
    cluster.send(LEDGER, &set(PositionMode::Hedge));
    round(&mut cluster, 1);
    assert!(cluster.nodes[LEDGER].engine.wake_at().is_some(), "somebody is waited for");
    let tick = Command::Tick(Tick { _reserved: 0 });
    assert_eq!(settled(&cluster.send(LEDGER, &tick)), None);
    cluster.nodes[LEDGER].ts += MODE_WAIT_US;
    let done = settled(&cluster.send(LEDGER, &tick)).expect("its time is over");
    assert_eq!((done.reject, done.mode), (Reject::LedgerBusy, PositionMode::OneWay));
    cluster.drain();
    for shard in [1, 2] {
        cluster.nodes[shard].ok(&order(PositionSide::Both));
    }
}

/// What nodes have said of alice's mode and of her open orders.
#[derive(Default)]
struct Heard {
    modes: BTreeMap<usize, PositionModeChanged>,
    /// By shard and order: whether it is of a leg.
    open: BTreeMap<(usize, u64), bool>,
}

impl Heard {
    fn take(&mut self, node: usize, events: &[Event]) -> Result<(), TestCaseError> {
        for event in events {
            match event {
                Event::PositionModeChanged(change) => _ = self.modes.insert(node, *change),
                Event::OrderAccepted(order) => {
                    let leg = order.position_side != PositionSide::Both;
                    self.open.insert((node, order.order.0), leg);
                    let alike = self.open.values().all(|of_leg| *of_leg == leg);
                    prop_assert!(alike, "orders of both modes are open: {:?}", self.open);
                }
                Event::OrderClosed(order) => _ = self.open.remove(&(node, order.order.0)),
                _ => {}
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(300, 30_000))]

    /// Whatever is lost, doubled, late or out of turn: no two shards ever take orders of different
    /// modes, and when all is said each of them has the ledger's.
    #[test]
    fn a_mode_is_one_of_the_account(
        steps in prop::collection::vec((0u8..12, 1usize..4, 0usize..4), 1..150),
    ) {
        let mut cluster = funded();
        cluster.send(LEDGER, &lend(ALICE, 3, 20_000));
        cluster.drain();
        let mut heard = Heard::default();
        for (choice, shard, nth) in steps {
            let (node, events) = match choice {
                0 | 1 => {
                    let mode = PositionMode::ALL[nth % 2];
                    (LEDGER, cluster.send(LEDGER, &set(mode)))
                }
                2..=4 => {
                    let leg = [PositionSide::Both, PositionSide::Long][nth % 2];
                    (shard, cluster.send(shard, &order(leg)))
                }
                5 => (shard, cluster.send(shard, &Command::CancelAll(CancelAll {
                    account: AccountId(ALICE),
                    symbol: protocol::SymbolId(1),
                    _pad: [0; 2],
                }))),
                6 => {
                    cluster.nodes[LEDGER].ts += MODE_WAIT_US / 2;
                    (LEDGER, cluster.send(LEDGER, &Command::Tick(Tick { _reserved: 0 })))
                }
                _ => {
                    let from = if choice % 2 == 0 { LEDGER } else { shard };
                    let to = cluster.nodes[from].engine.outbox().nth(nth).map(|(to, _, _)| to);
                    let events = cluster.deliver(from, nth, choice > 8);
                    (to.map_or(LEDGER, |to| to.0.into()), events)
                }
            };
            heard.take(node, &events)?;
        }
        cluster.nodes[LEDGER].ts += MODE_WAIT_US;
        let events = cluster.send(LEDGER, &Command::Tick(Tick { _reserved: 0 }));
        heard.take(LEDGER, &events)?;
        while let Some(from) =
            (0..cluster.nodes.len()).find(|at| cluster.nodes[*at].engine.outbox().next().is_some())
        {
            let to = cluster.nodes[from].engine.outbox().next().map(|(to, _, _)| to.0.into());
            let events = cluster.deliver(from, 0, true);
            heard.take(to.unwrap(), &events)?;
        }
        prop_assert_eq!(cluster.nodes[LEDGER].engine.wake_at(), None);
        let of = |node| heard.modes.get(&node).map_or((PositionMode::OneWay, false), |change| {
            (change.mode, change.held)
        });
        for shard in 1..4 {
            prop_assert_eq!(of(shard), (of(LEDGER).0, false), "shard {}", shard);
        }
    }
}
