//! Orders that nobody has asked for: the engine closes what is due, through the book or beside it.

use protocol::{
    ClientId, Lots, Ticks,
    command::Place,
    event::Trade,
    order::{
        OrderOrigin, OrderStatus, OrderType, PriceMatch, SelfTradePrevention, Side, TimeInForce,
        TradeKind,
    },
};
use rules::money::{cash, value};

use crate::{
    accounts::HoldingAt,
    desk::{Desk, Ended},
    foresight::Foresight,
    matching::Taker,
    orders::end_of,
    output::{Output, Sink},
    symbols::Terms,
};

/// An order that the engine makes for a holding: a limit that never rests. Nothing is held back
/// for it and no fee is taken of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forced {
    pub holding: HoldingAt,
    pub side: Side,
    pub limit: Ticks,
    pub lots: Lots,
    pub origin: OrderOrigin,
}

/// Own orders that it meets expire.
const SELF_TRADE: SelfTradePrevention = SelfTradePrevention::ExpireMaker;

impl Desk<'_> {
    /// True when the book would trade any of it now.
    pub fn would_fill(&self, order: &Forced, scratch: &mut Foresight) -> bool {
        let account = self.accounts.account(self.accounts.holding(order.holding).account).id;
        let Forced { side, limit, lots, .. } = *order;
        self.dry_run(account, side, limit, lots, SELF_TRADE, scratch).lots > 0
    }

    /// Sends an order through the book; returns the lots it traded and their value.
    pub fn force<S: Sink>(&mut self, order: &Forced, out: &mut Output<'_, S>) -> (Lots, i128) {
        let mut taker = self.forced_taker(order, out);
        let stop = self.run(&mut taker, out);
        if taker.remaining > 0 {
            let end = end_of(&taker, stop, OrderType::Limit);
            let (status, reason) = end.expect("an order that never rests ends");
            self.tell_closed(&Ended::of_taker(&taker), status, reason, out);
        }
        self.clip(order.holding, out);
        self.settle(out);
        (taker.cum_qty, taker.terms.cum_quote.into())
    }

    /// Trades two holdings beside the book, at a price that is not the market's.
    pub fn force_trade<S: Sink>(
        &mut self,
        kind: TradeKind,
        order: &Forced,
        counter: &Forced,
        out: &mut Output<'_, S>,
    ) {
        let Forced { limit: price, lots, .. } = *order;
        let takers = [order, counter].map(|forced| self.forced_taker(forced, out));
        for taker in &takers {
            self.pools.book(self.accounts, taker.terms.holding, self.quotes, out);
        }
        let trade = self.symbol.book.next_trade_id();
        let quoted = cash(value(price, lots, self.quote().mult));
        let [taken, made] = takers.map(|mut taker| {
            taker.terms.cum_quote = quoted;
            let mut fill = self.book_fill(&taker.terms, taker.side, lots, price, 0);
            fill.order = taker.order;
            (fill.cum_qty, fill.status) = (lots, OrderStatus::Filled);
            fill
        });
        out.emit(&Trade {
            trade,
            symbol: self.symbol.spec.symbol,
            taker_side: order.side,
            kind,
            _pad: [0; 4],
            price,
            qty: lots,
            taker: taken,
            maker: made,
        });
        self.clip(counter.holding, out);
        self.clip(order.holding, out);
        self.settle(out);
    }

    fn forced_taker<S: Sink>(&mut self, order: &Forced, out: &mut Output<'_, S>) -> Taker {
        let Forced { holding, side, limit, lots, origin } = *order;
        let known = self.accounts.holding(holding);
        let reduce_only = origin != OrderOrigin::Takeover;
        let place = Place {
            account: self.accounts.account(known.account).id,
            symbol: self.symbol.spec.symbol,
            side,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Ioc,
            self_trade: SELF_TRADE,
            price_match: PriceMatch::None,
            position_side: known.side,
            reduce_only,
            _pad: [0; 3],
            price: limit,
            qty: lots,
            good_till: 0,
            client_id: ClientId::EMPTY,
            _pad2: [0; 4],
        };
        let time_in_force = place.time_in_force;
        Taker {
            order: self.tell_accepted(&place, (limit, lots), origin, out),
            account: place.account,
            side,
            limit,
            remaining: lots,
            cum_qty: 0,
            is_forced: true,
            terms: Terms {
                holding,
                queued: self.turn,
                time_in_force,
                self_trade: SELF_TRADE,
                reduce_only,
                ..Terms::default()
            },
        }
    }
}
