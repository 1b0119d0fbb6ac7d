//! What an account is worth and what it must keep, by the engine's own arithmetic.
//!
//! `available + initial margin = margin balance` holds exactly: what is shown as initial margin
//! is the balance less what is available, so that it never exceeds what there is.

use protocol::{AccountId, Lots, Micros, SymbolId, Ticks, order::PositionSide};
use rules::{
    BracketTable, Exposure, Position, Reserved,
    liquidation::{Backing, legs_liquidation_price, liquidation_price},
};

use super::{Account, Accounts};
use crate::{
    store::row::{Fees, SlotRow, Sums},
    views::instruments::{Instrument, Instruments},
};

/// An account's totals, in cash units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub wallet: i128,
    pub unrealized: i128,
    /// The wallet and the unrealised profit beside isolated positions.
    pub cross_wallet: i128,
    pub cross_unrealized: i128,
    /// Margin in use: what the engine holds back, and what isolated positions are worth.
    pub initial: i128,
    /// The positions' part of it.
    pub position_initial: i128,
    pub maintenance: i128,
    /// Of cross positions alone.
    pub cross_maintenance: i128,
    /// Every symbol by number, in hedge mode every leg.
    pub symbols: Vec<SymbolFigures>,
    pub updated: Micros,
}

/// An account on one symbol or one leg of it, in cash units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolFigures {
    pub symbol: SymbolId,
    pub side: PositionSide,
    pub position: Lots,
    pub mark: Ticks,
    pub leverage: u8,
    pub isolated: bool,
    /// What is set aside for an isolated position.
    pub wallet: i128,
    pub fees: Fees,
    /// Signed value at the mark.
    pub value: i128,
    pub unrealized: i128,
    /// What the orders' fills may bring: the sums B and S.
    pub bids: i128,
    pub asks: i128,
    /// Initial margin of the position, and of its orders with their losses and fees.
    pub position_initial: i128,
    pub order_initial: i128,
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
    /// Of position and orders.
    pub fn initial(&self) -> i128 {
        self.position_initial + self.order_initial
    }

    /// What an isolated position is worth; 0 of a cross one.
    pub fn isolated_margin(&self) -> i128 {
        if self.isolated { self.wallet + self.unrealized } else { 0 }
    }

    /// Margin that the position has in use.
    fn in_use(&self) -> i128 {
        if self.isolated { self.isolated_margin() } else { self.position_initial }
    }

    /// What it adds to sums over cross positions.
    fn cross(&self, amount: i128) -> i128 {
        if self.isolated { 0 } else { amount }
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

    /// What could be taken out: unrealised profit can not.
    pub fn withdrawable(&self) -> i128 {
        let available = self.margin_balance() - self.initial;
        available.min(available - self.cross_unrealized).max(0)
    }
}

impl Accounts {
    /// An account's figures at the last marks; of an unknown account all are zero.
    pub fn figures(&self, account: AccountId, instruments: &Instruments) -> Figures {
        let nothing = Account::default();
        let account = self.get(account).unwrap_or(&nothing);
        let mut figures = Figures {
            wallet: account.wallet(),
            cross_wallet: account.cross_wallet(),
            updated: account.updated,
            ..Figures::default()
        };
        for instrument in instruments.iter() {
            for side in account.legs(instrument.spec.symbol) {
                let mark = self.mark(instrument.spec.symbol);
                let row = leg_figures(account, instrument, side, mark);
                figures.unrealized += row.unrealized;
                figures.cross_unrealized += row.cross(row.unrealized);
                figures.initial += row.in_use() + row.order_initial;
                figures.position_initial += row.in_use();
                figures.maintenance += row.maintenance;
                figures.cross_maintenance += row.cross(row.maintenance);
                figures.symbols.push(row);
            }
        }
        add_liquidation_prices(account, instruments, &mut figures);
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
}

/// An isolated position stands alone; cross legs of one symbol share a price.
fn add_liquidation_prices(account: &Account, instruments: &Instruments, figures: &mut Figures) {
    let (cash, pnl, kept) =
        (figures.cross_wallet, figures.cross_unrealized, figures.cross_maintenance);
    for legs in figures.symbols.chunk_by_mut(|one, next| one.symbol == next.symbol) {
        let Some(instrument) = instruments.get(legs[0].symbol) else { continue };
        let Some(table) = bracket_table(instrument) else { continue };
        let mult = instrument.spec.mult;
        let position = |row: &SymbolFigures| position_of(&account.leg(row.symbol, row.side));
        let own = |of: fn(&SymbolFigures) -> i128| legs.iter().map(of).sum::<i128>();
        let backing = Backing {
            cash,
            other_pnl: pnl - own(|row| row.unrealized),
            other_maintenance: kept - own(|row| row.maintenance),
        };
        let mark = legs[0].mark;
        // of two with a position one is the long and one the short leg
        let shared = match &*legs {
            [.., one, other] => {
                let [one, other] = [one, other].map(position);
                legs_liquidation_price(&one, &other, mark, &backing, &table, mult)
            }
            [one] => liquidation_price(&position(one), &backing, &table, mult),
            [] => None,
        };
        for row in legs.iter_mut().filter(|row| row.position != 0) {
            let alone = Backing { cash: row.wallet, ..Backing::default() };
            row.liquidation = match row.isolated {
                true => liquidation_price(&position(row), &alone, &table, mult),
                false => shared,
            };
        }
    }
}

/// The position of a slot, as the rules know it.
pub fn position_of(slot: &SlotRow) -> Position {
    Position { qty: slot.position, entry: slot.entry }
}

/// The symbol's brackets, if they were set.
pub fn bracket_table(instrument: &Instrument) -> Option<BracketTable> {
    instrument.brackets.as_ref().and_then(BracketTable::new)
}

pub(super) fn leg_figures(
    account: &Account,
    instrument: &Instrument,
    side: PositionSide,
    mark: Ticks,
) -> SymbolFigures {
    let spec = &instrument.spec;
    let (slot, chosen) = (account.leg(spec.symbol, side), account.slot(spec.symbol));
    let leverage = chosen.leverage.unwrap_or_else(|| default_leverage(instrument));
    let fees = chosen.fees.unwrap_or_else(|| symbol_fees(instrument));
    let Sums { buy, sell, loss, fee } = slot.reserved;
    let reserved = Reserved { buy, sell, loss, fee };
    let exposure = Exposure {
        position: position_of(&slot),
        reserved,
        mode: chosen.margin_mode(),
        wallet: slot.wallet,
    };
    let (position, mult) = (exposure.position, spec.mult);
    let first = (spec.symbol, protocol::OrderId(0));
    let last = (spec.symbol, protocol::OrderId(u64::MAX));
    SymbolFigures {
        symbol: spec.symbol,
        side,
        position: slot.position,
        mark,
        leverage,
        isolated: chosen.isolated,
        wallet: slot.wallet.into(),
        fees,
        value: position.value(mark, mult),
        unrealized: position.pnl(mark, mult),
        bids: reserved.buy.into(),
        asks: reserved.sell.into(),
        position_initial: exposure.position_margin(mark, mult, leverage),
        order_initial: exposure.order_margin(mark, mult, leverage),
        maintenance: bracket_table(instrument)
            .map_or(0, |table| exposure.maintenance_margin(mark, mult, &table)),
        has_orders: account.open.range(first..=last).any(|(_, order)| order.position_side == side),
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
