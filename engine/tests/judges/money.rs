//! Money is conserved: one shard lives on and on, through liquidations, takeovers, deleveraging,
//! fundings and loans, and after every step the sum of all there is is what came in.
//!
//! ```text
//!   cash of all accounts, the insurance fund's too, less the entry values of their positions,
//!   fees taken, funding paid and not got yet   =   what came in, less what went out
//! ```
//!
//! The slice lives the same life each time, the long form another one, whose seed it tells;
//! `EXCHANGE_SEED` lives that again.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    hash::{BuildHasher, RandomState},
};

use protocol::{
    Command, Event,
    command::Tick,
    event::Fill,
    order::{CashReason, OrderOrigin, TradeKind},
};

use crate::{
    bench::{Bench, index, outcome},
    differential::is_full,
    flow::{self, Act, Step},
    jumps::jumping_act,
};

const STEPS: u64 = 1_000_000;
/// Each kind of thing happens at least this often in them.
const RARE: u64 = STEPS / 20_000;
/// After so many steps the sums are counted anew.
const STEPS_PER_COUNT: u64 = 1_000;
/// After so many steps a funding comes.
const STEPS_PER_FUNDING: u64 = 150;
/// With less money an account does not trade much.
const ENOUGH: i64 = 40_000;
const HOUR_US: u64 = 3_600_000_000;

/// What one account has on one leg of a symbol.
#[derive(Clone, Copy, Default)]
struct Leg {
    qty: i64,
    entry: i64,
}

/// The books of somebody who hears events and nothing else.
#[derive(Default)]
struct Books {
    cash: HashMap<u32, i64>,
    legs: HashMap<(u32, u16, u8), Leg>,
    /// Sums of the two, and of lots by symbol.
    all_cash: i128,
    all_entries: i128,
    lots: HashMap<u16, i64>,
    fees: i128,
    /// Funding that was paid and has not been got; less than nothing while who gets some is booked
    /// before who pays it.
    pools: i128,
    /// Rounds of funding that have not ended.
    rounds: usize,
    came_in: i128,
    /// How often each kind of thing happened.
    met: BTreeMap<&'static str, u64>,
}

impl Books {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Trade(trade) => {
                self.meet(match trade.kind {
                    TradeKind::Book => "trade",
                    TradeKind::Takeover => "takeover",
                    TradeKind::Deleverage => "deleverage",
                });
                for fill in [&trade.taker, &trade.maker] {
                    self.fill(trade.symbol.0, fill);
                }
            }
            Event::FundingPaid(paid) => {
                self.meet(if paid.amount < 0 { "funding paid" } else { "funding got" });
                self.pools -= i128::from(paid.amount);
                self.set_cash(paid.account.0, paid.cash);
            }
            Event::Funding(funding) => self.rounds += usize::from(funding.rate != 0),
            Event::FundingEnded(ended) => {
                self.meet("funding ended");
                self.rounds -= 1;
                self.pools -= i128::from(ended.residue);
            }
            Event::LiquidationFeePaid(fee) => {
                self.meet("liquidation fee");
                self.set_cash(fee.account.0, fee.cash);
            }
            Event::CashChanged(change) => {
                let inside = match change.reason {
                    CashReason::Insurance => true,
                    CashReason::Advance => {
                        self.meet("advance");
                        true
                    }
                    _ => false,
                };
                if !inside {
                    self.meet(if change.delta < 0 { "went out" } else { "came in" });
                    self.came_in += i128::from(change.delta);
                }
                let before = self.cash.get(&change.account.0).copied().unwrap_or(0);
                assert_eq!(before + change.delta, change.cash, "{change:?}");
                self.set_cash(change.account.0, change.cash);
            }
            Event::MarginMoved(moved) => assert_eq!(self.cash[&moved.account.0], moved.cash),
            Event::OrderAccepted(order) => match order.origin {
                OrderOrigin::Liquidation => self.meet("liquidation"),
                OrderOrigin::Unwind => self.meet("unwinding"),
                _ => {}
            },
            Event::MarginCallIssued(_) => self.meet("call"),
            _ => {}
        }
    }

    fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    fn fill(&mut self, symbol: u16, fill: &Fill) {
        self.fees += i128::from(fill.fee);
        let leg = (fill.account.0, symbol, fill.position_side as u8);
        let after = Leg { qty: fill.position, entry: fill.entry };
        let before = self.legs.insert(leg, after).unwrap_or_default();
        self.all_entries += i128::from(after.entry) - i128::from(before.entry);
        *self.lots.entry(symbol).or_default() += after.qty - before.qty;
        self.set_cash(fill.account.0, fill.cash);
    }

    fn set_cash(&mut self, account: u32, cash: i64) {
        let before = self.cash.insert(account, cash).unwrap_or(0);
        self.all_cash += i128::from(cash) - i128::from(before);
    }

    fn check(&self) {
        let there = self.all_cash - self.all_entries + self.fees + self.pools;
        assert_eq!(there, self.came_in, "money is neither made nor lost");
        assert!(self.lots.values().all(|lots| *lots == 0), "longs are shorts: {:?}", self.lots);
        assert!(self.rounds > 0 || self.pools == 0, "nobody gets what nobody has paid");
    }

    /// The sums are what there is to sum.
    fn count(&self) {
        let cash: i128 = self.cash.values().map(|cash| i128::from(*cash)).sum();
        let entries: i128 = self.legs.values().map(|leg| i128::from(leg.entry)).sum();
        assert_eq!((cash, entries), (self.all_cash, self.all_entries));
    }
}

/// Ten numbers of a step, from a generator that anybody can begin anew.
fn numbers(random: &mut u64) -> Step {
    core::array::from_fn(|_| {
        *random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as u16
    })
}

/// Where the numbers begin.
fn seed() -> u64 {
    match env::var("EXCHANGE_SEED") {
        Ok(told) => told.parse().expect("EXCHANGE_SEED is a number"),
        Err(_) if is_full() => RandomState::new().hash_one(0),
        Err(_) => 0,
    }
}

/// A tick samples the premiums, and the next frame is behind the hour.
fn pass_an_hour(bench: &mut Bench, books: &mut Books, mark: &[i64; 2]) {
    bench.ts += 5_000_000;
    let mut said = bench.raw(&Command::Tick(Tick { _reserved: 0 }));
    bench.ts = (bench.ts / HOUR_US + 1) * HOUR_US;
    for (symbol, mark) in (1..).zip(mark) {
        said.extend(bench.send(&index(symbol, *mark)));
    }
    said.iter().for_each(|event| books.hear(event));
}

#[test]
fn money_is_conserved_over_a_long_life() {
    let seed = seed();
    // told at once, for whatever goes wrong
    println!("EXCHANGE_SEED={seed}");
    let mut bench = Bench::trading(&[]);
    let mut books = Books::default();
    for account in 0..=4 {
        bench.grant(account, 20_000).iter().for_each(|event| books.hear(event));
    }
    let (mut mark, mut random) = ([100; 2], seed);
    for step in 1..=STEPS {
        let act: Act = jumping_act(&mut bench, &numbers(&mut random), &mut mark);
        let (envelope, command) = act.parts();
        let said = bench.apply(*envelope, command);
        said.iter().for_each(|event| books.hear(event));
        flow::counted(&mut bench, &act, outcome(&said).reject);
        books.check();
        if step.is_multiple_of(STEPS_PER_FUNDING) {
            pass_an_hour(&mut bench, &mut books, &mark);
            books.check();
            // whoever has lost it has some again
            for account in 1..=4 {
                if books.cash[&account] < ENOUGH {
                    bench.grant(account, 2 * ENOUGH).iter().for_each(|event| books.hear(event));
                }
            }
        }
        if step.is_multiple_of(STEPS_PER_COUNT) {
            books.count();
            // nothing is replayed here
            bench.log.clear();
        }
    }
    println!("{STEPS} steps: {:?}", books.met);
    for what in [
        "trade",
        "liquidation",
        "liquidation fee",
        "takeover",
        "deleverage",
        "unwinding",
        "advance",
        "call",
        "funding paid",
        "funding got",
        "funding ended",
        "came in",
        "went out",
    ] {
        let met = books.met.get(what).copied().unwrap_or(0);
        assert!(met >= RARE, "{what}: {met} in {STEPS} steps");
    }
}
