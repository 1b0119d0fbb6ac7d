//! From parameters to commands: words become enums, decimals become ticks and lots, exactly.
//!
//! Only what cannot be said to the engine is refused here (text that is no value, a price between
//! two ticks); whether an order may be is the shard's to say.

use protocol::{
    AccountId, ClientId, Lots, Micros, OrderId, Ticks,
    command::{Amend, Cancel, Place},
    decimal::{self, DecimalError},
    limits::{PRICE_MAX, QTY_MAX},
    order::{OrderType, PositionSide, PriceMatch, SelfTradePrevention, Side, TimeInForce},
};
use rand::{Rng, distr::Alphanumeric};

use crate::{
    rest::{error::ApiError, params::Params, reject},
    views::{instruments::Instrument, order::Order},
    words::Word,
};

/// Types that wait for a price before they become orders; they have endpoints of their own.
const CONDITIONAL_TYPES: [&str; 5] =
    ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"];
/// Characters of a client order id made here.
const OWN_CLIENT_ID_CHARS: usize = 22;

/// How much of the order is shown in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// As it was accepted.
    Ack,
    /// As it is once it has matched.
    Result,
}

/// Which order is meant: by its id, or by its client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Id(OrderId),
    Client(ClientId),
}

impl Which {
    /// `orderId` wins over `origClientOrderId`; neither is -1102.
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        if let Some(id) = params.integer("orderId")? {
            return u64::try_from(id)
                .ok()
                .filter(|id| *id > 0)
                .map(|id| Self::Id(OrderId(id)))
                .ok_or_else(|| ApiError::mandatory("orderId"));
        }
        match params.get("origClientOrderId") {
            Some(text) => Self::client(text),
            None => Err(ApiError::mandatory("orderId")),
        }
    }

    pub fn client(text: &str) -> Result<Self, ApiError> {
        client_id(text).map(Self::Client)
    }

    /// The two fields of a command: 0 means by client id.
    pub fn fields(self) -> (OrderId, ClientId) {
        match self {
            Self::Id(order) => (order, ClientId::EMPTY),
            Self::Client(client_id) => (OrderId::NONE, client_id),
        }
    }
}

pub fn response_type(params: &Params) -> Result<ResponseType, ApiError> {
    match params.get("newOrderRespType") {
        None => Ok(ResponseType::Ack),
        Some(text) if text.eq_ignore_ascii_case("ACK") => Ok(ResponseType::Ack),
        Some(text) if text.eq_ignore_ascii_case("RESULT") => Ok(ResponseType::Result),
        Some(_) => Err(ApiError::invalid("newOrderRespType")),
    }
}

/// A new order.
pub fn place(
    params: &Params,
    account: AccountId,
    instrument: &Instrument,
) -> Result<Place, ApiError> {
    let side = side(params)?;
    let order_type = order_type(params)?;
    if params.boolean("closePosition")? == Some(true) {
        return Err(ApiError::not_required("closePosition"));
    }
    let price_match = price_match(params)?;
    let (time_in_force, price) = match order_type {
        OrderType::Limit => (
            time_in_force(params)?.ok_or_else(|| ApiError::mandatory("timeInForce"))?,
            limit_price(params, price_match, instrument)?,
        ),
        OrderType::Market => {
            for name in ["timeInForce", "price"] {
                if params.get(name).is_some() {
                    return Err(ApiError::not_required(name));
                }
            }
            if price_match != PriceMatch::None {
                return Err(price_match_of_market());
            }
            (TimeInForce::Gtc, 0)
        }
    };
    let position_side = position_side(params)?;
    refuse_reduce_only(params, position_side)?;
    Ok(Place {
        account,
        symbol: instrument.spec.symbol,
        side,
        order_type,
        time_in_force,
        self_trade: self_trade(params)?,
        price_match,
        position_side,
        reduce_only: params.boolean("reduceOnly")?.unwrap_or(false),
        _pad: [0; 3],
        price,
        qty: qty(params, instrument)?.ok_or_else(|| ApiError::mandatory("quantity"))?,
        good_till: good_till(params, time_in_force)?,
        client_id: new_client_id(params, "newClientOrderId")?,
        _pad2: [0; 4],
    })
}

/// A change of a resting order.
pub fn amend(
    params: &Params,
    which: Which,
    account: AccountId,
    instrument: &Instrument,
) -> Result<Amend, ApiError> {
    let (order, client_id) = which.fields();
    let price_match = price_match(params)?;
    Ok(Amend {
        account,
        symbol: instrument.spec.symbol,
        side: side(params)?,
        price_match,
        order,
        price: limit_price(params, price_match, instrument)?,
        qty: qty(params, instrument)?.ok_or_else(|| ApiError::mandatory("quantity"))?,
        client_id,
        reduce_only: params.boolean("reduceOnly")?.unwrap_or(false),
        _pad: [0; 3],
    })
}

pub fn cancel(which: Which, account: AccountId, instrument: &Instrument) -> Cancel {
    let (order, client_id) = which.fields();
    let symbol = instrument.spec.symbol;
    Cancel { account, symbol, _pad: [0; 2], order, client_id, _pad2: [0; 4] }
}

pub fn side(params: &Params) -> Result<Side, ApiError> {
    Side::parse(params.need("side")?).ok_or_else(|| ApiError::new(-1117, "Invalid side."))
}

fn order_type(params: &Params) -> Result<OrderType, ApiError> {
    let text = params.need("type")?;
    if CONDITIONAL_TYPES.iter().any(|each| each.eq_ignore_ascii_case(text)) {
        return Err(ApiError::new(
            -4120,
            "Order type not supported for this endpoint. Please use the Algo Order API endpoints \
             instead.",
        ));
    }
    OrderType::parse(text).ok_or_else(|| ApiError::new(-1116, "Invalid orderType."))
}

pub fn time_in_force(params: &Params) -> Result<Option<TimeInForce>, ApiError> {
    let invalid = || ApiError::new(-1115, "Invalid timeInForce.");
    let read = |text| TimeInForce::parse(text).ok_or_else(invalid);
    params.get("timeInForce").map(read).transpose()
}

pub fn price_match(params: &Params) -> Result<PriceMatch, ApiError> {
    let invalid = || ApiError::new(-5037, "Invalid price match.");
    params
        .get("priceMatch")
        .map_or(Ok(PriceMatch::None), |text| PriceMatch::parse(text).ok_or_else(invalid))
}

/// -5038.
pub fn price_match_of_market() -> ApiError {
    ApiError::new(-5038, "The priceMatch is only supported for LIMIT.")
}

pub fn self_trade(params: &Params) -> Result<SelfTradePrevention, ApiError> {
    let invalid = || ApiError::new(-5039, "Invalid self trade prevention mode.");
    match params.get("selfTradePreventionMode") {
        None => Ok(SelfTradePrevention::ExpireMaker),
        Some(text) => SelfTradePrevention::parse(text).ok_or_else(invalid),
    }
}

pub fn position_side(params: &Params) -> Result<PositionSide, ApiError> {
    params.get("positionSide").map_or(Ok(PositionSide::Both), |text| {
        PositionSide::parse(text).ok_or_else(|| ApiError::invalid("positionSide"))
    })
}

/// -1106: whether an order of a leg reduces is said by its side.
pub fn refuse_reduce_only(params: &Params, leg: PositionSide) -> Result<(), ApiError> {
    match (params.get("reduceOnly"), leg) {
        (None, _) | (Some(_), PositionSide::Both) => Ok(()),
        (Some(_), PositionSide::Long | PositionSide::Short) => {
            Err(ApiError::not_required("reduceOnly"))
        }
    }
}

/// The limit in ticks; with a price match there must be none.
pub fn limit_price(
    params: &Params,
    price_match: PriceMatch,
    instrument: &Instrument,
) -> Result<Ticks, ApiError> {
    match (params.get("price"), price_match) {
        (Some(text), PriceMatch::None) => price(text, instrument),
        (None, PriceMatch::None) => Err(ApiError::mandatory("price")),
        (Some(_), _) => Err(ApiError::not_required("price")),
        (None, _) => Ok(0),
    }
}

pub fn price(text: &str, instrument: &Instrument) -> Result<Ticks, ApiError> {
    let spec = &instrument.spec;
    let too_high = || ApiError::new(-4002, "Price greater than max price.");
    let units = units(text, "price", u32::from(spec.price_decimals), spec.tick_e8);
    let Some(ticks) = units? else { return Err(too_high()) };
    let ticks = ticks.map_err(|Between| ApiError::new(-4014, "Price not increased by tick size."));
    ticks.and_then(|ticks| if ticks > PRICE_MAX { Err(too_high()) } else { Ok(ticks) })
}

pub fn qty(params: &Params, instrument: &Instrument) -> Result<Option<Lots>, ApiError> {
    let Some(text) = params.get("quantity") else { return Ok(None) };
    let spec = &instrument.spec;
    let too_high = || ApiError::new(-4005, "Quantity greater than max quantity.");
    let units = units(text, "quantity", u32::from(spec.qty_decimals), spec.lot_e8);
    let Some(lots) = units? else { return Err(too_high()) };
    let lots = lots.map_err(|Between| ApiError::new(-4023, "Qty not increased by step size."));
    lots.and_then(|lots| if lots > QTY_MAX { Err(too_high()) } else { Ok(Some(lots)) })
}

/// A value that stands between two units.
struct Between;

/// A decimal in whole units of `unit_e8`; `None` when it is beyond every bound, whatever its sign
/// would say: such a number is too great for its filter.
fn units(
    text: &str,
    name: &str,
    decimals: u32,
    unit_e8: i64,
) -> Result<Option<Result<i64, Between>>, ApiError> {
    let value = match decimal::parse(text, decimals) {
        Ok(value) => value,
        Err(DecimalError::TooPrecise) => return Err(ApiError::precision()),
        Err(DecimalError::Malformed) => return Err(ApiError::mandatory(name)),
        Err(DecimalError::OutOfRange) => return Ok(None),
    };
    let scale = 10i128.pow(8u32.saturating_sub(decimals));
    let (value_e8, unit) = (i128::from(value) * scale, i128::from(unit_e8).max(1));
    if value_e8 % unit != 0 {
        return Ok(Some(Err(Between)));
    }
    Ok(i64::try_from(value_e8 / unit).ok().map(Ok))
}

pub fn good_till(params: &Params, time_in_force: TimeInForce) -> Result<Micros, ApiError> {
    if time_in_force != TimeInForce::Gtd {
        return Ok(0);
    }
    let ms = params.integer("goodTillDate")?.ok_or_else(|| ApiError::mandatory("goodTillDate"))?;
    // It is kept to the second; the shard says whether it is far enough ahead.
    let seconds = u64::try_from(ms / 1_000).map_err(|_| ApiError::invalid("goodTillDate"))?;
    Ok(seconds.saturating_mul(1_000_000))
}

/// The client's id under that name, or a new one.
pub fn new_client_id(params: &Params, name: &str) -> Result<ClientId, ApiError> {
    match params.get(name) {
        // by these names clients know that an order was none of theirs
        Some(text) if Order::is_reserved_name(text) => Err(reject::client_id_invalid()),
        Some(text) => client_id(text),
        None => {
            let text: String = rand::rng()
                .sample_iter(Alphanumeric)
                .take(OWN_CLIENT_ID_CHARS)
                .map(char::from)
                .collect();
            client_id(&text)
        }
    }
}

pub fn client_id(text: &str) -> Result<ClientId, ApiError> {
    let allowed = |byte: u8| {
        byte.is_ascii_uppercase()
            || byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || b".:/_-".contains(&byte)
    };
    ClientId::new(text)
        .filter(|id| !id.is_empty() && text.bytes().all(allowed))
        .ok_or_else(reject::client_id_invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::accounts::sample;
    use proptest::prelude::*;
    use protocol::SymbolId;

    /// Ticks of 0.10 and lots of 0.001.
    fn btc() -> Instrument {
        let mut spec = sample::spec(SymbolId(1));
        (spec.price_decimals, spec.qty_decimals) = (2, 3);
        (spec.tick_e8, spec.lot_e8) = (10_000_000, 100_000);
        Instrument { spec, brackets: None, index_stale: false }
    }

    fn read(text: &str) -> Result<Place, i32> {
        let params = Params::decode(text.as_bytes(), b"").unwrap();
        place(&params, AccountId(9), &btc()).map_err(|error| error.code)
    }

    const LIMIT: &str = "side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.010&price=60000.0";

    fn with(change: &str) -> Result<Place, i32> {
        // the first of a name wins
        read(&format!("{change}&{LIMIT}"))
    }

    #[test]
    fn an_order_is_read_exactly() {
        let order =
            with("side=sell&timeinforce=gtx&reduceOnly=True&newClientOrderId=a.B:/1_-").unwrap();
        assert_eq!((order.price, order.qty), (600_000, 10));
        assert_eq!((order.side, order.time_in_force), (Side::Sell, TimeInForce::Gtx));
        assert!(order.reduce_only);
        assert_eq!(order.client_id.as_str(), "a.B:/1_-");
        assert_eq!(order.self_trade, SelfTradePrevention::ExpireMaker);
        assert_eq!(read(LIMIT).unwrap().client_id.as_str().len(), OWN_CLIENT_ID_CHARS);
        let market = read("side=BUY&type=market&quantity=1").unwrap();
        assert_eq!((market.order_type, market.price), (OrderType::Market, 0));
        let dated = with("timeInForce=GTD&goodTillDate=1700000000999").unwrap();
        assert_eq!(dated.good_till, 1_700_000_000_000_000);
        assert_eq!(with("goodTillDate=1700000000999").unwrap().good_till, 0);
        let matched = read("side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&priceMatch=queue_5");
        assert_eq!(matched.unwrap().price_match, PriceMatch::Queue5);
    }

    #[test]
    fn what_is_no_order_has_its_code() {
        let huge = "1000000000000000000000000000000";
        for (change, code) in [
            ("side=UP", -1117),
            ("type=STOP_MARKET", -4120),
            ("type=ICEBERG", -1116),
            ("timeInForce=RPI", -1115),
            ("timeInForce=GTD", -1102),
            ("price=60000.05", -4014),
            ("price=60000.001", -1111),
            ("price=abc", -1102),
            ("price=1e400", -4002),
            (&format!("price={huge}"), -4002),
            ("quantity=0.0001", -1111),
            (&format!("quantity={huge}"), -4005),
            ("priceMatch=BEST", -5037),
            ("priceMatch=QUEUE", -1106),
            ("type=MARKET", -1106),
            ("closePosition=true", -1106),
            ("reduceOnly=perhaps", -1102),
            ("selfTradePreventionMode=SOMETIMES", -5039),
            ("positionSide=UP", -1130),
            ("newClientOrderId=white%20space", -4015),
            ("newClientOrderId=autoclose-7", -4015),
            ("newClientOrderId=adl_autoclose", -4015),
            ("newClientOrderId=settlement_autoclose-x", -4015),
            ("newClientOrderId=1234567890123456789012345678901234567", -4015),
        ] {
            assert_eq!(with(change).map(|order| order.price), Err(code), "{change}");
        }
        assert_eq!(with("quantity=-1").unwrap().qty, -1_000);
        for missing in ["side", "type", "timeInForce", "quantity", "price"] {
            let left: Vec<_> =
                LIMIT.split('&').filter(|pair| !pair.starts_with(&format!("{missing}="))).collect();
            assert_eq!(read(&left.join("&")).map(|order| order.price), Err(-1102), "{missing}");
        }
        let matched = "side=BUY&type=MARKET&quantity=1&priceMatch=QUEUE";
        assert_eq!(read(matched).map(|order| order.price), Err(-5038));
    }

    #[test]
    fn an_order_is_named_by_one_of_two_ids() {
        let which = |text: &str| {
            Which::read(&Params::decode(text.as_bytes(), b"").unwrap()).map_err(|error| error.code)
        };
        let client = ClientId::new("abc").unwrap();
        assert_eq!(which("orderid=7&origClientOrderId=abc"), Ok(Which::Id(OrderId(7))));
        assert_eq!(which("origclientorderid=abc"), Ok(Which::Client(client)));
        assert_eq!(which("orderId=-7"), Err(-1102));
        assert_eq!(which("symbol=A"), Err(-1102));
    }

    proptest! {
        #[test]
        fn no_text_panics(price in "\\PC{0,40}", qty in "[-+0-9.eE]{0,20}", id in "\\PC{0,40}") {
            let pair = |name: &str, value: String| (name.to_owned(), value);
            let mut pairs = vec![
                pair("price", price), pair("quantity", qty), pair("newClientOrderId", id),
            ];
            pairs.extend(LIMIT.split('&').filter_map(|text| {
                text.split_once('=').map(|(name, value)| pair(name, value.to_owned()))
            }));
            let _ = place(&Params::new(pairs), AccountId(1), &btc());
        }
    }
}
