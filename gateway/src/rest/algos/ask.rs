//! From parameters to a conditional order, exactly; whether it may be is the shard's to say.

use protocol::{
    AccountId, AlgoId, ClientId, Lots, Rate, Ticks,
    command::PlaceAlgo,
    order::{AlgoType, OrderType, PositionSide, PriceMatch, TimeInForce, WorkingType},
};

use crate::{
    rest::{error::ApiError, orders::ask, params::Params},
    text::PERCENT_DECIMALS,
    views::{
        algo::{ALGO_KIND, becomes},
        instruments::Instrument,
    },
    words::Word,
};

/// Which conditional order is meant: by its id, or by its client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Id(AlgoId),
    Client(ClientId),
}

impl Which {
    /// `algoId` wins over `clientAlgoId`; neither is -1102.
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        if let Some(id) = algo_id(params)? {
            return Ok(Self::Id(id));
        }
        let text = params.get("clientAlgoId").ok_or_else(|| ApiError::mandatory("algoId"))?;
        ask::client_id(text).map(Self::Client)
    }
}

pub fn algo_id(params: &Params) -> Result<Option<AlgoId>, ApiError> {
    let Some(id) = params.integer("algoId")? else { return Ok(None) };
    let id = u64::try_from(id).ok().filter(|id| *id > 0);
    id.map(|id| Some(AlgoId(id))).ok_or_else(|| ApiError::mandatory("algoId"))
}

/// Refuses kinds of algo order that there are not.
pub fn check_kind(params: &Params) -> Result<(), ApiError> {
    match params.get("algoType") {
        Some(text) if !text.eq_ignore_ascii_case(ALGO_KIND) => Err(ApiError::invalid("algoType")),
        Some(_) | None => Ok(()),
    }
}

/// A new conditional order.
pub fn place(
    params: &Params,
    account: AccountId,
    instrument: &Instrument,
) -> Result<PlaceAlgo, ApiError> {
    params.need("algoType")?;
    check_kind(params)?;
    let side = ask::side(params)?;
    let algo_type = algo_type(params)?;
    let price_match = ask::price_match(params)?;
    let (time_in_force, price) = limit(params, algo_type, price_match, instrument)?;
    let condition = Condition::read(params, algo_type, instrument)?;
    let (close_position, reduce_only) = closing(params, algo_type)?;
    let qty = qty(params, close_position, instrument)?;
    let position_side = ask::position_side(params)?;
    ask::refuse_reduce_only(params, position_side)?;
    let closable = position_side == PositionSide::Both || position_side.closed_by(side);
    if close_position && !closable {
        return Err(ApiError::invalid("side"));
    }
    Ok(PlaceAlgo {
        account,
        symbol: instrument.spec.symbol,
        side,
        algo_type,
        time_in_force,
        self_trade: ask::self_trade(params)?,
        price_match,
        position_side,
        working_type: working_type(params)?,
        reduce_only,
        close_position,
        price_protect: params.boolean("priceProtect")?.unwrap_or(false),
        price,
        qty,
        trigger_price: condition.trigger_price,
        activate_price: condition.activate_price,
        callback: condition.callback,
        good_till: ask::good_till(params, time_in_force)?,
        client_id: ask::new_client_id(params, "clientAlgoId")?,
        _pad: [0; 4],
    })
}

/// What an order waits for.
struct Condition {
    trigger_price: Ticks,
    activate_price: Ticks,
    callback: Rate,
}

impl Condition {
    /// Clients call the same price by an old and a new name.
    const TRIGGER: [&'static str; 2] = ["triggerPrice", "stopPrice"];
    const ACTIVATE: [&'static str; 2] = ["activatePrice", "activationPrice"];
    const CALLBACK: &'static str = "callbackRate";

    fn read(
        params: &Params,
        algo_type: AlgoType,
        instrument: &Instrument,
    ) -> Result<Self, ApiError> {
        let price = |names: [&str; 2]| {
            let text = names.iter().find_map(|name| params.get(name));
            text.map(|text| ask::price(text, instrument)).transpose()
        };
        if algo_type == AlgoType::TrailingStopMarket {
            refuse(params, &Self::TRIGGER)?;
            let callback = params.decimal(Self::CALLBACK, PERCENT_DECIMALS)?;
            return Ok(Self {
                trigger_price: 0,
                activate_price: price(Self::ACTIVATE)?.unwrap_or(0),
                callback: callback.ok_or_else(|| ApiError::mandatory(Self::CALLBACK))?,
            });
        }
        refuse(params, &[Self::ACTIVATE[0], Self::ACTIVATE[1], Self::CALLBACK])?;
        let trigger_price = price(Self::TRIGGER)?;
        let trigger_price = trigger_price.ok_or_else(|| ApiError::mandatory(Self::TRIGGER[0]))?;
        Ok(Self { trigger_price, activate_price: 0, callback: 0 })
    }
}

fn algo_type(params: &Params) -> Result<AlgoType, ApiError> {
    let text = params.need("type")?;
    if OrderType::parse(text).is_some() {
        return Err(ApiError::new(-4120, "Order type not supported for this endpoint."));
    }
    AlgoType::parse(text).ok_or_else(|| ApiError::new(-1116, "Invalid orderType."))
}

fn working_type(params: &Params) -> Result<WorkingType, ApiError> {
    params.get("workingType").map_or(Ok(WorkingType::Contract), |text| {
        WorkingType::parse(text).ok_or_else(|| ApiError::invalid("workingType"))
    })
}

/// How long what it becomes may rest, and at which price.
fn limit(
    params: &Params,
    algo_type: AlgoType,
    price_match: PriceMatch,
    instrument: &Instrument,
) -> Result<(TimeInForce, Ticks), ApiError> {
    let time_in_force = ask::time_in_force(params)?.unwrap_or(TimeInForce::Gtc);
    match becomes(algo_type) {
        OrderType::Limit => Ok((time_in_force, ask::limit_price(params, price_match, instrument)?)),
        OrderType::Market => {
            refuse(params, &["price"])?;
            if time_in_force != TimeInForce::Gtc {
                return Err(ApiError::not_required("timeInForce"));
            }
            if price_match != PriceMatch::None {
                return Err(ask::price_match_of_market());
            }
            Ok((TimeInForce::Gtc, 0))
        }
    }
}

/// Whether it closes what is there, and whether it may only reduce; what closes reduces anyway.
fn closing(params: &Params, algo_type: AlgoType) -> Result<(bool, bool), ApiError> {
    let reduce_only = params.boolean("reduceOnly")?;
    if params.boolean("closePosition")? != Some(true) {
        return Ok((false, reduce_only.unwrap_or(false)));
    }
    if !matches!(algo_type, AlgoType::StopMarket | AlgoType::TakeProfitMarket) {
        return Err(ApiError::not_required("closePosition"));
    }
    if reduce_only == Some(false) {
        return Err(ApiError::new(
            -4138,
            "Reduce only must be true with closePosition equals true.",
        ));
    }
    Ok((true, false))
}

fn qty(params: &Params, closes: bool, instrument: &Instrument) -> Result<Lots, ApiError> {
    match (ask::qty(params, instrument)?, closes) {
        (Some(qty), false) => Ok(qty),
        (None, false) => Err(ApiError::mandatory("quantity")),
        (None | Some(0), true) => Ok(0),
        (Some(_), true) => {
            Err(ApiError::new(-4137, "Quantity must be zero with closePosition equals true."))
        }
    }
}

/// -1106 for what is sent where it means nothing.
fn refuse(params: &Params, names: &[&str]) -> Result<(), ApiError> {
    match names.iter().find(|name| params.get(name).is_some()) {
        Some(name) => Err(ApiError::not_required(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::accounts::sample;
    use proptest::prelude::*;
    use protocol::{
        SymbolId,
        order::{SelfTradePrevention, Side},
    };

    /// Ticks of 0.10 and lots of 0.001.
    fn btc() -> Instrument {
        Instrument { spec: sample::spec(SymbolId(1)), brackets: None, index_stale: false }
    }

    fn read(text: &str) -> Result<PlaceAlgo, i32> {
        let params = Params::decode(text.as_bytes(), b"").unwrap();
        place(&params, AccountId(9), &btc()).map_err(|error| error.code)
    }

    const STOP: &str = "algoType=CONDITIONAL&side=SELL&type=STOP_MARKET&quantity=0.010\
        &triggerPrice=55000";
    const LIMIT: &str = "algoType=CONDITIONAL&side=BUY&type=STOP&quantity=1&triggerPrice=65000\
        &price=65100.0&timeInForce=GTC";
    const TRAIL: &str = "algoType=CONDITIONAL&side=SELL&type=TRAILING_STOP_MARKET&quantity=1\
        &callbackRate=1.5";
    const CLOSE: &str = "algoType=CONDITIONAL&side=SELL&type=TAKE_PROFIT_MARKET\
        &triggerPrice=65000&closePosition=true";

    #[test]
    fn conditions_are_read_exactly() {
        let stop = read(&format!("{STOP}&clientAlgoId=a.B:/1_-&reduceOnly=TRUE")).unwrap();
        assert_eq!((stop.trigger_price, stop.qty, stop.price), (550_000, 10, 0));
        assert_eq!((stop.side, stop.algo_type), (Side::Sell, AlgoType::StopMarket));
        assert_eq!((stop.reduce_only, stop.close_position), (true, false));
        assert_eq!(stop.working_type, WorkingType::Contract);
        assert_eq!(stop.self_trade, SelfTradePrevention::ExpireMaker);
        assert_eq!(stop.client_id.as_str(), "a.B:/1_-");
        assert_eq!(read(STOP).unwrap().client_id.as_str().len(), 22);
        let old = read(
            "algotype=conditional&side=sell&type=stop_market&quantity=1&stopprice=1.0\
            &workingType=mark_price&priceProtect=True&timeInForce=GTC",
        );
        let old = old.unwrap();
        assert_eq!((old.trigger_price, old.working_type), (10, WorkingType::Mark));
        assert!(old.price_protect);

        let limit = read(LIMIT).unwrap();
        assert_eq!((limit.price, limit.trigger_price), (651_000, 650_000));
        let matched = read(&LIMIT.replace("price=65100.0", "priceMatch=QUEUE")).unwrap();
        assert_eq!((matched.price, matched.price_match), (0, PriceMatch::Queue));
        let dated = LIMIT.replace("=GTC", "=GTD&goodTillDate=1700000000999");
        assert_eq!(read(&dated).unwrap().good_till, 1_700_000_000_000_000);

        let trail = read(TRAIL).unwrap();
        assert_eq!((trail.callback, trail.activate_price, trail.trigger_price), (1_500_000, 0, 0));
        for name in ["activatePrice", "activationPrice"] {
            assert_eq!(read(&format!("{TRAIL}&{name}=70000")).unwrap().activate_price, 700_000);
        }

        for more in ["", "&quantity=0", "&reduceOnly=true"] {
            let close = read(&format!("{CLOSE}{more}")).unwrap();
            assert_eq!((close.close_position, close.reduce_only, close.qty), (true, false, 0));
        }
    }

    #[test]
    fn what_closes_a_leg_is_on_its_closing_side() {
        let message = |side: &str, leg: &str| {
            let text = format!("positionSide={leg}&side={side}&{CLOSE}");
            let params = Params::decode(text.as_bytes(), b"").unwrap();
            place(&params, AccountId(9), &btc()).map(|_| ()).map_err(|error| error.msg)
        };
        for (side, leg) in [("BUY", "LONG"), ("SELL", "SHORT")] {
            assert!(message(side, leg).unwrap_err().contains("'side'"), "{side} {leg}");
        }
        for (side, leg) in [("SELL", "LONG"), ("BUY", "SHORT"), ("BUY", "BOTH"), ("SELL", "BOTH")] {
            assert_eq!(message(side, leg), Ok(()), "{side} {leg}");
        }
    }

    #[test]
    fn what_is_no_condition_has_its_code() {
        // the first of a name wins
        for (base, change, code) in [
            (STOP, "algoType=VP", -1130),
            (STOP, "side=UP", -1117),
            (STOP, "type=LIMIT", -4120),
            (STOP, "type=ICEBERG", -1116),
            (STOP, "triggerPrice=55000.05", -4014),
            (STOP, "triggerPrice=55000.001", -1111),
            (STOP, "triggerPrice=1e400", -4002),
            (STOP, "triggerPrice=x", -1102),
            (STOP, "workingType=INDEX", -1130),
            (STOP, "priceProtect=maybe", -1102),
            (STOP, "price=1", -1106),
            (STOP, "timeInForce=IOC", -1106),
            (STOP, "timeInForce=GTE_GTC", -1115),
            (STOP, "priceMatch=QUEUE", -5038),
            (STOP, "callbackRate=1", -1106),
            (STOP, "activatePrice=1", -1106),
            (STOP, "closePosition=true", -4137),
            (STOP, "clientAlgoId=white%20space", -4015),
            (STOP, "clientAlgoId=autoclose-1", -4015),
            (LIMIT, "closePosition=true", -1106),
            (LIMIT, "priceMatch=QUEUE", -1106),
            (LIMIT, "timeInForce=GTD", -1102),
            (TRAIL, "closePosition=true", -1106),
            (TRAIL, "triggerPrice=1", -1106),
            (TRAIL, "callbackRate=much", -1102),
            (TRAIL, "callbackRate=1.1234567", -1111),
            (CLOSE, "reduceOnly=false", -4138),
            (CLOSE, "quantity=1", -4137),
        ] {
            let told = read(&format!("{change}&{base}")).map(|terms| terms.qty);
            assert_eq!(told, Err(code), "{change}");
        }
        for (base, missing) in [
            (STOP, "algoType"),
            (STOP, "side"),
            (STOP, "type"),
            (STOP, "quantity"),
            (STOP, "triggerPrice"),
            (LIMIT, "price"),
            (TRAIL, "callbackRate"),
        ] {
            let left: Vec<_> =
                base.split('&').filter(|pair| !pair.starts_with(&format!("{missing}="))).collect();
            assert_eq!(read(&left.join("&")).map(|terms| terms.qty), Err(-1102), "{missing}");
        }
    }

    #[test]
    fn one_of_two_ids_names_a_conditional_order() {
        let which = |text: &str| {
            Which::read(&Params::decode(text.as_bytes(), b"").unwrap()).map_err(|error| error.code)
        };
        let client = ClientId::new("abc").unwrap();
        assert_eq!(which("algoid=65537&clientAlgoId=abc"), Ok(Which::Id(AlgoId(65_537))));
        assert_eq!(which("clientalgoid=abc"), Ok(Which::Client(client)));
        for nothing in ["algoId=0", "algoId=-1", "algoId=x", "symbol=A"] {
            assert_eq!(which(nothing), Err(-1102), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn decimals_survive_in_any_form(
            ticks in 1i64..1_000_000_000,
            rate in 1i64..1_000_000_000,
            zeros in 0usize..2,
        ) {
            let price = format!("{}.{}{}", ticks / 10, ticks % 10, "0".repeat(zeros));
            let rate_text = format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000);
            let stop = read(&STOP.replace("55000", &price)).unwrap();
            prop_assert_eq!(stop.trigger_price, ticks);
            let trail = TRAIL.replace("1.5", &rate_text);
            let trail = read(&format!("{trail}&activatePrice={price}")).unwrap();
            prop_assert_eq!((trail.callback, trail.activate_price), (rate, ticks));
            prop_assert_eq!(crate::text::percent(rate).to_string().parse::<f64>().unwrap(),
                rate_text.parse::<f64>().unwrap());
        }

        #[test]
        fn no_text_panics(
            base in prop::sample::select(vec![STOP, LIMIT, TRAIL, CLOSE]),
            name in prop::sample::select(vec![
                "triggerPrice", "activatePrice", "callbackRate", "quantity", "price",
                "clientAlgoId", "type", "goodTillDate", "algoId",
            ]),
            value in "\\PC{0,40}|[-+0-9.eE]{0,20}",
        ) {
            let mut pairs = vec![(name.to_owned(), value)];
            pairs.extend(base.split('&').filter_map(|text| {
                text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            }));
            let params = Params::new(pairs);
            let _ = place(&params, AccountId(1), &btc());
            let _ = Which::read(&params);
        }
    }
}
