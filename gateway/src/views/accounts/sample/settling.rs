//! The toy's settlements: all positions of a symbol are closed at one price.

use protocol::{
    Cash, ClientId, CommandKind, Event, OrderId, SymbolId, Ticks, TradeId, event,
    order::{
        OrderOrigin, OrderStatus, OrderType, PriceMatch, SelfTradePrevention, Side, SymbolState,
        TimeInForce,
    },
};

use super::{LEVERAGE, Toy, shard_of, spec};

impl Toy {
    pub fn settle(&mut self, symbol: SymbolId, price: Ticks) {
        let (shard, mult) = (shard_of(symbol), spec(symbol).mult);
        self.tell_state(symbol, SymbolState::Settling, price);
        let held: Vec<_> = self.positions.keys().filter(|key| key.1 == symbol).copied().collect();
        for (account, _, position_side) in held {
            let exposure = self.positions.get_mut(&(account, symbol, position_side)).unwrap();
            let position = exposure.position.qty;
            if position == 0 {
                continue;
            }
            let side = if position > 0 { Side::Sell } else { Side::Buy };
            let pnl = exposure.trade(-position, price, mult, LEVERAGE) as Cash;
            let cash = self.cash.entry((shard, account)).or_default();
            *cash += pnl;
            let (cash, qty) = (*cash, position.abs());
            self.next_id += 2;
            let (order, trade) = (OrderId(self.next_id - 1), TradeId(self.next_id));
            self.say(
                shard,
                Event::OrderAccepted(event::OrderAccepted {
                    order,
                    account,
                    symbol,
                    side,
                    order_type: OrderType::Market,
                    time_in_force: TimeInForce::Gtc,
                    self_trade: SelfTradePrevention::ExpireMaker,
                    price_match: PriceMatch::None,
                    position_side,
                    reduce_only: true,
                    origin: OrderOrigin::Settlement,
                    _pad: [0; 2],
                    price,
                    qty,
                    good_till: 0,
                    client_id: ClientId::EMPTY,
                    _pad2: [0; 4],
                }),
            );
            let fill = event::Fill {
                order,
                account,
                status: OrderStatus::Filled,
                position_side,
                reduce_only: true,
                _pad: 0,
                cum_qty: qty,
                cum_quote: price * qty * mult,
                fee: 0,
                pnl,
                position: 0,
                entry: 0,
                cash,
                isolated_wallet: 0,
            };
            let settled =
                event::PositionSettled { trade, symbol, side, _pad: [0; 5], price, qty, fill };
            self.say(shard, Event::PositionSettled(settled));
        }
        self.tell_state(symbol, SymbolState::Halted, 0);
    }

    /// As a frame of its own.
    fn tell_state(&mut self, symbol: SymbolId, state: SymbolState, settlement: Ticks) {
        let change = event::SymbolStateChanged {
            symbol,
            state,
            index_stale: false,
            _pad: [0; 4],
            settlement,
        };
        self.say(shard_of(symbol), Event::SymbolStateChanged(change));
        self.end(shard_of(symbol), CommandKind::Tick);
    }
}
