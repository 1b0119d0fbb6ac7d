//! Why some messages move no money, even if they are applied more than once: numbers of their own
//! say what they are about, or what they ask for is moved by an answer that counts for itself.
//!
//! The order of a link still matters to them, and [`crate::gates`] holds that each is taken once.

use protocol::{
    AccountId, Command, Event, Reject, ShardId,
    command::{Grant, MarginCall},
    limits::EARMARK_US,
    order::{AlgoStatus, CallKind, Side},
};

use crate::{
    bench::{Bench, outcome},
    gates::stream_of,
    lending::{Cluster, deposit, lend},
    trading::limit,
    triggers::{changes, stop, tick},
    withdrawals::withdraw,
};

const ALICE: u32 = 1;

/// What a node says next, as it goes over the link.
fn next_of(cluster: &Cluster, node: usize) -> Command {
    cluster.nodes[node].engine.outbox().next().unwrap().2
}

/// A copy that comes as if it were the next.
fn again(cluster: &mut Cluster, to: usize, mut command: Command) -> Vec<Event> {
    let (_, number) = stream_of(&mut command).unwrap();
    *number += 1;
    let events = cluster.send(to, &command);
    assert_eq!(outcome(&events).reject, Reject::None);
    events
}

/// Nothing but that it was applied.
fn is_nothing(events: &[Event]) -> bool {
    matches!(events, [Event::LinkApplied(_), Event::Outcome(_)])
}

/// Alice, who has nothing, lets a stop fire at a price: the call for it.
fn fire(bench: &mut Bench, price: i64) -> u64 {
    bench.ok(&Command::PlaceAlgo(stop(ALICE, Side::Buy, price, 5)));
    for (account, side) in [(2, Side::Sell), (3, Side::Buy)] {
        bench.ok(&Command::Place(limit(account, side, price, 1)));
    }
    assert!(changes(&tick(bench)).iter().any(|(_, status)| *status == AlgoStatus::Triggering));
    bench.calls.last().unwrap().1
}

fn refuse(bench: &mut Bench, call: u64) -> Vec<Event> {
    let (link_seq, account) = (bench.links[0] + 1, AccountId(ALICE));
    bench.raw(&Command::Grant(Grant { link_seq, account, _pad: 0, amount: 0, call }))
}

/// A refusal names its call, and closes no other.
#[test]
fn a_refusal_closes_the_call_that_it_names() {
    let mut bench = Bench::trading(&[(2, 400_000), (3, 400_000)]);
    let first = fire(&mut bench, 103);
    refuse(&mut bench, first);
    assert_eq!(changes(&tick(&mut bench)), [(1, AlgoStatus::Rejected)]);
    assert!(is_nothing(&refuse(&mut bench, first)));
    let second = fire(&mut bench, 104);
    assert!(is_nothing(&refuse(&mut bench, first)));
    assert_eq!(changes(&tick(&mut bench)), [], "the second is open");
    refuse(&mut bench, second);
    assert_eq!(changes(&tick(&mut bench)), [(2, AlgoStatus::Rejected)]);
}

/// A recall moves what can be spared when it comes, by a return that the ledger counts once; the
/// lend that it was for has been settled.
#[test]
fn what_is_asked_for_twice_comes_back() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(ALICE, 1, 100_000));
    cluster.send(0, &lend(ALICE, 1, 100_000));
    cluster.drain();
    cluster.nodes[1].ts += EARMARK_US;
    cluster.send(0, &lend(ALICE, 2, 30_000));
    let recall = next_of(&cluster, 0);
    cluster.deliver(0, 0, true);
    again(&mut cluster, 1, recall);
    let settled = |events: &[Event]| {
        events.iter().filter(|event| matches!(event, Event::LendSettled(_))).count()
    };
    assert_eq!(settled(&cluster.deliver(1, 0, true)), 1);
    assert_eq!(settled(&cluster.deliver(1, 0, true)), 0);
    cluster.drain();
    let cash = [0, 1, 2].map(|node| cluster.cash[&(node, ALICE)]);
    assert_eq!(cash, [30_000, 40_000, 30_000]);
}

/// Each answer to a call is out of what is free; the shard closes the call by the first.
#[test]
fn a_call_that_comes_twice_is_answered_out_of_what_is_free() {
    for kind in CallKind::ALL.iter().copied() {
        let mut cluster = Cluster::new();
        cluster.send(0, &deposit(ALICE, 1, 100_000));
        let (account, from, _pad) = (AccountId(ALICE), ShardId(1), [0; 2]);
        let call = MarginCall { link_seq: 1, account, from, kind, _pad, amount: 5_000 };
        cluster.send(0, &Command::MarginCall(call));
        again(&mut cluster, 0, Command::MarginCall(call));
        cluster.drain();
        let cash = [0, 1].map(|node| cluster.cash[&(node, ALICE)]);
        assert_eq!(cash, [56_250, 43_750], "a quarter of what is free, twice");
    }
}

/// An answer counts for its change and its shard, which are waited for until they have answered.
#[test]
fn who_has_answered_has_answered() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(ALICE, 1, 1_000));
    cluster.send(0, &lend(ALICE, 1, 400));
    cluster.drain();
    cluster.nodes[1].ts += EARMARK_US;
    cluster.send(0, &withdraw(ALICE, 1, 700));
    cluster.deliver(0, 0, true);
    let held = next_of(&cluster, 1);
    let asks = |event: &Event| matches!(event, Event::RecallIssued(_));
    assert!(cluster.deliver(1, 0, true).iter().any(asks));
    assert!(is_nothing(&again(&mut cluster, 0, held)));
}
