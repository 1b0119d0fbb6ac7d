//! Money from outside and to the outside.
//!
//! Each transfer has a number, which grows from deposit to deposit and from withdrawal to
//! withdrawal of an account: one that was booked is not booked again, so that whoever has not
//! seen an answer may ask again.

use axum::{Json, extract::State, http::StatusCode};
use protocol::{
    AccountId, Cash, Command, Reject, ShardId,
    command::{Deposit, Withdraw},
    decimal,
    limits::CASH_MAX,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, Body, Result, store_error};
use crate::rest::{error::ApiError, reject, reject::Asked};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    account: u32,
    transfer: u64,
    amount: String,
}

/// Into an account that the database knows, or into the insurance fund, which is account 0.
pub(super) async fn post_deposit(
    State(admin): State<Admin>,
    Body(transfer): Body<Transfer>,
) -> Result<Json<Value>> {
    let account = match AccountId(transfer.account) {
        AccountId::INSURANCE => AccountId::INSURANCE,
        _ => known(&admin, &transfer).await?,
    };
    let booked = book(&admin, account, transfer.transfer, amount(&transfer.amount)?).await?;
    Ok(answer(&transfer, booked))
}

/// Pays out when all shards together can spare it; waits for their answer.
pub(super) async fn post_withdrawal(
    State(admin): State<Admin>,
    Body(transfer): Body<Transfer>,
) -> Result<Json<Value>> {
    let account = known(&admin, &transfer).await?;
    let amount = amount(&transfer.amount)?;
    let withdraw = Withdraw { account, _pad: 0, transfer: transfer.transfer, amount };
    let reply = admin.app.orders.submit(ShardId::LEDGER, Command::Withdraw(withdraw), 0).await?;
    match reply.outcome.reject {
        Reject::AccountHeld => {
            let text = "Another withdrawal of this account is under way.";
            Err(ApiError::new(-1130, text).with_status(StatusCode::CONFLICT))
        }
        other => {
            let booked = settled(&admin, "withdrawal", &withdraw, other).await?;
            Ok(answer(&transfer, booked))
        }
    }
}

/// Books a deposit at the ledger; false when it was booked before.
pub(super) async fn book(
    admin: &Admin,
    account: AccountId,
    transfer: u64,
    amount: Cash,
) -> Result<bool> {
    let deposit = Deposit { account, _pad: 0, transfer, amount };
    let reply = admin.app.orders.submit(ShardId::LEDGER, Command::Deposit(deposit), 0).await?;
    let of = Withdraw { account, _pad: 0, transfer, amount };
    settled(admin, "deposit", &of, reply.outcome.reject).await
}

/// An amount of the margin asset, in units of 1e-8.
pub(super) fn amount(text: &str) -> Result<Cash> {
    decimal::parse(text, protocol::CASH_DECIMALS)
        .ok()
        .filter(|amount| (1..=CASH_MAX).contains(amount))
        .ok_or_else(|| ApiError::invalid("amount"))
}

/// Notes what was booked; false when it was booked before.
async fn settled(admin: &Admin, action: &str, of: &Withdraw, reject: Reject) -> Result<bool> {
    match reject {
        Reject::None => {
            let Withdraw { account, transfer, amount, .. } = of;
            let detail = format!("account {account}, transfer {transfer}, {amount} units of 1e-8");
            admin.audit(action, &detail).await?;
            Ok(true)
        }
        Reject::TransferDuplicate => Ok(false),
        other => Err(reject::error(other, &Asked::Admin)),
    }
}

async fn known(admin: &Admin, transfer: &Transfer) -> Result<AccountId> {
    let known = admin.app.directory.accounts().await.map_err(store_error)?;
    match known.iter().any(|entry| entry.account == transfer.account) {
        true => Ok(AccountId(transfer.account)),
        false => Err(ApiError::invalid("account")),
    }
}

fn answer(transfer: &Transfer, booked: bool) -> Json<Value> {
    Json(json!({
        "account": transfer.account,
        "transfer": transfer.transfer,
        "booked": booked,
    }))
}
