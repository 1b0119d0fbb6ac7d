//! The insurance fund by example: it takes over what the book does not take of a position that is
//! due, sells it as the book allows, and may come due itself.

use protocol::{
    AccountId, Command, Event, SymbolId,
    command::{Grant, Place, PlaceAlgo, SetMarginMode},
    event::{Fill, Trade},
    instrument::{Brackets, SymbolSpec},
    order::{
        AlgoStatus, CallKind, CashReason, MarginMode, ModeChange, OrderOrigin, PositionSide, Side,
        TradeKind, WorkingType,
    },
};

use crate::{
    bench::{Bench, brackets, index, spec},
    liquidation::{
        ALICE, BOB, CAROL, FUND, calls, cash_changes, due, forced, long, long_with, settle, traded,
        trades,
    },
    trading::limit,
    triggers::{changes, stop, tick},
};

/// So long its index stays away before a symbol is without one.
const INDEX_STALE_US: u64 = 10_000_000;

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

/// Two legs have one pool. At 922 alice, short 40 and long 10, has 2,250,000 - 660,000 left and
/// must keep 1,349,200 for the short and 242,800 for the long: the short goes first, although the
/// long comes first in the list. Its share is 1,347,505, so 33 ticks of 40,000.
#[test]
fn of_two_legs_the_one_that_must_keep_more_goes_first() {
    let mut bench = Bench::trading(&[(ALICE, 2_272_500), (BOB, 90_000_000), (FUND, 2_000_000)]);
    bench.set_mode(ALICE, ModeChange::Hedge);
    bench.ok(&index(1, 900));
    for (leg, side, lots) in
        [(PositionSide::Long, Side::Buy, 10), (PositionSide::Short, Side::Sell, 40)]
    {
        bench.ok(&Command::Place(limit(BOB, side.opposite(), 900, lots)));
        let order = Place { position_side: leg, ..limit(ALICE, side, 900, lots) };
        bench.ok(&Command::Place(order));
    }
    let said = due(&mut bench, 922);
    // what is left of the short is worth less than 4,000,000
    assert_eq!(traded(&said), [(TradeKind::Takeover, 955, 36, FUND)]);
    let Fill { position_side, position, pnl, cash, .. } = trades(&said)[0].taker;
    assert_eq!((position_side, position, pnl), (PositionSide::Short, -4, -1_980_000));
    assert_eq!(cash, 270_000);
    // at 880 there are 150,000, and 29,200 must stay for the short, 226,000 for the long: that is
    // lost, and goes whole, 13 ticks below the mark
    let said = due(&mut bench, 880);
    // the short has won 80,000: 20,000 are left of 29,200, and all but one lot go too
    let expected = [(TradeKind::Takeover, 867, 10, FUND), (TradeKind::Takeover, 885, 3, FUND)];
    assert_eq!(traded(&said), expected);
    let Fill { position_side, position, pnl, cash, .. } = trades(&said)[0].taker;
    assert_eq!((position_side, position, pnl), (PositionSide::Long, 0, -330_000));
    assert_eq!(cash, -60_000);
    assert_eq!(trades(&said)[0].maker.position, -26);
}

fn isolate(bench: &mut Bench, account: u32) {
    let (account, symbol, mode) = (AccountId(account), SymbolId(1), MarginMode::Isolated);
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
}

/// At 886 the wallet of 1,800,000 has lost 560,000, and 1,291,600 must stay. So 36 of 40 go, for
/// 45 ticks each: nine tenths of the wallet, and nothing of what alice has besides.
#[test]
fn an_isolated_position_costs_its_wallet_alone() {
    let grants = [(ALICE, 9_018_000), (BOB, 90_000_000), (CAROL, 3_000_000)];
    let mut bench = long_with(&grants, 100_000, |bench| isolate(bench, ALICE));
    let said = due(&mut bench, 886);
    assert_eq!(calls(&said), []);
    assert_eq!(traded(&said), [(TradeKind::Takeover, 855, 36, FUND)]);
    let Trade { taker, maker, .. } = trades(&said)[0];
    assert_eq!((taker.position, taker.pnl, taker.isolated_wallet), (4, -1_620_000, 180_000));
    assert_eq!(taker.cash, 9_000_000 - 1_620_000);
    assert_eq!((maker.position, maker.isolated_wallet, maker.cash), (36, 0, 100_000));
}

/// What the fund gets it at is no price of the market's: of two stops the one by the mark fires,
/// the one by the last trade does not until the book trades there.
#[test]
fn a_takeover_is_no_trade_of_the_market() {
    let mut bench = long(5_000_000);
    let dave = 4;
    bench.grant(dave, 90_000_000);
    bench.ok(&Command::PlaceAlgo(stop(dave, Side::Sell, 860, 1)));
    let by_mark = PlaceAlgo { working_type: WorkingType::Mark, ..stop(dave, Side::Sell, 890, 1) };
    bench.ok(&Command::PlaceAlgo(by_mark));
    let said = due(&mut bench, 882);
    assert_eq!(traded(&said), [(TradeKind::Takeover, 850, 36, FUND)]);
    let fired =
        |changed: &[(u64, AlgoStatus)], count| changed.contains(&(count, AlgoStatus::Triggered));
    let changed = changes(&said);
    assert_eq!((fired(&changed, 1), fired(&changed, 2)), (false, true), "{changed:?}");
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 860, 2)));
    let mut said = bench.ok(&Command::Place(limit(dave, Side::Sell, 860, 1)));
    said.extend(tick(&mut bench));
    assert!(fired(&changes(&said), 1), "{said:?}");
}

/// The fund has 36 at 850, and 300,000. At 866 it is worth 876,000 and must keep 1,121,040: it is
/// called for, as everybody, then its position goes to the book, down to 24 ticks below the mark.
/// Nobody is below the fund, so what the book leaves is closed against the first in rank.
#[test]
fn the_fund_comes_due_itself() {
    let mut bench = long(300_000);
    assert_eq!(traded(&due(&mut bench, 882)), [(TradeKind::Takeover, 850, 36, FUND)]);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 845, 10)));
    let said = due(&mut bench, 866);
    assert_eq!(calls(&said), [(FUND, CallKind::Need, 1_681_560 - 876_000)]);
    // 26 are left, and 250,000: 666,000 at the mark, of which 774,640 must stay; after carol's 20
    // that is 166,000 and 81,840
    let expected = [(TradeKind::Book, 845, 10, BOB), (TradeKind::Deleverage, 841, 20, CAROL)];
    assert_eq!(traded(&said), expected);
    let orders = [
        (OrderOrigin::Liquidation, FUND, 842, 32),
        (OrderOrigin::Liquidation, FUND, 841, 20),
        (OrderOrigin::Deleverage, CAROL, 841, 20),
    ];
    assert_eq!(forced(&said), orders);
    let Fill { position, cash, .. } = trades(&said)[1].taker;
    assert_eq!((position, cash), (6, 70_000));
    // it goes on selling what is left, all of it but what keeps it in the bracket below
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 868, 9)));
    let said = due(&mut bench, 867);
    assert_eq!(forced(&said), [(OrderOrigin::Unwind, FUND, 867, 2)]);
    assert_eq!(traded(&said), [(TradeKind::Book, 868, 2, BOB)]);
}

/// What is got above its bankruptcy price pays a fee to the fund, which is who is closed here.
#[test]
fn the_fund_pays_itself_no_fee() {
    let mut bench = long(300_000);
    due(&mut bench, 882);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 845, 10)));
    let said = due(&mut bench, 866);
    assert_eq!(traded(&said)[0], (TradeKind::Book, 845, 10, BOB));
    let is_fee = |event: &Event| matches!(event, Event::LiquidationFeePaid(_));
    assert!(!said.iter().any(is_fee), "{said:?}");
    assert_eq!(cash_changes(&said, FUND, CashReason::Insurance), []);
}

/// Lots worth 10,000 of the asset at 1,000, and one bracket: 1 % must stay. Alice is long 40 at
/// 1,000, half of each of bob and carol, and has 2 * 10^12 behind it: a tick is 4 * 10^10.
pub fn large(fund: i64) -> Bench {
    let mut bench = Bench::new(1);
    let mult = 1_000_000_000;
    let spec = SymbolSpec { lot_e8: mult, mult, price_max: 10_000, ..spec(1) };
    bench.ok(&Command::ListSymbol(spec));
    let mut table = Brackets { count: 1, ..brackets(1) };
    table.rows[0].cap = 1 << 50;
    (table.rows[0].maintenance, table.rows[0].max_leverage) = (1_000_000, 50);
    table.rows[1..].fill(Default::default());
    bench.ok(&Command::SetBrackets(table));
    bench.ok(&index(1, 1_000));
    let bn = 1_000_000_000;
    for (account, cash) in [(ALICE, 2_020 * bn), (BOB, 90_000 * bn), (CAROL, 3_000 * bn)] {
        bench.grant(account, cash);
    }
    if fund > 0 {
        bench.grant(FUND, fund * bn);
    }
    for seller in [BOB, CAROL] {
        bench.ok(&Command::Place(limit(seller, Side::Sell, 1_000, 20)));
    }
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 1_000, 40)));
    bench
}

/// 40 lots are worth 383,600 at 959, where 3,600 are left and 3,836 must stay: what is more than
/// 100,000 goes by quarters, one at each mark. The fee is what is got above 950.
#[test]
fn a_large_position_goes_by_quarters() {
    let mut bench = large(0);
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 955, 40)));
    let said = due(&mut bench, 959);
    assert_eq!(forced(&said), [(OrderOrigin::Liquidation, ALICE, 950, 10)]);
    assert_eq!(traded(&said), [(TradeKind::Book, 955, 10, BOB)]);
    assert_eq!(cash_changes(&said, FUND, CashReason::Insurance), [50_000_000_000]);
    // 2,700 are left of 2,877: it waits for the next mark
    assert_eq!(forced(&settle(&mut bench)), []);
    // 2,400 of 2,874
    let said = due(&mut bench, 958);
    assert_eq!(forced(&said), [(OrderOrigin::Liquidation, ALICE, 950, 8)]);
    assert_eq!(traded(&said), [(TradeKind::Book, 955, 8, BOB)]);
}

/// A shard of many symbols has many marks, of which one is this position's own. When its index
/// stays away it has none, and those of others do.
#[test]
fn a_quarter_waits_for_a_mark_of_its_own_symbol() {
    let mut bench = large(10_000);
    bench.ok(&Command::ListSymbol(spec(2)));
    bench.ok(&Command::SetBrackets(brackets(2)));
    bench.ok(&index(2, 100));
    assert_eq!(traded(&due(&mut bench, 959)), [(TradeKind::Takeover, 950, 10, FUND)]);
    for other in [100, 101, 100] {
        bench.ok(&index(2, other));
        assert_eq!(traded(&settle(&mut bench)), []);
    }
    assert_eq!(traded(&due(&mut bench, 958)), [(TradeKind::Takeover, 950, 8, FUND)]);
    bench.ok(&index(2, 101));
    assert_eq!(traded(&settle(&mut bench)), []);
    bench.ts += INDEX_STALE_US;
    assert_eq!(traded(&settle(&mut bench)), []);
    bench.ok(&index(2, 100));
    assert_eq!(traded(&settle(&mut bench)), [(TradeKind::Takeover, 950, 6, FUND)]);
}

/// So it does when nobody bids.
#[test]
fn a_large_position_is_taken_over_by_quarters() {
    let mut bench = large(10_000);
    assert_eq!(traded(&due(&mut bench, 959)), [(TradeKind::Takeover, 950, 10, FUND)]);
    assert_eq!(traded(&settle(&mut bench)), []);
    assert_eq!(traded(&due(&mut bench, 958)), [(TradeKind::Takeover, 950, 8, FUND)]);
    // 1,100 are left of 2,101: below two thirds all of it goes at once
    assert_eq!(traded(&due(&mut bench, 955)), [(TradeKind::Takeover, 950, 22, FUND)]);
}
