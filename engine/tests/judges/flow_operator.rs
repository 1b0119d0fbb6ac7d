//! What an operator says to a trading shard while it trades: states, ends, other terms.

use protocol::{
    Command, SymbolId,
    command::{SetSymbolState, Settle},
    instrument::{Brackets, SymbolSpec},
    order::SymbolState,
};

use crate::{
    bench::{brackets, spec},
    flow::Draw,
};

/// Mostly back to trading.
pub fn command(draw: &mut Draw, symbol: u16, mark: i64) -> Command {
    let state = match draw.below(42) {
        32 => SymbolState::ReduceOnly,
        33 => SymbolState::CancelOnly,
        34 => SymbolState::Halted,
        35 => SymbolState::Settling,
        36..=38 => {
            let price = draw.one_of(&[0, 0, mark, mark + 3, mark - 3, mark * 2, mark / 2, -1]);
            return Command::Settle(Settle { symbol: SymbolId(symbol), _pad: [0; 6], price });
        }
        39 | 40 => return Command::ListSymbol(listing(draw, symbol)),
        41 => return Command::SetBrackets(table(draw, symbol)),
        _ => SymbolState::Trading,
    };
    Command::SetSymbolState(SetSymbolState { symbol: SymbolId(symbol), state, _pad: [0; 5] })
}

/// The symbol as it was listed first, or with one thing changed: that may be for the worse, or
/// something that can't be.
fn listing(draw: &mut Draw, symbol: u16) -> SymbolSpec {
    let usual = spec(symbol);
    match draw.below(9) {
        0 => SymbolSpec { band_up: 103_000_000, band_down: 97_000_000, ..usual },
        1 => SymbolSpec { price_min: 95, price_max: 106, ..usual },
        2 => SymbolSpec { market_bound: 1_000_000, trigger_protect: 1_000_000, ..usual },
        3 => SymbolSpec { taker_fee: 90_000, maker_fee: 30_000, ..usual },
        4 => SymbolSpec { funding_interval_hours: 2, state: SymbolState::Halted, ..usual },
        5 => SymbolSpec { qty_min: 3, qty_max: 20, notional_min: 1_500, ..usual },
        6 => SymbolSpec { mult: 2 * usual.mult, lot_e8: 2 * usual.lot_e8, ..usual },
        _ => usual,
    }
}

/// The usual brackets, or such as leave less room.
fn table(draw: &mut Draw, symbol: u16) -> Brackets {
    let mut table = brackets(symbol);
    match draw.below(4) {
        0 => {
            table.rows[0].max_leverage = 50;
            table.rows[0].maintenance = 1_000_000;
        }
        1 => {
            for row in &mut table.rows[1..3] {
                (row.max_leverage, row.maintenance) = (10, 5_000_000);
            }
        }
        2 => table.rows[1].floor += 1,
        _ => {}
    }
    table
}
