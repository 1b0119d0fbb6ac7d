//! Margin calls by example: a shard asks for an account before it comes due.

use engine::Engine;
use protocol::{
    AccountId, Command, Event, Reject, ShardId,
    command::{Grant, LinkState, Place},
    limits::{MARGIN_CALL_GRACE_DOWN_US, MARGIN_CALL_GRACE_US},
    order::{CallKind, Side},
};

use crate::{
    bench::{Bench, CAPACITY, Collected, index, outcome},
    trading::limit,
    triggers::tick,
};

/// Account 1 is long 40 at 900, which is worth 36,000,000, and has 2,000,000 behind it. At a mark
/// of m that is 40,000 * (900 - m) less, and 1,600 * m - 126,000 must stay.
fn long() -> Bench {
    let mut bench = Bench::trading(&[(1, 2_018_000), (2, 90_000_000)]);
    bench.ok(&index(1, 900));
    bench.ok(&Command::Place(limit(2, Side::Sell, 900, 40)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 900, 40)));
    bench
}

/// Moves the mark, and says for how much account 1 is called then.
fn called(bench: &mut Bench, mark: i64) -> Vec<i64> {
    bench.ok(&index(1, mark));
    let amount = |event: &Event| match event {
        Event::MarginCallIssued(call) => {
            assert_eq!((call.account, call.kind), (AccountId(1), CallKind::Need));
            Some(call.amount)
        }
        _ => None,
    };
    tick(bench).iter().filter_map(amount).collect()
}

fn answer(bench: &mut Bench, amount: i64) {
    bench.links[0] += 1;
    let (account, call) = *bench.calls.last().unwrap();
    let grant = Grant { link_seq: bench.links[0], account, _pad: 0, amount, call };
    assert_eq!(outcome(&bench.raw(&Command::Grant(grant))).reject, Reject::None);
}

#[test]
fn an_account_in_need_has_one_call() {
    let mut bench = long();
    // 1,600,000 are left, and must not fall below 1.15 times 1,298,000
    assert_eq!(called(&mut bench, 890), []);
    // 1,480,000; 1.5 times 1,293,200 would be safe
    assert_eq!(called(&mut bench, 887), [459_800]);
    assert_eq!(called(&mut bench, 886), [], "one is open");
    bench.ts += MARGIN_CALL_GRACE_US;
    tick(&mut bench);
    assert_eq!(called(&mut bench, 885), [], "it was in vain");
    assert_eq!(called(&mut bench, 895), []);
    assert_eq!(called(&mut bench, 887), [459_800], "in need again");
}

fn link(bench: &mut Bench, up: bool) {
    let (peer, _pad) = (ShardId::LEDGER, [0; 6]);
    let events = bench.raw(&Command::LinkState(LinkState { peer, up, _pad }));
    assert_eq!(outcome(&events).reject, Reject::None);
}

/// While the ledger can't answer its calls stay open for longer, those that are open already too.
#[test]
fn a_call_waits_for_a_ledger_that_is_away() {
    let mut bench = long();
    called(&mut bench, 887);
    let opened = bench.ts;
    assert_eq!(bench.wake_at(), Some(opened + MARGIN_CALL_GRACE_US));
    link(&mut bench, false);
    assert_eq!(bench.wake_at(), Some(opened + MARGIN_CALL_GRACE_DOWN_US));
    bench.ts = opened + MARGIN_CALL_GRACE_DOWN_US - 2;
    tick(&mut bench);
    assert!(bench.wake_at().is_some());
    tick(&mut bench);
    assert_eq!(bench.wake_at(), None, "two seconds are all");
}

/// A ledger that is back has time for its answer.
#[test]
fn a_ledger_that_is_back_may_answer() {
    let mut bench = long();
    let asked = called(&mut bench, 887);
    link(&mut bench, false);
    bench.ts += MARGIN_CALL_GRACE_DOWN_US / 2;
    link(&mut bench, true);
    let back = bench.ts;
    assert_eq!(bench.wake_at(), Some(back + MARGIN_CALL_GRACE_US));
    link(&mut bench, true);
    assert_eq!(bench.wake_at(), Some(back + MARGIN_CALL_GRACE_US), "it has been back before");
    answer(&mut bench, asked[0]);
    assert_eq!(bench.wake_at(), None);
    bench.ok(&index(1, 890));
    called(&mut bench, 875);
    let opened = bench.ts;
    assert_eq!(bench.wake_at(), Some(opened + MARGIN_CALL_GRACE_US), "as before");
}

#[test]
fn what_the_ledger_sends_ends_the_need() {
    let mut bench = long();
    let asked = called(&mut bench, 887);
    answer(&mut bench, asked[0]);
    assert_eq!(called(&mut bench, 876), []);
    // 1,459,800 are below 1.15 times 1,274,000
    assert_eq!(called(&mut bench, 875), [1_911_000 - 1_459_800]);
}

#[test]
fn while_its_call_is_open_an_account_only_closes() {
    let mut bench = long();
    called(&mut bench, 887);
    let opens = Command::Place(limit(1, Side::Buy, 887, 1));
    bench.refused(&opens, Reject::InsufficientMargin);
    let closes = Place { reduce_only: true, ..limit(1, Side::Sell, 888, 40) };
    bench.ok(&Command::Place(closes));
    answer(&mut bench, 0);
    bench.refused(&opens, Reject::NeedMargin);
}

/// Gains and losses of all positions count together, so what one loses another may make good.
#[test]
fn all_positions_count_together() {
    let mut bench = long();
    let other =
        |account, side| Place { symbol: protocol::SymbolId(2), ..limit(account, side, 100, 100) };
    for _ in 0..2 {
        bench.ok(&Command::Place(other(2, Side::Buy)));
        bench.ok(&Command::Place(other(1, Side::Sell)));
    }
    // 1,400 a tick on the short
    bench.ok(&index(2, 85));
    assert_eq!(called(&mut bench, 887), [], "the short makes it good");
    bench.ok(&index(2, 100));
    assert!(bench.calls.is_empty());
    tick(&mut bench);
    assert_eq!(bench.calls.len(), 1);
}

/// Its turn in the queue of pending work may be long in coming, while marks go on.
#[test]
fn a_need_that_waits_is_noted_once() {
    let mut bench = Bench::trading_with_work(&[(1, 2_018_000), (2, 90_000_000)], 0);
    bench.ok(&index(1, 900));
    bench.ok(&Command::Place(limit(2, Side::Sell, 900, 40)));
    bench.ok(&Command::Place(limit(1, Side::Buy, 900, 40)));
    bench.ok(&index(1, 899));
    bench.ok(&index(1, 885));
    let loaded = Engine::load(CAPACITY, &bench.engine.save()).unwrap();
    let mut loaded = loaded.with_work_per_turn(0);
    bench.ok(&index(1, 885));
    let (header, payload) = bench.log.last().unwrap();
    loaded.apply(header, payload, &mut Collected::default());
    assert_eq!(loaded.state_hash(), bench.engine.state_hash());
}
