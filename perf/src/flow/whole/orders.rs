//! The orders and conditional orders of flow C.

use protocol::{
    AccountId, ClientId, Command, Lots, SymbolId, Ticks,
    command::{Place, PlaceAlgo},
    order::{
        AlgoType, OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side, TimeInForce,
        WorkingType,
    },
};

use crate::flow::random::SplitMix;

/// How close to the middle a price may be.
#[derive(Clone, Copy)]
pub enum Reach {
    /// Three in a hundred are beyond the middle, so that they may trade.
    Any,
    Passive,
}

/// Ticks between the middle and a price, as flow B draws them; negative: beyond the middle.
pub fn distance(random: &mut SplitMix, reach: Reach) -> Ticks {
    let draw = match reach {
        Reach::Any => random.below(100),
        Reach::Passive => 3 + random.below(97),
    };
    match draw {
        0..3 => -2,
        3..63 => 1 + random.below(10) as Ticks,
        63..93 => 1 + random.below(100) as Ticks,
        _ => 1 + random.below(1_000) as Ticks,
    }
}

pub fn qty(random: &mut SplitMix) -> Lots {
    1 + random.below(100) as Lots
}

pub fn limit(
    account: AccountId,
    symbol: SymbolId,
    side: Side,
    time_in_force: TimeInForce,
    price: Ticks,
    qty: Lots,
) -> Command {
    Command::Place(Place {
        account,
        symbol,
        side,
        order_type: OrderType::Limit,
        time_in_force,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side: PositionSide::Both,
        reduce_only: false,
        _pad: [0; 3],
        price,
        qty,
        good_till: 0,
        client_id: ClientId::EMPTY,
        _pad2: [0; 4],
    })
}

/// Conditions lie within half a percent of the mark.
const TRIGGER_REACH: u64 = 2_500;
/// Callbacks of trailing stops, from 0.1 % in steps as large.
const CALLBACK_STEP: i64 = 100_000;
const CALLBACK_STEPS: u64 = 10;
/// Of the conditional orders that may, one in so many closes the position, whatever that is.
const CLOSING_ONE_IN: u64 = 8;

/// A conditional order of any type, to come true when the price has gone a little further.
pub fn algo(random: &mut SplitMix, account: AccountId, symbol: SymbolId, mark: Ticks) -> Command {
    let algo_type = AlgoType::ALL[random.below(AlgoType::ALL.len() as u64) as usize];
    let side = Side::ALL[random.below(2) as usize];
    let working_type = WorkingType::ALL[random.below(2) as usize];
    let away = 1 + random.below(TRIGGER_REACH) as Ticks;
    let trails = algo_type == AlgoType::TrailingStopMarket;
    // a stop lies on the far side of the market, a take-profit and an activation on the near one
    let trigger = match algo_type {
        AlgoType::Stop | AlgoType::StopMarket => mark + side.sign() * away,
        AlgoType::TakeProfit | AlgoType::TakeProfitMarket | AlgoType::TrailingStopMarket => {
            mark - side.sign() * away
        }
    };
    let limit = matches!(algo_type, AlgoType::Stop | AlgoType::TakeProfit);
    let close_position = !limit && !trails && random.below(CLOSING_ONE_IN) == 0;
    let activates = trails && random.below(2) == 0;
    Command::PlaceAlgo(PlaceAlgo {
        account,
        symbol,
        side,
        algo_type,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side: PositionSide::Both,
        working_type,
        reduce_only: false,
        close_position,
        price_protect: false,
        price: if limit { trigger } else { 0 },
        qty: if close_position { 0 } else { qty(random) },
        trigger_price: if trails { 0 } else { trigger },
        activate_price: if activates { trigger } else { 0 },
        callback: match trails {
            true => CALLBACK_STEP * (1 + random.below(CALLBACK_STEPS) as i64),
            false => 0,
        },
        good_till: 0,
        client_id: ClientId::EMPTY,
        _pad: [0; 4],
    })
}

/// A client's own id for its nth order, as long as the usual ones.
pub fn client_id(nth: u64) -> ClientId {
    const LEN: usize = 22;
    const DIGITS: usize = 12;
    let mut text = *b"x-perf-web000000000000";
    let mut rest = nth;
    for digit in text[LEN - DIGITS..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    ClientId::new(std::str::from_utf8(&text).unwrap_or_default()).unwrap_or_default()
}
