//! What an account is worth and what it must keep, by the engine's own arithmetic.
//!
//! `available + initial margin = margin balance` holds exactly: what is shown as initial margin
//! is the balance less what is available, so that it never exceeds what there is.

use protocol::{AccountId, Lots, Micros, SymbolId, Ticks};
use rules::{
    BracketTable, Exposure, Position, Reserved,
    liquidation::{Backing, liquidation_price},
};

use super::{Account, Accounts};
use crate::{
    store::row::{Fees, SlotRow},
    views::instruments::{Instrument, Instruments},
};

/// An account's totals, in cash units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub wallet: i128,
    pub unrealized: i128,
    /// Summed over the symbols: what the engine holds back.
    pub initial: i128,
    pub position_initial: i128,
    pub maintenance: i128,
    /// Every symbol, by number.
    pub symbols: Vec<SymbolFigures>,
    pub updated: Micros,
}

/// An account on one symbol, in cash units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolFigures {
    pub symbol: SymbolId,
    pub position: Lots,
    pub mark: Ticks,
    pub leverage: u8,
    pub isolated: bool,
    pub fees: Fees,
    /// Signed value at the mark.
    pub value: i128,
    pub unrealized: i128,
    /// What the orders' fills may bring: the sums B and S.
    pub bids: i128,
    pub asks: i128,
    pub initial: i128,
    pub position_initial: i128,
    pub maintenance: i128,
    pub has_orders: bool,
    /// In quote units of 1e-8; 0 without a position.
    pub entry_price_e8: i128,
    pub break_even_e8: i128,
    /// `None`: no price of this symbol alone would do it.
    pub liquidation: Option<Ticks>,
    pub updated: Micros,
}

impl SymbolFigures {
    /// What open orders hold back; their losses and fees included.
    pub fn order_initial(&self) -> i128 {
        self.initial - self.position_initial
    }

    /// A position or open orders.
    pub fn is_active(&self) -> bool {
        self.position != 0 || self.has_orders
    }
}

impl Figures {
    pub fn margin_balance(&self) -> i128 {
        self.wallet + self.unrealized
    }

    /// Summed over shards first and clamped once.
    pub fn available(&self) -> i128 {
        (self.margin_balance() - self.initial).max(0)
    }

    /// The margin in use: all there is when more is needed than that.
    pub fn initial_shown(&self) -> i128 {
        self.margin_balance() - self.available()
    }

    /// The orders' part of the margin in use.
    pub fn order_initial(&self) -> i128 {
        self.initial - self.position_initial
    }

    /// What could be taken out: unrealised profit can not.
    pub fn withdrawable(&self) -> i128 {
        self.available().min(self.wallet - self.initial).max(0)
    }
}

impl Accounts {
    /// An account's figures at the last marks; of an unknown account all are zero.
    pub fn figures(&self, account: AccountId, instruments: &Instruments) -> Figures {
        let nothing = Account::default();
        let account = self.get(account).unwrap_or(&nothing);
        let mut figures =
            Figures { wallet: account.wallet(), updated: account.updated, ..Figures::default() };
        for instrument in instruments.iter() {
            let symbol = instrument.spec.symbol;
            let row = symbol_figures(account, instrument, self.mark(symbol));
            figures.unrealized += row.unrealized;
            figures.initial += row.initial;
            figures.position_initial += row.position_initial;
            figures.maintenance += row.maintenance;
            figures.symbols.push(row);
        }
        self.add_liquidation_prices(account, instruments, &mut figures);
        figures
    }

    /// The leverage that an account trades a symbol with.
    pub fn leverage(&self, account: AccountId, instrument: &Instrument) -> u8 {
        let chosen =
            self.get(account).and_then(|known| known.slot(instrument.spec.symbol).leverage);
        chosen.unwrap_or_else(|| default_leverage(instrument))
    }

    pub fn fees(&self, account: AccountId, instrument: &Instrument) -> Fees {
        let own = self.get(account).and_then(|known| known.slot(instrument.spec.symbol).fees);
        own.unwrap_or_else(|| symbol_fees(instrument))
    }

    fn add_liquidation_prices(
        &self,
        account: &Account,
        instruments: &Instruments,
        figures: &mut Figures,
    ) {
        let (unrealized, maintenance) = (figures.unrealized, figures.maintenance);
        for row in figures.symbols.iter_mut().filter(|row| row.position != 0) {
            let Some(instrument) = instruments.get(row.symbol) else { continue };
            let Some(table) = bracket_table(instrument) else { continue };
            let backing = Backing {
                cash: figures.wallet,
                other_pnl: unrealized - row.unrealized,
                other_maintenance: maintenance - row.maintenance,
            };
            let position = position_of(&account.slot(row.symbol));
            row.liquidation = liquidation_price(&position, &backing, &table, instrument.spec.mult);
        }
    }
}

/// The position of a slot, as the rules know it.
pub fn position_of(slot: &SlotRow) -> Position {
    Position { qty: slot.position, entry: i128::from(slot.entry) }
}

/// The symbol's brackets, if they were set.
pub fn bracket_table(instrument: &Instrument) -> Option<BracketTable> {
    instrument.brackets.as_ref().and_then(BracketTable::new)
}

fn symbol_figures(account: &Account, instrument: &Instrument, mark: Ticks) -> SymbolFigures {
    let spec = &instrument.spec;
    let slot = account.slot(spec.symbol);
    let leverage = slot.leverage.unwrap_or_else(|| default_leverage(instrument));
    let fees = slot.fees.unwrap_or_else(|| symbol_fees(instrument));
    let sums = slot.reserved;
    let reserved = Reserved {
        buy: i128::from(sums.buy),
        sell: i128::from(sums.sell),
        loss: i128::from(sums.loss),
        fee: i128::from(sums.fee),
    };
    let exposure = Exposure { position: position_of(&slot), reserved, ..Exposure::default() };
    let (position, mult) = (exposure.position, spec.mult);
    let first = (spec.symbol, protocol::OrderId(0));
    let last = (spec.symbol, protocol::OrderId(u64::MAX));
    SymbolFigures {
        symbol: spec.symbol,
        position: slot.position,
        mark,
        leverage,
        isolated: slot.isolated,
        fees,
        value: position.value(mark, mult),
        unrealized: position.pnl(mark, mult),
        bids: reserved.buy,
        asks: reserved.sell,
        initial: exposure.initial_margin(mark, mult, leverage),
        position_initial: exposure.position_margin(mark, mult, leverage),
        maintenance: bracket_table(instrument)
            .map_or(0, |table| exposure.maintenance_margin(mark, mult, &table)),
        has_orders: account.open.range(first..=last).next().is_some(),
        entry_price_e8: position.entry_price(mult, spec.tick_e8),
        break_even_e8: position.break_even_price(mult, spec.tick_e8, fees.taker),
        liquidation: None,
        updated: slot.updated,
    }
}

fn default_leverage(instrument: &Instrument) -> u8 {
    let of_symbol = instrument.spec.default_leverage.max(1);
    bracket_table(instrument).map_or(of_symbol, |table| table.default_leverage(of_symbol))
}

fn symbol_fees(instrument: &Instrument) -> Fees {
    Fees { maker: instrument.spec.maker_fee, taker: instrument.spec.taker_fee }
}
