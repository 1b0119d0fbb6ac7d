//! Guard bands: for each cross position the marks between which its account needs no look.
//!
//! What an account has above what it must keep is divided among its positions, so as long as
//! every mark is inside its band, whatever the others do inside theirs, the account stays on its
//! side of the line. A mark that leaves no band costs a look at the two nearest guards.

use alloc::vec::Vec;

use protocol::{Ticks, limits::PRICE_MAX};

use crate::accounts::HoldingAt;

/// The marks between which a position needs no look: beyond both it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Band {
    low: Ticks,
    high: Ticks,
}

/// How far a position's mark may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leeway {
    pub mark: Ticks,
    /// What one tick takes at the most; not 0.
    pub tick: u128,
    /// What may be taken.
    pub away: u128,
}

impl Band {
    /// No band at all.
    pub const NONE: Self = Self { low: 0, high: 0 };

    /// Ticks to the farther guard.
    pub fn far(&self, mark: Ticks) -> Ticks {
        (mark - self.low).max(self.high - mark)
    }

    /// Ticks to the nearer guard; 0 or less: the mark has left the band, or there is none.
    pub fn room(&self, mark: Ticks) -> Ticks {
        (mark - self.low).min(self.high - mark)
    }
}

impl Leeway {
    /// A band a good deal narrower than it might be, so that it serves after small changes too.
    fn band(&self) -> Band {
        let ticks = (self.away - self.away / 4) / self.tick;
        let ticks = Ticks::try_from(ticks).unwrap_or(PRICE_MAX).clamp(1, PRICE_MAX);
        Band { low: self.mark - ticks, high: self.mark + ticks }
    }

    /// A band that is there still serves: the mark is inside, neither guard is too far, nor much
    /// nearer than it might be. Divides nothing, as it is asked after each trade.
    fn is_served_by(&self, band: Band) -> bool {
        let serves = |ticks: Ticks, beyond_all: bool| {
            let takes = ticks.unsigned_abs() as u128 * self.tick;
            let near = takes <= self.away || ticks == 1;
            0 < ticks && near && (beyond_all || self.away <= 4 * takes)
        };
        serves(self.mark - band.low, band.low <= 0)
            && serves(band.high - self.mark, band.high > PRICE_MAX)
    }
}

/// The guards of all symbols.
#[derive(Default)]
pub(crate) struct Bands {
    /// By symbol: guards below the mark, by their negated price, and guards above.
    symbols: Vec<[Vec<Guard>; 2]>,
    /// By holding: its place in its symbol's two heaps + 1; 0: none.
    places: Vec<[u32; 2]>,
}

/// The one that is met first is in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Guard {
    key: Ticks,
    holding: HoldingAt,
}

impl Bands {
    /// Guards a holding as far as it has leeway, by the band it has while that serves; returns
    /// its band then. `None`: it is not guarded.
    #[inline]
    pub fn renew(
        &mut self,
        holding: HoldingAt,
        symbol: u16,
        known: Band,
        leeway: Option<Leeway>,
    ) -> Band {
        let band = match leeway {
            Some(leeway) if leeway.is_served_by(known) => return known,
            Some(leeway) => leeway.band(),
            None if known == Band::NONE => return known,
            None => Band::NONE,
        };
        self.set(holding, symbol, band);
        band
    }

    /// Guards a holding by a band instead of the one it had.
    fn set(&mut self, holding: HoldingAt, symbol: u16, band: Band) {
        let symbol = usize::from(symbol);
        if self.symbols.len() <= symbol {
            self.symbols.resize_with(symbol + 1, Default::default);
        }
        for way in 0..2 {
            let (guards, places) = (&mut self.symbols[symbol][way], &mut self.places);
            let mut heap = Heap { guards, places, way };
            let key = if way == 0 { -band.low } else { band.high };
            match band == Band::NONE {
                true => heap.clear(holding),
                false => heap.set(Guard { key, holding }),
            }
        }
    }

    /// A holding whose band a mark has left.
    pub fn left(&self, symbol: u16, mark: Ticks) -> Option<HoldingAt> {
        let ways = self.symbols.get(usize::from(symbol))?;
        let met = |way: usize, key: Ticks| ways[way].first().filter(|guard| guard.key <= key);
        met(0, -mark).or_else(|| met(1, mark)).map(|guard| guard.holding)
    }
}

/// A heap that knows where each holding's guard is.
struct Heap<'a> {
    /// No guard is before its parent, which is at half its place.
    guards: &'a mut Vec<Guard>,
    places: &'a mut Vec<[u32; 2]>,
    way: usize,
}

impl Heap<'_> {
    /// Puts a guard in, or where it belongs now.
    fn set(&mut self, guard: Guard) {
        let index = guard.holding.index();
        if self.places.len() <= index {
            self.places.resize((index + 1).next_power_of_two(), [0; 2]);
        }
        let Some(place) = self.places[index][self.way].checked_sub(1) else {
            self.guards.push(guard);
            return self.rise(self.guards.len() - 1);
        };
        let place = place as usize;
        let before = core::mem::replace(&mut self.guards[place], guard);
        match guard < before {
            true => self.rise(place),
            false => self.sink(place),
        }
    }

    fn clear(&mut self, holding: HoldingAt) {
        let known = self.places.get(holding.index()).map_or(0, |places| places[self.way]);
        let Some(place) = known.checked_sub(1) else { return };
        self.places[holding.index()][self.way] = 0;
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
        self.places[self.guards[place].holding.index()][self.way] = place as u32 + 1;
    }
}
