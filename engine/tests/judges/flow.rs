//! Random flows: a few accounts, a few prices, thin cash, leverage at the brackets' edges.
//!
//! A step is ten numbers that are read as a command, so that a failing flow shrinks to few steps
//! with small numbers.

use proptest::prelude::*;
use protocol::{
    AccountId, AlgoId, ClientId, Command, Envelope, Name, OrderId, SessionId, SymbolId,
    command::{
        Amend, Cancel, CancelAlgo, CancelAll, Countdown, MoveMargin, Place, PlaceAlgo, SetFees,
        SetLeverage, SetMarginMode, Tick,
    },
    order::{
        AlgoType, MarginMode, OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side,
        TimeInForce, WorkingType,
    },
};

use crate::{
    bench::{Bench, index},
    flow_links, flow_operator,
    triggers::closing,
};

pub type Step = [u16; 10];

pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<Step>(), 1..most)
}

/// Reads a step's numbers one after the other.
pub struct Draw<'a>(pub std::slice::Iter<'a, u16>);

impl Draw<'_> {
    pub fn below(&mut self, n: u16) -> u16 {
        self.0.next().map_or(0, |number| number % n)
    }

    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.below(values.len() as u16))]
    }
}

/// What a step does to a bench.
pub enum Act {
    Command {
        envelope: Envelope,
        command: Command,
    },
    /// A session's command that is not its next.
    Misplaced {
        envelope: Envelope,
        command: Command,
    },
}

impl Act {
    pub const fn parts(&self) -> (&Envelope, &Command) {
        match self {
            Self::Command { envelope, command } | Self::Misplaced { envelope, command } => {
                (envelope, command)
            }
        }
    }
}

/// A trading shard's next command. `mark` is kept by the caller: a jump needs to know it.
pub fn trading_act(bench: &mut Bench, step: &Step, mark: &mut [i64; 2]) -> Act {
    let mut draw = Draw(step.iter());
    let choice = draw.below(100);
    if choice.is_multiple_of(3)
        && let Some(act) = flow_links::lend_again(bench, &mut draw)
    {
        return act;
    }
    let (account, symbol) = (AccountId(1 + u32::from(draw.below(5))), 1 + draw.below(2) % 2);
    let symbol_id = SymbolId(symbol);
    let now_mark = mark[usize::from(symbol) - 1];
    let command = match choice {
        0..=29 => Command::Place(place(bench, &mut draw, account, symbol_id, now_mark)),
        30..=43 => Command::PlaceAlgo(algo(bench, &mut draw, account, symbol_id, now_mark)),
        44..=45 => cancel_algo(bench, &mut draw, account, symbol_id),
        46 => {
            let after = draw.one_of(&[0, 1, 5, 20, 60, 400_000_000, u64::MAX]);
            let (symbol, _pad) = (symbol_id, [0; 2]);
            Command::Countdown(Countdown { account, symbol, _pad, after })
        }
        47..=49 => Command::TestPlace(place(bench, &mut draw, account, symbol_id, now_mark)),
        50..=64 => {
            let (order, account) = recent(bench, &mut draw, symbol, account);
            Command::Amend(Amend { order, ..amend(&mut draw, account, symbol_id, now_mark) })
        }
        65..=69 => {
            let (order, account) = recent(bench, &mut draw, symbol, account);
            let client_id = client_id(draw.below(6));
            let (_pad, _pad2) = ([0; 2], [0; 4]);
            Command::Cancel(Cancel { account, symbol: symbol_id, _pad, order, client_id, _pad2 })
        }
        70 => {
            let mode = draw.one_of(MarginMode::ALL);
            Command::SetMarginMode(SetMarginMode { account, symbol: symbol_id, mode, _pad: 0 })
        }
        71 => Command::CancelAll(CancelAll { account, symbol: symbol_id, _pad: [0; 2] }),
        72 => {
            let amount =
                draw.one_of(&[1, 700, 3_000, 20_000, 900_000, i64::MAX, 0, -1, -300, -2_000]);
            let position_side = leg(bench, account, draw.below(2));
            let (symbol, _pad) = (symbol_id, 0);
            Command::MoveMargin(MoveMargin { account, symbol, position_side, _pad, amount })
        }
        73..=74 => {
            let leverage = draw.one_of(&[1, 5, 10, 20, 21, 50, 51, 125, 126, 0]);
            Command::SetLeverage(SetLeverage { account, symbol: symbol_id, leverage, _pad: 0 })
        }
        75 => {
            let (maker, taker) =
                draw.one_of(&[(0, 0), (-50_000, 50_000), (10_000, 9_999), (-2, 1)]);
            Command::SetFees(SetFees { account, symbol: symbol_id, _pad: [0; 2], maker, taker })
        }
        76..=78 => flow_operator::command(&mut draw, symbol, now_mark),
        79..=87 => {
            let ticks = match draw.below(24) {
                0 => now_mark * 13 / 10,
                1 => now_mark * 7 / 10,
                _ => now_mark + i64::from(draw.below(5)) - 2,
            };
            let ticks = ticks.clamp(60, 160);
            mark[usize::from(symbol) - 1] = ticks;
            index(symbol, ticks)
        }
        88..=93 => return flow_links::shard_act(bench, &mut draw, account),
        94..=95 => {
            // sometimes as long as an index may stay away, to dates, or into the next hour
            let jump = match draw.below(48) {
                0 => 24,
                1 | 3 => 30,
                2 => 7_500,
                4 | 5 => 1_500,
                n => u64::from(n % 5),
            };
            bench.ts += jump * 400_000;
            return cluster(Command::Tick(Tick { _reserved: 0 }));
        }
        _ => return misplaced(bench, &mut draw, account, symbol_id),
    };
    let last_try = draw.below(2) == 1;
    let session = usize::from(draw.below(8) == 0);
    Act::Command { envelope: bench.envelope(session, last_try), command }
}

/// A step of a flow in which everybody is rich, prices are few and many orders only reduce.
pub fn reducing_act(bench: &mut Bench, step: &Step) -> Act {
    let mut draw = Draw(step.iter());
    let choice = draw.below(20);
    let (account, symbol) = (AccountId(1 + u32::from(draw.below(3))), SymbolId(1));
    let side = draw.one_of(Side::ALL);
    let price = 98 + i64::from(draw.below(5));
    let qty = 1 + i64::from(draw.below(6));
    let command = match choice {
        0..=13 => {
            let tifs = [TimeInForce::Gtc, TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok];
            Command::Place(Place {
                reduce_only: choice < 7,
                time_in_force: draw.one_of(&tifs),
                self_trade: draw.one_of(SelfTradePrevention::ALL),
                qty: if choice % 3 == 0 { 3 * qty } else { qty },
                ..crate::trading::limit(account.0, side, price, qty)
            })
        }
        14..=16 => {
            let (order, account) = recent(bench, &mut draw, 1, account);
            let of = amend(&mut draw, account, symbol, 100);
            let side = bench.sides[0].get((order.0 as usize).wrapping_sub(1)).copied();
            Command::Amend(Amend { order, side: side.unwrap_or(of.side), price, qty, ..of })
        }
        17 => {
            // one of each kind on a side is a pair
            let kind = draw.one_of(&[AlgoType::StopMarket, AlgoType::TakeProfitMarket]);
            Command::PlaceAlgo(closing(account.0, kind, side, price + 2 * qty - 7))
        }
        18 => {
            let (order, account) = recent(bench, &mut draw, 1, account);
            let (client_id, _pad, _pad2) = (Name::EMPTY, [0; 2], [0; 4]);
            Command::Cancel(Cancel { account, symbol, _pad, order, client_id, _pad2 })
        }
        _ => index(1, price),
    };
    Act::Command { envelope: bench.envelope(0, false), command }
}

/// A step of a flow in which a symbol's lots are worth so much that its book has impact prices,
/// and an hour passes soon.
pub fn funding_act(bench: &mut Bench, step: &Step, mark: &mut i64) -> Act {
    let mut draw = Draw(step.iter());
    let choice = draw.below(20);
    let (account, symbol) = (AccountId(1 + u32::from(draw.below(3))), SymbolId(1));
    let side = draw.one_of(Side::ALL);
    // the last account has two legs
    let legs = if account.0 == 3 { &PositionSide::ALL[1..] } else { &PositionSide::ALL[..1] };
    let position_side = draw.one_of(legs);
    let order =
        |price, qty| Place { position_side, ..crate::trading::limit(account.0, side, price, qty) };
    let command = match choice {
        0..=7 => {
            // a market that leans to one side for some time
            let lean = if (bench.ts / 900_000_000).is_multiple_of(2) { 40 } else { -40 };
            let price = *mark + lean + i64::from(draw.below(60)) - 30;
            Command::Place(order(price, 1 + i64::from(draw.below(40))))
        }
        8 => Command::CancelAll(CancelAll { account, symbol, _pad: [0; 2] }),
        9 => {
            let mode = draw.one_of(MarginMode::ALL);
            Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 })
        }
        10 => {
            let amount = i64::from(draw.below(200)) * 1_000_000_000 - 60_000_000_000;
            Command::MoveMargin(MoveMargin { account, symbol, position_side, _pad: 0, amount })
        }
        11..=13 => {
            *mark = (*mark + i64::from(draw.below(21)) - 10).clamp(800, 1_200);
            index(1, *mark)
        }
        _ => {
            let jump = draw.one_of(&[1_000, 1_000, 2_000, 5_000, 9_000, 11_000, 400_000, 900_000]);
            bench.ts += jump * 1_000;
            return cluster(Command::Tick(Tick { _reserved: 0 }));
        }
    };
    Act::Command { envelope: bench.envelope(0, draw.below(2) == 1), command }
}

/// Counts a session's command if the engine does.
pub fn counted(bench: &mut Bench, act: &Act, reject: protocol::Reject) {
    let Act::Command { envelope, .. } = act else { return };
    for at in 0..bench.sessions.len() {
        let short = at == 1 && reject == protocol::Reject::NeedMargin;
        if bench.sessions[at].0 == envelope.session.0 && !short {
            bench.sessions[at].1 = envelope.number;
        }
    }
}

pub fn cluster(command: Command) -> Act {
    Act::Command { envelope: Envelope::default(), command }
}

fn place(bench: &Bench, draw: &mut Draw, account: AccountId, symbol: SymbolId, mark: i64) -> Place {
    let now = bench.ts;
    let flags = draw.below(4096);
    let side = if flags & 1 == 0 { Side::Buy } else { Side::Sell };
    let market = flags >> 1 & 7 == 0;
    let reduce_only = flags >> 4 & 7 == 0;
    let matched = flags >> 7 & 15 == 0 && !market;
    let tifs = [
        TimeInForce::Gtc,
        TimeInForce::Gtc,
        TimeInForce::Gtc,
        TimeInForce::Ioc,
        TimeInForce::Fok,
        TimeInForce::Gtx,
        TimeInForce::Gtd,
    ];
    let time_in_force = if market { TimeInForce::Ioc } else { draw.one_of(&tifs) };
    let price = match matched || market {
        true => 0,
        false => mark + i64::from(draw.below(13)) - 6,
    };
    let dates = [now + 600_000_010, now + 600_000_011, now + 1_200_000_000, now + 10];
    let dated = time_in_force == TimeInForce::Gtd;
    Place {
        account,
        symbol,
        side,
        order_type: if market { OrderType::Market } else { OrderType::Limit },
        time_in_force,
        self_trade: draw.one_of(SelfTradePrevention::ALL),
        price_match: match matched {
            true => draw.one_of(&PriceMatch::ALL[1..]),
            false => PriceMatch::None,
        },
        position_side: leg(bench, account, flags >> 11),
        reduce_only,
        _pad: [0; 3],
        price,
        qty: i64::from(draw.below(30)),
        good_till: if dated { draw.one_of(&dates) } else { 0 },
        client_id: client_id(draw.below(64).saturating_sub(56)),
        _pad2: [0; 4],
    }
}

fn algo(
    bench: &Bench,
    draw: &mut Draw,
    account: AccountId,
    symbol: SymbolId,
    mark: i64,
) -> PlaceAlgo {
    let flags = draw.below(4096);
    let plain = place(bench, draw, account, symbol, mark);
    let algo_type = AlgoType::ALL[usize::from(flags % 5)];
    let limit = matches!(algo_type, AlgoType::Stop | AlgoType::TakeProfit);
    let trails = algo_type == AlgoType::TrailingStopMarket;
    let near = mark + i64::from(flags >> 7 & 15) - 8;
    let may_close = matches!(algo_type, AlgoType::StopMarket | AlgoType::TakeProfitMarket);
    let close_position = may_close && flags >> 3 & 1 == 1;
    let matched = limit && plain.price_match != PriceMatch::None;
    let price = if limit && !matched { plain.price.max(mark - 6) } else { 0 };
    PlaceAlgo {
        account,
        symbol,
        side: if flags >> 4 & 1 == 0 { Side::Buy } else { Side::Sell },
        algo_type,
        time_in_force: if limit { plain.time_in_force } else { TimeInForce::Gtc },
        self_trade: plain.self_trade,
        price_match: if matched { plain.price_match } else { PriceMatch::None },
        position_side: plain.position_side,
        working_type: WorkingType::ALL[usize::from(flags >> 5 & 1)],
        reduce_only: plain.reduce_only && !close_position,
        close_position,
        price_protect: flags >> 6 & 1 == 1,
        price,
        qty: if close_position { 0 } else { plain.qty },
        trigger_price: if trails { 0 } else { near },
        activate_price: if trails && flags & 4 == 0 { near } else { 0 },
        callback: match trails {
            true => [100_000, 2_000_000, 3_000_000, 5_000_000, 150_000, 10_000_000]
                [usize::from(flags >> 7 & 15) % 6],
            false => 0,
        },
        good_till: if limit { plain.good_till } else { 0 },
        client_id: plain.client_id,
        _pad: [0; 4],
    }
}

/// A leg of the account's mode, mostly.
fn leg(bench: &Bench, account: AccountId, short: u16) -> PositionSide {
    let odd = bench.seq.is_multiple_of(61);
    match (bench.hedged.contains(&account.0) != odd, short) {
        (false, _) => PositionSide::Both,
        (true, 0) => PositionSide::Long,
        (true, _) => PositionSide::Short,
    }
}

/// One of late and mostly its owner; sometimes by client id, sometimes all of the account's.
fn cancel_algo(bench: &Bench, draw: &mut Draw, account: AccountId, symbol: SymbolId) -> Command {
    let owners = &bench.algo_owners[usize::from(symbol.0) - 1];
    let choice = draw.below(10);
    if choice == 0 {
        return Command::CancelAllAlgos(CancelAll { account, symbol, _pad: [0; 2] });
    }
    let back = usize::from(draw.below(6));
    let client_id = client_id(draw.below(6));
    let recent = owners.len().checked_sub(back).filter(|at| *at > 0 && choice > 2);
    let (count, account) = recent.map_or((0, account), |at| (at as u64, owners[at - 1]));
    let algo = if count == 0 { AlgoId::NONE } else { AlgoId::new(symbol, count) };
    let (_pad, _pad2) = ([0; 2], [0; 4]);
    Command::CancelAlgo(CancelAlgo { account, symbol, _pad, algo, client_id, _pad2 })
}

pub fn amend(draw: &mut Draw, account: AccountId, symbol: SymbolId, mark: i64) -> Amend {
    Amend {
        account,
        symbol,
        side: draw.one_of(Side::ALL),
        price_match: match draw.below(16) {
            0 => PriceMatch::Queue,
            _ => PriceMatch::None,
        },
        order: OrderId::NONE,
        price: mark + i64::from(draw.below(13)) - 6,
        qty: i64::from(draw.below(30)),
        client_id: client_id(draw.below(6)),
        reduce_only: draw.below(8) == 0,
        _pad: [0; 3],
    }
}

/// An order of late and mostly its owner; sometimes none, which means by client id.
pub fn recent(
    bench: &Bench,
    draw: &mut Draw,
    symbol: u16,
    account: AccountId,
) -> (OrderId, AccountId) {
    let owners = &bench.owners[usize::from(symbol) - 1];
    let (back, of_another) = (usize::from(draw.below(12)), draw.below(16) == 0);
    match owners.len().checked_sub(back) {
        _ if back == 11 => (OrderId::NONE, account),
        None => (OrderId::NONE, account),
        Some(at) if back == 0 || of_another => (OrderId(at as u64), account),
        Some(at) => (OrderId(at as u64 + 1), owners[at]),
    }
}

fn client_id(n: u16) -> ClientId {
    Name::new(["", "a-1", "b_2", "c:3", "d/4", "e.5", "F6", "g 7"][usize::from(n)]).unwrap()
}

pub fn misplaced(bench: &Bench, draw: &mut Draw, account: AccountId, symbol: SymbolId) -> Act {
    let command = Command::CancelAll(CancelAll { account, symbol, _pad: [0; 2] });
    let mut envelope = bench.envelope(0, false);
    match draw.below(5) {
        0 => envelope.number = envelope.prev,
        1 => envelope.prev += 1,
        2 => envelope.session = SessionId(999_999),
        3 => (envelope.prev, envelope.number) = (envelope.prev + 3, envelope.number + 3),
        _ => {
            envelope.expires_at = bench.ts;
            return Act::Command { envelope, command };
        }
    }
    Act::Misplaced { envelope, command }
}
