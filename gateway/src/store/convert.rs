//! Protocol words as SQLite's integers, and back with a check.

use protocol::{
    Reject,
    order::{
        AlgoStatus, AlgoType, OrderOrigin, OrderStatus, OrderType, PositionSide, PriceMatch,
        SelfTradePrevention, Side, TimeInForce, WorkingType,
    },
};
use sqlx::{Row as _, sqlite::SqliteRow};

use super::row::IncomeKind;
use crate::credential::KeyKind;

/// An enum that a column holds by its number.
pub(super) trait Word: Copy + Sized + 'static {
    const ALL: &'static [Self];
    fn number(self) -> i64;

    fn read(row: &SqliteRow, column: &str) -> Result<Self, sqlx::Error> {
        let number: i64 = row.try_get(column)?;
        let word = Self::ALL.iter().find(|word| word.number() == number);
        word.copied().ok_or_else(|| {
            sqlx::Error::Decode(format!("{column} has no value with the number {number}").into())
        })
    }
}

macro_rules! words {
    ($($name:ident),+) => {
        $(impl Word for $name {
            const ALL: &'static [Self] = &<$name>::ALL;
            fn number(self) -> i64 {
                self as i64
            }
        })+
    };
}

words!(
    AlgoStatus,
    AlgoType,
    OrderOrigin,
    OrderStatus,
    OrderType,
    PositionSide,
    PriceMatch,
    SelfTradePrevention,
    Side,
    TimeInForce,
    WorkingType,
    Reject,
    KeyKind,
    IncomeKind
);

/// SQLite's integers have a sign; no id and no time comes near it.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    narrow(row, column)
}

/// An integer column as a smaller type, or an error.
pub(super) fn narrow<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    T::try_from(value).map_err(|_| sqlx::Error::Decode(format!("{column} can't be {value}").into()))
}
