//! The market views against a slow recount of the same events.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::{
    AccountId, Event, Lots, SymbolId,
    event::Trade,
    order::{PositionSide, Side, TradeKind},
};

use super::{News, SymbolMarket, bars::Window, interval::Interval, millis, ticker::Ticker};
use crate::views::{
    Effects, Views,
    accounts::sample::{BTC, ETH, Said, Toy, asks},
};

fn apply(said: &[Said]) -> (Views, Effects) {
    let (mut views, mut effects) = (Views::default(), Effects::default());
    for (shard, header, event) in said {
        views.apply(*shard, header, event, &mut effects);
    }
    (views, effects)
}

/// The positions that the last fill of each leg left.
fn positions(said: &[Said], symbol: SymbolId) -> BTreeMap<(AccountId, PositionSide), Lots> {
    let mut positions = BTreeMap::new();
    for (_, _, event) in said {
        let fills = match event {
            Event::Trade(trade) if trade.symbol == symbol => vec![trade.taker, trade.maker],
            Event::PositionSettled(settled) if settled.symbol == symbol => vec![settled.fill],
            _ => Vec::new(),
        };
        for fill in fills {
            positions.insert((fill.account, fill.position_side), fill.position);
        }
    }
    positions
}

/// What is traded beside the book makes no prices.
fn is_public(trade: &Trade) -> bool {
    trade.kind == TradeKind::Book
}

fn check_ticker(market: &SymbolMarket, said: &[Said], symbol: SymbolId) {
    let mut trades = said.iter().filter_map(|(_, header, event)| match event {
        Event::Trade(trade) if trade.symbol == symbol && is_public(trade) => Some((header, trade)),
        _ => None,
    });
    let now = said.last().map_or(0, |(_, header, _)| millis(header.ts));
    let ticker = Ticker::of(market, now);
    let Some((_, first)) = trades.next() else {
        assert_eq!((ticker.count, ticker.last), (0, 0));
        return;
    };
    let (mut count, mut volume, mut last) = (1, first.qty, first);
    let (mut high, mut low) = (first.price, first.price);
    for (_, trade) in trades {
        count += 1;
        volume += trade.qty;
        high = high.max(trade.price);
        low = low.min(trade.price);
        last = trade;
    }
    assert_eq!(
        (ticker.open, ticker.high, ticker.low, ticker.last),
        (first.price, high, low, last.price)
    );
    assert_eq!((ticker.count, ticker.volume, ticker.last_qty), (count, volume, last.qty));
    assert_eq!((ticker.first_id, ticker.last_id), (first.trade.0, last.trade.0));
}

proptest! {
    #[test]
    fn views_equal_a_recount(asks in asks(120)) {
        let toy = Toy::run(&asks);
        let (views, effects) = apply(&toy.said);
        for symbol in [BTC, ETH] {
            let market = views.market.get(symbol).expect("the toy marks both symbols");
            let long: Lots = positions(&toy.said, symbol).values().map(|qty| (*qty).max(0)).sum();
            prop_assert_eq!(market.interest, long);
            check_ticker(market, &toy.said, symbol);

            let mut levels = BTreeMap::new();
            for (_, _, event) in &toy.said {
                if let Event::Level(level) = event && level.symbol == symbol {
                    levels.insert((level.side == Side::Buy, level.price), level.qty);
                }
            }
            levels.retain(|_, qty| *qty != 0);
            let bids = market.book.bids(usize::MAX).map(|row| ((true, row.price), row.qty));
            let asks = market.book.asks(usize::MAX).map(|row| ((false, row.price), row.qty));
            prop_assert_eq!(bids.chain(asks).collect::<BTreeMap<_, _>>(), levels);

            let all = Window { from_ms: Some(0), to_ms: None, limit: 1_500 };
            let now = toy.said.last().map_or(0, |(_, header, _)| millis(header.ts));
            for interval in Interval::ALL {
                let candles = market.candles.read(interval, all, now);
                let trades: Vec<_> = market.tape.trades().collect();
                prop_assert_eq!(
                    candles.iter().map(|bar| bar.quote).sum::<i128>(),
                    trades.iter().map(|trade| trade.quote).sum::<i128>()
                );
            }
        }
        let told = |wanted: fn(&News) -> bool| {
            effects.market.iter().filter(|notice| wanted(&notice.news)).count()
        };
        let said = |wanted: fn(&Event) -> bool| {
            toy.said.iter().filter(|(_, _, event)| wanted(event)).count()
        };
        prop_assert_eq!(
            told(|news| matches!(news, News::Trade(_))),
            said(|event| matches!(event, Event::Trade(trade) if is_public(trade)))
        );
        prop_assert_eq!(
            told(|news| matches!(news, News::Level { .. })),
            said(|event| matches!(event, Event::Level(_)))
        );
        let qty = effects.market.iter().map(|notice| match notice.news {
            News::AggTrade(trade) => trade.qty,
            News::Trade(trade) => -trade.qty,
            _ => 0,
        });
        prop_assert_eq!(qty.sum::<Lots>(), 0);
    }
}
