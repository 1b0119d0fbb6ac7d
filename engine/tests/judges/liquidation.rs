//! Liquidation by example: what happens to an account that is worth no more than it must keep.

use protocol::{
    AccountId, Command, Event, Reject, SymbolId,
    command::{Grant, Place, Recall, SetMarginMode},
    event::{Fill, Trade},
    limits::{EARMARK_US, MARGIN_CALL_GRACE_US},
    order::{
        CallKind, CashReason, CloseReason, MarginMode, OrderOrigin, OrderStatus, Side, TradeKind,
    },
};

use crate::{
    bench::{Bench, index, outcome},
    trading::limit,
    triggers::tick,
};

pub const FUND: u32 = 0;
pub const ALICE: u32 = 1;
pub const BOB: u32 = 2;
pub const CAROL: u32 = 3;

/// Alice is long 40 at 900, of which a tick is 40,000, and has 2,000,000 behind it; at a mark of m
/// she must keep 1,600 * m - 126,000. Bob and carol are short 20 each.
pub fn long(fund: i64) -> Bench {
    long_with(&[(ALICE, 2_018_000), (BOB, 90_000_000), (CAROL, 3_000_000)], fund, |_| {})
}

pub fn long_with(grants: &[(u32, i64)], fund: i64, prepare: impl Fn(&mut Bench)) -> Bench {
    let mut bench = Bench::trading(grants);
    if fund > 0 {
        bench.grant(FUND, fund);
    }
    prepare(&mut bench);
    bench.ok(&index(1, 900));
    for seller in [BOB, CAROL] {
        bench.ok(&Command::Place(limit(seller, Side::Sell, 900, 20)));
    }
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 900, 40)));
    bench
}

/// Goes on until nothing is left to do at this mark; what is said meanwhile.
pub fn settle(bench: &mut Bench) -> Vec<Event> {
    let mut said = Vec::new();
    for _ in 0..50 {
        said.extend(tick(bench));
    }
    said
}

/// Moves the mark, and lets the last call be in vain.
pub fn due(bench: &mut Bench, mark: i64) -> Vec<Event> {
    bench.ok(&index(1, mark));
    let mut said = settle(bench);
    bench.ts += MARGIN_CALL_GRACE_US;
    said.extend(settle(bench));
    said
}

pub fn answer(bench: &mut Bench, amount: i64) {
    bench.links[0] += 1;
    let (account, call) = *bench.calls.last().unwrap();
    let grant = Grant { link_seq: bench.links[0], account, _pad: 0, amount, call };
    assert_eq!(outcome(&bench.raw(&Command::Grant(grant))).reject, Reject::None);
}

/// Who was called, why and for how much.
pub fn calls(events: &[Event]) -> Vec<(u32, CallKind, i64)> {
    let called = |event: &Event| match event {
        Event::MarginCallIssued(call) => Some((call.account.0, call.kind, call.amount)),
        _ => None,
    };
    events.iter().filter_map(called).collect()
}

pub fn trades(events: &[Event]) -> Vec<Trade> {
    let trade = |event: &Event| match event {
        Event::Trade(trade) => Some(*trade),
        _ => None,
    };
    events.iter().filter_map(trade).collect()
}

/// Kind, price, lots and the counterparty of each trade.
pub fn traded(events: &[Event]) -> Vec<(TradeKind, i64, i64, u32)> {
    let brief = |trade: &Trade| (trade.kind, trade.price, trade.qty, trade.maker.account.0);
    trades(events).iter().map(brief).collect()
}

/// Why the engine itself placed orders, for whom, at which price and how many.
pub fn forced(events: &[Event]) -> Vec<(OrderOrigin, u32, i64, i64)> {
    let order = |event: &Event| match event {
        Event::OrderAccepted(order) if order.origin != OrderOrigin::Owner => {
            Some((order.origin, order.account.0, order.price, order.qty))
        }
        _ => None,
    };
    events.iter().filter_map(order).collect()
}

pub fn cash_changes(events: &[Event], account: u32, reason: CashReason) -> Vec<i64> {
    let change = |event: &Event| match event {
        Event::CashChanged(change) if (change.account.0, change.reason) == (account, reason) => {
            Some(change.delta)
        }
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

/// At 882 alice has 1,280,000 left and must keep 1,285,200. Two thirds of that are still there, so
/// her position goes to the book, no lower than 850, where she would have nothing left; and no
/// more of it than brings it to the bracket below: 4 lots are worth less than 4,000,000.
#[test]
fn a_position_is_closed_through_the_book() {
    let mut bench = long(0);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 870, 50)));
    bench.ok(&index(1, 882));
    assert_eq!(calls(&settle(&mut bench)), [(ALICE, CallKind::Need, 1_927_800 - 1_280_000)]);
    answer(&mut bench, 0);
    let said = settle(&mut bench);
    assert_eq!(forced(&said), [(OrderOrigin::Liquidation, ALICE, 850, 36)]);
    assert_eq!(traded(&said), [(TradeKind::Book, 870, 36, BOB)]);
    let Fill { fee, pnl, position, cash, .. } = trades(&said)[0].taker;
    // no trading fee; 2,000,000 less 30 ticks of 36,000
    assert_eq!((fee, pnl, position, cash), (0, -1_080_000, 4, 920_000));
    // 1 % of 31,320,000, of the 720,000 that it got more than at 850
    let paid = |event: &Event| match event {
        Event::LiquidationFeePaid(paid) => Some((paid.account.0, paid.amount, paid.cash)),
        _ => None,
    };
    assert_eq!(said.iter().find_map(paid), Some((ALICE, 313_200, 606_800)));
    assert_eq!(cash_changes(&said, FUND, CashReason::Insurance), [313_200]);
    assert_eq!(bench.wake_at(), None, "what is left is solvent");
}

#[test]
fn what_the_ledger_sends_saves_the_position() {
    let mut bench = long(0);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 870, 50)));
    bench.ok(&index(1, 882));
    settle(&mut bench);
    answer(&mut bench, 647_800);
    assert_eq!(forced(&settle(&mut bench)), []);
    assert_eq!(forced(&due(&mut bench, 881)), []);
}

/// So does a mark that comes back while the call is open.
#[test]
fn a_mark_that_comes_back_saves_the_position() {
    let mut bench = long(0);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 870, 50)));
    bench.ok(&index(1, 882));
    settle(&mut bench);
    assert_eq!(forced(&due(&mut bench, 890)), []);
    let opens = limit(ALICE, Side::Buy, 885, 1);
    bench.refused(&Command::Place(opens), Reject::NeedMargin);
}

/// Orders that hold margin back go first; then the account is called; meanwhile it opens nothing.
#[test]
fn orders_go_before_the_call() {
    let mut bench = long(0);
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 860, 1)));
    let closes = Place { reduce_only: true, ..limit(ALICE, Side::Sell, 960, 5) };
    bench.ok(&Command::Place(closes));
    bench.ok(&index(1, 882));
    let first = tick(&mut bench);
    let closed = |event: &Event| match event {
        Event::OrderClosed(closed) => Some((closed.order.0, closed.status, closed.reason)),
        _ => None,
    };
    let expired = (OrderStatus::Expired, CloseReason::Liquidation);
    assert_eq!(first.iter().filter_map(closed).collect::<Vec<_>>(), [(4, expired.0, expired.1)]);
    assert_eq!(calls(&first), []);
    assert_eq!(calls(&tick(&mut bench)).len(), 1, "one step a frame");
    let opens = limit(ALICE, Side::Buy, 882, 1);
    bench.refused(&Command::Place(opens), Reject::InsufficientMargin);
    answer(&mut bench, 0);
    let said = bench.send(&Command::Place(opens));
    assert_eq!(outcome(&said).reject, Reject::InsufficientMargin);
}

/// An isolated position answers with its wallet alone, and nobody is called for it.
#[test]
fn an_isolated_position_is_due_by_itself() {
    let isolate = |bench: &mut Bench| {
        let (account, symbol, mode) = (AccountId(ALICE), SymbolId(1), MarginMode::Isolated);
        let set = SetMarginMode { account, symbol, mode, _pad: 0 };
        bench.ok(&Command::SetMarginMode(set));
    };
    let grants = [(ALICE, 9_000_000), (BOB, 90_000_000), (CAROL, 3_000_000)];
    let mut bench = long_with(&grants, 0, isolate);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 870, 50)));
    // a wallet of 1,800,000 less 560,000; 1,291,600 must stay
    bench.ok(&index(1, 886));
    let said = settle(&mut bench);
    assert_eq!(calls(&said), []);
    assert_eq!(forced(&said), [(OrderOrigin::Liquidation, ALICE, 855, 36)]);
    assert_eq!(traded(&said), [(TradeKind::Book, 870, 36, BOB)]);
    let Fill { isolated_wallet, position, .. } = trades(&said)[0].taker;
    assert_eq!((isolated_wallet, position), (180_000, 4));
}

/// Alice has given her profit away, and closes where it is gone: what the ledger does not send of
/// what she owes, the fund advances.
#[test]
fn a_debt_is_called_for_and_then_advanced() {
    let mut bench = long(500_000);
    bench.ok(&index(1, 950));
    tick(&mut bench);
    bench.ts += EARMARK_US;
    bench.links[0] += 1;
    let (link_seq, account) = (bench.links[0], AccountId(ALICE));
    let recall = Recall { link_seq, account, urgent: true, _pad: [0; 3], amount: 1 << 40, lend: 0 };
    // 4,000,000 less 1.2 times 1,394,000
    let back = bench.raw(&Command::Recall(recall));
    assert_eq!(cash_changes(&back, ALICE, CashReason::ReturnIssued), [-2_327_200]);
    bench.ok(&index(1, 905));
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 905, 40)));
    let closes = Place { reduce_only: true, ..limit(ALICE, Side::Sell, 905, 40) };
    let said = bench.ok(&Command::Place(closes));
    let Fill { cash, position, fee, .. } = trades(&said)[0].taker;
    assert_eq!((cash, position), (-127_200 - fee, 0));
    // she was due, and called, when she closed
    assert_eq!(bench.calls.last().unwrap().0, AccountId(ALICE));
    answer(&mut bench, 27_200);
    let said = settle(&mut bench);
    let advanced = 100_000 + fee;
    assert_eq!(cash_changes(&said, ALICE, CashReason::Advance), [advanced]);
    assert_eq!(cash_changes(&said, FUND, CashReason::Insurance), [-advanced]);
    let told = |event: &Event| match event {
        Event::DebtIssued(debt) => Some((debt.account.0, debt.amount)),
        _ => None,
    };
    assert_eq!(said.iter().find_map(told), Some((ALICE, advanced)));
}
