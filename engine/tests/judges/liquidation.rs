//! Liquidation by example: what happens to an account that is worth no more than it must keep.

use engine::Engine;
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
    bench::{Bench, CAPACITY, index, outcome},
    trading::limit,
    triggers::tick,
};

const FUND: u32 = 0;
const ALICE: u32 = 1;
const BOB: u32 = 2;
const CAROL: u32 = 3;

/// Alice is long 40 at 900, of which a tick is 40,000, and has 2,000,000 behind it; at a mark of m
/// she must keep 1,600 * m - 126,000. Bob and carol are short 20 each.
fn long(fund: i64) -> Bench {
    long_with(&[(ALICE, 2_018_000), (BOB, 90_000_000), (CAROL, 3_000_000)], fund, |_| {})
}

fn long_with(grants: &[(u32, i64)], fund: i64, prepare: impl Fn(&mut Bench)) -> Bench {
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
fn settle(bench: &mut Bench) -> Vec<Event> {
    let mut said = Vec::new();
    for _ in 0..50 {
        said.extend(tick(bench));
    }
    said
}

/// Moves the mark, and lets the last call be in vain.
fn due(bench: &mut Bench, mark: i64) -> Vec<Event> {
    bench.ok(&index(1, mark));
    let mut said = settle(bench);
    bench.ts += MARGIN_CALL_GRACE_US;
    said.extend(settle(bench));
    said
}

fn answer(bench: &mut Bench, amount: i64) {
    bench.links[0] += 1;
    let (account, call) = *bench.calls.last().unwrap();
    let grant = Grant { link_seq: bench.links[0], account, _pad: 0, amount, call };
    assert_eq!(outcome(&bench.raw(&Command::Grant(grant))).reject, Reject::None);
}

/// Who was called, why and for how much.
fn calls(events: &[Event]) -> Vec<(u32, CallKind, i64)> {
    let called = |event: &Event| match event {
        Event::MarginCallIssued(call) => Some((call.account.0, call.kind, call.amount)),
        _ => None,
    };
    events.iter().filter_map(called).collect()
}

fn trades(events: &[Event]) -> Vec<Trade> {
    let trade = |event: &Event| match event {
        Event::Trade(trade) => Some(*trade),
        _ => None,
    };
    events.iter().filter_map(trade).collect()
}

/// Kind, price, lots and the counterparty of each trade.
fn traded(events: &[Event]) -> Vec<(TradeKind, i64, i64, u32)> {
    let brief = |trade: &Trade| (trade.kind, trade.price, trade.qty, trade.maker.account.0);
    trades(events).iter().map(brief).collect()
}

/// Why the engine itself placed orders, for whom, at which price and how many.
fn forced(events: &[Event]) -> Vec<(OrderOrigin, u32, i64, i64)> {
    let order = |event: &Event| match event {
        Event::OrderAccepted(order) if order.origin != OrderOrigin::Owner => {
            Some((order.origin, order.account.0, order.price, order.qty))
        }
        _ => None,
    };
    events.iter().filter_map(order).collect()
}

fn cash_changes(events: &[Event], account: u32, reason: CashReason) -> Vec<i64> {
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

/// Nobody bids, and the fund has enough to bear the position at its mark.
#[test]
fn the_fund_takes_over_what_the_book_does_not() {
    let mut bench = long(5_000_000);
    let said = due(&mut bench, 882);
    let orders =
        [(OrderOrigin::Liquidation, ALICE, 850, 36), (OrderOrigin::Takeover, FUND, 850, 36)];
    assert_eq!(forced(&said), orders);
    assert_eq!(traded(&said), [(TradeKind::Takeover, 850, 36, FUND)]);
    let Trade { taker, maker, .. } = trades(&said)[0];
    assert_eq!((taker.fee, taker.position, taker.cash), (0, 4, 200_000));
    assert_eq!((maker.fee, maker.position, maker.entry), (0, 36, 30_600_000));
    // it sells at the mark what the book takes there, 4 lots less than all
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 881, 10)));
    assert_eq!(forced(&due(&mut bench, 882)), [], "at an unchanged mark it waits");
    let said = due(&mut bench, 881);
    assert_eq!(forced(&said), [(OrderOrigin::Unwind, FUND, 881, 32)]);
    assert_eq!(traded(&said), [(TradeKind::Book, 881, 10, BOB)]);
}

/// The fund asks the ledger for what it lacks, and waits for the answer.
#[test]
fn the_fund_is_called_before_others_are() {
    let mut bench = long(0);
    let said = due(&mut bench, 870);
    // 1.5 times 1,266,000 less what 40 lots are worth more than at 850
    assert_eq!(calls(&said)[1..], [(FUND, CallKind::Need, 1_899_000 - 800_000)]);
    assert_eq!(traded(&said), []);
    bench.links[0] += 1;
    let (link_seq, (account, call)) = (bench.links[0], *bench.calls.last().unwrap());
    let grant = Grant { link_seq, account, _pad: 0, amount: 1_099_000, call };
    bench.raw(&Command::Grant(grant));
    bench.ok(&index(1, 871));
    let said = settle(&mut bench);
    assert_eq!(traded(&said), [(TradeKind::Takeover, 850, 40, FUND)]);
}

/// The fund had nothing: carol, who has less behind the same profit, is first, then bob.
#[test]
fn those_with_most_leverage_are_deleveraged_first() {
    let mut bench = long(0);
    due(&mut bench, 870);
    bench.ts += MARGIN_CALL_GRACE_US;
    settle(&mut bench);
    let said = due(&mut bench, 871);
    // the 20 that are left are not lost any more, and 4 of them may stay
    let expected = [(TradeKind::Deleverage, 850, 20, CAROL), (TradeKind::Deleverage, 850, 16, BOB)];
    assert_eq!(traded(&said), expected);
    let fees: i64 = trades(&said).iter().map(|trade| trade.taker.fee + trade.maker.fee).sum();
    assert_eq!(fees, 0);
    let Fill { pnl, position, .. } = trades(&said)[0].maker;
    assert_eq!((pnl, position), (1_000_000, 0));
}

/// At a price beyond what she has, carol can't be the counterparty, though she is first in rank.
#[test]
fn who_could_not_bear_it_is_passed_over() {
    let mut bench = long(0);
    // alice owes 2,000,000: her price is 50 above the mark
    due(&mut bench, 800);
    bench.ts += MARGIN_CALL_GRACE_US + EARMARK_US;
    settle(&mut bench);
    bench.links[0] += 1;
    let carol = Recall {
        link_seq: bench.links[0],
        account: AccountId(CAROL),
        urgent: true,
        _pad: [0; 3],
        amount: 1 << 50,
        lend: 0,
    };
    assert_eq!(outcome(&bench.raw(&Command::Recall(carol))).reject, Reject::None);
    // she has kept 1.2 times 514,000, of which 20 lots at 850 would take 1,000,000
    let said = due(&mut bench, 801);
    assert_eq!(traded(&said), [(TradeKind::Deleverage, 850, 20, BOB)]);
}

/// Below two thirds of what must stay there is no time for the book.
#[test]
fn what_is_lost_is_taken_over_at_once() {
    let mut bench = long(9_000_000);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 869, 50)));
    // 800,000 of 1,266,000
    let said = due(&mut bench, 870);
    assert_eq!(traded(&said)[0], (TradeKind::Takeover, 850, 40, FUND));
    assert_eq!(trades(&said)[0].taker.position, 0);
    assert_eq!(trades(&said)[0].taker.cash, 0);
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

/// Alice is long 40, one each of accounts 100 to 139; the less one has behind it, the sooner it is
/// deleveraged. Some have next to nothing.
fn long_of_many() -> Bench {
    let cash = |id| match id {
        135 => 60_000,
        110 => 70_000,
        129 => 80_000,
        _ => 9_000_000,
    };
    let sellers = 100..140u32;
    let mut grants: Vec<_> = sellers.clone().map(|id| (id, cash(id))).collect();
    grants.push((ALICE, 2_018_000));
    let mut bench = Bench::trading(&grants);
    bench.ok(&index(1, 900));
    for seller in sellers {
        bench.ok(&Command::Place(limit(seller, Side::Sell, 900, 1)));
    }
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 900, 40)));
    due(&mut bench, 870);
    bench.ts += MARGIN_CALL_GRACE_US;
    settle(&mut bench);
    bench.ok(&index(1, 871));
    bench
}

/// All accounts are looked at, 64 a frame, and the first in rank is kept from slice to slice: also
/// by an engine that is saved and loaded after each of them.
#[test]
fn a_search_over_many_accounts_goes_in_slices() {
    let mut bench = long_of_many();
    let mut other = long_of_many();
    let mut counterparties = Vec::new();
    // a step of the chain, and then ids up to 64, to 128 and to 139
    for frame in 0..12 {
        let said = tick(&mut bench);
        let saved = Engine::load(CAPACITY, &other.engine.save()).unwrap();
        other.engine = saved.with_work_per_turn(other.work_per_turn);
        assert_eq!(tick(&mut other), said, "frame {frame}");
        let traded = traded(&said);
        assert_eq!(traded.len(), usize::from(frame % 4 == 3), "{frame}: {traded:?}");
        counterparties.extend(traded.iter().map(|trade| trade.3));
    }
    assert_eq!(counterparties, [135, 110, 129]);
}

/// However little is done a frame, the end is the same.
#[test]
fn with_one_unit_a_frame_the_end_is_the_same() {
    let end = |most| {
        let mut bench = Bench::trading_with_work(&[], most);
        for (account, cash) in [(FUND, 9_000_000), (ALICE, 2_018_000), (BOB, 90_000_000)] {
            bench.grant(account, cash);
        }
        bench.ok(&index(1, 900));
        bench.ok(&Command::Place(limit(BOB, Side::Sell, 900, 40)));
        bench.ok(&Command::Place(limit(ALICE, Side::Buy, 900, 40)));
        traded(&due(&mut bench, 882))
    };
    assert_eq!(end(1), end(64));
    assert_eq!(end(64), [(TradeKind::Takeover, 850, 36, FUND)]);
}

/// Four are due at once, and one unit is done a frame, so alice closes, and chooses another margin
/// for the symbol, between two steps of the search for her counterparty. Her cross pool is judged
/// again all the same: it may open positions, and is called for when they fall.
#[test]
fn who_changes_his_margin_during_a_search_is_judged_again() {
    let rest = |bench: &mut Bench| {
        let mut said = Vec::new();
        for _ in 0..10 {
            said.extend(settle(bench));
        }
        said
    };
    let mut bench = Bench::trading_with_work(&[], 1);
    let longs = [ALICE, 4, 5, 6];
    for account in longs {
        bench.grant(account, 1_009_000);
    }
    for account in [7, 8].into_iter().chain(100..140) {
        bench.grant(account, 90_000_000);
    }
    bench.ok(&index(1, 900));
    for (long, seller) in longs.into_iter().zip([100, 110, 120, 130]) {
        bench.ok(&Command::Place(limit(seller, Side::Sell, 900, 20)));
        bench.ok(&Command::Place(limit(long, Side::Buy, 900, 20)));
    }
    bench.ok(&index(1, 870));
    for _ in 0..2 {
        rest(&mut bench);
        bench.ts += MARGIN_CALL_GRACE_US;
    }
    rest(&mut bench);
    bench.ok(&Command::Place(limit(7, Side::Buy, 860, 20)));
    bench.ok(&index(1, 860));
    let closes = Place { reduce_only: true, ..limit(ALICE, Side::Sell, 860, 20) };
    bench.ok(&Command::Place(closes));
    for mode in [MarginMode::Isolated, MarginMode::Cross] {
        let (account, symbol) = (AccountId(ALICE), SymbolId(1));
        bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
        rest(&mut bench);
    }
    bench.ok(&index(1, 872));
    rest(&mut bench);
    bench.grant(ALICE, 2_000_000);
    bench.ok(&Command::Place(limit(8, Side::Sell, 872, 20)));
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 872, 20)));
    bench.ok(&index(1, 745));
    assert!(calls(&rest(&mut bench)).iter().any(|call| call.0 == ALICE));
}
