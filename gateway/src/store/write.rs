//! Rows into tables: of each state the last one of a batch, of each fact the one there is.

use std::{collections::BTreeMap, hash::Hash};

use protocol::{AccountId, AlgoId, OrderId, ShardId, SymbolId, order::PositionSide};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query_builder::Separated};

use super::{
    algo::write_algos,
    convert::{Word, signed},
    market,
    row::{AmendmentRow, CashRow, FillRow, IncomeRow, LentRow, MarginRow, ModeRow, Row, SlotRow},
};
use crate::views::{algo::Algo, order::Order};

/// Rows of one statement: enough that parsing it costs little for each, and well below SQLite's
/// bound on bound values.
const STATEMENT_ROWS_MAX: usize = 256;

pub(super) type Tuple<'qb> = Separated<'qb, Sqlite, &'static str>;

/// The rows of a batch, with what later rows replace left out.
#[derive(Default)]
struct Batch<'a> {
    orders: BTreeMap<(AccountId, SymbolId, OrderId), &'a Order>,
    algos: BTreeMap<(AccountId, AlgoId), &'a Algo>,
    slots: BTreeMap<(AccountId, SymbolId, PositionSide), &'a SlotRow>,
    cash: BTreeMap<(AccountId, ShardId), &'a CashRow>,
    lent: BTreeMap<(AccountId, ShardId), &'a LentRow>,
    modes: BTreeMap<AccountId, &'a ModeRow>,
    margins: Vec<&'a MarginRow>,
    fills: Vec<&'a FillRow>,
    incomes: Vec<&'a IncomeRow>,
    amendments: Vec<&'a AmendmentRow>,
    market: Vec<&'a market::MarketRow>,
}

/// Writes rows within the caller's transaction.
pub(super) async fn rows<'a>(
    connection: &mut SqliteConnection,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<(), sqlx::Error> {
    let mut batch = Batch::default();
    rows.for_each(|row| batch.add(row));
    market::write(connection, batch.market).await?;
    write_orders(connection, &last(batch.orders)).await?;
    write_algos(connection, &last(batch.algos)).await?;
    write_slots(connection, &last(batch.slots)).await?;
    write_cash(connection, &last(batch.cash)).await?;
    write_lent(connection, &last(batch.lent)).await?;
    write_modes(connection, &last(batch.modes)).await?;
    write_margins(connection, &batch.margins).await?;
    write_fills(connection, &batch.fills).await?;
    write_incomes(connection, &batch.incomes).await?;
    write_amendments(connection, &batch.amendments).await
}

impl<'a> Batch<'a> {
    fn add(&mut self, row: &'a Row) {
        match row {
            Row::Order(order) => {
                self.orders.insert((order.account, order.symbol, order.order), order);
            }
            Row::Algo(algo) => {
                self.algos.insert((algo.account(), algo.algo), algo);
            }
            Row::Slot(slot) => {
                self.slots.insert((slot.account, slot.symbol, slot.position_side), slot);
            }
            Row::Cash(cash) => {
                self.cash.insert((cash.account, cash.shard), cash);
            }
            Row::Lent(lent) => {
                self.lent.insert((lent.account, lent.shard), lent);
            }
            Row::Mode(mode) => {
                self.modes.insert(mode.account, mode);
            }
            Row::Margin(margin) => self.margins.push(margin),
            Row::Fill(fill) => self.fills.push(fill),
            Row::Income(income) => self.incomes.push(income),
            Row::Amendment(amendment) => self.amendments.push(amendment),
            Row::Market(row) => self.market.push(row),
            Row::Boundary { .. } => {}
        }
    }
}

fn last<K: Ord + Hash, T>(rows: BTreeMap<K, &T>) -> Vec<&T> {
    rows.into_values().collect()
}

/// Runs `head VALUES (…), (…) tail` for as many rows at a time as a statement takes.
pub(super) async fn insert<T>(
    connection: &mut SqliteConnection,
    (head, tail): (&str, &str),
    rows: &[&T],
    bind: impl Fn(Tuple<'_>, &T),
) -> Result<(), sqlx::Error> {
    for chunk in rows.chunks(STATEMENT_ROWS_MAX) {
        let mut query = QueryBuilder::<Sqlite>::new(head);
        query.push_values(chunk, |tuple, row| bind(tuple, row));
        query.push(tail);
        // only full statements come often enough to be kept prepared
        let full = chunk.len() == STATEMENT_ROWS_MAX;
        query.build().persistent(full).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write_orders(
    connection: &mut SqliteConnection,
    rows: &[&Order],
) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO orders (account, symbol, id, client_id, side, order_type, \
         time_in_force, self_trade, price_match, position_side, reduce_only, wanted_by, status, price, qty, \
         cum_qty, cum_quote, good_till, created, updated, algo, algo_type, trigger_price, \
         activate_price, callback, working_type, close_position, price_protect) ";
    let tail = " ON CONFLICT (account, symbol, id) DO UPDATE SET status = excluded.status, \
         price = excluded.price, qty = excluded.qty, cum_qty = excluded.cum_qty, \
         cum_quote = excluded.cum_quote, updated = excluded.updated";
    insert(connection, (head, tail), rows, |mut tuple, row| {
        let origin = row.origin;
        tuple
            .push_bind(row.account.0)
            .push_bind(row.symbol.0)
            .push_bind(signed(row.order.0))
            .push_bind(row.client_id.as_str().to_owned())
            .push_bind(row.side.number())
            .push_bind(row.order_type.number())
            .push_bind(row.time_in_force.number())
            .push_bind(row.self_trade.number())
            .push_bind(row.price_match.number())
            .push_bind(row.position_side.number())
            .push_bind(row.reduce_only)
            .push_bind(row.wanted_by.number())
            .push_bind(row.status.number())
            .push_bind(row.price)
            .push_bind(row.qty)
            .push_bind(row.cum_qty)
            .push_bind(row.cum_quote)
            .push_bind(signed(row.good_till))
            .push_bind(signed(row.created))
            .push_bind(signed(row.updated))
            .push_bind(origin.map(|origin| signed(origin.algo.0)))
            .push_bind(origin.map(|origin| origin.algo_type.number()))
            .push_bind(origin.map(|origin| origin.trigger_price))
            .push_bind(origin.map(|origin| origin.activate_price))
            .push_bind(origin.map(|origin| origin.callback))
            .push_bind(origin.map(|origin| origin.working_type.number()))
            .push_bind(origin.map(|origin| origin.close_position))
            .push_bind(origin.map(|origin| origin.price_protect));
    })
    .await
}

async fn write_slots(
    connection: &mut SqliteConnection,
    rows: &[&SlotRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT OR REPLACE INTO slots (account, symbol, position_side, position, entry, \
         wallet, realized, reserved_buy, reserved_sell, reserved_loss, reserved_fee, leverage, isolated, maker_fee, \
         taker_fee, updated) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple
            .push_bind(row.account.0)
            .push_bind(row.symbol.0)
            .push_bind(row.position_side.number())
            .push_bind(row.position)
            .push_bind(row.entry)
            .push_bind(row.wallet)
            .push_bind(row.realized)
            .push_bind(row.reserved.buy)
            .push_bind(row.reserved.sell)
            .push_bind(row.reserved.loss)
            .push_bind(row.reserved.fee)
            .push_bind(row.leverage)
            .push_bind(row.isolated)
            .push_bind(row.fees.map(|fees| fees.maker))
            .push_bind(row.fees.map(|fees| fees.taker))
            .push_bind(signed(row.updated));
    })
    .await
}

async fn write_cash(
    connection: &mut SqliteConnection,
    rows: &[&CashRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT OR REPLACE INTO cash (account, shard, cash, received, updated) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple
            .push_bind(row.account.0)
            .push_bind(row.shard.0)
            .push_bind(row.cash)
            .push_bind(row.received)
            .push_bind(signed(row.updated));
    })
    .await
}

async fn write_lent(
    connection: &mut SqliteConnection,
    rows: &[&LentRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT OR REPLACE INTO lent (account, shard, lent) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple.push_bind(row.account.0).push_bind(row.shard.0).push_bind(row.lent);
    })
    .await
}

async fn write_modes(
    connection: &mut SqliteConnection,
    rows: &[&ModeRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT OR REPLACE INTO position_modes (account, hedge) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple.push_bind(row.account.0).push_bind(row.hedge);
    })
    .await
}

async fn write_margins(
    connection: &mut SqliteConnection,
    rows: &[&MarginRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO margin_moves (account, symbol, ts, id, position_side, amount) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple
            .push_bind(row.account.0)
            .push_bind(row.symbol.0)
            .push_bind(signed(row.ts))
            .push_bind(signed(row.id))
            .push_bind(row.position_side.number())
            .push_bind(row.amount);
    })
    .await
}

async fn write_fills(
    connection: &mut SqliteConnection,
    rows: &[&FillRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO fills (account, symbol, trade, order_id, side, position_side, maker, \
         price, qty, quote, fee, pnl, ts) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple
            .push_bind(row.account.0)
            .push_bind(row.symbol.0)
            .push_bind(signed(row.trade.0))
            .push_bind(signed(row.order.0))
            .push_bind(row.side.number())
            .push_bind(row.position_side.number())
            .push_bind(row.maker)
            .push_bind(row.price)
            .push_bind(row.qty)
            .push_bind(row.quote)
            .push_bind(row.fee)
            .push_bind(row.pnl)
            .push_bind(signed(row.ts));
    })
    .await
}

async fn write_incomes(
    connection: &mut SqliteConnection,
    rows: &[&IncomeRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO income (account, ts, kind, id, symbol, amount, trade) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple
            .push_bind(row.account.0)
            .push_bind(signed(row.ts))
            .push_bind(row.kind.number())
            .push_bind(signed(row.id))
            .push_bind(row.symbol.0)
            .push_bind(row.amount)
            .push_bind(signed(row.trade.0));
    })
    .await
}

async fn write_amendments(
    connection: &mut SqliteConnection,
    rows: &[&AmendmentRow],
) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO amendments (account, symbol, order_id, id, client_id, price_before, \
         price_after, qty_before, qty_after, ts) ";
    insert(connection, (head, ""), rows, |mut tuple, row| {
        tuple
            .push_bind(row.account.0)
            .push_bind(row.symbol.0)
            .push_bind(signed(row.order.0))
            .push_bind(signed(row.id))
            .push_bind(row.client_id.as_str().to_owned())
            .push_bind(row.price_before)
            .push_bind(row.price_after)
            .push_bind(row.qty_before)
            .push_bind(row.qty_after)
            .push_bind(signed(row.ts));
    })
    .await
}
