//! The symbols as listed: what names, units, filters and brackets they have and who decides them.

use std::collections::{BTreeMap, HashMap};

use protocol::{
    Event, ShardId, SymbolId,
    event::EventHeader,
    instrument::{Brackets, SymbolSpec},
};

/// A listed symbol.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    pub spec: SymbolSpec,
    pub brackets: Option<Brackets>,
}

#[derive(Default)]
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

    pub fn apply(&mut self, _shard: ShardId, _header: &EventHeader, event: &Event) {
        match event {
            Event::SymbolListed(spec) => {
                let brackets = self.by_id.get(&spec.symbol).and_then(|known| known.brackets);
                self.by_name.insert(spec.name.as_str().to_owned(), spec.symbol);
                self.by_id.insert(spec.symbol, Instrument { spec: *spec, brackets });
            }
            Event::BracketsSet(brackets) => {
                if let Some(known) = self.by_id.get_mut(&brackets.symbol) {
                    known.brackets = Some(*brackets);
                }
            }
            Event::SymbolStateChanged(change) => {
                if let Some(known) = self.by_id.get_mut(&change.symbol) {
                    known.spec.state = change.state;
                }
            }
            Event::Outcome(_)
            | Event::SessionOpened(_)
            | Event::OrderAccepted(_)
            | Event::Trade(_)
            | Event::OrderAmended(_)
            | Event::OrderClosed(_)
            | Event::Level(_)
            | Event::Reserved(_)
            | Event::SettingsChanged(_)
            | Event::FeesChanged(_)
            | Event::Mark(_)
            | Event::CashChanged(_)
            | Event::LendSettled(_)
            | Event::GrantIssued(_)
            | Event::RecallIssued(_)
            | Event::ReturnIssued(_)
            | Event::LinkApplied(_)
            | Event::LinkAcked(_) => {}
        }
    }
}
