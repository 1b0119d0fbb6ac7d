//! A toy exchange for tests: whatever is asked of it, the events it says are consistent.

mod algos;
mod forced;
mod funding;
mod settling;

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use protocol::{
    AccountId, AlgoId, Cash, ClientId, CommandKind, Event, Lots, Micros, Name, OrderId, RATE_ONE,
    Reject, Seq, SessionId, ShardId, SymbolId, Ticks, TradeId,
    event::{self, EventHeader},
    instrument::{Bracket, Brackets, SymbolSpec},
    limits::BRACKETS_MAX,
    order::{
        CallKind, CashReason, CloseReason, MarginMode, OrderOrigin, OrderStatus, OrderType,
        PositionMode, PositionSide, PriceMatch, SelfTradePrevention, Side, SymbolState,
        TimeInForce, TradeKind,
    },
};
use rules::Exposure;

use self::algos::Waiting;

pub const BTC: SymbolId = SymbolId(1);
pub const ETH: SymbolId = SymbolId(2);
pub const ACCOUNTS: u32 = 4;
/// Of these accounts one has isolated margin on the second symbol, and one two legs a symbol.
pub const ISOLATED: AccountId = AccountId(3);
pub const HEDGED: AccountId = AccountId(4);
/// Where the log times of the toy begin.
pub const START_US: Micros = 1_795_332_921_000_000;

/// One event as a link hands it to the views.
pub type Said = (ShardId, EventHeader, Event);

/// What is asked of the toy: a kind and four numbers that it bends to its needs.
pub type Ask = (u8, u8, u8, u16, u16);

pub fn asks(count: usize) -> impl Strategy<Value = Vec<Ask>> {
    prop::collection::vec((0u8..24, any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>()), 1..count)
}

struct Open {
    order: OrderId,
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    leg: PositionSide,
    price: Ticks,
    qty: Lots,
    cum_qty: Lots,
    cum_quote: Cash,
    /// The conditional order that it was.
    algo: AlgoId,
}

/// A link message under way.
enum Travelling {
    Grant(ShardId, AccountId, Cash),
    Return(ShardId, AccountId, Cash),
}

#[derive(Default)]
pub struct Toy {
    pub said: Vec<Said>,
    seqs: BTreeMap<ShardId, Seq>,
    index: u32,
    ts: Micros,
    next_id: u64,
    open: Vec<Open>,
    algos: Vec<Waiting>,
    positions: BTreeMap<(AccountId, SymbolId, PositionSide), Exposure>,
    cash: BTreeMap<(ShardId, AccountId), Cash>,
    lent: BTreeMap<(ShardId, AccountId), Cash>,
    travelling: VecDeque<Travelling>,
    updates: BTreeMap<SymbolId, u64>,
    fundings: u64,
}

/// The leverage that wallets are filled with.
const LEVERAGE: u8 = 20;

fn mode_of(account: AccountId, symbol: SymbolId) -> MarginMode {
    if (account, symbol) == (ISOLATED, ETH) { MarginMode::Isolated } else { MarginMode::Cross }
}

/// Orders of who has legs all open the leg of their side.
pub fn leg_of(account: AccountId, side: Side) -> PositionSide {
    match (account, side) {
        (HEDGED, Side::Buy) => PositionSide::Long,
        (HEDGED, Side::Sell) => PositionSide::Short,
        _ => PositionSide::Both,
    }
}

pub fn shard_of(symbol: SymbolId) -> ShardId {
    ShardId(symbol.0 as u8)
}

pub fn spec(symbol: SymbolId) -> SymbolSpec {
    let (name, base) = if symbol == BTC { ("BTCUSDT", "BTC") } else { ("ETHUSDT", "ETH") };
    SymbolSpec {
        symbol,
        shard: shard_of(symbol),
        state: SymbolState::Trading,
        price_decimals: 2,
        qty_decimals: 3,
        default_leverage: 20,
        funding_interval_hours: 8,
        name: Name::new(name).unwrap(),
        base: Name::new(base).unwrap(),
        quote: Name::new("USDT").unwrap(),
        tick_e8: 10_000_000,
        lot_e8: 100_000,
        mult: 10_000,
        price_min: 1,
        price_max: 10_000_000,
        qty_min: 1,
        qty_max: 1_000_000,
        market_qty_max: 120_000,
        notional_min: 5_000_000_000,
        band_up: 105_000_000,
        band_down: 95_000_000,
        market_bound: 5_000_000,
        trigger_protect: 5_000_000,
        liquidation_fee: 1_250_000,
        maker_fee: 20_000,
        taker_fee: 50_000,
        listed_at: START_US,
    }
}

pub fn brackets(symbol: SymbolId) -> Brackets {
    let mut rows = [Bracket::default(); BRACKETS_MAX];
    let usdt = 100_000_000;
    rows[0] = Bracket { floor: 0, cap: 50_000 * usdt, maintenance: 400_000, max_leverage: 125 };
    rows[1] = Bracket {
        floor: 50_000 * usdt,
        cap: 20_000_000 * usdt,
        maintenance: 1_000_000,
        max_leverage: 50,
    };
    Brackets { symbol, count: 2, _pad: 0, rows }
}

impl Toy {
    /// A toy with both symbols listed, marked and all accounts funded.
    pub fn new() -> Self {
        let mut toy = Self { ts: START_US, ..Self::default() };
        for symbol in [BTC, ETH] {
            toy.say(shard_of(symbol), Event::SymbolListed(spec(symbol)));
            toy.say(shard_of(symbol), Event::BracketsSet(brackets(symbol)));
            toy.end(shard_of(symbol), CommandKind::ListSymbol);
            toy.mark(symbol, 600_000);
        }
        for account in 1..=ACCOUNTS {
            toy.deposit(AccountId(account), 1_000_000_000_000);
        }
        let (mode, _pad) = (PositionMode::Hedge, [0; 2]);
        let changed = event::PositionModeChanged { account: HEDGED, mode, held: false, _pad };
        toy.say(ShardId::LEDGER, Event::PositionModeChanged(changed));
        toy.end(ShardId::LEDGER, CommandKind::Held);
        let (account, symbol, margin_mode) = (ISOLATED, ETH, mode_of(ISOLATED, ETH));
        let settings = event::SettingsChanged { account, symbol, leverage: 0, margin_mode };
        toy.say(shard_of(symbol), Event::SettingsChanged(settings));
        toy.end(shard_of(symbol), CommandKind::SetMarginMode);
        toy
    }

    pub fn run(asks: &[Ask]) -> Self {
        let mut toy = Self::new();
        asks.iter().for_each(|ask| toy.ask(*ask));
        toy
    }

    pub fn ask(&mut self, (kind, who, which, a, b): Ask) {
        let account = AccountId(u32::from(who) % ACCOUNTS + 1);
        let symbol = if which & 1 == 0 { BTC } else { ETH };
        let side = if which & 2 == 0 { Side::Buy } else { Side::Sell };
        let price = 590_000 + i64::from(a) % 20_000;
        let qty = 1 + i64::from(b) % 500;
        match kind {
            0..=2 => self.place(account, symbol, side, price, qty, which & 4 == 0),
            3..=5 => self.trade(usize::from(a), usize::from(b)),
            6 => self.amend(usize::from(a), price, qty),
            7 => self.close(usize::from(a), CloseReason::Canceled),
            8 if b % 3 == 0 => self.withdraw(account, i64::from(a) * 10_000),
            8 => self.deposit(account, i64::from(a) * 1_000_000),
            9 => self.grant(account, shard_of(symbol), i64::from(b) * 100_000),
            10 => self.give_back(account, shard_of(symbol), i64::from(b) * 10_000),
            11 => self.deliver(),
            12 => self.mark(symbol, price),
            13 => self.settings(account, symbol, (a % 125) as u8 + 1),
            14 => self.place_algo(account, symbol, side, price, qty, which & 4 == 0),
            15 | 16 => self.fire(usize::from(a), b),
            17 => self.end_algo(usize::from(a), b),
            18 => self.move_margin(i64::from(a) - 20_000),
            19 => self.fund(symbol, i64::from(a) - 20_000),
            20 => self.liquidate(usize::from(a), b),
            21 => self.advance(account, shard_of(symbol), i64::from(b) * 1_000),
            22 => self.settle(symbol, price),
            _ => self.call(account, shard_of(symbol), CallKind::Need),
        }
    }

    pub fn count_open(&self) -> u16 {
        self.open.len() as u16
    }

    fn say(&mut self, shard: ShardId, event: Event) {
        let seq = *self.seqs.entry(shard).or_insert(1);
        let header = EventHeader {
            seq,
            ts: self.ts,
            index: self.index,
            kind: event.kind() as u16,
            len: event.body().len() as u16,
        };
        self.index += 1;
        self.said.push((shard, header, event));
    }

    fn end(&mut self, shard: ShardId, command: CommandKind) {
        self.say(
            shard,
            Event::Outcome(event::Outcome {
                session: SessionId(1),
                number: 1,
                order: OrderId(0),
                amount: 0,
                reject: Reject::None,
                command: command as u16,
                _pad: 0,
            }),
        );
        *self.seqs.entry(shard).or_insert(1) += 1;
        self.index = 0;
        self.ts += 1_500;
    }

    pub fn mark(&mut self, symbol: SymbolId, mark: Ticks) {
        self.say(
            shard_of(symbol),
            Event::Mark(event::Mark {
                symbol,
                _pad: [0; 6],
                index_e8: mark * 10_000_000,
                mark,
                funding_rate: 0,
                next_funding: 0,
            }),
        );
        self.end(shard_of(symbol), CommandKind::IndexPrices);
    }

    pub fn place(
        &mut self,
        account: AccountId,
        symbol: SymbolId,
        side: Side,
        price: Ticks,
        qty: Lots,
        named: bool,
    ) {
        self.next_id += 1;
        let order = OrderId(self.next_id);
        let client_id = if named {
            ClientId::new(&format!("client-{}", self.next_id % 16)).unwrap()
        } else {
            ClientId::EMPTY
        };
        self.say(
            shard_of(symbol),
            Event::OrderAccepted(event::OrderAccepted {
                order,
                account,
                symbol,
                side,
                order_type: OrderType::Limit,
                time_in_force: TimeInForce::Gtc,
                self_trade: SelfTradePrevention::ExpireMaker,
                price_match: PriceMatch::None,
                position_side: leg_of(account, side),
                reduce_only: false,
                origin: OrderOrigin::Owner,
                _pad: [0; 2],
                price,
                qty,
                good_till: 0,
                client_id,
                _pad2: [0; 4],
            }),
        );
        let (cum_qty, cum_quote, algo) = (0, 0, AlgoId::NONE);
        let leg = leg_of(account, side);
        self.open.push(Open {
            order,
            account,
            symbol,
            side,
            leg,
            price,
            qty,
            cum_qty,
            cum_quote,
            algo,
        });
        self.level(symbol, side, price);
        self.reserved(account, symbol);
        self.end(shard_of(symbol), CommandKind::Place);
    }

    fn trade(&mut self, first: usize, second: usize) {
        let count = self.open.len();
        if count < 2 {
            return;
        }
        let (taker, maker) = (first % count, second % count);
        let fits = {
            let (t, m) = (&self.open[taker], &self.open[maker]);
            t.symbol == m.symbol && t.side != m.side && t.account != m.account
        };
        if !fits {
            return;
        }
        self.next_id += 1;
        let (symbol, price, taker_side) =
            (self.open[taker].symbol, self.open[maker].price, self.open[taker].side);
        let left = |open: &Open| open.qty - open.cum_qty;
        let qty = (left(&self.open[taker]).min(left(&self.open[maker])) / 2).max(1);
        let fills =
            [(taker, 50_000), (maker, 20_000)].map(|(at, rate)| self.fill(at, price, qty, rate));
        self.say(
            shard_of(symbol),
            Event::Trade(event::Trade {
                trade: TradeId(self.next_id),
                symbol,
                taker_side,
                kind: TradeKind::Book,
                _pad: [0; 4],
                price,
                qty,
                taker: fills[0],
                maker: fills[1],
            }),
        );
        let touched: Vec<_> = [taker, maker]
            .map(|at| (self.open[at].account, self.open[at].side, self.open[at].price))
            .into();
        let filled = |open: &mut Open| open.cum_qty >= open.qty;
        let filled: Vec<_> = self.open.extract_if(.., filled).collect();
        filled.iter().for_each(|open| self.finish(open));
        for (account, side, price) in touched {
            self.level(symbol, side, price);
            self.reserved(account, symbol);
        }
        self.end(shard_of(symbol), CommandKind::Place);
    }

    fn fill(&mut self, at: usize, price: Ticks, qty: Lots, rate: i64) -> event::Fill {
        let open = &mut self.open[at];
        let mult = spec(open.symbol).mult;
        let quote = price * qty * mult;
        open.cum_qty += qty;
        open.cum_quote += quote;
        let leg = open.leg;
        let blank = Exposure { mode: mode_of(open.account, open.symbol), ..Exposure::default() };
        let exposure = self.positions.entry((open.account, open.symbol, leg)).or_insert(blank);
        let pnl = exposure.trade(open.side.sign() * qty, price, mult, LEVERAGE) as Cash;
        let fee = rules::fees::fee(i128::from(quote), rate) as Cash;
        let cash = self.cash.entry((shard_of(open.symbol), open.account)).or_default();
        *cash += pnl - fee;
        event::Fill {
            order: open.order,
            account: open.account,
            status: match open.cum_qty == open.qty {
                true => OrderStatus::Filled,
                false => OrderStatus::PartiallyFilled,
            },
            position_side: leg,
            reduce_only: false,
            _pad: 0,
            cum_qty: open.cum_qty,
            cum_quote: open.cum_quote,
            fee,
            pnl,
            position: exposure.position.qty,
            entry: exposure.position.entry,
            cash: *cash,
            isolated_wallet: exposure.wallet,
        }
    }

    fn amend(&mut self, at: usize, price: Ticks, qty: Lots) {
        let count = self.open.len();
        if count == 0 {
            return;
        }
        let open = &mut self.open[at % count];
        let before = open.price;
        open.price = price;
        open.qty = open.cum_qty + qty;
        let (account, symbol, side) = (open.account, open.symbol, open.side);
        let amended = event::OrderAmended {
            order: open.order,
            account,
            symbol,
            side,
            clipped: 0,
            price,
            qty: open.qty,
            cum_qty: open.cum_qty,
            cum_quote: open.cum_quote,
        };
        self.say(shard_of(symbol), Event::OrderAmended(amended));
        self.level(symbol, side, before);
        self.level(symbol, side, price);
        self.reserved(account, symbol);
        self.end(shard_of(symbol), CommandKind::Amend);
    }

    pub fn close(&mut self, at: usize, reason: CloseReason) {
        let count = self.open.len();
        if count == 0 {
            return;
        }
        let open = self.open.remove(at % count);
        let (account, symbol, side) = (open.account, open.symbol, open.side);
        let closed = event::OrderClosed {
            order: open.order,
            account,
            symbol,
            side,
            status: OrderStatus::Canceled,
            reason,
            _pad: [0; 7],
            qty: open.qty,
            cum_qty: open.cum_qty,
            cum_quote: open.cum_quote,
        };
        self.say(shard_of(symbol), Event::OrderClosed(closed));
        self.finish(&open);
        self.level(symbol, side, open.price);
        self.reserved(account, symbol);
        self.end(shard_of(symbol), CommandKind::Cancel);
    }

    fn level(&mut self, symbol: SymbolId, side: Side, price: Ticks) {
        let at = |open: &&Open| open.symbol == symbol && open.side == side && open.price == price;
        let qty = self.open.iter().filter(at).map(|open| open.qty - open.cum_qty).sum();
        let update = self.updates.entry(symbol).or_default();
        *update += 1;
        let update = *update;
        let level = event::Level { symbol, side, _pad: [0; 5], price, qty, update };
        self.say(shard_of(symbol), Event::Level(level));
    }

    fn reserved(&mut self, account: AccountId, symbol: SymbolId) {
        match account {
            HEDGED => {
                self.reserved_leg(account, symbol, PositionSide::Long);
                self.reserved_leg(account, symbol, PositionSide::Short);
            }
            _ => self.reserved_leg(account, symbol, PositionSide::Both),
        }
    }

    fn reserved_leg(&mut self, account: AccountId, symbol: SymbolId, leg: PositionSide) {
        let mult = spec(symbol).mult;
        let sum = |side: Side| -> Cash {
            let of = |open: &&Open| {
                (open.account, open.symbol, open.side) == (account, symbol, side)
                    && leg_of(account, side) == leg
            };
            let value = |open: &Open| open.price * (open.qty - open.cum_qty) * mult;
            self.open.iter().filter(of).map(value).sum()
        };
        let (buy, sell) = (sum(Side::Buy), sum(Side::Sell));
        let fee = rules::fees::fee(i128::from(buy + sell), 50_000) as Cash;
        let reserved = event::Reserved {
            account,
            symbol,
            position_side: leg,
            _pad: 0,
            buy,
            sell,
            loss: 0,
            fee,
        };
        self.say(shard_of(symbol), Event::Reserved(reserved));
    }

    pub fn deposit(&mut self, account: AccountId, amount: Cash) {
        self.move_cash(ShardId::LEDGER, account, amount, CashReason::Deposit, ShardId::LEDGER, 0);
        self.end(ShardId::LEDGER, CommandKind::Deposit);
    }

    fn withdraw(&mut self, account: AccountId, amount: Cash) {
        self.move_cash(ShardId::LEDGER, account, -amount, CashReason::Withdraw, ShardId::LEDGER, 0);
        self.end(ShardId::LEDGER, CommandKind::Held);
    }

    pub fn grant(&mut self, account: AccountId, shard: ShardId, amount: Cash) {
        let lent = self.lent.entry((shard, account)).or_default();
        *lent += amount;
        let lent = *lent;
        self.move_cash(ShardId::LEDGER, account, -amount, CashReason::GrantIssued, shard, lent);
        self.end(ShardId::LEDGER, CommandKind::Lend);
        self.travelling.push_back(Travelling::Grant(shard, account, amount));
    }

    fn give_back(&mut self, account: AccountId, shard: ShardId, amount: Cash) {
        self.move_cash(shard, account, -amount, CashReason::ReturnIssued, ShardId::LEDGER, 0);
        self.end(shard, CommandKind::Recall);
        self.travelling.push_back(Travelling::Return(shard, account, amount));
    }

    pub fn deliver(&mut self) {
        match self.travelling.pop_front() {
            Some(Travelling::Grant(shard, account, amount)) => {
                let ledger = ShardId::LEDGER;
                self.move_cash(shard, account, amount, CashReason::GrantApplied, ledger, 0);
                self.end(shard, CommandKind::Grant);
            }
            Some(Travelling::Return(shard, account, amount)) => {
                let lent = self.lent.entry((shard, account)).or_default();
                *lent -= amount;
                let (lent, ledger) = (*lent, ShardId::LEDGER);
                self.move_cash(ledger, account, amount, CashReason::ReturnTaken, shard, lent);
                self.end(ledger, CommandKind::Return);
            }
            None => {}
        }
    }

    fn move_cash(
        &mut self,
        on: ShardId,
        account: AccountId,
        delta: Cash,
        reason: CashReason,
        shard: ShardId,
        lent: Cash,
    ) {
        let cash = self.cash.entry((on, account)).or_default();
        *cash += delta;
        let cash = *cash;
        let change = event::CashChanged { account, reason, shard, _pad: [0; 2], cash, delta, lent };
        self.say(on, Event::CashChanged(change));
    }

    /// Into the first isolated wallet, or out of it, as far as that is filled.
    fn move_margin(&mut self, delta: Cash) {
        let mut isolated = self.positions.iter_mut().filter(|(_, exposure)| exposure.wallet > 0);
        let Some((&(account, symbol, position_side), exposure)) = isolated.next() else { return };
        let delta = delta.max(1 - exposure.wallet);
        exposure.wallet += delta;
        let cash = self.cash.get(&(shard_of(symbol), account)).copied().unwrap_or(0);
        let moved = event::MarginMoved {
            account,
            symbol,
            position_side,
            _pad: 0,
            delta,
            isolated_wallet: exposure.wallet,
            cash,
        };
        self.say(shard_of(symbol), Event::MarginMoved(moved));
        self.end(shard_of(symbol), CommandKind::MoveMargin);
    }

    fn settings(&mut self, account: AccountId, symbol: SymbolId, leverage: u8) {
        let margin_mode = mode_of(account, symbol);
        let settings = event::SettingsChanged { account, symbol, leverage, margin_mode };
        self.say(shard_of(symbol), Event::SettingsChanged(settings));
        let rate = RATE_ONE / 1_000 / i64::from(leverage);
        let fees =
            event::FeesChanged { account, symbol, _pad: [0; 2], maker: -rate / 4, taker: rate };
        self.say(shard_of(symbol), Event::FeesChanged(fees));
        self.end(shard_of(symbol), CommandKind::SetLeverage);
    }
}
