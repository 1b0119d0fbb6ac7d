//! Guard bands: for each cross position the marks between which its account needs no look.
//!
//! What an account has above what it must keep is divided among its positions, so as long as
//! every mark is inside its band, whatever the others do inside theirs, the account stays on its
//! side of the line. A mark that leaves no band costs a look at the two nearest guards.

use alloc::vec::Vec;

use protocol::Ticks;

use crate::accounts::HoldingAt;

/// The guards of all symbols.
#[derive(Default)]
pub(crate) struct Bands {
    /// By symbol: guards below the mark, by their negated price, and guards above.
    symbols: Vec<[Vec<Guard>; 2]>,
    /// By holding: its place in its symbol's two heaps + 1; 0: none.
    places: [Vec<u32>; 2],
}

/// The one that is met first is in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Guard {
    key: Ticks,
    holding: HoldingAt,
}

impl Bands {
    /// Guards a holding at these marks, instead of where it was; `None`: not at all.
    pub fn set(&mut self, holding: HoldingAt, symbol: u16, band: Option<(Ticks, Ticks)>) {
        let symbol = usize::from(symbol);
        if self.symbols.len() <= symbol {
            self.symbols.resize_with(symbol + 1, Default::default);
        }
        for way in 0..2 {
            let mut heap =
                Heap { guards: &mut self.symbols[symbol][way], places: &mut self.places[way] };
            heap.clear(holding);
            if let Some((low, high)) = band {
                heap.push(Guard { key: if way == 0 { -low } else { high }, holding });
            }
        }
    }

    /// As [`Self::set`], but leaves guards that are inside the band, beyond the mark and no less
    /// than half as far: most changes are small.
    pub fn renew(
        &mut self,
        holding: HoldingAt,
        symbol: u16,
        mark: Ticks,
        band: Option<(Ticks, Ticks)>,
    ) {
        if let (Some((low, high)), Some(now)) = (band, self.get(holding, symbol)) {
            let serves =
                |guard: Ticks, wanted: Ticks| 0 < guard && guard <= wanted && wanted <= 2 * guard;
            if serves(mark - now.0, mark - low) && serves(now.1 - mark, high - mark) {
                return;
            }
        }
        self.set(holding, symbol, band);
    }

    /// A holding's guards.
    fn get(&self, holding: HoldingAt, symbol: u16) -> Option<(Ticks, Ticks)> {
        let ways = self.symbols.get(usize::from(symbol))?;
        let key = |way: usize| {
            let place = self.places[way].get(holding.index())?.checked_sub(1)?;
            Some(ways[way][place as usize].key)
        };
        Some((-key(0)?, key(1)?))
    }

    /// Takes a holding whose band a mark has left; its other guard goes with it.
    pub fn take_left(&mut self, symbol: u16, mark: Ticks) -> Option<HoldingAt> {
        let ways = self.symbols.get(usize::from(symbol))?;
        let met = |way: usize, key: Ticks| ways[way].first().filter(|guard| guard.key <= key);
        let holding = met(0, -mark).or_else(|| met(1, mark))?.holding;
        self.set(holding, symbol, None);
        Some(holding)
    }
}

/// A heap that knows where each holding's guard is.
struct Heap<'a> {
    /// No guard is before its parent, which is at half its place.
    guards: &'a mut Vec<Guard>,
    places: &'a mut Vec<u32>,
}

impl Heap<'_> {
    fn push(&mut self, guard: Guard) {
        let index = guard.holding.index();
        if self.places.len() <= index {
            self.places.resize((index + 1).next_power_of_two(), 0);
        }
        self.guards.push(guard);
        self.rise(self.guards.len() - 1);
    }

    fn clear(&mut self, holding: HoldingAt) {
        let known = self.places.get(holding.index()).copied().unwrap_or(0);
        let Some(place) = known.checked_sub(1) else { return };
        self.places[holding.index()] = 0;
        let (place, last) = (place as usize, self.guards.len() - 1);
        self.guards.swap_remove(place);
        if place < last {
            self.sink(place);
            self.rise(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.guards[place] < self.guards[(place - 1) / 2] {
            let parent = (place - 1) / 2;
            self.guards.swap(place, parent);
            self.note(place);
            place = parent;
        }
        self.note(place);
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter();
            let child = children.filter(|child| *child < self.guards.len());
            let Some(child) = child.min_by_key(|child| self.guards[*child]) else { return };
            if self.guards[place] <= self.guards[child] {
                return;
            }
            self.guards.swap(place, child);
            self.note(place);
            self.note(child);
            place = child;
        }
    }

    fn note(&mut self, place: usize) {
        self.places[self.guards[place].holding.index()] = place as u32 + 1;
    }
}
