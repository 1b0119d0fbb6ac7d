//! The symbols as listed: what names, units, filters and brackets they have and who decides them.

use std::collections::{BTreeMap, HashMap};

use protocol::{
    Cash, Event, Lots, ShardId, SymbolId, Ticks,
    event::EventHeader,
    instrument::{Bracket, Brackets, SymbolSpec},
    order::SymbolState,
};

use crate::text::Text;

/// A listed symbol.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    pub spec: SymbolSpec,
    pub brackets: Option<Brackets>,
    /// Its index has stayed away: while that is so, trading only reduces.
    pub index_stale: bool,
}

impl Instrument {
    /// What the symbol accepts now; `spec.state` is what its operator says.
    pub fn state(&self) -> SymbolState {
        match self.spec.state {
            SymbolState::Trading if self.index_stale => SymbolState::ReduceOnly,
            state => state,
        }
    }

    pub fn name(&self) -> &str {
        self.spec.name.as_str()
    }

    /// A price as clients see it.
    pub fn price(&self, ticks: Ticks) -> Text {
        Text::fixed(self.price_e8(ticks), u32::from(self.spec.price_decimals))
    }

    /// A price in quote units of 1e-8.
    pub fn price_e8(&self, ticks: Ticks) -> i128 {
        i128::from(ticks) * i128::from(self.spec.tick_e8)
    }

    /// A quantity as clients see it.
    pub fn qty(&self, lots: Lots) -> Text {
        let value_e8 = i128::from(lots) * i128::from(self.spec.lot_e8);
        Text::fixed(value_e8, u32::from(self.spec.qty_decimals))
    }

    /// What a quantity is worth at a price, in quote units of 1e-8.
    pub fn notional(&self, ticks: Ticks, lots: Lots) -> i128 {
        i128::from(ticks) * i128::from(lots) * i128::from(self.spec.mult)
    }

    /// An average price of so many lots that cost so much, rounded to a decimal more than prices
    /// have; zero of none.
    pub fn average_price(&self, quote: i128, lots: Lots) -> Text {
        let base_e8 = i128::from(lots) * i128::from(self.spec.lot_e8);
        let decimals = u32::from(self.spec.price_decimals).min(7) + 1;
        if base_e8 == 0 {
            return Text::zero(decimals);
        }
        let unit = 10i128.pow(decimals);
        Text(protocol::decimal::show((quote * unit + base_e8 / 2) / base_e8, decimals))
    }

    /// Its leverage brackets, ascending by value; none before they were set.
    pub fn bracket_rows(&self) -> &[Bracket] {
        self.brackets.as_ref().map_or(&[], |brackets| {
            let count = usize::from(brackets.count).min(brackets.rows.len());
            &brackets.rows[..count]
        })
    }

    /// The highest position value that this leverage may have; zero where the leverage is more
    /// than any bracket allows.
    pub fn max_notional(&self, leverage: u8) -> Cash {
        let allowed = |row: &&Bracket| row.max_leverage >= u32::from(leverage);
        self.bracket_rows().iter().rev().find(allowed).map_or(0, |row| row.cap)
    }
}

/// Every listed symbol, by number and by name.
#[derive(Clone, Default)]
pub struct Instruments {
    by_id: BTreeMap<SymbolId, Instrument>,
    by_name: HashMap<String, SymbolId>,
}

impl Instruments {
    pub fn get(&self, symbol: SymbolId) -> Option<&Instrument> {
        self.by_id.get(&symbol)
    }

    /// Finds a symbol by its name in capitals.
    pub fn by_name(&self, name: &str) -> Option<&Instrument> {
        self.by_name.get(name).and_then(|symbol| self.by_id.get(symbol))
    }

    /// All symbols, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Instrument> {
        self.by_id.values()
    }

    /// Puts back a symbol that a store kept.
    pub fn restore(&mut self, instrument: Instrument) {
        self.by_name.insert(instrument.name().to_owned(), instrument.spec.symbol);
        self.by_id.insert(instrument.spec.symbol, instrument);
    }

    pub fn apply(&mut self, _shard: ShardId, _header: &EventHeader, event: &Event) {
        match event {
            Event::SymbolListed(spec) => {
                let known = self.by_id.get(&spec.symbol);
                let brackets = known.and_then(|known| known.brackets);
                let index_stale = known.is_some_and(|known| known.index_stale);
                if let Some(name) = known.map(|known| known.name().to_owned()) {
                    self.by_name.remove(&name);
                }
                self.restore(Instrument { spec: *spec, brackets, index_stale });
            }
            Event::BracketsSet(brackets) => {
                if let Some(known) = self.by_id.get_mut(&brackets.symbol) {
                    known.brackets = Some(*brackets);
                }
            }
            Event::SymbolStateChanged(change) => {
                if let Some(known) = self.by_id.get_mut(&change.symbol) {
                    known.spec.state = change.state;
                    known.index_stale = change.index_stale;
                }
            }
            Event::Outcome(_)
            | Event::SessionOpened(_)
            | Event::OrderAccepted(_)
            | Event::Trade(_)
            | Event::OrderAmended(_)
            | Event::OrderClosed(_)
            | Event::AlgoAccepted(_)
            | Event::AlgoChanged(_)
            | Event::CountdownSet(_)
            | Event::Level(_)
            | Event::Reserved(_)
            | Event::SettingsChanged(_)
            | Event::FeesChanged(_)
            | Event::MarginMoved(_)
            | Event::PositionModeChanged(_)
            | Event::PositionModeSettled(_)
            | Event::HoldIssued(_)
            | Event::ReleaseIssued(_)
            | Event::HeldIssued(_)
            | Event::Funding(_)
            | Event::FundingPaid(_)
            | Event::FundingEnded(_)
            | Event::LiquidationFeePaid(_)
            | Event::PositionSettled(_)
            | Event::MarginCallIssued(_)
            | Event::DebtIssued(_)
            | Event::Mark(_)
            | Event::CashChanged(_)
            | Event::LendSettled(_)
            | Event::WithdrawalSettled(_)
            | Event::GrantIssued(_)
            | Event::RecallIssued(_)
            | Event::ReturnIssued(_)
            | Event::LinkApplied(_)
            | Event::LinkAcked(_) => {}
        }
    }
}
