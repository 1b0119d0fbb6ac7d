//! What is traded: listing a symbol, its brackets, its state, and an account's own fees.

use axum::{Json, extract::State};
use protocol::{
    AccountId, Command, Name, Rate, ShardId, SymbolId,
    command::{SetFees, SetSymbolState, Settle},
    decimal::{self, DecimalError},
    instrument::{Bracket, Brackets, SymbolSpec},
    limits::{BRACKETS_MAX, SYMBOLS_MAX},
    order::SymbolState,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Admin, Body, Result, now_ms};
use crate::{rest::error::ApiError, text::Text, views::instruments::Instrument, words::Word};

/// A symbol as an operator describes it; amounts are text, so that they are exact.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    symbol: String,
    shard: u8,
    base: String,
    quote: String,
    /// Their decimals, zeros included, are how many a price and a quantity are shown with.
    tick_size: String,
    step_size: String,
    min_price: String,
    max_price: String,
    min_qty: String,
    max_qty: String,
    max_market_qty: String,
    min_notional: String,
    multiplier_up: String,
    multiplier_down: String,
    market_take_bound: String,
    trigger_protect: String,
    liquidation_fee: String,
    maker_fee: String,
    taker_fee: String,
    default_leverage: u8,
    funding_interval_hours: u8,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BracketTable {
    symbol: String,
    brackets: Vec<BracketRow>,
}

/// One bracket; its floor is the cap of the one before.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BracketRow {
    cap: String,
    max_leverage: u32,
    maintenance: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeesOf {
    account: u32,
    symbol: String,
    maker: String,
    taker: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateOf {
    symbol: String,
    state: String,
    /// With SETTLING: what positions are closed at, instead of at the mark.
    price: Option<String>,
}

/// A symbol as the feed and the operator want to know it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Listed {
    symbol: String,
    id: u16,
    shard: u8,
    state: &'static str,
    /// Its index has stayed away: trading only reduces.
    index_stale: bool,
    /// The last index price; 0 before the first.
    index_e8: i64,
    /// The sum of all long positions, in the symbol's decimals.
    open_interest: Text,
}

pub(super) async fn get_symbols(State(admin): State<Admin>) -> Json<Vec<Listed>> {
    let views = admin.app.views.read();
    let listed = views.instruments.iter().map(|instrument| {
        let spec = &instrument.spec;
        let market = views.market.get(spec.symbol);
        let mark = market.and_then(|market| market.mark);
        let interest = market.map_or(0, |market| market.interest);
        Listed {
            symbol: instrument.name().to_owned(),
            id: spec.symbol.0,
            shard: spec.shard.0,
            state: spec.state.word(),
            index_stale: instrument.index_stale,
            index_e8: mark.map_or(0, |mark| mark.index_e8),
            open_interest: instrument.qty(interest),
        }
    });
    Json(listed.collect())
}

pub(super) async fn post_symbol(
    State(admin): State<Admin>,
    Body(listing): Body<Listing>,
) -> Result<Json<Value>> {
    let _one_at_a_time = admin.giving_ids.lock().await;
    let (known, next_id) = {
        let views = admin.app.views.read();
        let known = views.instruments.by_name(&listing.symbol).map(|known| known.spec);
        let last = views.instruments.iter().map(|known| known.spec.symbol.0).max();
        (known, last.unwrap_or(0) + 1)
    };
    let spec = listing.spec(known.as_ref(), next_id)?;
    if known != Some(spec) {
        admin.submit(spec.shard, Command::ListSymbol(spec)).await?;
        admin.audit("symbol list", &listing.symbol).await?;
    }
    Ok(Json(json!({ "symbol": listing.symbol, "id": spec.symbol.0, "shard": spec.shard.0 })))
}

pub(super) async fn post_brackets(
    State(admin): State<Admin>,
    Body(table): Body<BracketTable>,
) -> Result<Json<Value>> {
    let instrument = named(&admin, &table.symbol)?;
    let brackets = table.brackets(instrument.spec.symbol)?;
    if instrument.brackets != Some(brackets) {
        admin.submit(instrument.spec.shard, Command::SetBrackets(brackets)).await?;
        admin.audit("brackets set", &table.symbol).await?;
    }
    Ok(Json(json!({ "symbol": table.symbol, "brackets": brackets.count })))
}

pub(super) async fn post_fees(
    State(admin): State<Admin>,
    Body(fees): Body<FeesOf>,
) -> Result<Json<Value>> {
    let instrument = named(&admin, &fees.symbol)?;
    let command = SetFees {
        account: AccountId(fees.account),
        symbol: instrument.spec.symbol,
        _pad: [0; 2],
        maker: rate("maker", &fees.maker)?,
        taker: rate("taker", &fees.taker)?,
    };
    admin.submit(instrument.spec.shard, Command::SetFees(command)).await?;
    let FeesOf { account, symbol, maker, taker } = fees;
    let detail = format!("account {account}, {symbol}: maker {maker}, taker {taker}");
    admin.audit("fees set", &detail).await?;
    Ok(Json(json!({ "account": account, "symbol": symbol })))
}

pub(super) async fn post_state(
    State(admin): State<Admin>,
    Body(wanted): Body<StateOf>,
) -> Result<Json<Value>> {
    let instrument = named(&admin, &wanted.symbol)?;
    let state = SymbolState::parse(&wanted.state).ok_or_else(|| ApiError::invalid("state"))?;
    let command = wanted.command(&instrument.spec, state)?;
    admin.submit(instrument.spec.shard, command).await?;
    let at = wanted.price.as_ref().map(|price| format!(" at {price}")).unwrap_or_default();
    admin.audit("symbol state", &format!("{}: {}{at}", wanted.symbol, state.word())).await?;
    Ok(Json(json!({ "symbol": wanted.symbol, "state": state.word() })))
}

fn named(admin: &Admin, symbol: &str) -> Result<Instrument> {
    let views = admin.app.views.read();
    views.instruments.by_name(symbol).copied().ok_or_else(ApiError::invalid_symbol)
}

impl StateOf {
    /// The command that brings a symbol into a state: its end is one of its own.
    fn command(&self, spec: &SymbolSpec, state: SymbolState) -> Result<Command> {
        let symbol = spec.symbol;
        if state == SymbolState::Settling {
            let ticks = |price: &String| units("price", price, spec.tick_e8);
            let price = self.price.as_ref().map(ticks).transpose()?.unwrap_or(0);
            return Ok(Command::Settle(Settle { symbol, _pad: [0; 6], price }));
        }
        if self.price.is_some() {
            return Err(ApiError::invalid("price"));
        }
        Ok(Command::SetSymbolState(SetSymbolState { symbol, state, _pad: [0; 5] }))
    }
}

impl Listing {
    /// The symbol's words; one that is listed keeps its number, its state and its date.
    fn spec(&self, known: Option<&SymbolSpec>, next_id: u16) -> Result<SymbolSpec> {
        let tick_e8 = positive("tick_size", &self.tick_size)?;
        let lot_e8 = positive("step_size", &self.step_size)?;
        let product = i128::from(tick_e8) * i128::from(lot_e8);
        let mult = i64::try_from(product / 100_000_000)
            .ok()
            .filter(|mult| *mult > 0 && product % 100_000_000 == 0);
        if self.symbol.bytes().any(|byte| !byte.is_ascii_uppercase() && !byte.is_ascii_digit()) {
            return Err(ApiError::invalid("symbol"));
        }
        if known.is_none() && usize::from(next_id) > SYMBOLS_MAX {
            return Err(ApiError::new(-1130, format!("There are {SYMBOLS_MAX} symbols already.")));
        }
        let shard = ShardId(self.shard);
        if known.is_some_and(|known| known.shard != shard) {
            return Err(ApiError::new(-1130, "A symbol stays on the shard it was listed on."));
        }
        Ok(SymbolSpec {
            symbol: known.map_or(SymbolId(next_id), |known| known.symbol),
            shard,
            state: known.map_or(SymbolState::Trading, |known| known.state),
            price_decimals: decimals("tick_size", &self.tick_size)?,
            qty_decimals: decimals("step_size", &self.step_size)?,
            default_leverage: self.default_leverage,
            funding_interval_hours: self.funding_interval_hours,
            name: text("symbol", &self.symbol)?,
            base: text("base", &self.base)?,
            quote: text("quote", &self.quote)?,
            tick_e8,
            lot_e8,
            mult: mult.ok_or_else(|| ApiError::invalid("tick_size"))?,
            price_min: units("min_price", &self.min_price, tick_e8)?,
            price_max: units("max_price", &self.max_price, tick_e8)?,
            qty_min: units("min_qty", &self.min_qty, lot_e8)?,
            qty_max: units("max_qty", &self.max_qty, lot_e8)?,
            market_qty_max: units("max_market_qty", &self.max_market_qty, lot_e8)?,
            notional_min: rate("min_notional", &self.min_notional)?,
            band_up: rate("multiplier_up", &self.multiplier_up)?,
            band_down: rate("multiplier_down", &self.multiplier_down)?,
            market_bound: rate("market_take_bound", &self.market_take_bound)?,
            trigger_protect: rate("trigger_protect", &self.trigger_protect)?,
            liquidation_fee: rate("liquidation_fee", &self.liquidation_fee)?,
            maker_fee: rate("maker_fee", &self.maker_fee)?,
            taker_fee: rate("taker_fee", &self.taker_fee)?,
            listed_at: known.map_or(now_ms() * 1_000, |known| known.listed_at),
        })
    }
}

impl BracketTable {
    fn brackets(&self, symbol: SymbolId) -> Result<Brackets> {
        if self.brackets.is_empty() || self.brackets.len() > BRACKETS_MAX {
            return Err(ApiError::invalid("brackets"));
        }
        let mut rows = [Bracket::default(); BRACKETS_MAX];
        let mut floor = 0;
        for (row, asked) in rows.iter_mut().zip(&self.brackets) {
            let cap = positive("cap", &asked.cap)?;
            let maintenance = u32::try_from(rate("maintenance", &asked.maintenance)?);
            *row = Bracket {
                floor,
                cap,
                maintenance: maintenance.map_err(|_| ApiError::invalid("maintenance"))?,
                max_leverage: asked.max_leverage,
            };
            floor = cap;
        }
        Ok(Brackets { symbol, count: self.brackets.len() as u16, _pad: 0, rows })
    }
}

/// A decimal in units of 1e-8: a ratio or an amount.
fn rate(name: &str, text: &str) -> Result<Rate> {
    decimal::parse(text, 8).map_err(|error| match error {
        DecimalError::TooPrecise => ApiError::precision(),
        DecimalError::Malformed | DecimalError::OutOfRange => ApiError::invalid(name),
    })
}

fn positive(name: &str, text: &str) -> Result<i64> {
    let value = rate(name, text)?;
    if value > 0 { Ok(value) } else { Err(ApiError::invalid(name)) }
}

/// A decimal in whole ticks or lots.
fn units(name: &str, text: &str, unit_e8: i64) -> Result<i64> {
    let value = positive(name, text)?;
    if value % unit_e8 == 0 { Ok(value / unit_e8) } else { Err(ApiError::invalid(name)) }
}

/// How many decimals a text has.
fn decimals(name: &str, text: &str) -> Result<u8> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    u8::try_from(fraction.len())
        .ok()
        .filter(|count| *count <= 8)
        .ok_or_else(|| ApiError::invalid(name))
}

fn text<const N: usize>(name: &str, value: &str) -> Result<Name<N>> {
    Name::new(value).filter(|value| !value.is_empty()).ok_or_else(|| ApiError::invalid(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        serde_json::from_value(json!({
            "symbol": "BTCUSDT", "shard": 1, "base": "BTC", "quote": "USDT",
            "tick_size": "0.10", "step_size": "0.001", "min_price": "100",
            "max_price": "1000000", "min_qty": "0.001", "max_qty": "1000",
            "max_market_qty": "120", "min_notional": "50", "multiplier_up": "1.05",
            "multiplier_down": "0.95", "market_take_bound": "0.05", "trigger_protect": "0.05",
            "liquidation_fee": "0.0125", "maker_fee": "-0.0001", "taker_fee": "0.0005",
            "default_leverage": 20, "funding_interval_hours": 8,
        }))
        .unwrap()
    }

    #[test]
    fn a_listing_becomes_exact_units() {
        let spec = listing().spec(None, 3).unwrap();
        assert_eq!((spec.symbol, spec.shard), (SymbolId(3), ShardId(1)));
        assert_eq!((spec.price_decimals, spec.qty_decimals), (2, 3));
        assert_eq!((spec.tick_e8, spec.lot_e8, spec.mult), (10_000_000, 100_000, 10_000));
        assert_eq!((spec.price_min, spec.price_max), (1_000, 10_000_000));
        assert_eq!((spec.qty_min, spec.market_qty_max), (1, 120_000));
        assert_eq!((spec.notional_min, spec.maker_fee), (5_000_000_000, -10_000));
        let again = listing().spec(Some(&spec), 9).unwrap();
        assert_eq!(again, spec);
    }

    #[test]
    fn a_listing_that_makes_no_sense_is_refused() {
        let refused = |change: fn(&mut Listing)| {
            let mut listing = listing();
            change(&mut listing);
            listing.spec(None, 1).unwrap_err().code
        };
        assert_eq!(refused(|l| l.symbol = "btc".into()), -1130);
        assert_eq!(refused(|l| l.symbol = String::new()), -1130);
        assert_eq!(refused(|l| l.tick_size = "0".into()), -1130);
        assert_eq!(refused(|l| l.tick_size = "0.00000001".into()), -1130);
        assert_eq!(refused(|l| l.min_price = "100.05".into()), -1130);
        assert_eq!(refused(|l| l.maker_fee = "0.000000001".into()), -1111);
        assert_eq!(refused(|l| l.max_qty = "1e30".into()), -1130);
        let spec = listing().spec(None, 1).unwrap();
        let mut moved = listing();
        moved.shard = 2;
        assert_eq!(moved.spec(Some(&spec), 2).unwrap_err().code, -1130);
    }

    #[test]
    fn an_end_has_a_price_and_other_states_have_none() {
        let spec = listing().spec(None, 3).unwrap();
        let command = |state, price: Option<&str>| {
            let wanted = StateOf {
                symbol: "BTCUSDT".into(),
                state: String::new(),
                price: price.map(str::to_owned),
            };
            wanted.command(&spec, state).map_err(|error| error.code)
        };
        let settle = |price| {
            let symbol = SymbolId(3);
            Ok(Command::Settle(Settle { symbol, _pad: [0; 6], price }))
        };
        assert_eq!(command(SymbolState::Settling, None), settle(0));
        assert_eq!(command(SymbolState::Settling, Some("60000.10")), settle(600_001));
        assert_eq!(command(SymbolState::Settling, Some("60000.11")), Err(-1130));
        assert_eq!(command(SymbolState::Halted, Some("60000.10")), Err(-1130));
        let (symbol, state) = (SymbolId(3), SymbolState::Halted);
        let halt = Command::SetSymbolState(SetSymbolState { symbol, state, _pad: [0; 5] });
        assert_eq!(command(SymbolState::Halted, None), Ok(halt));
    }

    #[test]
    fn brackets_follow_one_another() {
        let table: BracketTable = serde_json::from_value(json!({
            "symbol": "A",
            "brackets": [
                { "cap": "50000", "max_leverage": 125, "maintenance": "0.004" },
                { "cap": "250000", "max_leverage": 100, "maintenance": "0.005" },
            ],
        }))
        .unwrap();
        let brackets = table.brackets(SymbolId(2)).unwrap();
        assert_eq!(brackets.count, 2);
        assert_eq!(brackets.rows[1].floor, brackets.rows[0].cap);
        assert_eq!(brackets.rows[0].maintenance, 400_000);
        let empty = BracketTable { symbol: "A".into(), brackets: Vec::new() };
        assert_eq!(empty.brackets(SymbolId(2)).unwrap_err().code, -1130);
    }
}
