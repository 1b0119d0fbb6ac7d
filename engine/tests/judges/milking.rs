//! Nobody milks the insurance fund: two accounts of one attacker do as they like, beside an honest
//! market.
//!
//! What the fund has, less what others are short of below zero, and with the fees that were paid,
//! falls at a mark alone. So whatever is traded, at whatever prices, in whatever mode, an attacker
//! gets nothing that the honest market has not lost to him; but for the part of a tick by which a
//! takeover of what is already below zero is rounded.

use proptest::prelude::*;
use protocol::{
    AccountId, Command, Event, SymbolId,
    command::{CancelAll, Grant, MoveMargin, Place, SetLeverage, SetMarginMode, Tick},
    limits::MARGIN_CALL_GRACE_US,
    order::{
        MarginMode, OrderType, PositionSide, SelfTradePrevention, Side, TimeInForce, TradeKind,
    },
};

use crate::{
    bench::{Bench, index, outcome},
    differential::cases,
    flow::{self, Act, Draw, Step, cluster},
    invariants::fixed_steps,
    reading::Reading,
    trading::limit,
};

const FUND: u32 = 0;
const HONEST: u32 = 3;
const RICH: i64 = 1 << 40;

#[derive(Default)]
struct Venue {
    reading: Reading,
    fees: i128,
    takeovers: usize,
    short: usize,
}

impl Venue {
    /// What the fund has, less what is lacking elsewhere, and with the fees.
    fn worth(&self) -> i128 {
        let reading = &self.reading;
        if reading.marks.len() < reading.specs.len() {
            return 0;
        }
        let pools = reading.cash.keys().filter(|account| **account != FUND).flat_map(|account| {
            let isolated = reading.held(*account).filter(|key| reading.is_isolated(*key));
            let isolated = isolated.map(|key| reading.backing(key).equity);
            isolated.chain([reading.cross(*account).equity])
        });
        let lacking: i128 = pools.map(|equity| equity.min(0)).sum();
        reading.cross(FUND).equity + lacking + self.fees
    }

    /// Hears a frame; by how much it has made the venue poorer, marks apart.
    fn lost(&mut self, command: &Command, ts: u64, events: &[Event]) -> i128 {
        self.reading.begin(ts);
        let (mut worth, mut gained, mut allowed) = (self.worth(), 0i128, 0i128);
        for event in events {
            if let Event::Trade(trade) = event {
                // a rebate is the venue's own price for resting orders
                let fees = [trade.taker.fee, trade.maker.fee].map(|fee| i128::from(fee.max(0)));
                self.fees += fees.iter().sum::<i128>();
                let key = (trade.taker.account.0, trade.symbol.0, trade.taker.position_side as u8);
                let below =
                    trade.kind == TradeKind::Takeover && self.reading.backing(key).equity < 0;
                if below {
                    allowed += i128::from(trade.qty) * self.reading.mult(key.1);
                }
                self.short += usize::from(below);
                self.takeovers += usize::from(trade.kind == TradeKind::Takeover);
            }
            self.reading.hear(event);
            let now = self.worth();
            if !matches!(event, Event::Mark(_)) {
                gained += now - worth;
            }
            worth = now;
        }
        self.reading.told(command);
        -gained - allowed
    }
}

/// A step of the attacker's accounts, the market's or the marks'.
fn act(bench: &mut Bench, step: &Step, mark: &mut [i64; 2], jumps: bool) -> Act {
    let mut draw = Draw(step.iter());
    let choice = draw.below(32);
    let account = AccountId(1 + u32::from(draw.below(2)));
    let symbol = SymbolId(1 + draw.below(4) / 3);
    let now_mark = &mut mark[usize::from(symbol.0) - 1];
    let side = draw.one_of(Side::ALL);
    let position_side = match bench.hedged.contains(&account.0) {
        true => draw.one_of(&PositionSide::ALL[1..]),
        false => PositionSide::Both,
    };
    let scale = if symbol.0 == 2 { 20 } else { 1 };
    let command = match choice {
        0..=16 => {
            let price = *now_mark + i64::from(draw.below(29)) - 14;
            let qty = (1 + i64::from(draw.below(9))) * scale;
            let flags = draw.below(64);
            let market = flags & 7 == 0;
            Command::Place(Place {
                symbol,
                position_side,
                order_type: if market { OrderType::Market } else { OrderType::Limit },
                price: if market { 0 } else { price },
                time_in_force: match market || flags >> 3 & 3 == 0 {
                    true => TimeInForce::Ioc,
                    false => TimeInForce::Gtc,
                },
                reduce_only: flags >> 5 == 0,
                self_trade: draw.one_of(SelfTradePrevention::ALL),
                ..limit(account.0, side, price, qty)
            })
        }
        17..=19 => {
            let price = *now_mark + i64::from(draw.below(9)) - 4;
            let qty = (1 + i64::from(draw.below(9))) * scale;
            Command::Place(Place { symbol, ..limit(HONEST, side, price, qty) })
        }
        20 => Command::CancelAll(CancelAll { account, symbol, _pad: [0; 2] }),
        21 => {
            let mode = draw.one_of(MarginMode::ALL);
            Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 })
        }
        22 => {
            let leverage = draw.one_of(&[20, 50, 125]);
            Command::SetLeverage(SetLeverage { account, symbol, leverage, _pad: 0 })
        }
        23 => {
            let amount = i64::from(draw.below(200)) * 500 - 30_000;
            Command::MoveMargin(MoveMargin { account, symbol, position_side, _pad: 0, amount })
        }
        24 => {
            let (amount, call) = (1 + i64::from(draw.below(8)) * 6_000, 0);
            bench.links[0] += 1;
            let link_seq = bench.links[0];
            return cluster(Command::Grant(Grant { link_seq, account, _pad: 0, amount, call }));
        }
        _ if jumps => {
            bench.ts += u64::from(draw.below(4) / 3) * MARGIN_CALL_GRACE_US;
            *now_mark = match draw.below(12) {
                0 => *now_mark * 13 / 10,
                1 => *now_mark * 7 / 10,
                2 => 100,
                _ => *now_mark + i64::from(draw.below(9)) - 4,
            };
            *now_mark = (*now_mark).clamp(60, 160);
            index(symbol.0, *now_mark)
        }
        _ => {
            bench.ts += u64::from(draw.below(2)) * MARGIN_CALL_GRACE_US;
            return cluster(Command::Tick(Tick { _reserved: 0 }));
        }
    };
    Act::Command { envelope: bench.envelope(0, draw.below(2) == 1), command }
}

fn attacked(cash: [i64; 2], steps: &[Step], jumps: bool, hedged: bool) -> Result<Venue, String> {
    let grants = [(FUND, RICH), (1, cash[0]), (2, cash[1]), (HONEST, RICH)];
    let mut bench = Bench::trading_with_work(&grants, 1);
    if hedged {
        bench.hedge(1 << 2);
    }
    let (mut venue, mut replay) = (Venue::default(), Bench::new(1));
    for (header, payload) in bench.log.clone().iter().skip(replay.log.len()) {
        let (_, command) = Command::decode(header.kind, payload).unwrap();
        venue.lost(&command, header.ts, &replay.apply_bytes(header.kind, payload).events());
    }
    let mut mark = [100; 2];
    for step in steps {
        let act = act(&mut bench, step, &mut mark, jumps);
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        let lost = venue.lost(command, bench.ts, &events);
        if lost > 0 {
            return Err(format!("{lost} lost by {command:?}: {events:?}"));
        }
        flow::counted(&mut bench, &act, outcome(&events).reject);
    }
    Ok(venue)
}

proptest! {
    #![proptest_config(cases(600, 60_000))]

    #[test]
    fn nothing_is_milked_at_fixed_marks(
        steps in flow::steps(200), cash in prop::array::uniform2(1i64..300_000), hedged: bool,
    ) {
        attacked(cash, &steps, false, hedged).unwrap();
    }

    #[test]
    fn nothing_is_milked_at_jumping_marks(
        steps in flow::steps(200), cash in prop::array::uniform2(1i64..300_000), hedged: bool,
    ) {
        attacked(cash, &steps, true, hedged).unwrap();
    }
}

/// The attacker's accounts are taken over, also when they have less than nothing.
#[test]
fn attackers_are_taken_over() {
    let (mut takeovers, mut short) = (0, 0);
    for run in fixed_steps(40_000).chunks(400) {
        let venue = attacked([90_000, 200_000], run, true, false).unwrap();
        takeovers += venue.takeovers;
        short += venue.short;
    }
    assert!(takeovers > 20 && short > 10, "{takeovers} taken over, {short} below zero");
}
