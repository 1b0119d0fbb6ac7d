//! Flow A: orders as exchange-core's published test generator draws them, so that figures can be
//! laid beside its own. Budget orders of the original are IOC here, its reductions are moves.

use protocol::{Ticks, order::Side};

use super::{Op, Sums, mirror::Mirror, random::JavaRandom};

/// Orders that fill the book at first, and how many then rest in about half and half.
pub const WARM: usize = 1_000;
const MEASURED: usize = 1_000_000;
const SYMBOL: i32 = 1;
const SEED: i32 = 1;

pub const GOLDEN: Sums =
    Sums { trades: 55_684, quantity: 480_656, notional: 20_689_298_095, resting: 945 };

/// Resting orders wanted on each side.
const SIDE_TARGET: i32 = WARM as i32 / 2;
/// A side that lacks more than this is filled fast.
const FAST_FILL_LACK: i32 = SIDE_TARGET * 3 / 4;
/// Commands between two looks at the book's size, and how many of the oldest orders are picked
/// from.
const CHECK_EVERY: usize = 512;
const OLDEST: usize = 512;
/// Prices stay within so many deviations of the first.
const REACH_DEVIATIONS: i64 = 5;

pub fn commands() -> Vec<super::Command> {
    let mut generator = Generator::new();
    for _ in 0..WARM {
        generator.place();
        generator.step_done();
    }
    for _ in 0..MEASURED {
        generator.next();
        generator.step_done();
    }
    generator.mirror.into_commands()
}

struct Generator {
    random: JavaRandom,
    mirror: Mirror,
    deviation: i64,
    min_price: Ticks,
    max_price: Ticks,
    /// The last trade's price, kept within the reach.
    last_price: Ticks,
    traded_at: Ticks,
    /// What each side held at the last look.
    seen: [i32; 2],
    was_full: bool,
    made: usize,
    next_check: usize,
}

impl Generator {
    fn new() -> Self {
        let symbol_hash = 31i32.wrapping_add(SYMBOL.wrapping_mul(-177_277));
        let seed_hash = SEED.wrapping_mul(10_037).wrapping_add(198_267);
        let hash = 31i32.wrapping_mul(symbol_hash).wrapping_add(seed_hash);
        let mut random = JavaRandom::new(i64::from(hash));
        let exponent = 3.3 + random.unit() * 1.5 + random.unit() * 1.5;
        let price = 10f64.powf(exponent) as Ticks;
        let deviation = ((price as f64 * 0.05) as i64).min(10_000);
        Self {
            random,
            mirror: Mirror::new(price, WARM + MEASURED),
            deviation,
            min_price: price - deviation * REACH_DEVIATIONS,
            max_price: price + deviation * REACH_DEVIATIONS,
            last_price: price,
            traded_at: price,
            seen: [0; 2],
            was_full: false,
            made: 0,
            next_check: CHECK_EVERY,
        }
    }

    /// One command of the measured part.
    fn next(&mut self) {
        let looked_at = self.side();
        let lack = SIDE_TARGET - self.seen[looked_at as usize];
        let grows = lack > 0;
        let fast = !self.was_full || lack > FAST_FILL_LACK;
        self.was_full |= !grows;
        let choices = match (grows, fast) {
            (true, true) => 2,
            (true, false) => 10,
            (false, _) => 40,
        };
        match self.random.int(choices) {
            0 | 1 => self.enter(grows),
            _ if self.mirror.live().is_empty() => self.enter(grows),
            2 => {
                let victim = self.victim();
                self.mirror.cancel(victim);
            }
            _ => self.shift(),
        }
    }

    fn enter(&mut self, grows: bool) {
        if grows { self.place() } else { self.take() }
    }

    fn place(&mut self) {
        let side = self.side();
        self.burn_owner();
        let spread = self.random.unit();
        let reach = 1 + (spread * spread * self.deviation as f64) as i32;
        let sum: i32 = (0..4).map(|_| self.random.int(reach)).sum();
        let offset = i64::from((sum / 4) * 2 - reach);
        // Bids at or below the last trade, asks at or above it.
        let price = self.last_price - side.sign() * offset.abs();
        let qty = self.qty();
        self.mirror.enter(Op::Place, side, price, qty);
    }

    fn take(&mut self) {
        let side = self.side();
        self.burn_owner();
        self.random.int(32);
        let qty = self.qty();
        let price = match side {
            Side::Buy => self.max_price,
            Side::Sell => self.min_price,
        };
        self.mirror.enter(Op::Take, side, price, qty);
    }

    /// Moves an order a hundredth of its way to the last trade, at least a tick.
    fn shift(&mut self) {
        let victim = self.victim();
        let way = (self.last_price - victim.price) as f64 * 0.01;
        let step = match victim.price.cmp(&self.last_price) {
            std::cmp::Ordering::Greater => way.floor() as i64,
            std::cmp::Ordering::Less => way.ceil() as i64,
            std::cmp::Ordering::Equal => i64::from(self.random.int(2) * 2 - 1),
        };
        self.mirror.shift(victim, (victim.price + step).min(self.max_price));
    }

    fn victim(&mut self) -> engine::book::twin::TwinOrder {
        let oldest = self.mirror.live().len().min(OLDEST);
        self.mirror.victim(self.random.int(oldest as i32) as usize)
    }

    fn side(&mut self) -> Side {
        if self.random.int(4) >= 2 { Side::Buy } else { Side::Sell }
    }

    /// The original draws a user here; owners are ours.
    fn burn_owner(&mut self) {
        self.random.int(1_000);
    }

    fn qty(&mut self) -> i64 {
        let mut factor = || i64::from(self.random.int(6));
        1 + factor() * factor() * factor()
    }

    /// Takes note of what the last command did to the market.
    fn step_done(&mut self) {
        if self.traded_at != self.mirror.last_trade() {
            self.traded_at = self.mirror.last_trade();
            self.last_price = self.traded_at.clamp(self.min_price, self.max_price);
        }
        if self.made >= self.next_check {
            self.next_check += CHECK_EVERY;
            self.seen = [Side::Buy, Side::Sell].map(|side| self.mirror.resting(side) as i32);
        }
        self.made += 1;
    }
}
