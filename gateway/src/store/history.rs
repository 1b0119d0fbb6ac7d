//! What is over, read back: closed orders, fills, income, margin and amendments
//! of one account.

use std::collections::BTreeMap;

use protocol::{AccountId, ClientId, Micros, OrderId, SymbolId, TradeId, order::OrderOrigin};
use sqlx::{QueryBuilder, Row as _, Sqlite, sqlite::SqliteRow};

use super::{
    Store, StoreError,
    algo::read_origin,
    convert::{Word, narrow, signed, unsigned},
    row::{AmendmentRow, FillRow, IncomeKind, IncomeRow, MarginRow},
};
use crate::views::order::Order;

/// Which part of an account's history is wanted; times are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first id; 0: any.
    pub from_id: u64,
    pub from_ts: Micros,
    pub to_ts: Micros,
    pub limit: usize,
    pub end: End,
}

/// Whether margin went into a wallet or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarginMove {
    Add,
    Remove,
}

impl MarginMove {
    pub const fn of(amount: i64) -> Self {
        if amount > 0 { Self::Add } else { Self::Remove }
    }
}

/// Which end of too long a range is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    First,
    Last,
}

impl Range {
    /// Everything there is, up to a limit, newest rows preferred.
    pub const fn last(limit: usize) -> Self {
        Self { from_id: 0, from_ts: 0, to_ts: i64::MAX as u64, limit, end: End::Last }
    }

    pub const fn holds(&self, id: u64, ts: Micros) -> bool {
        id >= self.from_id && ts >= self.from_ts && ts <= self.to_ts
    }

    /// Rows of memory and of the store, each once, in the order of their keys and within the limit.
    pub fn merge<T, K: Ord>(&self, live: Vec<T>, stored: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
        let rows: BTreeMap<K, T> =
            stored.into_iter().chain(live).map(|row| (key(&row), row)).collect();
        let beyond = rows.len().saturating_sub(self.limit);
        let rows = rows.into_values();
        match self.end {
            End::First => rows.take(self.limit).collect(),
            End::Last => rows.skip(beyond).collect(),
        }
    }

    pub(super) fn push_end(&self, query: &mut QueryBuilder<Sqlite>, key: &str) {
        let direction = match self.end {
            End::First => " ASC",
            End::Last => " DESC",
        };
        query.push(" ORDER BY ");
        query.push(key.replace(", ", &format!("{direction}, ")));
        query.push(direction).push(" LIMIT ");
        query.push_bind(i64::try_from(self.limit).unwrap_or(i64::MAX));
    }

    pub(super) fn push_times(&self, query: &mut QueryBuilder<Sqlite>, column: &str) {
        query.push(" AND ").push(column).push(" BETWEEN ");
        query.push_bind(signed(self.from_ts));
        query.push(" AND ").push_bind(signed(self.to_ts));
    }
}

impl Store {
    pub async fn order(
        &self,
        account: AccountId,
        symbol: SymbolId,
        id: OrderId,
    ) -> Result<Option<Order>, StoreError> {
        let row = sqlx::query("SELECT * FROM orders WHERE account = ? AND symbol = ? AND id = ?")
            .bind(account.0)
            .bind(symbol.0)
            .bind(signed(id.0))
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.as_ref().map(read_order).transpose()?)
    }

    /// The newest order with a client's own id.
    pub async fn order_by_client_id(
        &self,
        account: AccountId,
        symbol: SymbolId,
        client_id: &ClientId,
    ) -> Result<Option<Order>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM orders WHERE account = ? AND symbol = ? AND client_id = ? \
             AND client_id <> '' ORDER BY id DESC LIMIT 1",
        )
        .bind(account.0)
        .bind(symbol.0)
        .bind(client_id.as_str())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.as_ref().map(read_order).transpose()?)
    }

    /// Orders of a symbol by their time of listing, in no particular order.
    pub async fn orders(
        &self,
        account: AccountId,
        symbol: SymbolId,
        range: &Range,
    ) -> Result<Vec<Order>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM orders WHERE account = ");
        query.push_bind(account.0).push(" AND symbol = ").push_bind(symbol.0);
        query.push(" AND id >= ").push_bind(signed(range.from_id));
        range.push_times(&mut query, "created");
        range.push_end(&mut query, "id");
        let rows = query.build().fetch_all(&self.readers).await?;
        Ok(rows.iter().map(read_order).collect::<Result<_, _>>()?)
    }

    /// Orders that these wanted, on one symbol or on all, by their time of listing.
    pub async fn forced_orders(
        &self,
        account: AccountId,
        symbol: Option<SymbolId>,
        origins: &[OrderOrigin],
        range: &Range,
    ) -> Result<Vec<Order>, StoreError> {
        // the index has only orders that somebody else than their owner wanted
        let mut query =
            QueryBuilder::new("SELECT * FROM orders WHERE wanted_by > 0 AND account = ");
        query.push_bind(account.0).push(" AND wanted_by IN (");
        let mut listed = query.separated(", ");
        for origin in origins {
            listed.push_bind(origin.number());
        }
        query.push(")");
        if let Some(symbol) = symbol {
            query.push(" AND symbol = ").push_bind(symbol.0);
        }
        range.push_times(&mut query, "created");
        range.push_end(&mut query, "created, symbol, id");
        let rows = query.build().fetch_all(&self.readers).await?;
        Ok(rows.iter().map(read_order).collect::<Result<_, _>>()?)
    }

    /// Fills of one symbol or of all, of one order or of all.
    pub async fn fills(
        &self,
        account: AccountId,
        symbol: Option<SymbolId>,
        order: Option<OrderId>,
        range: &Range,
    ) -> Result<Vec<FillRow>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM fills WHERE account = ");
        query.push_bind(account.0);
        if let Some(symbol) = symbol {
            query.push(" AND symbol = ").push_bind(symbol.0);
        }
        if let Some(order) = order {
            query.push(" AND order_id = ").push_bind(signed(order.0));
        }
        query.push(" AND trade >= ").push_bind(signed(range.from_id));
        range.push_times(&mut query, "ts");
        range.push_end(&mut query, if symbol.is_some() { "trade" } else { "ts, trade" });
        let rows = query.build().fetch_all(&self.readers).await?;
        Ok(rows.iter().map(read_fill).collect::<Result<_, _>>()?)
    }

    /// Entries of a statement, of one symbol or kind or of all.
    pub async fn incomes(
        &self,
        account: AccountId,
        symbol: Option<SymbolId>,
        kind: Option<IncomeKind>,
        range: &Range,
    ) -> Result<Vec<IncomeRow>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM income WHERE account = ");
        query.push_bind(account.0);
        if let Some(symbol) = symbol {
            query.push(" AND symbol = ").push_bind(symbol.0);
        }
        if let Some(kind) = kind {
            query.push(" AND kind = ").push_bind(kind.number());
        }
        range.push_times(&mut query, "ts");
        range.push_end(&mut query, "ts, kind, id");
        let rows = query.build().fetch_all(&self.readers).await?;
        Ok(rows.iter().map(read_income).collect::<Result<_, _>>()?)
    }

    /// Margin moves of a symbol, in and out of wallets or one of both.
    pub async fn margins(
        &self,
        account: AccountId,
        symbol: SymbolId,
        which: Option<MarginMove>,
        range: &Range,
    ) -> Result<Vec<MarginRow>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM margin_moves WHERE account = ");
        query.push_bind(account.0).push(" AND symbol = ").push_bind(symbol.0);
        match which {
            Some(MarginMove::Add) => query.push(" AND amount > 0"),
            Some(MarginMove::Remove) => query.push(" AND amount < 0"),
            None => &mut query,
        };
        range.push_times(&mut query, "ts");
        range.push_end(&mut query, "ts, id");
        let rows = query.build().fetch_all(&self.readers).await?;
        Ok(rows.iter().map(read_margin).collect::<Result<_, _>>()?)
    }

    /// What was changed about one order, oldest first.
    pub async fn amendments(
        &self,
        account: AccountId,
        symbol: SymbolId,
        order: OrderId,
    ) -> Result<Vec<AmendmentRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM amendments WHERE account = ? AND symbol = ? AND order_id = ? \
             ORDER BY id",
        )
        .bind(account.0)
        .bind(symbol.0)
        .bind(signed(order.0))
        .fetch_all(&self.readers)
        .await?;
        Ok(rows.iter().map(read_amendment).collect::<Result<_, _>>()?)
    }
}

pub(super) fn read_order(row: &SqliteRow) -> Result<Order, sqlx::Error> {
    Ok(Order {
        order: OrderId(unsigned(row, "id")?),
        account: AccountId(row.try_get("account")?),
        symbol: SymbolId(row.try_get("symbol")?),
        side: Word::read(row, "side")?,
        order_type: Word::read(row, "order_type")?,
        time_in_force: Word::read(row, "time_in_force")?,
        self_trade: Word::read(row, "self_trade")?,
        price_match: Word::read(row, "price_match")?,
        position_side: Word::read(row, "position_side")?,
        reduce_only: row.try_get("reduce_only")?,
        wanted_by: Word::read(row, "wanted_by")?,
        status: Word::read(row, "status")?,
        price: row.try_get("price")?,
        qty: row.try_get("qty")?,
        cum_qty: row.try_get("cum_qty")?,
        cum_quote: row.try_get("cum_quote")?,
        good_till: unsigned(row, "good_till")?,
        client_id: read_client_id(row)?,
        origin: read_origin(row)?,
        created: unsigned(row, "created")?,
        updated: unsigned(row, "updated")?,
    })
}

pub(super) fn read_client_id(row: &SqliteRow) -> Result<ClientId, sqlx::Error> {
    let text: &str = row.try_get("client_id")?;
    ClientId::new(text)
        .ok_or_else(|| sqlx::Error::Decode(format!("{text:?} is no client id").into()))
}

fn read_fill(row: &SqliteRow) -> Result<FillRow, sqlx::Error> {
    Ok(FillRow {
        account: AccountId(row.try_get("account")?),
        symbol: SymbolId(row.try_get("symbol")?),
        trade: TradeId(unsigned(row, "trade")?),
        order: OrderId(unsigned(row, "order_id")?),
        side: Word::read(row, "side")?,
        position_side: Word::read(row, "position_side")?,
        maker: row.try_get("maker")?,
        price: row.try_get("price")?,
        qty: row.try_get("qty")?,
        quote: row.try_get("quote")?,
        fee: row.try_get("fee")?,
        pnl: row.try_get("pnl")?,
        ts: unsigned(row, "ts")?,
    })
}

fn read_income(row: &SqliteRow) -> Result<IncomeRow, sqlx::Error> {
    Ok(IncomeRow {
        account: AccountId(row.try_get("account")?),
        ts: unsigned(row, "ts")?,
        kind: Word::read(row, "kind")?,
        id: unsigned(row, "id")?,
        symbol: SymbolId(narrow(row, "symbol")?),
        amount: row.try_get("amount")?,
        trade: TradeId(unsigned(row, "trade")?),
    })
}

fn read_margin(row: &SqliteRow) -> Result<MarginRow, sqlx::Error> {
    Ok(MarginRow {
        account: AccountId(row.try_get("account")?),
        symbol: SymbolId(row.try_get("symbol")?),
        position_side: Word::read(row, "position_side")?,
        ts: unsigned(row, "ts")?,
        id: unsigned(row, "id")?,
        amount: row.try_get("amount")?,
    })
}

fn read_amendment(row: &SqliteRow) -> Result<AmendmentRow, sqlx::Error> {
    Ok(AmendmentRow {
        account: AccountId(row.try_get("account")?),
        symbol: SymbolId(row.try_get("symbol")?),
        order: OrderId(unsigned(row, "order_id")?),
        id: unsigned(row, "id")?,
        client_id: read_client_id(row)?,
        price_before: row.try_get("price_before")?,
        price_after: row.try_get("price_after")?,
        qty_before: row.try_get("qty_before")?,
        qty_after: row.try_get("qty_after")?,
        ts: unsigned(row, "ts")?,
    })
}
