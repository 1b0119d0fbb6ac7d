//! What a shard's refusal is called in the API: one table, complete by the compiler's word.

use std::borrow::Cow;

use axum::http::StatusCode;
use protocol::{Reject, order::PriceMatch};

use super::{auth, error::ApiError};

/// What was refused: a few refusals are called otherwise depending on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A new order, on a symbol whose least notional is this text.
    Place {
        price_match: PriceMatch,
        notional_min: String,
    },
    Amend {
        notional_min: String,
    },
    Cancel,
    /// A conditional order, or what it becomes.
    Algo,
    Leverage(u8),
    /// Margin of an isolated position.
    Margin,
    /// An operator's command.
    Admin,
}

/// The error of a refusal.
pub fn error(reject: Reject, asked: &Asked) -> ApiError {
    use Reject as R;
    match reject {
        R::None => ApiError::internal("a command that was done is no error"),
        R::Malformed => ApiError::invalid("request"),
        R::SessionUnknown | R::SessionGap | R::Duplicate => ApiError::outcome_unknown(),
        R::Expired => auth::outside_window(),
        R::WrongShard => ApiError::internal("a command came to the wrong shard"),
        R::ShardFull | R::LedgerBusy => ApiError::throttled(),
        R::Unsupported => ApiError::internal("a command that only a node makes"),
        R::UnknownSymbol => ApiError::invalid_symbol(),
        R::SymbolNotTrading => not_trading(asked),
        R::NoMarkPrice if *asked == Asked::Admin => {
            ApiError::new(-1130, "The symbol has no mark price that is fresh: say one.")
        }
        R::NoMarkPrice => ApiError::new(-2010, "NEW_ORDER_REJECTED: no mark price yet."),
        R::InvalidInstrument => ApiError::invalid("symbol"),
        R::StateInvalid => {
            ApiError::new(-1130, "The symbol can't come from its state into this one.")
        }
        R::PriceNotPositive => ApiError::new(-4001, "Price less than 0."),
        R::PriceTooLow => ApiError::new(-4013, "Price less than min price."),
        R::PriceTooHigh => ApiError::new(-4002, "Price greater than max price."),
        R::PriceAboveBand => {
            ApiError::new(-4016, "Price is higher than mark price multiplier cap.")
        }
        R::PriceBelowBand => {
            ApiError::new(-4024, "Price is lower than mark price multiplier floor.")
        }
        R::QtyNotPositive => ApiError::new(-4003, "Quantity less than zero."),
        R::QtyTooLow => ApiError::new(-4004, "Quantity less than min quantity."),
        R::QtyTooHigh | R::NotionalTooHigh => {
            ApiError::new(-4005, "Quantity greater than max quantity.")
        }
        R::NotionalTooLow => notional_too_low(asked),
        R::ClientIdInvalid => client_id_invalid(),
        R::ClientIdDuplicate => ApiError::new(-4116, "ClientOrderId is duplicated."),
        R::TooManyOpenOrders => ApiError::new(-2025, "Reach max open order limit."),
        R::WouldNotFill => ApiError::new(
            -5021,
            "Due to the order could not be filled immediately, the FOK order has been rejected.",
        ),
        R::WouldTake => ApiError::new(
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be \
             rejected.",
        ),
        R::ReduceOnly => ApiError::new(-2022, "ReduceOnly Order is rejected."),
        R::NoDepth => no_depth(asked),
        R::InvalidCombination => ApiError::invalid("timeInForce"),
        R::UnknownOrder => match asked {
            Asked::Cancel => ApiError::unknown_order(),
            Asked::Place { .. }
            | Asked::Amend { .. }
            | Asked::Algo
            | Asked::Leverage(_)
            | Asked::Margin
            | Asked::Admin => ApiError::no_such_order(),
        },
        R::Unchanged => ApiError::new(-5027, "No need to modify the order."),
        R::NotReduceOnly => ApiError::new(-5047, "The original order is not a reduce-only order."),
        R::WrongSide => ApiError::new(-1117, "Invalid side."),
        R::BeyondMarketBound => ApiError::new(
            -4131,
            "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
        ),
        R::GoodTillInvalid => ApiError::new(
            -5040,
            "The goodTillDate timestamp must be greater than the current time plus 600 seconds \
             and smaller than 253402300799000.",
        ),
        R::TooManyAmends => ApiError::new(-5026, "Exceed maximum modify order limit."),
        R::WouldTrigger => ApiError::new(-2021, "Order would immediately trigger."),
        R::UnknownAlgo => match asked {
            Asked::Cancel => ApiError::unknown_order(),
            Asked::Place { .. }
            | Asked::Amend { .. }
            | Asked::Algo
            | Asked::Leverage(_)
            | Asked::Margin
            | Asked::Admin => ApiError::no_such_order(),
        },
        R::TooManyAlgos => ApiError::new(-4045, "Reach max stop order limit."),
        R::TrailInvalid => ApiError::invalid("callbackRate"),
        R::ClosePositionDuplicate => ApiError::new(
            -4130,
            "An open stop or take profit order with closePosition in the direction is existing.",
        ),
        R::NeedMargin | R::InsufficientMargin => short_of_margin(asked),
        R::PositionLimit => {
            ApiError::new(-2027, "Exceeded the maximum allowable position at current leverage.")
        }
        R::LeverageInvalid => match asked {
            Asked::Leverage(leverage) => invalid_leverage(leverage),
            Asked::Place { .. }
            | Asked::Amend { .. }
            | Asked::Algo
            | Asked::Cancel
            | Asked::Margin
            | Asked::Admin => invalid_leverage(&""),
        },
        R::LeverageNeedsMargin => leverage_too_small(),
        R::MarginModeUnchanged => ApiError::new(-4046, "No need to change margin type."),
        R::OrdersOpen => {
            ApiError::new(-4047, "Margin type cannot be changed if there exists open orders.")
        }
        R::PositionOpen => {
            ApiError::new(-4048, "Margin type cannot be changed if there exists position.")
        }
        R::IsolatedLeverage => ApiError::new(
            -4161,
            "Leverage reduction is not supported in Isolated Margin Mode with open positions.",
        ),
        R::NotIsolated => ApiError::new(-4049, "Add margin only support for isolated position."),
        R::NoPosition => ApiError::new(-4054, "Cannot add position margin: position is 0."),
        R::PositionModeUnchanged => ApiError::new(-4059, "No need to change position side."),
        R::PositionModeOrders => {
            ApiError::new(-4067, "Position side cannot be changed if there exists open orders.")
        }
        R::PositionModePosition => {
            ApiError::new(-4068, "Position side cannot be changed if there exists position.")
        }
        R::PositionSideMismatch => {
            ApiError::new(-4061, "Order's position side does not match user's setting.")
        }
        R::AccountHeld => ApiError::throttled(),
        R::CrossInsufficient => cross_insufficient(),
        R::IsolatedInsufficient => ApiError::new(-4051, "Isolated balance insufficient."),
        R::AmountInvalid => ApiError::invalid("amount"),
        R::TransferDuplicate => ApiError::invalid("transfer"),
        R::WithdrawalTooLarge => ApiError::new(-2018, "Balance is insufficient."),
        R::WithdrawalTimeout => {
            ApiError::new(-1008, "A shard did not answer in time: nothing was paid out.")
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
        }
        R::UnknownAccount => ApiError::invalid("account"),
    }
}

/// A refusal in words, where nobody waits for an error.
pub fn reason(reject: Reject) -> Cow<'static, str> {
    error(reject, &Asked::Algo).msg
}

/// -4015: not 1 to 36 characters of `.A-Z:/a-z0-9_-`.
pub fn client_id_invalid() -> ApiError {
    ApiError::new(-4015, "Client order id is not valid.")
}

/// -4028.
pub fn invalid_leverage(leverage: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(-4028, format!("Leverage {leverage} is not valid."))
}

/// What is short is called by what it was for, also when the ledger has not lent it.
fn short_of_margin(asked: &Asked) -> ApiError {
    match asked {
        Asked::Leverage(_) => leverage_too_small(),
        Asked::Margin => cross_insufficient(),
        Asked::Place { .. } | Asked::Amend { .. } | Asked::Algo | Asked::Cancel | Asked::Admin => {
            ApiError::new(-2019, "Margin is insufficient.")
        }
    }
}

fn leverage_too_small() -> ApiError {
    ApiError::new(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
}

fn cross_insufficient() -> ApiError {
    ApiError::new(-4050, "Cross balance insufficient.")
}

fn not_trading(asked: &Asked) -> ApiError {
    match asked {
        Asked::Amend { .. } => {
            ApiError::new(-5024, "Symbol is not in trading status. Order amendment is not allowed.")
        }
        Asked::Place { .. }
        | Asked::Algo
        | Asked::Cancel
        | Asked::Leverage(_)
        | Asked::Margin
        | Asked::Admin => ApiError::new(-2010, "NEW_ORDER_REJECTED: the symbol is not trading."),
    }
}

fn notional_too_low(asked: &Asked) -> ApiError {
    let least = match asked {
        Asked::Place { notional_min, .. } | Asked::Amend { notional_min } => notional_min.as_str(),
        Asked::Algo | Asked::Cancel | Asked::Leverage(_) | Asked::Margin | Asked::Admin => {
            "the symbol's minimum"
        }
    };
    let text = format!(
        "Order's notional must be no smaller than {least} (unless you choose reduce only)."
    );
    ApiError::new(-4164, text)
}

fn no_depth(asked: &Asked) -> ApiError {
    match asked {
        Asked::Place { price_match: PriceMatch::None, .. } => {
            ApiError::new(-2020, "Unable to fill.")
        }
        Asked::Place { .. }
        | Asked::Amend { .. }
        | Asked::Algo
        | Asked::Cancel
        | Asked::Leverage(_)
        | Asked::Margin
        | Asked::Admin => ApiError::new(-5041, "No depth matches this BBO order."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that clients have classes for.
    const CODES: &[i32] = &[
        -1000, -1003, -1008, -1015, -1021, -1022, -1102, -1106, -1111, -1115, -1116, -1117, -1120,
        -1121, -1125, -1130, -2010, -2011, -2013, -2014, -2015, -2018, -2019, -2020, -2021, -2022,
        -2023, -2024, -2025, -2026, -2027, -2028, -4001, -4002, -4003, -4004, -4005, -4013, -4014,
        -4015, -4016, -4023, -4024, -4028, -4044, -4045, -4046, -4047, -4048, -4049, -4050, -4051,
        -4054, -4059, -4061, -4062, -4067, -4068, -4082, -4116, -4118, -4120, -4130, -4131, -4137,
        -4138, -4161, -4164, -5021, -5022, -5024, -5025, -5026, -5027, -5037, -5038, -5039, -5040,
        -5041, -5047,
    ];

    fn all_asked() -> Vec<Asked> {
        let notional_min = || "50".to_owned();
        vec![
            Asked::Place { price_match: PriceMatch::None, notional_min: notional_min() },
            Asked::Place { price_match: PriceMatch::Queue, notional_min: notional_min() },
            Asked::Amend { notional_min: notional_min() },
            Asked::Cancel,
            Asked::Algo,
            Asked::Leverage(21),
            Asked::Margin,
            Asked::Admin,
        ]
    }

    #[test]
    fn every_refusal_has_a_code_that_clients_know() {
        for reject in Reject::ALL {
            for asked in all_asked() {
                let error = error(*reject, &asked);
                assert!(CODES.contains(&error.code), "{reject:?} of {asked:?}: {error}");
                assert!(!error.msg.is_empty() && error.status.as_u16() >= 400);
            }
        }
    }

    #[test]
    fn refusals_say_what_was_asked() {
        let leverage = error(Reject::LeverageInvalid, &Asked::Leverage(126));
        assert_eq!(leverage.msg, "Leverage 126 is not valid.");
        let [limit, ..] = &all_asked()[..] else { panic!("there are some") };
        assert!(error(Reject::NotionalTooLow, limit).msg.contains("smaller than 50 "));
        assert_eq!(error(Reject::UnknownOrder, &Asked::Cancel).code, -2011);
        let codes = [limit, &Asked::Leverage(3), &Asked::Margin]
            .map(|asked| error(Reject::NeedMargin, asked).code);
        assert_eq!(codes, [-2019, -2028, -4050]);
    }
}
