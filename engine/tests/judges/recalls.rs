//! Urgent recalls by example: for an account in need the other shards give up what only guards
//! its orders, and all that its positions there do not need.

use protocol::{
    AccountId, Command, Event, Reject,
    command::{Recall, Tick},
    event::{OrderClosed, ReturnIssued},
    limits::{CALL_LATE_US, CALL_RECALL_WAIT_US, EARMARK_US},
    order::{CallKind, CloseReason, OrderStatus, Side},
};

use crate::{
    bench::{Bench, index},
    lending::{Cluster, deposit, lend},
    trading::limit,
    triggers::tick,
    withdrawals::{settled, withdraw},
};

const ALICE: u32 = 1;
const BOB: u32 = 2;
const TICK: Command = Command::Tick(Tick { _reserved: 0 });

/// Alice is long 10 at 100 on shard 1 with 60,000 behind it, and has 40,000 on shard 2, where an
/// order of hers holds back all but 4.
fn two_shards() -> Cluster {
    let mut cluster = Cluster::new();
    for (transfer, amount, shard) in [(1, 60_500, 1), (2, 40_000, 2)] {
        cluster.send(0, &deposit(ALICE, transfer, amount));
        cluster.send(0, &lend(ALICE, shard, amount));
    }
    cluster.send(0, &deposit(BOB, 1, 900_000));
    cluster.send(0, &lend(BOB, 1, 900_000));
    cluster.drain();
    for node in &mut cluster.nodes {
        node.ts += EARMARK_US;
    }
    cluster.send(1, &Command::Place(limit(BOB, Side::Sell, 100, 10)));
    cluster.send(1, &Command::Place(limit(ALICE, Side::Buy, 100, 10)));
    cluster.send(2, &Command::Place(limit(ALICE, Side::Buy, 99, 8)));
    cluster
}

/// The mark on shard 1 falls: what alice's shard asks the ledger for.
fn call(cluster: &mut Cluster, mark: i64) -> i64 {
    cluster.send(1, &index(1, mark));
    let events = cluster.send(1, &TICK);
    let call = events.iter().find_map(|event| match event {
        Event::MarginCallIssued(call) => Some(*call),
        _ => None,
    });
    let call = call.expect("she is in need");
    assert_eq!((call.account, call.kind), (AccountId(ALICE), CallKind::Need));
    call.amount
}

fn recalled(bench: &mut Bench, urgent: bool, amount: i64) -> (Vec<OrderClosed>, ReturnIssued) {
    bench.links[0] += 1;
    let (link_seq, account, _pad, lend) = (bench.links[0], AccountId(ALICE), [0; 3], 5);
    let recall = Recall { link_seq, account, urgent, _pad, amount, lend };
    let events = bench.raw(&Command::Recall(recall));
    let closed = events.iter().filter_map(|event| match event {
        Event::OrderClosed(closed) => Some(*closed),
        _ => None,
    });
    let back = events.iter().find_map(|event| match event {
        Event::ReturnIssued(back) => Some(*back),
        _ => None,
    });
    (closed.collect(), back.unwrap())
}

#[test]
fn a_call_takes_what_guards_orders_elsewhere() {
    let mut cluster = two_shards();
    let lacking = call(&mut cluster, 94);
    assert_eq!(lacking, 5_640);
    let asked = cluster.deliver(1, 0, true);
    let urgent = |event: &Event| matches!(event, Event::RecallIssued(recall) if recall.urgent);
    assert!(asked.iter().any(urgent), "{asked:?}");
    let given = cluster.deliver(0, 0, true);
    let closed = given.iter().find_map(|event| match event {
        Event::OrderClosed(closed) => Some((closed.account, closed.status, closed.reason)),
        _ => None,
    });
    let why = (AccountId(ALICE), OrderStatus::Expired, CloseReason::Liquidation);
    assert_eq!(closed, Some(why));
    cluster.drain();
    assert_eq!((cluster.cash[&(1, ALICE)], cluster.cash[&(2, ALICE)]), (65_640, 34_360));
    // the call is closed, and what was to be liquidated is no longer due
    tick(&mut cluster.nodes[1]);
    assert!(cluster.nodes[1].wake_at().is_none());
    assert_eq!(cluster.booked(), cluster.deposited);
}

#[test]
fn an_order_elsewhere_takes_no_orders_margin() {
    let mut cluster = two_shards();
    let bench = &mut cluster.nodes[2];
    let (closed, back) = recalled(bench, false, 9_000);
    assert_eq!((closed.len(), back.amount), (0, 4));
    let (closed, back) = recalled(bench, true, 9_000);
    assert_eq!((closed.len(), back.amount), (1, 9_000));
}

/// Only orders that reserve margin go: one that reduces a position stays.
#[test]
fn what_only_reduces_stays() {
    let mut cluster = two_shards();
    let bench = &mut cluster.nodes[1];
    bench.send(&Command::Place(protocol::command::Place {
        reduce_only: true,
        ..limit(ALICE, Side::Sell, 101, 10)
    }));
    let (closed, _) = recalled(bench, true, 1);
    assert!(closed.is_empty(), "{closed:?}");
}

/// Long 4 at 100 and 10 above that: 39,800 of cash, 40,000 of profit, and 1.2 times 1,760 stay.
#[test]
fn profit_moves_to_where_it_is_needed() {
    let at_110 = || {
        let mut bench = Bench::trading(&[(ALICE, 40_000), (BOB, 900_000)]);
        bench.ts += EARMARK_US;
        bench.ok(&Command::Place(limit(BOB, Side::Sell, 100, 4)));
        bench.ok(&Command::Place(limit(ALICE, Side::Buy, 100, 4)));
        bench.ok(&index(1, 110));
        bench
    };
    let (_, back) = recalled(&mut at_110(), false, 1_000_000);
    assert_eq!(back.amount, 79_800 - 22_000);
    let mut bench = at_110();
    let (_, back) = recalled(&mut bench, true, 1_000_000);
    assert_eq!(back.amount, 79_800 - 2_112);
    let (_, back) = recalled(&mut bench, true, 1_000_000);
    assert_eq!(back.amount, 0, "no more than that");
}

/// What has been granted for an order that is on its way is the order's.
#[test]
fn what_is_earmarked_stays() {
    let mut bench = Bench::trading(&[(ALICE, 40_000)]);
    bench.ts += EARMARK_US;
    bench.grant(ALICE, 7_000);
    let (_, back) = recalled(&mut bench, true, 1_000_000);
    assert_eq!(back.amount, 40_000);
}

/// A shard that is silent holds up an answer for less than the call's grace; what there is goes.
#[test]
fn a_call_is_answered_inside_its_grace() {
    let mut cluster = two_shards();
    let lacking = call(&mut cluster, 94);
    cluster.send(0, &deposit(ALICE, 3, 1_000));
    cluster.deliver(1, 0, true);
    let granted = |events: &[Event]| {
        events.iter().find_map(|event| match event {
            Event::GrantIssued(grant) => Some(grant.amount),
            _ => None,
        })
    };
    cluster.nodes[0].ts += CALL_RECALL_WAIT_US - 2;
    assert_eq!(granted(&cluster.send(0, &TICK)), None);
    assert_eq!(granted(&cluster.send(0, &TICK)), Some(1_000));
    assert!(lacking > 1_000);
    assert!(cluster.nodes[0].engine.wake_at().is_none());
    cluster.drain();
    assert_eq!(cluster.booked(), cluster.deposited);
}

/// A ledger that was away when its patience ended has not heard what came meanwhile.
#[test]
fn a_ledger_that_was_away_waits_anew() {
    let mut cluster = two_shards();
    let lacking = call(&mut cluster, 94);
    let before = cluster.cash[&(1, ALICE)];
    cluster.deliver(1, 0, true);
    cluster.nodes[0].ts += CALL_RECALL_WAIT_US + CALL_LATE_US;
    let granted =
        |events: &[Event]| events.iter().any(|event| matches!(event, Event::GrantIssued(_)));
    assert!(!granted(&cluster.send(0, &TICK)));
    let wake = cluster.nodes[0].engine.wake_at();
    assert_eq!(wake, Some(cluster.nodes[0].ts + CALL_RECALL_WAIT_US));
    cluster.drain();
    let came = cluster.cash[&(1, ALICE)] - before;
    assert!(came >= lacking.min(40_000 - 1_000), "{came} of {lacking}");
    assert_eq!(cluster.booked(), cluster.deposited);
}

/// Of one who is in need nothing leaves.
#[test]
fn a_call_ends_a_withdrawal() {
    let mut cluster = two_shards();
    call(&mut cluster, 94);
    cluster.send(0, &deposit(ALICE, 3, 1_000));
    assert!(settled(&cluster.send(0, &withdraw(ALICE, 1, 1_000))).is_none(), "shards are asked");
    let refused = settled(&cluster.deliver(1, 0, true)).unwrap();
    assert_eq!(refused.reject, Reject::WithdrawalTooLarge);
    cluster.drain();
    assert_eq!(cluster.booked(), cluster.deposited);
    cluster.nodes[2].ok(&Command::Place(limit(ALICE, Side::Buy, 99, 1)));
}
