//! What markets looked like over periods: open interest, takers' sides, basis, account ratios.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;

use super::{Answer, Gateway, limit, named, span};
use crate::{
    app::App,
    clock::now_ms,
    rest::{auth::Public, error::ApiError, params::Params},
    text::Text,
    views::market::{bars::Window, interval::Interval},
};

const ROWS_DEFAULT: usize = 30;
const ROWS_MAX: usize = 500;
/// Ratios are shown with four decimals.
const RATIO_DECIMALS: u32 = 4;

/// The periods that statistics come in.
const PERIODS: [Interval; 9] = [
    Interval::Minute5,
    Interval::Minute15,
    Interval::Minute30,
    Interval::Hour1,
    Interval::Hour2,
    Interval::Hour4,
    Interval::Hour6,
    Interval::Hour12,
    Interval::Day1,
];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/futures/data/openInterestHist", get(get_open_interest))
        .route("/futures/data/takerlongshortRatio", get(get_taker_ratio))
        .route("/futures/data/basis", get(get_basis))
        .route("/futures/data/delivery-price", get(get_delivery_prices))
}

/// One row a period: the open interest as it ended, or as it is now. A period at whose end nobody
/// held a position has no row: clients take an open interest of 0 for a fault.
async fn get_open_interest(State(app): Gateway, call: Public) -> Answer<Vec<OpenInterest>> {
    let views = app.views.read();
    let (instrument, market) = named(&views, &call.params, "symbol")?;
    let (period, window) = window(&call.params)?;
    let now = now_ms();
    let bars = market.interests.read(period, window, now);
    let row = |bar: &crate::views::market::bars::ValueBar| {
        let at = Window { from_ms: None, to_ms: Some(bar.open_ms), limit: 1 };
        let mark = market.marks.read(period, at, now).last().map_or(0, |mark| mark.close);
        let value = i128::from(mark) * i128::from(bar.close) * i128::from(instrument.spec.lot_e8);
        OpenInterest {
            symbol: instrument.name().to_owned(),
            sum_open_interest: Text::fixed(
                i128::from(bar.close) * i128::from(instrument.spec.lot_e8),
                8,
            ),
            sum_open_interest_value: Text::e8(value / i128::from(protocol::RATE_ONE)),
            // nothing outside the exchange is known here
            circulating_supply: Text::e8(0),
            timestamp: bar.open_ms,
        }
    };
    Ok(Json(bars.iter().filter(|bar| bar.close > 0).map(row).collect()))
}

/// How much takers bought for each unit that they sold.
async fn get_taker_ratio(State(app): Gateway, call: Public) -> Answer<Vec<TakerRatio>> {
    let views = app.views.read();
    let (instrument, market) = named(&views, &call.params, "symbol")?;
    let (period, window) = window(&call.params)?;
    let bars = market.candles.read(period, window, now_ms());
    let rows = bars.iter().map(|bar| {
        let sold = bar.volume - bar.taker_volume;
        TakerRatio {
            buy_sell_ratio: ratio(i128::from(bar.taker_volume), i128::from(sold)),
            buy_vol: instrument.qty(bar.taker_volume),
            sell_vol: instrument.qty(sold),
            timestamp: bar.open_ms,
        }
    });
    Ok(Json(rows.collect()))
}

/// How far the contract's price was from the index.
async fn get_basis(State(app): Gateway, call: Public) -> Answer<Vec<Basis>> {
    let contract = call.params.need("contractType")?;
    if !contract.eq_ignore_ascii_case("PERPETUAL") {
        return Err(ApiError::invalid("contractType"));
    }
    let views = app.views.read();
    let (instrument, market) = named(&views, &call.params, "pair")?;
    let (period, window) = window(&call.params)?;
    let now = now_ms();
    let indexes = market.indexes.read(period, window, now);
    let rows = indexes.iter().filter_map(|index| {
        let at = Window { from_ms: Some(index.open_ms), to_ms: Some(index.open_ms), limit: 1 };
        let traded = market.candles.read(period, at, now).first().copied()?;
        let price = instrument.price_e8(traded.close);
        let basis = price - i128::from(index.close);
        Some(Basis {
            index_price: Text::e8(index.close),
            contract_type: "PERPETUAL",
            basis_rate: ratio(basis, i128::from(index.close)),
            futures_price: Text::fixed(price, u32::from(instrument.spec.price_decimals)),
            // a perpetual has no end to count to
            annualized_basis_rate: "",
            basis: Text::e8(basis),
            pair: instrument.name().to_owned(),
            timestamp: index.open_ms,
        })
    });
    Ok(Json(rows.collect()))
}

/// Perpetuals are never delivered.
async fn get_delivery_prices(State(app): Gateway, call: Public) -> Answer<[(); 0]> {
    named(&app.views.read(), &call.params, "pair")?;
    Ok(Json([]))
}

fn window(params: &Params) -> Result<(Interval, Window), ApiError> {
    let period = Interval::parse(params.need("period")?)
        .filter(|period| PERIODS.contains(period))
        .ok_or_else(|| ApiError::invalid("period"))?;
    let (from_ms, to_ms) = span(params)?;
    Ok((period, Window { from_ms, to_ms, limit: limit(params, ROWS_DEFAULT, ROWS_MAX)? }))
}

/// One number for each unit of another; zero where there is none of the other.
fn ratio(part: i128, whole: i128) -> Text {
    let unit = 10i128.pow(RATIO_DECIMALS);
    Text(protocol::decimal::show((part * unit).checked_div(whole).unwrap_or(0), RATIO_DECIMALS))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenInterest {
    symbol: String,
    sum_open_interest: Text,
    sum_open_interest_value: Text,
    #[serde(rename = "CMCCirculatingSupply")]
    circulating_supply: Text,
    timestamp: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TakerRatio {
    buy_sell_ratio: Text,
    buy_vol: Text,
    sell_vol: Text,
    timestamp: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Basis {
    index_price: Text,
    contract_type: &'static str,
    basis_rate: Text,
    futures_price: Text,
    annualized_basis_rate: &'static str,
    basis: Text,
    pair: String,
    timestamp: i64,
}
