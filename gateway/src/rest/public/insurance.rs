//! The insurance fund, and how likely it is that it will not do.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use protocol::AccountId;
use serde::Serialize;

use super::{Answer, Gateway, OneOrAll, named};
use crate::{
    app::App,
    rest::auth::Public,
    text::Text,
    views::{
        Views,
        accounts::{MARGIN_ASSET, queues::Stake},
    },
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/fapi/v1/insuranceBalance", get(get_balance))
        .route("/fapi/v1/symbolAdlRisk", get(get_risk))
}

/// One fund stands behind all symbols: the one of a symbol is the one of all.
async fn get_balance(State(app): Gateway, call: Public) -> Answer<OneOrAll<Fund>> {
    let views = app.views.read();
    let fund = Fund::of(&views);
    if call.params.get("symbol").is_some() {
        named(&views, &call.params, "symbol")?;
        return Ok(Json(OneOrAll::One(fund)));
    }
    Ok(Json(OneOrAll::All(vec![fund])))
}

async fn get_risk(State(app): Gateway, call: Public) -> Answer<OneOrAll<AdlRisk>> {
    let queues = app.queues.latest(&app.views);
    let spare = {
        let views = app.views.read();
        let fund = views.accounts.figures(AccountId::INSURANCE, &views.instruments);
        fund.margin_balance() - fund.maintenance
    };
    OneOrAll::read(&app, &call.params, |instrument, _| AdlRisk {
        symbol: instrument.name().to_owned(),
        adl_risk: Risk::of(spare, &queues.stake(instrument.spec.symbol)),
        update_time: queues.ranked_ms,
    })
}

#[derive(Serialize)]
struct Fund {
    symbols: Vec<String>,
    assets: [FundAsset; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FundAsset {
    asset: &'static str,
    margin_balance: Text,
    update_time: u64,
}

impl Fund {
    fn of(views: &Views) -> Self {
        let figures = views.accounts.figures(AccountId::INSURANCE, &views.instruments);
        Self {
            symbols: views.instruments.iter().map(|each| each.name().to_owned()).collect(),
            assets: [FundAsset {
                asset: MARGIN_ASSET,
                margin_balance: Text::e8(figures.margin_balance()),
                update_time: figures.updated / 1_000,
            }],
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdlRisk {
    symbol: String,
    adl_risk: Risk,
    update_time: i64,
}

/// How much of a symbol the fund could take over with what it has to spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Risk {
    /// Every position at once.
    Low,
    /// Any one of them.
    Medium,
    /// Not even the largest.
    High,
}

impl Risk {
    fn of(spare: i128, stake: &Stake) -> Self {
        if spare >= stake.all {
            Self::Low
        } else if spare >= stake.largest {
            Self::Medium
        } else {
            Self::High
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_risk_is_what_the_fund_cannot_carry() {
        let stake = Stake { largest: 40, all: 100 };
        for (spare, risk) in
            [(100, Risk::Low), (99, Risk::Medium), (40, Risk::Medium), (39, Risk::High)]
        {
            assert_eq!(Risk::of(spare, &stake), risk, "{spare}");
        }
        // nobody holds anything; but a fund that owes carries nothing
        assert_eq!(Risk::of(0, &Stake::default()), Risk::Low);
        assert_eq!(Risk::of(-1, &Stake::default()), Risk::High);
    }
}
