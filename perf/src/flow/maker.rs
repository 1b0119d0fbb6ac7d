//! Flow B: what market makers of a perpetual send: place and cancel close to a middle that
//! wanders, about 1,024 orders resting on each side.

use engine::book::twin::TwinOrder;
use protocol::{Ticks, order::Side};

use super::{Command, Op, Sums, mirror::Mirror, random::SplitMix};

/// Orders that fill the book at first, as many on each side.
pub const WARM: usize = 2_048;
/// Measured commands that lead to the golden sums.
pub const MEASURED: usize = 1_000_000;
const SEED: u64 = 0x5EED_2026;

pub const GOLDEN: Sums =
    Sums { trades: 212_561, quantity: 6_434_988, notional: 3_218_685_191_212, resting: 1_975 };

const MIDDLE: Ticks = 500_000;
/// How far the middle may wander.
const WANDER_MAX: Ticks = 1_000;
/// The middle takes a step in one of so many commands.
const COMMANDS_PER_STEP: u64 = 32;
/// How far the book's size, or the difference between its sides, may stray before it is led back.
const SLACK: usize = 64;
/// The limit of an immediate-or-cancel order lies this far beyond the middle.
const TAKE_REACH: Ticks = 5_000;
/// Half of the victims are among so many of the newest.
const NEWEST: u64 = 256;

/// Of each 1,000 commands, these many place, when the book is thin, as it should be, and thick;
/// from there to 900 cancel, to 960 move, the rest take.
const PLACES_THIN: u64 = 560;
const PLACES: u64 = 460;
const PLACES_THICK: u64 = 340;
const CANCELS_TO: u64 = 900;
const MOVES_TO: u64 = 960;

/// The flow with so many measured commands; a longer one begins like a shorter one.
pub fn commands(measured: usize) -> Vec<Command> {
    let mut generator = Generator {
        random: SplitMix::new(SEED),
        mirror: Mirror::new(MIDDLE, WARM + measured),
        middle: MIDDLE,
    };
    for i in 0..WARM {
        let side = if i % 2 == 0 { Side::Buy } else { Side::Sell };
        generator.place(side, Distance::Passive);
    }
    for _ in 0..measured {
        generator.next();
    }
    generator.mirror.into_commands()
}

/// How close to the middle a price may be.
#[derive(Clone, Copy)]
enum Distance {
    /// Three in a hundred are beyond the middle, so that they may trade.
    Any,
    Passive,
}

struct Generator {
    random: SplitMix,
    mirror: Mirror,
    middle: Ticks,
}

impl Generator {
    fn next(&mut self) {
        if self.random.below(COMMANDS_PER_STEP) == 0 {
            let step = self.random.below(2) as Ticks * 2 - 1;
            let bounds = (MIDDLE - WANDER_MAX, MIDDLE + WANDER_MAX);
            self.middle = (self.middle + step).clamp(bounds.0, bounds.1);
        }
        let live = self.mirror.live().len();
        let places = if live + SLACK < WARM {
            PLACES_THIN
        } else if live > WARM + SLACK {
            PLACES_THICK
        } else {
            PLACES
        };
        let choice = self.random.below(1_000);
        if choice < places || live == 0 {
            let side = self.lacking_side();
            self.place(side, Distance::Any);
        } else if choice < CANCELS_TO {
            let victim = self.victim();
            self.mirror.cancel(victim);
        } else if choice < MOVES_TO {
            let victim = self.victim();
            let price = self.price(victim.side, Distance::Passive);
            self.mirror.shift(victim, price);
        } else {
            self.take();
        }
    }

    fn place(&mut self, side: Side, distance: Distance) {
        let price = self.price(side, distance);
        let qty = 1 + self.random.below(100) as i64;
        self.mirror.enter(Op::Place, side, price, qty);
    }

    fn take(&mut self) {
        let side = self.any_side();
        let qty = 1 + self.random.below(200) as i64;
        self.mirror.enter(Op::Take, side, self.middle + side.sign() * TAKE_REACH, qty);
    }

    fn lacking_side(&mut self) -> Side {
        let (bids, asks) = (self.mirror.resting(Side::Buy), self.mirror.resting(Side::Sell));
        if bids + SLACK < asks {
            Side::Buy
        } else if asks + SLACK < bids {
            Side::Sell
        } else {
            self.any_side()
        }
    }

    fn any_side(&mut self) -> Side {
        if self.random.below(2) == 0 { Side::Buy } else { Side::Sell }
    }

    fn price(&mut self, side: Side, distance: Distance) -> Ticks {
        let draw = match distance {
            Distance::Any => self.random.below(100),
            Distance::Passive => 3 + self.random.below(97),
        };
        let away = match draw {
            0..3 => -2,
            3..63 => 1 + self.random.below(10) as Ticks,
            63..93 => 1 + self.random.below(100) as Ticks,
            _ => 1 + self.random.below(1_000) as Ticks,
        };
        self.middle - side.sign() * away
    }

    fn victim(&mut self) -> TwinOrder {
        let live = self.mirror.live().len() as u64;
        let at = if self.random.below(2) == 0 {
            let newest = live.min(NEWEST);
            live - newest + self.random.below(newest)
        } else {
            self.random.below(live)
        };
        self.mirror.victim(at as usize)
    }
}
