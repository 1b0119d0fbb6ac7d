//! What liquidation does to accounts and markets, by example.

use protocol::{
    AccountId,
    order::{CloseReason, OrderOrigin, OrderStatus, Side},
};

use super::sample::{BTC, ETH, ISOLATED, Toy};
use crate::{
    store::row::IncomeKind,
    views::{Effects, Views, market::News, order::Order},
};

const LONG: AccountId = AccountId(1);
const SHORT: AccountId = AccountId(2);
const FUND: AccountId = AccountId::INSURANCE;

/// One account is long, another short, 200 lots at 60,000.00.
fn opened() -> Toy {
    let mut toy = Toy::new();
    toy.place(LONG, BTC, Side::Buy, 600_000, 400, true);
    toy.place(SHORT, BTC, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    toy.close(0, CloseReason::Canceled);
    toy.close(0, CloseReason::Canceled);
    toy
}

fn views_of(toy: &Toy) -> (Views, Effects) {
    let (mut views, mut effects) = (Views::default(), Effects::default());
    for (shard, header, event) in &toy.said {
        views.apply(*shard, header, event, &mut effects);
    }
    (views, effects)
}

fn closed(views: &Views, account: AccountId, wanted_by: OrderOrigin) -> Order {
    let known = views.accounts.get(account).unwrap();
    *known.closed.values().find(|order| order.wanted_by == wanted_by).unwrap()
}

/// The fund takes a position over: it has it, its owner has it no more, and the market is silent.
#[test]
fn a_takeover_is_no_market_data() {
    let mut toy = opened();
    let (before, _) = views_of(&toy);
    toy.liquidate(0, 2);
    let (views, effects) = views_of(&toy);
    let position = |id| views.accounts.get(id).unwrap().slot(BTC).position;
    assert_eq!([LONG, SHORT, FUND].map(position), [0, -200, 200]);
    let [market, old] = [&views, &before].map(|views| views.market.get(BTC).unwrap());
    assert_eq!(market.tape.trades().len(), 1);
    assert_eq!((market.last_price(), market.interest), (old.last_price(), 200));
    assert_eq!(market.candles.filling(), old.candles.filling());
    let trades = effects.market.iter().filter(|told| matches!(told.news, News::Trade(_)));
    assert_eq!(trades.count(), 1);

    let order = closed(&views, LONG, OrderOrigin::Liquidation);
    assert_eq!(order.client_id.as_str(), format!("autoclose-{}", order.order));
    assert_eq!((order.status, order.cum_qty), (OrderStatus::Filled, 200));
    assert!(order.is_nameless() && order.is_forced());
    assert!(!closed(&views, FUND, OrderOrigin::Takeover).is_forced());
    assert_eq!(views.accounts.get(LONG).unwrap().fills.len(), 2);
    assert!(effects.user.iter().all(|(account, _)| *account != FUND), "nobody listens for it");
}

/// Both sides of a deleveraging know by their orders' names what has happened to them.
#[test]
fn deleveraging_names_both_sides() {
    let mut toy = opened();
    toy.liquidate(0, 1);
    let (views, _) = views_of(&toy);
    let position = |id| views.accounts.get(id).unwrap().slot(BTC).position;
    assert_eq!([LONG, SHORT].map(position), [0, 0]);
    assert!(views.accounts.get(FUND).is_none());
    let name = |id, by| closed(&views, id, by).client_id.to_string();
    assert!(name(LONG, OrderOrigin::Liquidation).starts_with("autoclose-"));
    assert_eq!(name(SHORT, OrderOrigin::Deleverage), "adl_autoclose");
    assert_eq!(views.market.get(BTC).unwrap().interest, 0);
}

/// What a close on the book was better than the bankruptcy price stands in the statement, and in
/// the fund.
#[test]
fn the_fee_of_a_liquidation_goes_to_the_fund() {
    let mut toy = Toy::new();
    toy.place(ISOLATED, ETH, Side::Buy, 600_000, 400, true);
    toy.place(SHORT, ETH, Side::Sell, 600_000, 400, true);
    toy.ask((3, 0, 0, 0, 1));
    toy.close(0, CloseReason::Canceled);
    toy.close(0, CloseReason::Canceled);
    toy.place(SHORT, ETH, Side::Buy, 590_000, 50, true);
    toy.liquidate(1, 0);
    let (views, effects) = views_of(&toy);
    let wallet = |id| views.accounts.get(id).map_or(0, |known| known.wallet());
    assert!(wallet(FUND) > 0);
    let cleared: Vec<_> = (0..=4)
        .filter_map(|id| views.accounts.get(AccountId(id)))
        .flat_map(|known| known.incomes.values())
        .filter(|row| row.kind == IncomeKind::InsuranceClear)
        .collect();
    let [to_fund, from] = cleared[..] else { panic!("{cleared:?}") };
    assert_eq!((to_fund.account, from.amount), (FUND, -to_fund.amount));
    assert_eq!((from.account, from.symbol, from.amount), (ISOLATED, ETH, -50_000));
    // 150 lots of 200 are left with three quarters of the wallet of 600, less the fee
    let slot = views.accounts.get(ISOLATED).unwrap().slot(ETH);
    assert_eq!((slot.position, slot.wallet), (150, 45_000_000_000 - 50_000));
    let order = closed(&views, ISOLATED, OrderOrigin::Liquidation);
    assert_eq!((order.status, order.cum_qty, order.qty), (OrderStatus::Expired, 50, 200));
    // a close on the book is a trade as any other
    let trades = effects.market.iter().filter(|told| matches!(told.news, News::Trade(_)));
    assert_eq!(trades.count(), 2);
}
