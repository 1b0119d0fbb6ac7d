//! What a shard is told before flow C: three perpetuals, accounts with money, leverage and a
//! position each, and the orders that rest at first.

use std::collections::HashSet;

use protocol::{
    AccountId, Command, Lots, Name, SymbolId, Ticks,
    command::{Grant, IndexPrice, IndexPrices, SetLeverage, SetMarginMode},
    instrument::{Bracket, Brackets, SymbolSpec},
    limits::{BRACKETS_MAX, INDEX_PRICES_MAX, QTY_MAX},
    order::{MarginMode, Side, SymbolState, TimeInForce},
};

use super::{
    Scale, USUAL,
    draw::{Accounts, Spread},
    orders::{self, distance},
    speaker::SHARD,
};
use crate::flow::random::SplitMix;

/// All three are worth the same, which is 50 quote units a lot at first.
pub const MIDDLE: Ticks = 500_000;
const TICK_E8: i64 = 10_000_000;
const LOT_E8: i64 = 100_000;
const MULT: i64 = 10_000;
pub const SYMBOLS: u16 = 3;

/// 1,000,000 and 3,000 quote units: for the others, and for one account in eight, whom margin
/// binds.
const CASH: i64 = 100_000_000_000_000;
const CASH_TIGHT: i64 = 300_000_000_000;
const TIGHT_ONE_IN: u32 = 8;
const LEVERAGE_MIN: u32 = 5;
const LEVERAGE_MAX: u32 = 50;
/// Of those who take no risk: no move of the flow brings them down.
const LEVERAGE_CALM: u8 = 3;
const SEED: u64 = 0x5E70_2026;

/// Of ten draws six are the first symbol, three the second, one the third.
pub const fn symbol_of(draw: u64) -> SymbolId {
    match draw % 10 {
        0..6 => SymbolId(1),
        6..9 => SymbolId(2),
        _ => SymbolId(3),
    }
}

/// Each command in its order, the same ones for a scale. They don't depend on what the engine
/// answers.
pub fn commands(scale: &Scale) -> impl Iterator<Item = Command> {
    let Scale { accounts, .. } = *scale;
    let bold = Bold::of(scale);
    let listing = (1..=SYMBOLS).flat_map(|symbol| {
        [Command::ListSymbol(instrument(symbol)), Command::SetBrackets(brackets(symbol))]
    });
    let priced = std::iter::once(index([MIDDLE; SYMBOLS as usize]));
    let of_grants = bold.clone();
    let grants = (1..=accounts).map(move |account| {
        let amount = if of_grants.is_tight(account) { CASH_TIGHT } else { CASH };
        let link_seq = account.into();
        Command::Grant(Grant { link_seq, account: AccountId(account), _pad: 0, amount, call: 0 })
    });
    let leverages = (1..=accounts).map(move |account| {
        let leverage = bold.leverage(account);
        let (account, symbol) = (AccountId(account), home(account));
        Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 })
    });
    let isolated = (1..=accounts).filter(|account| is_isolated(*account)).map(|account| {
        let (account, symbol, mode) = (AccountId(account), home(account), MarginMode::Isolated);
        Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 })
    });
    let positions = (1..=accounts).map(|account| {
        let (side, time_in_force) = match account % 2 {
            1 => (Side::Sell, TimeInForce::Gtc),
            _ => (Side::Buy, TimeInForce::Ioc),
        };
        let qty = 1 + Lots::from((account - 1) / 2 % 10);
        orders::limit(AccountId(account), home(account), side, time_in_force, MIDDLE, qty)
    });
    let funded = listing.chain(priced).chain(grants);
    funded.chain(leverages).chain(isolated).chain(positions).chain(resting(scale))
}

fn resting(scale: &Scale) -> impl Iterator<Item = Command> {
    let accounts = Accounts::new(scale.accounts, Spread::Uniform);
    let mut random = SplitMix::new(SEED);
    (0..u64::from(scale.orders)).map(move |nth| {
        let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
        let price = MIDDLE - side.sign() * distance(&mut random, orders::Reach::Passive);
        let qty = orders::qty(&mut random);
        orders::limit(accounts.nth(nth), symbol_of(nth), side, TimeInForce::Gtc, price, qty)
    })
}

/// The symbol on which an account has its position and its leverage; the next one trades it with
/// its neighbour.
const fn home(account: u32) -> SymbolId {
    symbol_of(((account - 1) / 2) as u64)
}

/// Half of the accounts, on their own symbol.
const fn is_isolated(account: u32) -> bool {
    ((account - 1) / 2).is_multiple_of(2)
}

/// Who takes risks. A flow is as long at any scale, and so are what its marks bring down: as many
/// accounts as there usually are, those that act most often, whatever rests beside them.
#[derive(Clone)]
struct Bold {
    /// None: all of them.
    ids: Option<HashSet<u32>>,
}

impl Bold {
    fn of(scale: &Scale) -> Self {
        let accounts = Accounts::new(scale.accounts, Spread::Uniform);
        let among_others = scale.accounts > USUAL && !scale.all_bold;
        let ids = (0..u64::from(USUAL)).map(|rank| accounts.nth(rank).0);
        Self { ids: among_others.then(|| ids.collect()) }
    }

    fn has(&self, account: u32) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&account))
    }

    fn is_tight(&self, account: u32) -> bool {
        account % TIGHT_ONE_IN == 5 && self.has(account)
    }

    fn leverage(&self, account: u32) -> u8 {
        if !self.has(account) {
            return LEVERAGE_CALM;
        }
        if self.is_tight(account) {
            return LEVERAGE_MAX as u8;
        }
        (LEVERAGE_MIN + account * 7 % (LEVERAGE_MAX - LEVERAGE_MIN + 1)) as u8
    }
}

/// One command with a price for each symbol.
pub fn index(marks: [Ticks; SYMBOLS as usize]) -> Command {
    let blank = IndexPrice { symbol: SymbolId::NONE, _pad: [0; 6], price_e8: 0 };
    let mut rows = [blank; INDEX_PRICES_MAX];
    for ((row, symbol), mark) in rows.iter_mut().zip(1..).zip(marks) {
        *row = IndexPrice { symbol: SymbolId(symbol), price_e8: mark * TICK_E8, ..blank };
    }
    Command::IndexPrices(IndexPrices { count: SYMBOLS, _pad: [0; 6], rows })
}

fn instrument(symbol: u16) -> SymbolSpec {
    let name = ["ONEUSDT", "TWOUSDT", "THREEUSDT"][usize::from(symbol) - 1];
    SymbolSpec {
        symbol: SymbolId(symbol),
        shard: SHARD,
        state: SymbolState::Trading,
        price_decimals: 1,
        qty_decimals: 3,
        default_leverage: 20,
        funding_interval_hours: 1,
        name: Name::new(name).unwrap_or_default(),
        base: Name::new(&name[..3]).unwrap_or_default(),
        quote: Name::new("USDT").unwrap_or_default(),
        tick_e8: TICK_E8,
        lot_e8: LOT_E8,
        mult: MULT,
        price_min: 1,
        price_max: 10_000_000,
        qty_min: 1,
        qty_max: QTY_MAX,
        market_qty_max: QTY_MAX,
        notional_min: 1,
        band_up: 110_000_000,
        band_down: 90_000_000,
        market_bound: 5_000_000,
        trigger_protect: 5_000_000,
        liquidation_fee: 1_250_000,
        maker_fee: 20_000,
        taker_fee: 40_000,
        listed_at: 0,
    }
}

/// Caps in quote units: 50 thousand, 10 million, 50 million, 10 billion.
fn brackets(symbol: u16) -> Brackets {
    const UNIT: i64 = 100_000_000;
    let caps = [50_000 * UNIT, 10_000_000 * UNIT, 50_000_000 * UNIT, 10_000_000_000 * UNIT];
    let rates = [(400_000, 125), (500_000, 100), (1_000_000, 50), (2_500_000, 20)];
    let mut rows = [Bracket::default(); BRACKETS_MAX];
    let mut floor = 0;
    for ((row, cap), (maintenance, max_leverage)) in rows.iter_mut().zip(caps).zip(rates) {
        *row = Bracket { floor, cap, maintenance, max_leverage };
        floor = cap;
    }
    Brackets { symbol: SymbolId(symbol), count: caps.len() as u16, _pad: 0, rows }
}
