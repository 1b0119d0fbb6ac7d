//! What the store keeps of markets: listings, trades, candles and where each book stands.
//!
//! Trades stay for good. Candles are written when they end; what is still filling stands in one
//! row a series that each command overwrites, so that a gateway goes on exactly where the rows
//! end. Levels are not here: they are the sums of the open orders.

use std::collections::BTreeMap;

use protocol::{
    Lots, Micros, OrderId, SymbolId, TradeId,
    instrument::{Brackets, SymbolSpec},
    order::Side,
};
use sqlx::{
    Row as _, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};
use zerocopy::{IntoBytes, TryFromBytes};

use super::{Store, fundings};
use crate::views::{
    instruments::{Instrument, Instruments},
    market::{
        Filling, MarkPrice, Market, SymbolMarket,
        bars::{BARS_MAX, TradeBar, ValueBar},
        fundings::Funding,
        interval::Interval,
        tape::{PublicTrade, TRADES_MAX},
    },
};

/// One fact about a market.
#[derive(Clone, Debug)]
pub enum MarketRow {
    /// As listed, or in a new state.
    Symbol {
        spec: Box<SymbolSpec>,
        index_stale: bool,
    },
    Brackets(Box<Brackets>),
    Trade {
        symbol: SymbolId,
        trade: PublicTrade,
    },
    /// A candle that has ended, or grown by a minute.
    Bar {
        slot: BarSlot,
        bar: Box<AnyBar>,
    },
    Funding(Funding),
    /// Where a market stands after a command; only the last of a symbol counts.
    State(Box<MarketState>),
}

/// What a candle is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BarKind {
    Trade = 0,
    Mark = 1,
    Index = 2,
    Premium = 3,
    Interest = 4,
}

/// Which series a candle belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarSlot {
    pub symbol: SymbolId,
    pub kind: BarKind,
    pub interval: Interval,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyBar {
    Trade(TradeBar),
    Value(ValueBar),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketState {
    pub symbol: SymbolId,
    /// The book's last change.
    pub update: u64,
    pub book_ts: Micros,
    pub interest: Lots,
    pub mark: Option<MarkPrice>,
    pub filling: Filling,
}

/// Writes rows in their order, within the caller's transaction.
pub async fn write<'a>(
    connection: &mut SqliteConnection,
    rows: impl IntoIterator<Item = &'a MarketRow>,
) -> Result<(), sqlx::Error> {
    let mut states = BTreeMap::new();
    for row in rows {
        match row {
            MarketRow::Symbol { spec, index_stale } => {
                write_symbol(connection, spec, *index_stale).await?;
            }
            MarketRow::Brackets(brackets) => write_brackets(connection, brackets).await?,
            MarketRow::Trade { symbol, trade } => write_trade(connection, *symbol, trade).await?,
            MarketRow::Bar { slot, bar } => write_bar(connection, slot, bar).await?,
            MarketRow::Funding(funding) => fundings::write(connection, funding).await?,
            MarketRow::State(state) => {
                states.insert(state.symbol, state);
            }
        }
    }
    for state in states.into_values() {
        write_state(connection, state).await?;
    }
    Ok(())
}

/// Puts everything back: instruments, trades, candles, marks; levels come with the open orders.
pub async fn restore(
    connection: &mut SqliteConnection,
    instruments: &mut Instruments,
    market: &mut Market,
) -> Result<(), sqlx::Error> {
    let symbols =
        sqlx::query("SELECT * FROM symbols ORDER BY symbol").fetch_all(&mut *connection).await?;
    for row in symbols {
        let spec = layout::<SymbolSpec>(row.try_get("spec")?)?;
        let brackets = row.try_get::<Option<&[u8]>, _>("brackets")?;
        let brackets = brackets.map(layout::<Brackets>).transpose()?;
        let index_stale = row.try_get("index_stale")?;
        instruments.restore(Instrument { spec, brackets, index_stale });
        restore_symbol(connection, spec.symbol, market.restore(spec.symbol)).await?;
    }
    Ok(())
}

impl Store {
    /// Trades from an id on, oldest first.
    pub async fn trades_from(
        &self,
        symbol: SymbolId,
        from: TradeId,
        limit: usize,
    ) -> Result<Vec<PublicTrade>, sqlx::Error> {
        sqlx::query("SELECT * FROM trades WHERE symbol = ? AND id >= ? ORDER BY id LIMIT ?")
            .bind(number(symbol))
            .bind(signed(from.0)?)
            .bind(size(limit))
            .fetch_all(&mut *self.reader().await?)
            .await?
            .iter()
            .map(read_trade)
            .collect()
    }

    /// Trades of a span of log time, both ends included, oldest first.
    pub async fn trades_between(
        &self,
        symbol: SymbolId,
        from: Micros,
        to: Micros,
        limit: usize,
    ) -> Result<Vec<PublicTrade>, sqlx::Error> {
        sqlx::query(
            "SELECT * FROM trades WHERE symbol = ? AND ts BETWEEN ? AND ? ORDER BY ts, id LIMIT ?",
        )
        .bind(number(symbol))
        .bind(signed(from)?)
        .bind(signed(to)?)
        .bind(size(limit))
        .fetch_all(&mut *self.reader().await?)
        .await?
        .iter()
        .map(read_trade)
        .collect()
    }
}

impl Store {
    /// Candles of trades that begin within a span, both ends included, oldest first.
    pub async fn trade_bars(
        &self,
        slot: BarSlot,
        span: (i64, i64),
    ) -> Result<Vec<TradeBar>, sqlx::Error> {
        self.bars_between(slot, span).await?.iter().map(read_trade_bar).collect()
    }

    /// The same of a value.
    pub async fn value_bars(
        &self,
        slot: BarSlot,
        span: (i64, i64),
    ) -> Result<Vec<ValueBar>, sqlx::Error> {
        self.bars_between(slot, span).await?.iter().map(read_value_bar).collect()
    }

    async fn bars_between(
        &self,
        slot: BarSlot,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        sqlx::query(
            "SELECT * FROM bars WHERE symbol = ? AND kind = ? AND interval = ? \
             AND open_ms BETWEEN ? AND ? ORDER BY open_ms LIMIT ?",
        )
        .bind(number(slot.symbol))
        .bind(slot.kind as i64)
        .bind(size(slot.interval.index()))
        .bind(from_ms)
        .bind(to_ms)
        .bind(size(BARS_MAX))
        .fetch_all(&mut *self.reader().await?)
        .await
    }
}

async fn restore_symbol(
    connection: &mut SqliteConnection,
    symbol: SymbolId,
    market: &mut SymbolMarket,
) -> Result<(), sqlx::Error> {
    let trades = sqlx::query("SELECT * FROM trades WHERE symbol = ? ORDER BY id DESC LIMIT ?")
        .bind(number(symbol))
        .bind(size(TRADES_MAX))
        .fetch_all(&mut *connection)
        .await?;
    for row in trades.iter().rev() {
        market.tape.push(read_trade(row)?);
    }
    market.tape.end_command();

    for interval in Interval::ALL {
        for bar in bars(connection, symbol, BarKind::Trade, interval, read_trade_bar).await? {
            market.candles.restore(interval, bar);
        }
        for (kind, series) in [
            (BarKind::Mark, &mut market.marks),
            (BarKind::Index, &mut market.indexes),
            (BarKind::Premium, &mut market.premiums),
            (BarKind::Interest, &mut market.interests),
        ] {
            for bar in bars(connection, symbol, kind, interval, read_value_bar).await? {
                series.restore(interval, bar);
            }
        }
    }
    let filling = sqlx::query("SELECT * FROM filling_bars WHERE symbol = ?")
        .bind(number(symbol))
        .fetch_all(&mut *connection)
        .await?;
    for row in &filling {
        match kind_of(row)? {
            BarKind::Trade => market.candles.restore_filling(read_trade_bar(row)?),
            BarKind::Mark => market.marks.restore_filling(read_value_bar(row)?),
            BarKind::Index => market.indexes.restore_filling(read_value_bar(row)?),
            BarKind::Premium => market.premiums.restore_filling(read_value_bar(row)?),
            BarKind::Interest => market.interests.restore_filling(read_value_bar(row)?),
        }
    }
    let state = sqlx::query("SELECT * FROM markets WHERE symbol = ?")
        .bind(number(symbol))
        .fetch_optional(connection)
        .await?;
    if let Some(row) = state {
        market.book.update = unsigned(&row, "book_update")?;
        market.book.ts = unsigned(&row, "book_ts")?;
        market.interest = row.try_get("interest")?;
        market.mark = read_mark(&row)?;
    }
    Ok(())
}

async fn write_symbol(
    connection: &mut SqliteConnection,
    spec: &SymbolSpec,
    index_stale: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO symbols (symbol, spec, index_stale) VALUES (?, ?, ?) ON CONFLICT (symbol) \
         DO UPDATE SET spec = excluded.spec, index_stale = excluded.index_stale",
    )
    .bind(number(spec.symbol))
    .bind(spec.as_bytes())
    .bind(index_stale)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_brackets(
    connection: &mut SqliteConnection,
    brackets: &Brackets,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE symbols SET brackets = ? WHERE symbol = ?")
        .bind(brackets.as_bytes())
        .bind(number(brackets.symbol))
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_trade(
    connection: &mut SqliteConnection,
    symbol: SymbolId,
    trade: &PublicTrade,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO trades (symbol, id, ts, price, qty, quote, taker_sells, taker) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(number(symbol))
    .bind(signed(trade.id.0)?)
    .bind(signed(trade.ts)?)
    .bind(trade.price)
    .bind(trade.qty)
    .bind(trade.quote.to_string())
    .bind(trade.is_buyer_maker())
    .bind(signed(trade.taker.0)?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_bar(
    connection: &mut SqliteConnection,
    slot: &BarSlot,
    bar: &AnyBar,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT OR REPLACE INTO bars (symbol, kind, interval, open_ms, open, high, low, close, \
         count, volume, quote, taker_volume, taker_quote, first_id, last_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(number(slot.symbol))
    .bind(slot.kind as i64)
    .bind(size(slot.interval.index()));
    bind_bar(query, bar)?.execute(connection).await?;
    Ok(())
}

async fn write_state(
    connection: &mut SqliteConnection,
    state: &MarketState,
) -> Result<(), sqlx::Error> {
    let mark = state.mark;
    sqlx::query(
        "INSERT OR REPLACE INTO markets (symbol, book_update, book_ts, interest, mark_ts, mark, \
         index_e8, funding_rate, next_funding) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(number(state.symbol))
    .bind(signed(state.update)?)
    .bind(signed(state.book_ts)?)
    .bind(state.interest)
    .bind(mark.map(|mark| signed(mark.ts)).transpose()?)
    .bind(mark.map(|mark| mark.mark))
    .bind(mark.map(|mark| mark.index_e8))
    .bind(mark.map(|mark| mark.funding_rate))
    .bind(mark.map(|mark| signed(mark.next_funding)).transpose()?)
    .execute(&mut *connection)
    .await?;

    let filling = state.filling;
    let bars = [
        (BarKind::Trade, filling.candle.map(AnyBar::Trade)),
        (BarKind::Mark, filling.mark.map(AnyBar::Value)),
        (BarKind::Index, filling.index.map(AnyBar::Value)),
        (BarKind::Premium, filling.premium.map(AnyBar::Value)),
        (BarKind::Interest, filling.interest.map(AnyBar::Value)),
    ];
    for (kind, bar) in bars {
        let Some(bar) = bar else { continue };
        let query = sqlx::query(
            "INSERT OR REPLACE INTO filling_bars (symbol, kind, open_ms, open, high, low, close, \
             count, volume, quote, taker_volume, taker_quote, first_id, last_id) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(number(state.symbol))
        .bind(kind as i64);
        bind_bar(query, &bar)?.execute(&mut *connection).await?;
    }
    Ok(())
}

type Query<'a> = sqlx::query::Query<'a, sqlx::Sqlite, SqliteArguments>;

/// Binds a candle's columns, from `open_ms` on.
fn bind_bar<'a>(query: Query<'a>, bar: &AnyBar) -> Result<Query<'a>, sqlx::Error> {
    Ok(match bar {
        AnyBar::Trade(bar) => query
            .bind(bar.open_ms)
            .bind(bar.open)
            .bind(bar.high)
            .bind(bar.low)
            .bind(bar.close)
            .bind(bar.count)
            .bind(bar.volume)
            .bind(bar.quote.to_string())
            .bind(bar.taker_volume)
            .bind(bar.taker_quote.to_string())
            .bind(signed(bar.first_id)?)
            .bind(signed(bar.last_id)?),
        AnyBar::Value(bar) => query
            .bind(bar.open_ms)
            .bind(bar.open)
            .bind(bar.high)
            .bind(bar.low)
            .bind(bar.close)
            .bind(bar.count)
            .bind(0)
            .bind("0")
            .bind(0)
            .bind("0")
            .bind(0)
            .bind(0),
    })
}

/// The last candles of a series, oldest first.
async fn bars<B>(
    connection: &mut SqliteConnection,
    symbol: SymbolId,
    kind: BarKind,
    interval: Interval,
    read: impl Fn(&SqliteRow) -> Result<B, sqlx::Error>,
) -> Result<Vec<B>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT * FROM bars WHERE symbol = ? AND kind = ? AND interval = ? \
         ORDER BY open_ms DESC LIMIT ?",
    )
    .bind(number(symbol))
    .bind(kind as i64)
    .bind(size(interval.index()))
    .bind(size(BARS_MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().rev().map(read).collect()
}

fn read_trade(row: &SqliteRow) -> Result<PublicTrade, sqlx::Error> {
    let taker_sells: bool = row.try_get("taker_sells")?;
    Ok(PublicTrade {
        id: TradeId(unsigned(row, "id")?),
        ts: unsigned(row, "ts")?,
        price: row.try_get("price")?,
        qty: row.try_get("qty")?,
        quote: wide(row, "quote")?,
        taker_side: if taker_sells { Side::Sell } else { Side::Buy },
        taker: OrderId(unsigned(row, "taker")?),
    })
}

fn read_trade_bar(row: &SqliteRow) -> Result<TradeBar, sqlx::Error> {
    Ok(TradeBar {
        open_ms: row.try_get("open_ms")?,
        open: row.try_get("open")?,
        high: row.try_get("high")?,
        low: row.try_get("low")?,
        close: row.try_get("close")?,
        volume: row.try_get("volume")?,
        quote: wide(row, "quote")?,
        taker_volume: row.try_get("taker_volume")?,
        taker_quote: wide(row, "taker_quote")?,
        count: row.try_get("count")?,
        first_id: unsigned(row, "first_id")?,
        last_id: unsigned(row, "last_id")?,
    })
}

fn read_value_bar(row: &SqliteRow) -> Result<ValueBar, sqlx::Error> {
    Ok(ValueBar {
        open_ms: row.try_get("open_ms")?,
        open: row.try_get("open")?,
        high: row.try_get("high")?,
        low: row.try_get("low")?,
        close: row.try_get("close")?,
        count: row.try_get("count")?,
    })
}

fn read_mark(row: &SqliteRow) -> Result<Option<MarkPrice>, sqlx::Error> {
    let Some(mark) = row.try_get("mark")? else { return Ok(None) };
    Ok(Some(MarkPrice {
        ts: unsigned(row, "mark_ts")?,
        mark,
        index_e8: row.try_get("index_e8")?,
        funding_rate: row.try_get("funding_rate")?,
        next_funding: unsigned(row, "next_funding")?,
    }))
}

fn kind_of(row: &SqliteRow) -> Result<BarKind, sqlx::Error> {
    match row.try_get::<i64, _>("kind")? {
        0 => Ok(BarKind::Trade),
        1 => Ok(BarKind::Mark),
        2 => Ok(BarKind::Index),
        3 => Ok(BarKind::Premium),
        4 => Ok(BarKind::Interest),
        other => Err(unreadable(format!("no kind of candle has the number {other}"))),
    }
}

/// Reads a row's bytes as what they were written from.
fn layout<T: TryFromBytes + zerocopy::KnownLayout + zerocopy::Immutable>(
    bytes: &[u8],
) -> Result<T, sqlx::Error> {
    T::try_read_from_bytes(bytes)
        .map_err(|_| unreadable("an instrument is in another version's layout".to_owned()))
}

fn unreadable(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

fn number(symbol: SymbolId) -> i64 {
    i64::from(symbol.0)
}

fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// SQLite's integers have a sign; no id and no time comes near it.
fn signed(value: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Values beyond 64 bits are kept as text.
fn wide(row: &SqliteRow, column: &str) -> Result<i128, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: std::num::ParseIntError| sqlx::Error::Decode(error.into()))
}
