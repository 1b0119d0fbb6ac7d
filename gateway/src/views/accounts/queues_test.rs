//! Who stands where in the queues, by example.

use parking_lot::RwLock;
use protocol::{
    AccountId,
    order::{PositionSide, Side},
};

use super::{
    queues::{QUANTILE_MAX, Queues, RankedQueues, Stake, quantile},
    sample::{BTC, ETH, ISOLATED, Toy, shard_of},
};
use crate::views::{Effects, Views};

const EARLY: AccountId = AccountId(1);
const SELLER: AccountId = AccountId(2);
const LATE: AccountId = AccountId(3);

/// Two that bought, the one lower and the other later, from one who sold; the seller's and the
/// early one's collateral is 1,000 USDT.
fn bought(late_cash: i64) -> Toy {
    let mut toy = Toy::new();
    for (account, cash) in [(EARLY, 100_000_000_000), (SELLER, 100_000_000_000), (LATE, late_cash)]
    {
        toy.grant(account, shard_of(BTC), cash);
        toy.deliver();
    }
    for (account, price) in [(EARLY, 590_000), (LATE, 599_000)] {
        toy.place(account, BTC, Side::Buy, price, 400, true);
        toy.place(SELLER, BTC, Side::Sell, price, 400, true);
        let open = toy.count_open();
        toy.ask((3, 0, 0, open - 2, open - 1));
    }
    toy
}

fn views_of(toy: &Toy) -> RwLock<Views> {
    let mut views = Views::default();
    for (shard, header, event) in &toy.said {
        views.apply(*shard, header, event, &mut Effects::default());
    }
    RwLock::new(views)
}

fn places(toy: &Toy) -> [u8; 3] {
    let queues = Queues::rank(&views_of(toy));
    [EARLY, LATE, SELLER].map(|account| queues.quantile(account, BTC, PositionSide::Both))
}

/// Of two alike in leverage the one that has won more is first; whoever is alone is first.
#[test]
fn profit_and_leverage_rank() {
    assert_eq!(places(&bought(100_000_000_000)), [4, 2, 4]);
    // 200 won with 1,000 is less than 20 won with 30
    assert_eq!(places(&bought(3_000_000_000)), [2, 4, 4]);
}

/// Who has nothing left behind a position gives nothing that could be taken.
#[test]
fn whoever_is_broke_stands_outside() {
    let mut toy = bought(100_000_000_000);
    toy.mark(BTC, 545_000);
    // of 1,000 the early one has lost 900 and the late one 1,080
    assert_eq!(places(&toy), [4, 0, 4]);
}

/// An isolated position is ranked by its own wallet, whatever the account holds beside it.
#[test]
fn isolated_positions_rank_by_their_wallets() {
    let mut toy = Toy::new();
    toy.place(ISOLATED, ETH, Side::Buy, 600_000, 400, true);
    toy.place(SELLER, ETH, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    let queues = Queues::rank(&views_of(&toy));
    assert_eq!(queues.quantile(ISOLATED, ETH, PositionSide::Both), QUANTILE_MAX);
    // the other has no collateral on that shard but a fee to pay
    assert_eq!(queues.quantile(SELLER, ETH, PositionSide::Both), 0);
    // 0.4 % of 12,000 each
    let stake = Stake { largest: 4_800_000_000, all: 9_600_000_000 };
    assert_eq!(queues.stake(ETH), stake);
    assert_eq!(queues.stake(BTC), Stake::default());
}

#[test]
fn a_queue_has_five_parts() {
    let parts = |count: usize| (0..count).map(|at| quantile(at, count)).collect::<Vec<_>>();
    assert_eq!(parts(1), [4]);
    assert_eq!(parts(2), [4, 2]);
    assert_eq!(parts(5), [4, 3, 2, 1, 0]);
    assert_eq!(parts(10), [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]);
    assert_eq!(parts(1_000).iter().filter(|part| **part == QUANTILE_MAX).count(), 200);
}

#[test]
fn a_ranking_is_shown_for_a_while() {
    let views = views_of(&bought(100_000_000_000));
    let ranked = RankedQueues::default();
    let first = ranked.latest(&views);
    *views.write() = Views::default();
    let second = ranked.latest(&views);
    assert!(std::sync::Arc::ptr_eq(&first, &second));
}
