//! The liquidation price that an owner is shown is the mark at which the engine finds him due.
//!
//! Accounts with random positions on two symbols, cross and isolated, in one or two legs and over
//! bracket borders, are shown a price by the closed form. It is the last tick at which, without any
//! rounding, what there is is as much as what must stay. On copies of the engine the mark goes
//! there, a tick before it and a tick behind it: the position is closed at those of them, and only
//! those, at which it is due by plain arithmetic. Then so much money comes that the price moves by
//! a tick and is met to the unit, and one unit more, with which it is not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::{
    AccountId, Command, Event, RATE_ONE, SymbolId, Ticks,
    command::{MoveMargin, Place, Recall, SetLeverage, SetMarginMode},
    event::Fill,
    limits::MARGIN_CALL_GRACE_US,
    order::{MarginMode, PositionSide, Side, TradeKind},
};
use rules::{
    BracketTable, Position,
    liquidation::{Backing, legs_liquidation_price, liquidation_price},
};

use crate::{
    bench::{Bench, brackets, index, spec},
    differential::cases,
    trading::limit,
    triggers::tick,
};

const FUND: u32 = 0;
const ALICE: u32 = 1;
const BOB: u32 = 2;
/// So much that nothing brings its owner into need.
const PLENTY: i64 = 1 << 50;
const MARK: Ticks = 100;
/// No mark of a case goes beyond.
const MARK_MAX: Ticks = 100_000;
const SYMBOLS: [u16; 2] = [1, 2];
const E8: i128 = RATE_ONE as i128;

/// What alice does on one symbol.
#[derive(Clone, Debug)]
struct Plan {
    isolated: bool,
    leverage: u8,
    /// Signed lots and price of up to two orders; in hedge mode a positive one opens the long leg.
    orders: [(i64, Ticks); 2],
    /// What she moves into a wallet.
    moved: i64,
}

fn plan() -> impl Strategy<Value = Plan> {
    let order = (-60i64..=60, 92i64..=108);
    let leverage = prop::sample::select(vec![1u8, 2, 5, 10, 20]);
    (any::<bool>(), leverage, [order.clone(), order], 0i64..200_000)
        .prop_map(|(isolated, leverage, orders, moved)| Plan { isolated, leverage, orders, moved })
}

/// What is judged together: an isolated leg, or all that is cross, by one symbol's mark.
#[derive(Clone, Copy)]
struct Pool {
    symbol: u16,
    isolated: Option<u8>,
}

/// Prices that were shown: all, those in another bracket than the mark's, and those at which the
/// position was closed.
#[derive(Debug, Default)]
struct Seen {
    prices: usize,
    borders: usize,
    met: usize,
}

/// What alice has on a leg, as its last fill told.
#[derive(Clone, Copy, Default)]
struct Leg {
    position: Position,
    wallet: i64,
}

struct Case {
    bench: Bench,
    plans: [Plan; 2],
    legs: BTreeMap<(u16, u8), Leg>,
    cash: i64,
}

impl Case {
    fn new(plans: [Plan; 2], hedge: bool, cash: i64, back: i64) -> Self {
        let mut bench = Bench::trading(&[(FUND, PLENTY), (ALICE, cash), (BOB, PLENTY)]);
        if hedge {
            bench.hedge(1 << ALICE);
        }
        let mut case = Self { bench, plans, legs: BTreeMap::new(), cash };
        for symbol in SYMBOLS {
            case.open(symbol, hedge);
        }
        let recall = Recall {
            link_seq: case.bench.links[0] + 1,
            account: AccountId(ALICE),
            urgent: false,
            _pad: [0; 3],
            amount: back,
            lend: 77,
        };
        let said = case.bench.raw(&Command::Recall(recall));
        case.hear(&said);
        case
    }

    /// Sends a command that may be refused.
    fn send(&mut self, command: &Command) {
        let said = self.bench.send_as(0, true, command);
        self.hear(&said);
    }

    fn open(&mut self, symbol: u16, hedge: bool) {
        let plan = self.plans[usize::from(symbol) - 1].clone();
        let (account, of) = (AccountId(ALICE), SymbolId(symbol));
        if plan.isolated {
            let mode = MarginMode::Isolated;
            self.send(&Command::SetMarginMode(SetMarginMode {
                account,
                symbol: of,
                mode,
                _pad: 0,
            }));
        }
        let leverage = plan.leverage;
        self.send(&Command::SetLeverage(SetLeverage { account, symbol: of, leverage, _pad: 0 }));
        for (lots, price) in plan.orders {
            let (side, position_side) = match (lots > 0, hedge) {
                (true, true) => (Side::Buy, PositionSide::Long),
                (false, true) => (Side::Sell, PositionSide::Short),
                (true, false) => (Side::Buy, PositionSide::Both),
                (false, false) => (Side::Sell, PositionSide::Both),
            };
            // on the second symbol lots are worth little
            let lots = lots.abs() * if symbol == 2 { 3 } else { 1 };
            let order = |account, side| Place { symbol: of, ..limit(account, side, price, lots) };
            self.send(&Command::Place(order(BOB, side.opposite())));
            self.send(&Command::Place(Place { position_side, ..order(ALICE, side) }));
            // the book is empty again
            let all =
                protocol::command::CancelAll { account: AccountId(BOB), symbol: of, _pad: [0; 2] };
            self.send(&Command::CancelAll(all));
            let all = protocol::command::CancelAll { account, symbol: of, _pad: [0; 2] };
            self.send(&Command::CancelAll(all));
        }
        let side = if hedge { PositionSide::Long } else { PositionSide::Both };
        self.send(&Command::MoveMargin(MoveMargin {
            account,
            symbol: of,
            position_side: side,
            _pad: 0,
            amount: plan.moved,
        }));
    }

    fn hear(&mut self, said: &[Event]) {
        for event in said {
            match event {
                Event::Trade(trade) => {
                    for fill in [trade.taker, trade.maker] {
                        self.fill(trade.symbol.0, &fill);
                    }
                }
                Event::MarginMoved(moved) => {
                    let leg = (moved.symbol.0, moved.position_side as u8);
                    self.legs.get_mut(&leg).unwrap().wallet = moved.isolated_wallet;
                }
                Event::CashChanged(change) if change.account.0 == ALICE => self.cash = change.cash,
                _ => {}
            }
        }
    }

    fn fill(&mut self, symbol: u16, fill: &Fill) {
        if fill.account.0 == ALICE {
            let position = Position { qty: fill.position, entry: fill.entry };
            let leg = Leg { position, wallet: fill.isolated_wallet };
            self.legs.insert((symbol, fill.position_side as u8), leg);
            self.cash = fill.cash;
        }
    }

    fn is_isolated(&self, symbol: u16) -> bool {
        self.plans[usize::from(symbol) - 1].isolated
    }

    /// Unrealised profit and maintenance margin of some legs at the first mark.
    fn sums(&self, of: impl Fn(u16) -> bool) -> (i128, i128) {
        let legs = self.legs.iter().filter(|((symbol, _), _)| of(*symbol));
        let one = |((symbol, _), leg): (&(u16, u8), &Leg)| {
            let mult = spec(*symbol).mult;
            let value = leg.position.value(MARK, mult).abs();
            (leg.position.pnl(MARK, mult), table(*symbol).maintenance(value))
        };
        legs.map(one).fold((0, 0), |sum, (pnl, kept)| (sum.0 + pnl, sum.1 + kept))
    }

    /// What is behind the cross positions of a symbol.
    fn backing(&self, symbol: u16) -> Backing {
        let wallets: i64 = self.legs.values().map(|leg| leg.wallet).sum();
        let cross = |other| !self.is_isolated(other) && other != symbol;
        let (other_pnl, other_maintenance) = self.sums(cross);
        Backing { cash: i128::from(self.cash) - i128::from(wallets), other_pnl, other_maintenance }
    }

    /// Whether alice loses a position at another mark of one symbol: one of those that are cross,
    /// or an isolated leg.
    fn is_closed_at(&self, symbol: u16, mark: Ticks, isolated: Option<u8>) -> bool {
        let mut bench = self.bench.fork();
        let mut said = bench.ok(&index(symbol, mark));
        for _ in 0..2 {
            for _ in 0..4 {
                said.extend(tick(&mut bench));
            }
            bench.ts += MARGIN_CALL_GRACE_US;
        }
        said.iter().any(|event| match event {
            Event::Trade(trade) => {
                let (fill, of) = (&trade.taker, trade.symbol.0);
                let meant = match isolated {
                    None => !self.is_isolated(of),
                    Some(leg) => (of, fill.position_side as u8) == (symbol, leg),
                };
                assert_eq!((fill.account.0, trade.kind), (ALICE, TradeKind::Takeover));
                meant
            }
            _ => false,
        })
    }

    /// The legs that are judged together and that the symbol's mark moves.
    fn moved(&self, pool: Pool) -> impl Iterator<Item = &Leg> {
        let legs = self.legs.iter().filter(move |((of, leg), _)| {
            *of == pool.symbol && pool.isolated.is_none_or(|only| only == *leg)
        });
        legs.map(|(_, leg)| leg)
    }

    /// At a mark, what a pool is worth and, each leg's unrounded and rounded, what must stay of it;
    /// in 1e-8 of a unit.
    fn worth_e8(&self, pool: Pool, mark: Ticks) -> (i128, i128, i128) {
        let Backing { cash, other_pnl, other_maintenance } = self.backing_of(pool);
        let mut worth = (cash + other_pnl - other_maintenance) * E8;
        let (mut exact, mut rounded) = (0, 0);
        for Leg { position, .. } in self.moved(pool) {
            let lots = i128::from(position.qty) * i128::from(spec(pool.symbol).mult);
            let value = lots * i128::from(mark);
            worth += (value - i128::from(position.entry)) * E8;
            let kept = kept_e8(pool.symbol, value.abs());
            exact += kept;
            rounded += -(-kept).div_euclid(E8) * E8;
        }
        (worth, exact, rounded)
    }

    /// What there is more than what must stay.
    fn excess_e8(&self, pool: Pool, mark: Ticks) -> i128 {
        let (worth, exact, _) = self.worth_e8(pool, mark);
        worth - exact
    }

    fn is_due_at(&self, pool: Pool, mark: Ticks) -> bool {
        let (worth, _, rounded) = self.worth_e8(pool, mark);
        worth <= rounded
    }

    /// The price that is shown is where it is to be. Returns the tick behind it, and which side
    /// that is on.
    fn check(&self, pool: Pool, seen: &mut Seen) -> Result<Option<(Ticks, Ticks)>, String> {
        let closed = |mark| self.is_closed_at(pool.symbol, mark, pool.isolated);
        let Some(price) = self.shown(pool) else {
            return match [1, MARK, MARK_MAX].into_iter().find(|mark| closed(*mark)) {
                None => Ok(None),
                Some(mark) => Err(format!("closed at {mark}, and no price is shown")),
            };
        };
        if !(2..MARK_MAX).contains(&price) {
            return Ok(None);
        }
        // the price is rounded towards the mark, which is on its safe side
        let lots: i64 = self.moved(pool).map(|leg| leg.position.qty).sum();
        let is_below = if price == MARK { lots > 0 } else { price < MARK };
        let behind = if is_below { -1 } else { 1 };
        if self.excess_e8(pool, price) < 0 {
            return Err(format!("{price} is behind what it is to be"));
        }
        if self.excess_e8(pool, price + behind) >= 0 {
            return Err(format!("{price} is before what it is to be"));
        }
        for mark in [price - behind, price, price + behind] {
            let (is, should) = (closed(mark), self.is_due_at(pool, mark));
            if is != should {
                return Err(format!("closed at {mark}: {is}, of {price}; due: {should}"));
            }
        }
        seen.prices += 1;
        seen.met += usize::from(closed(price));
        let crosses = |leg: &Leg| {
            let bracket = |mark| {
                let value = leg.position.value(mark, spec(pool.symbol).mult).abs();
                table(pool.symbol).bracket_of(value)
            };
            bracket(price) != bracket(MARK)
        };
        seen.borders += usize::from(self.moved(pool).any(crosses));
        Ok(Some((price + behind, behind)))
    }

    /// As [`Self::check`]; then again with so much money that a further tick is met to the unit,
    /// and with one unit more: the next tick, and those around the borders behind it.
    fn check_to_the_unit(&self, pool: Pool, seen: &mut Seen) -> Result<(), String> {
        let Some((next, behind)) = self.check(pool, seen)? else { return Ok(()) };
        let borders = self.borders(pool).into_iter().filter(|tick| (tick - next) * behind > 0);
        for tick in std::iter::once(next).chain(borders) {
            let lacking = -self.excess_e8(pool, tick).div_euclid(E8) as i64;
            for more in [lacking, lacking + 1] {
                let mut richer = self.fork();
                richer.give(pool, more);
                richer.check(pool, seen).map_err(|fault| format!("with {more} more: {fault}"))?;
            }
        }
        Ok(())
    }

    /// The last tick of each bracket but the highest, and the first of the next.
    fn borders(&self, pool: Pool) -> Vec<Ticks> {
        let brackets = brackets(pool.symbol);
        let mult = spec(pool.symbol).mult;
        let of_leg = |leg: &Leg| {
            let rows = brackets.rows[..usize::from(brackets.count) - 1].iter();
            let lots = leg.position.qty.abs().max(1);
            rows.map(|row| row.cap / (lots * mult)).collect::<Vec<_>>()
        };
        let last = self.moved(pool).flat_map(of_leg);
        let both = last.flat_map(|tick| [tick, tick + 1]);
        both.filter(|tick| (2..MARK_MAX).contains(tick)).collect()
    }

    /// Gives a pool money.
    fn give(&mut self, pool: Pool, amount: i64) {
        let said = self.bench.grant(ALICE, amount);
        self.hear(&said);
        if let Some(leg) = pool.isolated {
            let (account, symbol) = (AccountId(ALICE), SymbolId(pool.symbol));
            let position_side = PositionSide::from_u8(leg).unwrap();
            let moved = MoveMargin { account, symbol, position_side, _pad: 0, amount };
            self.send(&Command::MoveMargin(moved));
        }
    }

    fn fork(&self) -> Self {
        let (bench, plans, legs) = (self.bench.fork(), self.plans.clone(), self.legs.clone());
        Self { bench, plans, legs, cash: self.cash }
    }

    fn backing_of(&self, pool: Pool) -> Backing {
        match pool.isolated {
            None => self.backing(pool.symbol),
            Some(leg) => {
                let wallet = self.legs[&(pool.symbol, leg)].wallet;
                Backing { cash: wallet.into(), ..Backing::default() }
            }
        }
    }

    /// What alice is shown.
    fn shown(&self, pool: Pool) -> Option<Ticks> {
        let (mult, table) = (spec(pool.symbol).mult, table(pool.symbol));
        let backing = self.backing_of(pool);
        let of = |side: PositionSide| {
            let leg = self.legs.get(&(pool.symbol, side as u8)).copied();
            leg.unwrap_or_default().position
        };
        if let Some(leg) = pool.isolated {
            let position = self.legs[&(pool.symbol, leg)].position;
            return liquidation_price(&position, &backing, &table, mult);
        }
        let [both, long, short] =
            [PositionSide::Both, PositionSide::Long, PositionSide::Short].map(of);
        match both.qty {
            0 => legs_liquidation_price(&long, &short, MARK, &backing, &table, mult),
            _ => liquidation_price(&both, &backing, &table, mult),
        }
    }

    /// Checks each price that alice is shown.
    fn check_all(&self, seen: &mut Seen) -> Result<(), String> {
        for symbol in SYMBOLS {
            let legs =
                self.legs.iter().filter(|((of, _), leg)| *of == symbol && leg.position.qty != 0);
            let legs: Vec<u8> = legs.map(|((_, leg), _)| *leg).collect();
            let pools: Vec<Option<u8>> = match self.is_isolated(symbol) {
                true => legs.into_iter().map(Some).collect(),
                false => legs.first().map(|_| None).into_iter().collect(),
            };
            for isolated in pools {
                self.check_to_the_unit(Pool { symbol, isolated }, seen)?;
            }
        }
        Ok(())
    }
}

/// What must stay of a position of some value, in 1e-8 of a unit and not rounded: each part of the
/// value by the rate of the bracket that it is in.
fn kept_e8(symbol: u16, value: i128) -> i128 {
    let brackets = brackets(symbol);
    let rows = &brackets.rows[..usize::from(brackets.count)];
    let last = rows.len() - 1;
    let parts = rows.iter().enumerate().map(|(at, row)| {
        let cap = if at == last { i128::MAX } else { row.cap.into() };
        let part = value.min(cap) - i128::from(row.floor);
        part.max(0) * i128::from(row.maintenance)
    });
    parts.sum()
}

fn table(symbol: u16) -> BracketTable {
    BracketTable::new(&brackets(symbol)).unwrap()
}

fn case() -> impl Strategy<Value = ([Plan; 2], bool, i64, i64)> {
    ([plan(), plan()], any::<bool>(), 200_000i64..6_000_000, 0i64..6_000_000)
}

proptest! {
    #![proptest_config(cases(1_500, 20_000))]

    #[test]
    fn the_price_shown_is_the_mark_that_liquidates((plans, hedge, cash, back) in case()) {
        let case = Case::new(plans, hedge, cash, back);
        if let Err(fault) = case.check_all(&mut Seen::default()) {
            prop_assert!(false, "{}: {:?}", fault, case.plans);
        }
    }
}

/// Most cases show a price that a mark can reach, some in another bracket than the mark's; and some
/// are met at the very price.
#[test]
fn cases_show_prices() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let seen = std::cell::RefCell::new(Seen::default());
    let checked = runner.run(&case(), |(plans, hedge, cash, back)| {
        let case = Case::new(plans, hedge, cash, back);
        case.check_all(&mut seen.borrow_mut()).map_err(TestCaseError::fail)
    });
    checked.unwrap();
    let seen = seen.into_inner();
    let some = seen.prices > 1_500 && seen.borders > 500 && seen.met > 500;
    assert!(some, "of 256 cases: {seen:?}");
}
