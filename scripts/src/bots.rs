//! Market makers for a local cluster, so that its books live. Clients like any other: they speak
//! the public API and have accounts of their own.
//!
//! Two makers keep a ladder of orders around the index price and lean against their inventory;
//! one taker crosses the spread now and then with a small order, so that trades and candles come
//! (from an account without resting orders, or self-trade prevention would eat the ladder).

use std::{collections::HashMap, time::Duration};

use rand::Rng as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    Error,
    rest::{Answer, Rest},
    secrets::{ApiKey, Secrets},
};

/// Orders a side of one maker: as many as one batch call takes.
const LEVELS: usize = 5;
/// Distance of the first level from the centre and between levels, in units of 1e-4.
const SPREAD_BPS: [f64; 2] = [2.0, 6.0];
const STEP_BPS: f64 = 5.0;
/// A ladder is moved when its centre has moved this far, in units of 1e-4.
const MOVE_BPS: f64 = 3.0;
/// Value of the first level in quote units; each further level holds as much again.
const LEVEL_VALUE: f64 = 5_000.0;
/// Position value at which the ladder leans by one step.
const LEAN_VALUE: f64 = 200_000.0;
const MAKER_PAUSE: Duration = Duration::from_millis(1_000);
const TAKER_PAUSE_MS: std::ops::Range<u64> = 700..2_500;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Levels a side of the book that stands still, and the value of its first one: together they fit the
/// smallest bracket at the default leverage.
const STILL_LEVELS: usize = 15;
const STILL_VALUE: f64 = 15_000.0;

struct Market {
    symbol: String,
    tick: f64,
    price_decimals: usize,
    step: f64,
    qty_decimals: usize,
    min_notional: f64,
}

/// The orders of one maker on one symbol.
#[derive(Default)]
struct Ladder {
    centre: f64,
    orders: Vec<u64>,
}

/// Runs until the process is ended.
pub async fn run(base: &str, secrets: &Secrets) -> Result<(), Error> {
    let [first, second, taker] = secrets.bots.as_slice() else {
        return Err(Error::Usage("the cluster's secrets name no three bots".into()));
    };
    let first = tokio::spawn(forever(base.to_owned(), first.clone(), Part::Maker(0)));
    let second = tokio::spawn(forever(base.to_owned(), second.clone(), Part::Maker(1)));
    let taker = tokio::spawn(forever(base.to_owned(), taker.clone(), Part::Taker));
    let _ = tokio::join!(first, second, taker);
    Err(Error::Usage("every bot has ended".into()))
}

/// Fills each empty book once, with orders that then stand still.
pub async fn fill_once(base: &str, secrets: &Secrets) -> Result<(), Error> {
    let [maker, ..] = secrets.bots.as_slice() else {
        return Err(Error::Usage("the cluster's secrets name no bot".into()));
    };
    let rest = Rest::new(base, maker.clone());
    for market in markets(&rest).await? {
        let open = orders_of(&rest, &market).await?;
        if !open.is_empty() {
            continue;
        }
        let Some(centre) = indices(&rest).await?.get(&market.symbol).copied() else {
            warn!(market.symbol, "no index price yet: its book stays empty");
            continue;
        };
        let rows = ladder_rows(&market, centre, SPREAD_BPS[0], STILL_LEVELS, STILL_VALUE);
        for batch in rows.chunks(LEVELS) {
            place(&rest, batch).await?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Part {
    Maker(usize),
    Taker,
}

/// A bot outlives its venue's restarts: what fails is logged and tried again.
async fn forever(base: String, key: ApiKey, part: Part) {
    let rest = Rest::new(&base, key);
    loop {
        let ended = match part {
            Part::Maker(which) => make(&rest, SPREAD_BPS[which]).await,
            Part::Taker => take(&rest).await,
        };
        if let Err(error) = ended {
            warn!(%error, "starting over");
        }
        sleep(RETRY_PAUSE).await;
    }
}

async fn make(rest: &Rest, spread_bps: f64) -> Result<(), Error> {
    let mut ladders: HashMap<String, Ladder> = HashMap::new();
    loop {
        let markets = markets(rest).await?;
        ladders.retain(|symbol, _| markets.iter().any(|market| market.symbol == *symbol));
        for market in &markets {
            if !ladders.contains_key(&market.symbol) {
                // what an earlier life of this bot left behind, or a halt kept
                let orders = orders_of(rest, market).await?;
                info!(market.symbol, "making a market");
                ladders.insert(market.symbol.clone(), Ladder { centre: 0.0, orders });
            }
        }
        let indices = indices(rest).await?;
        let positions = positions(rest).await?;
        for market in &markets {
            let Some(index) = indices.get(&market.symbol) else { continue };
            let lean = positions.get(&market.symbol).map_or(0.0, |value| value / LEAN_VALUE);
            let centre = index * (1.0 - lean.clamp(-8.0, 8.0) * STEP_BPS * 1e-4);
            if let Some(ladder) = ladders.get_mut(&market.symbol) {
                move_ladder(rest, market, ladder, centre, spread_bps).await?;
            }
        }
        sleep(MAKER_PAUSE).await;
    }
}

/// New orders first, then the old ones go: the book is never empty between.
async fn move_ladder(
    rest: &Rest,
    market: &Market,
    ladder: &mut Ladder,
    centre: f64,
    spread_bps: f64,
) -> Result<(), Error> {
    let moved = (centre / ladder.centre - 1.0).abs() > MOVE_BPS * 1e-4 || ladder.centre == 0.0;
    let worn = !moved && orders_of(rest, market).await?.len() < LEVELS * 2;
    if !moved && !worn {
        return Ok(());
    }
    let rows = ladder_rows(market, centre, spread_bps, LEVELS, LEVEL_VALUE);
    let mut fresh = Vec::new();
    for batch in rows.chunks(LEVELS) {
        fresh.extend(place(rest, batch).await?);
    }
    for ids in ladder.orders.chunks(2 * LEVELS) {
        let list: Vec<String> = ids.iter().map(u64::to_string).collect();
        let params = format!("symbol={}&orderIdList=%5B{}%5D", market.symbol, list.join("%2C"));
        rest.signed(Method::DELETE, "/fapi/v1/batchOrders", &params).await?.done("a cancel")?;
    }
    *ladder = Ladder { centre, orders: fresh };
    Ok(())
}

async fn take(rest: &Rest) -> Result<(), Error> {
    loop {
        let pause = rand::rng().random_range(TAKER_PAUSE_MS);
        sleep(Duration::from_millis(pause)).await;
        let markets = markets(rest).await?;
        let (pick, buy) = {
            let mut rng = rand::rng();
            (rng.random_range(0..markets.len()), rng.random())
        };
        let market = &markets[pick];
        // the sources of a price may be away: other symbols are traded meanwhile
        let Some(index) = indices(rest).await?.get(&market.symbol).copied() else { continue };
        let held = positions(rest).await?.get(&market.symbol).copied().unwrap_or(0.0);
        // back towards flat when it has strayed
        let buy = if held.abs() > LEAN_VALUE { held < 0.0 } else { buy };
        let qty = market.qty(market.min_notional.max(LEVEL_VALUE / 10.0) * 1.2 / index);
        let side = if buy { "BUY" } else { "SELL" };
        let params = format!("symbol={}&side={side}&type=MARKET&quantity={qty}", market.symbol);
        match rest.signed(Method::POST, "/fapi/v1/order", &params).await? {
            Answer::Done(_) => {}
            Answer::Refused { code, msg, .. } => warn!(code, msg, "a market order was refused"),
        }
    }
}

/// Both sides of a ladder as order objects, nearest first.
fn ladder_rows(market: &Market, centre: f64, spread_bps: f64, n: usize, value: f64) -> Vec<Value> {
    let mut rows = Vec::new();
    for (side, sign) in [("BUY", -1.0), ("SELL", 1.0)] {
        for level in 0..n {
            let distance = (spread_bps + STEP_BPS * level as f64) * 1e-4;
            let price = market.price(centre * (1.0 + sign * distance));
            let qty = market.qty(value * (level + 1) as f64 / centre);
            rows.push(json!({
                "symbol": market.symbol, "side": side, "type": "LIMIT", "timeInForce": "GTC",
                "price": price, "quantity": qty,
            }));
        }
    }
    rows
}

/// Places up to five orders; returns the ids of those taken.
async fn place(rest: &Rest, rows: &[Value]) -> Result<Vec<u64>, Error> {
    let text = json!(rows).to_string();
    let params = format!("batchOrders={}", percent(&text));
    let answer = rest.signed(Method::POST, "/fapi/v1/batchOrders", &params).await?;
    let answers = answer.done("a batch of orders")?;
    let mut ids = Vec::new();
    for row in answers.as_array().into_iter().flatten() {
        match row.get("orderId").and_then(Value::as_u64) {
            Some(id) => ids.push(id),
            None => warn!(answer = %row, "an order was refused"),
        }
    }
    Ok(ids)
}

/// The symbols that trade now: some may be listed, or halted, at any time.
async fn markets(rest: &Rest) -> Result<Vec<Market>, Error> {
    let info = rest.public("/fapi/v1/exchangeInfo", "").await?.done("exchangeInfo")?;
    let rows = info["symbols"].as_array().cloned().unwrap_or_default();
    let trading = rows.iter().filter(|row| row["status"] == "TRADING");
    let markets: Vec<Market> = trading.filter_map(Market::read).collect();
    if markets.is_empty() {
        return Err(Error::Usage("no symbol trades".into()));
    }
    Ok(markets)
}

async fn orders_of(rest: &Rest, market: &Market) -> Result<Vec<u64>, Error> {
    let params = format!("symbol={}", market.symbol);
    let answer = rest.signed(Method::GET, "/fapi/v1/openOrders", &params).await?;
    let rows = answer.done("openOrders")?;
    let ids = rows.as_array().into_iter().flatten().filter_map(|row| row["orderId"].as_u64());
    Ok(ids.collect())
}

async fn indices(rest: &Rest) -> Result<HashMap<String, f64>, Error> {
    let rows = rest.public("/fapi/v1/premiumIndex", "").await?.done("premiumIndex")?;
    let rows = rows.as_array().cloned().unwrap_or_default();
    let pair = |row: &Value| Some((text(row, "symbol")?, number(row, "indexPrice")?));
    Ok(rows.iter().filter_map(pair).filter(|(_, price)| *price > 0.0).collect())
}

/// Signed position value by symbol.
async fn positions(rest: &Rest) -> Result<HashMap<String, f64>, Error> {
    let answer = rest.signed(Method::GET, "/fapi/v3/positionRisk", "").await?;
    let rows = answer.done("positionRisk")?;
    let rows = rows.as_array().cloned().unwrap_or_default();
    let pair = |row: &Value| Some((text(row, "symbol")?, number(row, "notional")?));
    Ok(rows.iter().filter_map(pair).collect())
}

impl Market {
    fn read(row: &Value) -> Option<Self> {
        let filters = row["filters"].as_array()?;
        let filter = |kind: &str, field: &str| {
            let row = filters.iter().find(|f| f["filterType"] == kind)?;
            Some(row[field].as_str()?.to_owned())
        };
        let tick = filter("PRICE_FILTER", "tickSize")?;
        let step = filter("LOT_SIZE", "stepSize")?;
        Some(Self {
            symbol: text(row, "symbol")?,
            price_decimals: decimals(&tick),
            tick: tick.parse().ok()?,
            qty_decimals: decimals(&step),
            step: step.parse().ok()?,
            min_notional: filter("MIN_NOTIONAL", "notional")?.parse().ok()?,
        })
    }

    fn price(&self, price: f64) -> String {
        format!("{:.*}", self.price_decimals, (price / self.tick).round() * self.tick)
    }

    fn qty(&self, qty: f64) -> String {
        let steps = (qty / self.step).ceil().max(1.0);
        format!("{:.*}", self.qty_decimals, steps * self.step)
    }
}

fn text(row: &Value, field: &str) -> Option<String> {
    row[field].as_str().map(str::to_owned)
}

fn number(row: &Value, field: &str) -> Option<f64> {
    row[field].as_str()?.parse().ok()
}

fn decimals(text: &str) -> usize {
    text.trim_end_matches('0').split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_on_the_grid_and_uncrossed() {
        let market = Market {
            symbol: "BTCUSDT".into(),
            tick: 0.1,
            price_decimals: decimals("0.10"),
            step: 0.001,
            qty_decimals: decimals("0.001"),
            min_notional: 50.0,
        };
        let rows = ladder_rows(&market, 60_000.0, SPREAD_BPS[0], LEVELS, LEVEL_VALUE);
        let price = |i: usize| rows[i]["price"].as_str().unwrap().parse::<f64>().unwrap();
        assert_eq!(rows.len(), 2 * LEVELS);
        assert_eq!(rows[0]["price"], "59988.0");
        assert_eq!(rows[0]["quantity"], "0.084");
        assert!(price(0) < price(LEVELS));
    }

    #[test]
    fn text_is_safe_in_a_url() {
        assert_eq!(percent("[{\"a\":1.5}]"), "%5B%7B%22a%22%3A1.5%7D%5D");
    }
}
