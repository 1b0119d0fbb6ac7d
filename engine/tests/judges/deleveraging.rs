//! Deleveraging by example: what neither the book nor the insurance fund takes of a position that
//! is due is closed against those on the other side, the first in rank first.

use engine::Engine;
use protocol::{
    AccountId, Command, Reject, SymbolId,
    command::{Place, Recall, SetMarginMode},
    event::Fill,
    limits::{EARMARK_US, MARGIN_CALL_GRACE_US},
    order::{MarginMode, Side, TradeKind},
};

use crate::{
    bench::{Bench, CAPACITY, index, outcome},
    differential::twin_of,
    liquidation::{ALICE, BOB, CAROL, FUND, calls, due, long, long_with, settle, traded, trades},
    takeovers::large,
    trading::limit,
    triggers::tick,
};

/// The fund has been asked, and has nothing.
fn refused(bench: &mut Bench, mark: i64) {
    due(bench, mark);
    bench.ts += MARGIN_CALL_GRACE_US;
    assert_eq!(traded(&settle(bench)), []);
}

fn isolate(bench: &mut Bench, account: u32) {
    let (account, symbol, mode) = (AccountId(account), SymbolId(1), MarginMode::Isolated);
    bench.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
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

/// Dave is short 30 at 800, isolated, with 40,000 behind each lot. To close one at 850 would take
/// 50,000: all of his wallet bears 20 of them, but their part of it does not. Bob is long by now.
#[test]
fn an_isolated_counterparty_loses_no_more_than_its_wallet() {
    let dave = 4;
    let grants = [(ALICE, 2_018_000), (BOB, 90_000_000), (CAROL, 3_000_000), (dave, 9_000_000)];
    let mut bench = long_with(&grants, 0, |bench| isolate(bench, dave));
    bench.ok(&index(1, 800));
    bench.ok(&Command::Place(limit(BOB, Side::Buy, 800, 30)));
    bench.ok(&Command::Place(limit(dave, Side::Sell, 800, 30)));
    refused(&mut bench, 800);
    let expected = [(TradeKind::Deleverage, 850, 20, CAROL)];
    assert_eq!(traded(&due(&mut bench, 801)), expected, "nobody bears the rest");
}

/// Alice is long 40, one each of accounts 100 to 139; the less one has behind it, the sooner it is
/// deleveraged. Some have next to nothing.
fn long_of_many(first: i64, then: i64) -> Bench {
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
    refused(&mut bench, first);
    bench.ok(&index(1, then));
    bench
}

/// All accounts are looked at, 64 a frame or as many as have eight who may be first, and the first
/// in rank is kept from slice to slice: also by an engine that is saved and loaded after each, and
/// by the twin.
#[test]
fn a_search_over_many_accounts_goes_in_slices() {
    let mut bench = long_of_many(870, 871);
    let mut other = long_of_many(870, 871);
    let mut twin = twin_of(&bench);
    let mut counterparties = Vec::new();
    // a step of the chain, and then ids up to 64, to 107, and eight sellers a frame up to 139
    for frame in 0..21 {
        let said = tick(&mut bench);
        let saved = Engine::load(CAPACITY, &other.engine.save()).unwrap();
        other.engine = saved.with_work_per_turn(other.work_per_turn);
        assert_eq!(tick(&mut other), said, "frame {frame}");
        let (header, payload) = bench.log.last().unwrap();
        assert_eq!(twin.apply(header, payload), said, "frame {frame}");
        let traded = traded(&said);
        assert_eq!(traded.len(), usize::from(frame % 7 == 6), "{frame}: {traded:?}");
        counterparties.extend(traded.iter().map(|trade| trade.3));
    }
    assert_eq!(counterparties, [135, 110, 129]);
}

/// Neither the book nor the fund had anything when the search began. At 880 alice has 1,200,000
/// left, 30 ticks of 40,000, and 36 lots are to go. A bid and a grant that come before the search
/// is over go before the others; they do so at once, so that a bid that goes again gains no time.
#[test]
fn what_comes_while_others_are_sought_goes_before_them() {
    let taken = |comes: &dyn Fn(&mut Bench)| {
        let mut bench = long_of_many(881, 880);
        for _ in 0..5 {
            assert_eq!(traded(&tick(&mut bench)), []);
        }
        comes(&mut bench);
        traded(&tick(&mut bench))
    };
    let bid = |bench: &mut Bench| {
        _ = bench.ok(&Command::Place(limit(101, Side::Buy, 860, 10)));
    };
    let money = |bench: &mut Bench| _ = bench.grant(FUND, 9_000_000);
    let none = |bench: &mut Bench| _ = tick(bench);
    assert_eq!(taken(&bid), [(TradeKind::Book, 860, 10, 101)]);
    assert_eq!(taken(&money), [(TradeKind::Takeover, 850, 36, FUND)]);
    assert_eq!(taken(&none), [(TradeKind::Deleverage, 850, 1, 135)]);
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

/// Two are due at once. With one unit of work a frame their steps take turns, and end as they do
/// side by side: each of the four sellers has 20, and the less is behind them the sooner they go.
#[test]
fn with_one_unit_a_frame_searches_end_the_same() {
    let end = |most| {
        let mut bench = Bench::trading_with_work(&[], most);
        let sellers = [(70, 9_000_000), (80, 4_000_000), (90, 3_000_000), (100, 2_000_000)];
        let longs = [(ALICE, 2_018_000), (BOB, 2_018_000)];
        for (account, cash) in sellers.into_iter().chain(longs) {
            bench.grant(account, cash);
        }
        bench.ok(&index(1, 900));
        for (seller, _) in sellers {
            bench.ok(&Command::Place(limit(seller, Side::Sell, 900, 20)));
        }
        for (long, _) in longs {
            bench.ok(&Command::Place(limit(long, Side::Buy, 900, 40)));
        }
        refused(&mut bench, 870);
        // the fund is called for each
        let said: Vec<_> = (0..4).flat_map(|_| due(&mut bench, 871)).collect();
        let left = |account| {
            let mut fills = trades(&said).into_iter().flat_map(|trade| [trade.taker, trade.maker]);
            fills.rfind(|fill| fill.account.0 == account).map(|fill| fill.position)
        };
        let accounts = longs.into_iter().chain(sellers);
        accounts.map(|(account, _)| left(account)).collect::<Vec<_>>()
    };
    // 20 of alice's go against 100, and 16 of what is no longer lost against 90; the 4 that 90 has
    // left are little against what is behind them, so bob's go against 80 and 70
    let expected = [Some(4), Some(4), Some(-4), Some(0), Some(-4), Some(0)];
    assert_eq!(end(64), expected);
    assert_eq!(end(1), expected);
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

/// Bob and carol have the same behind the same profit: the lower id is first.
#[test]
fn of_equals_the_first_account_is_first() {
    let grants = [(ALICE, 2_018_000), (CAROL, 3_000_000), (BOB, 3_000_000)];
    let mut bench = long_with(&grants, 0, |_| {});
    refused(&mut bench, 870);
    let expected = [(TradeKind::Deleverage, 850, 20, BOB), (TradeKind::Deleverage, 850, 16, CAROL)];
    assert_eq!(traded(&due(&mut bench, 871)), expected);
}

/// A wallet of 1,800,000 less 16 ticks of 40,000, of which 1,288,400 must stay: 29 ticks are left.
/// With carol's 20 half of the wallet goes; the other half is 580,000, and 581,200 must stay. Of
/// that 16 go, and so few the fund can bear, as it gets them 29 ticks below the mark.
#[test]
fn an_isolated_position_is_deleveraged_at_the_cost_of_its_wallet() {
    let grants = [(ALICE, 9_018_000), (BOB, 90_000_000), (CAROL, 3_000_000)];
    let mut bench = long_with(&grants, 0, |bench| isolate(bench, ALICE));
    // nobody calls for alice
    let said = due(&mut bench, 885);
    assert_eq!(calls(&said).iter().map(|call| call.0).collect::<Vec<_>>(), [FUND]);
    let said = due(&mut bench, 884);
    let expected = [(TradeKind::Deleverage, 855, 20, CAROL), (TradeKind::Takeover, 855, 16, FUND)];
    assert_eq!(traded(&said), expected);
    let wallets: Vec<_> = trades(&said).iter().map(|trade| trade.taker.isolated_wallet).collect();
    assert_eq!(wallets, [900_000, 180_000]);
    assert_eq!(trades(&said)[1].taker.cash, 9_000_000 - 1_620_000);
}

/// An isolated position stands in rank with its wallet alone: carol has 30 times what bob has, but
/// 900,000 behind her position. What she gains comes out with the wallet.
#[test]
fn an_isolated_position_is_ranked_by_its_wallet() {
    let grants = [(ALICE, 2_018_000), (BOB, 3_000_000), (CAROL, 90_000_000)];
    let mut bench = long_with(&grants, 0, |bench| isolate(bench, CAROL));
    refused(&mut bench, 870);
    let said = due(&mut bench, 871);
    let expected = [(TradeKind::Deleverage, 850, 20, CAROL), (TradeKind::Deleverage, 850, 16, BOB)];
    assert_eq!(traded(&said), expected);
    let Fill { position, pnl, isolated_wallet, cash, .. } = trades(&said)[0].maker;
    assert_eq!((position, pnl, isolated_wallet), (0, 1_000_000, 0));
    // 3,600 was the fee of her order
    assert_eq!(cash, 90_000_000 - 3_600 + 1_000_000);
}

/// 3,200 are left at 958, and 3,832 must stay: a quarter goes, as it would through the book, and
/// the next at the next mark.
#[test]
fn a_large_position_is_deleveraged_by_quarters() {
    let mut bench = large(0);
    refused(&mut bench, 959);
    assert_eq!(traded(&due(&mut bench, 958)), [(TradeKind::Deleverage, 950, 10, CAROL)]);
    assert_eq!(traded(&settle(&mut bench)), []);
    // 2,100 and 2,871: 7 ticks for each of 30
    assert_eq!(traded(&due(&mut bench, 957)), [(TradeKind::Deleverage, 950, 8, CAROL)]);
}
