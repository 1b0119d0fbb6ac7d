//! What an account is worth: its totals, its one asset and its positions.

use std::sync::Arc;

use axum::{Json, extract::State};
use protocol::AccountId;
use serde::Serialize;

use super::positions::{AccountPosition, Listed};
use crate::{
    app::App,
    rest::{auth::Signed, error::ApiError},
    text::Text,
    views::{
        Views,
        accounts::{MARGIN_ASSET, figures::Figures},
    },
};

/// No group of accounts shares its trades' limits.
const NO_TRADE_GROUP: i64 = -1;

pub(super) async fn get_account_v2(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<AccountShown>, ApiError> {
    Ok(Json(account(&app.views.read(), call.account, Listed::All)))
}

pub(super) async fn get_account_v3(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<AccountShown>, ApiError> {
    Ok(Json(account(&app.views.read(), call.account, Listed::Active)))
}

pub(super) async fn get_balance(
    State(app): State<Arc<App>>,
    call: Signed,
) -> Result<Json<Vec<Balance>>, ApiError> {
    Ok(Json(balance(&app.views.read(), call.account)))
}

/// Totals, assets and positions; with every symbol or with those that are in use.
pub fn account(views: &Views, account: AccountId, listed: Listed) -> AccountShown {
    let figures = views.accounts.figures(account, &views.instruments);
    AccountShown::new(views, &figures, listed)
}

/// The account's one asset.
pub fn balance(views: &Views, account: AccountId) -> Vec<Balance> {
    let figures = views.accounts.figures(account, &views.instruments);
    let margin = Margin::of(&figures);
    vec![Balance {
        account_alias: format!("A{account}"),
        asset: MARGIN_ASSET,
        balance: margin.wallet,
        cross_wallet_balance: margin.cross_wallet,
        cross_un_pnl: margin.cross_unrealized,
        available_balance: margin.available,
        max_withdraw_amount: margin.withdrawable,
        margin_available: true,
        update_time: figures.updated / 1_000,
    }]
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    account_alias: String,
    asset: &'static str,
    balance: Text,
    cross_wallet_balance: Text,
    cross_un_pnl: Text,
    available_balance: Text,
    max_withdraw_amount: Text,
    margin_available: bool,
    update_time: u64,
}

/// Both versions of the account: the newer one has fewer fields, and nobody minds more.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountShown {
    fee_tier: u32,
    fee_burn: bool,
    can_trade: bool,
    can_deposit: bool,
    can_withdraw: bool,
    update_time: u64,
    multi_assets_margin: bool,
    trade_group_id: i64,
    total_initial_margin: Text,
    total_maint_margin: Text,
    total_wallet_balance: Text,
    total_unrealized_profit: Text,
    total_margin_balance: Text,
    total_position_initial_margin: Text,
    total_open_order_initial_margin: Text,
    total_cross_wallet_balance: Text,
    total_cross_un_pnl: Text,
    available_balance: Text,
    max_withdraw_amount: Text,
    assets: Vec<Asset>,
    positions: Vec<AccountPosition>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asset {
    asset: &'static str,
    wallet_balance: Text,
    unrealized_profit: Text,
    margin_balance: Text,
    maint_margin: Text,
    initial_margin: Text,
    position_initial_margin: Text,
    open_order_initial_margin: Text,
    cross_wallet_balance: Text,
    cross_un_pnl: Text,
    available_balance: Text,
    max_withdraw_amount: Text,
    margin_available: bool,
    update_time: u64,
}

/// The same amounts stand in several places.
struct Margin {
    wallet: Text,
    unrealized: Text,
    cross_wallet: Text,
    cross_unrealized: Text,
    balance: Text,
    maintenance: Text,
    initial: Text,
    position_initial: Text,
    order_initial: Text,
    available: Text,
    withdrawable: Text,
}

impl Margin {
    /// The initial margin is what is not available, also of an account that lacks some: then it
    /// is all there is, the positions' part first.
    fn of(figures: &Figures) -> Self {
        let initial = figures.initial_shown();
        let position_initial = figures.position_initial.min(initial);
        Self {
            wallet: Text::e8(figures.wallet),
            unrealized: Text::e8(figures.unrealized),
            cross_wallet: Text::e8(figures.cross_wallet),
            cross_unrealized: Text::e8(figures.cross_unrealized),
            balance: Text::e8(figures.margin_balance()),
            maintenance: Text::e8(figures.maintenance),
            initial: Text::e8(initial),
            position_initial: Text::e8(position_initial),
            order_initial: Text::e8(initial - position_initial),
            available: Text::e8(figures.available()),
            withdrawable: Text::e8(figures.withdrawable()),
        }
    }
}

impl AccountShown {
    fn new(views: &Views, figures: &Figures, listed: Listed) -> Self {
        let margin = Margin::of(figures);
        let update_time = figures.updated / 1_000;
        Self {
            fee_tier: 0,
            fee_burn: false,
            can_trade: true,
            can_deposit: true,
            can_withdraw: true,
            update_time,
            multi_assets_margin: false,
            trade_group_id: NO_TRADE_GROUP,
            total_initial_margin: margin.initial,
            total_maint_margin: margin.maintenance,
            total_wallet_balance: margin.wallet,
            total_unrealized_profit: margin.unrealized,
            total_margin_balance: margin.balance,
            total_position_initial_margin: margin.position_initial,
            total_open_order_initial_margin: margin.order_initial,
            total_cross_wallet_balance: margin.cross_wallet,
            total_cross_un_pnl: margin.cross_unrealized,
            available_balance: margin.available,
            max_withdraw_amount: margin.withdrawable,
            assets: vec![Asset {
                asset: MARGIN_ASSET,
                wallet_balance: margin.wallet,
                unrealized_profit: margin.unrealized,
                margin_balance: margin.balance,
                maint_margin: margin.maintenance,
                initial_margin: margin.initial,
                position_initial_margin: margin.position_initial,
                open_order_initial_margin: margin.order_initial,
                cross_wallet_balance: margin.cross_wallet,
                cross_un_pnl: margin.cross_unrealized,
                available_balance: margin.available,
                max_withdraw_amount: margin.withdrawable,
                margin_available: true,
                update_time,
            }],
            positions: listed
                .rows(views, figures)
                .map(|(instrument, row)| AccountPosition::new(instrument, row))
                .collect(),
        }
    }
}
