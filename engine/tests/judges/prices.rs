//! The liquidation price that an owner is shown is the mark at which the engine finds him due.
//!
//! Accounts with random positions on two symbols, cross and isolated, in one or two legs and over
//! bracket borders, are shown a price by the closed form. Then the mark goes there, on a copy of
//! the engine: a tick before it nothing happens, a tick behind it the position is closed.

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

    /// Ticks by which rounding may move the price: one of its own, and what each leg's maintenance
    /// margin, rounded up, is worth where a tick is worth less, as between two legs that are alike.
    fn slack(&self, symbol: u16, price: Ticks, isolated: Option<u8>) -> Ticks {
        let (one, table) = (i128::from(RATE_ONE), table(symbol));
        let mult = i128::from(spec(symbol).mult);
        let moved = self.legs.iter().filter(|((of, _), _)| *of == symbol);
        let moved = moved.filter(|((_, leg), _)| isolated.is_none_or(|only| only == *leg));
        let per_tick = moved.map(|(_, leg)| {
            let lots = i128::from(leg.position.qty);
            let bracket = table.bracket_of(lots.abs() * mult * i128::from(price));
            (lots * one - lots.abs() * table.terms(bracket).0) * mult
        });
        let per_tick = per_tick.sum::<i128>().abs().max(1);
        // each leg there is on any symbol is rounded once
        let rounded = self.legs.len() as i128 * one;
        1 + i64::try_from(rounded.div_euclid(per_tick)).unwrap()
    }

    /// The price of what is due by itself, with so many lots in all.
    fn check(
        &self,
        symbol: u16,
        shown: Option<Ticks>,
        lots: i64,
        isolated: Option<u8>,
    ) -> Result<bool, String> {
        let closed = |mark| self.is_closed_at(symbol, mark, isolated);
        let Some(price) = shown else {
            return match [1, MARK, MARK_MAX].into_iter().find(|mark| closed(*mark)) {
                None => Ok(false),
                Some(mark) => Err(format!("closed at {mark}, and no price is shown")),
            };
        };
        if !(2..MARK_MAX).contains(&price) {
            return Ok(false);
        }
        // the price is rounded towards the mark, which is on its safe side
        let is_below = if price == MARK { lots > 0 } else { price < MARK };
        let slack = self.slack(symbol, price, isolated);
        let (safe, due) =
            if is_below { (price + slack, price - slack) } else { (price - slack, price + slack) };
        if due < 1 {
            return Ok(false);
        }
        if closed(safe) {
            return Err(format!("closed at {safe}, before {price}"));
        }
        if !closed(due) {
            return Err(format!("not closed at {due}, behind {price}"));
        }
        Ok(true)
    }

    /// Checks each price that alice is shown; how many there were.
    fn check_all(&self) -> Result<usize, String> {
        let mut prices = 0;
        let of = |symbol, side: PositionSide| {
            self.legs.get(&(symbol, side as u8)).copied().unwrap_or_default()
        };
        for symbol in SYMBOLS {
            let (mult, table) = (spec(symbol).mult, table(symbol));
            let [both, long, short] = [PositionSide::Both, PositionSide::Long, PositionSide::Short]
                .map(|side| (side, of(symbol, side)));
            if self.is_isolated(symbol) {
                for (side, leg) in [both, long, short] {
                    let alone = Backing { cash: leg.wallet.into(), ..Backing::default() };
                    let shown = liquidation_price(&leg.position, &alone, &table, mult);
                    if leg.position.qty != 0 {
                        prices += usize::from(self.check(
                            symbol,
                            shown,
                            leg.position.qty,
                            Some(side as u8),
                        )?);
                    }
                }
                continue;
            }
            let backing = self.backing(symbol);
            let shown = match both.1.position.qty {
                0 => {
                    let (long, short) = (&long.1.position, &short.1.position);
                    legs_liquidation_price(long, short, MARK, &backing, &table, mult)
                }
                _ => liquidation_price(&both.1.position, &backing, &table, mult),
            };
            let held = [both, long, short].map(|(_, leg)| leg.position.qty);
            if held != [0; 3] {
                prices += usize::from(self.check(symbol, shown, held.iter().sum(), None)?);
            }
        }
        Ok(prices)
    }
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
        if let Err(fault) = case.check_all() {
            prop_assert!(false, "{}: {:?}", fault, case.plans);
        }
    }
}

/// Most cases show a price that a mark can reach.
#[test]
fn cases_show_prices() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let prices = std::cell::Cell::new(0);
    let checked = runner.run(&case(), |(plans, hedge, cash, back)| {
        let found = Case::new(plans, hedge, cash, back).check_all();
        prices.set(prices.get() + found.map_err(TestCaseError::fail)?);
        Ok(())
    });
    checked.unwrap();
    assert!(prices.get() > 250, "{} prices in 256 cases", prices.get());
}
