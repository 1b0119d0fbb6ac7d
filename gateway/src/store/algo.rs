//! Conditional orders in the database: written with each step, read back at a start and on demand.

use protocol::{AccountId, AlgoId, ClientId, OrderId, SymbolId, command::PlaceAlgo};
use sqlx::{QueryBuilder, Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    Store, StoreError,
    convert::{Word, narrow, signed, unsigned},
    history::{Range, read_client_id},
    write::insert,
};
use crate::views::algo::{Algo, Origin};

impl Store {
    pub async fn algo(&self, account: AccountId, id: AlgoId) -> Result<Option<Algo>, StoreError> {
        let row = sqlx::query("SELECT * FROM algos WHERE account = ? AND id = ?")
            .bind(account.0)
            .bind(signed(id.0))
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.as_ref().map(read_algo).transpose()?)
    }

    /// The newest conditional order with a client's own id.
    pub async fn algo_by_client_id(
        &self,
        account: AccountId,
        client_id: &ClientId,
    ) -> Result<Option<Algo>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM algos WHERE account = ? AND client_id = ? AND client_id <> '' \
             ORDER BY created DESC, id DESC LIMIT 1",
        )
        .bind(account.0)
        .bind(client_id.as_str())
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.as_ref().map(read_algo).transpose()?)
    }

    /// Conditional orders of a symbol by their time of listing, in no particular order.
    pub async fn algos(
        &self,
        account: AccountId,
        symbol: SymbolId,
        range: &Range,
    ) -> Result<Vec<Algo>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM algos WHERE account = ");
        query.push_bind(account.0).push(" AND symbol = ").push_bind(symbol.0);
        query.push(" AND id >= ").push_bind(signed(range.from_id));
        range.push_times(&mut query, "created");
        range.push_end(&mut query, "id");
        let rows = query.build().fetch_all(&self.readers).await?;
        Ok(rows.iter().map(read_algo).collect::<Result<_, _>>()?)
    }
}

pub(super) async fn write_algos(
    connection: &mut SqliteConnection,
    rows: &[&Algo],
) -> Result<(), sqlx::Error> {
    let head = "INSERT INTO algos (account, id, symbol, client_id, side, algo_type, \
         time_in_force, self_trade, price_match, position_side, working_type, reduce_only, \
         close_position, price_protect, price, qty, trigger_price, activate_price, callback, \
         good_till, status, order_id, reject, activated, cum_qty, cum_quote, created, updated, \
         triggered) ";
    let tail = " ON CONFLICT (account, id) DO UPDATE SET status = excluded.status, \
         order_id = excluded.order_id, reject = excluded.reject, \
         activated = excluded.activated, cum_qty = excluded.cum_qty, \
         cum_quote = excluded.cum_quote, updated = excluded.updated, \
         triggered = excluded.triggered";
    insert(connection, (head, tail), rows, |mut tuple, row| {
        let terms = &row.terms;
        tuple
            .push_bind(terms.account.0)
            .push_bind(signed(row.algo.0))
            .push_bind(terms.symbol.0)
            .push_bind(terms.client_id.as_str().to_owned())
            .push_bind(terms.side.number())
            .push_bind(terms.algo_type.number())
            .push_bind(terms.time_in_force.number())
            .push_bind(terms.self_trade.number())
            .push_bind(terms.price_match.number())
            .push_bind(terms.position_side.number())
            .push_bind(terms.working_type.number())
            .push_bind(terms.reduce_only)
            .push_bind(terms.close_position)
            .push_bind(terms.price_protect)
            .push_bind(terms.price)
            .push_bind(terms.qty)
            .push_bind(terms.trigger_price)
            .push_bind(terms.activate_price)
            .push_bind(terms.callback)
            .push_bind(signed(terms.good_till))
            .push_bind(row.status.number())
            .push_bind(signed(row.order.0))
            .push_bind(row.reject.number())
            .push_bind(row.activated)
            .push_bind(row.cum_qty)
            .push_bind(row.cum_quote)
            .push_bind(signed(row.created))
            .push_bind(signed(row.updated))
            .push_bind(signed(row.triggered));
    })
    .await
}

pub(super) fn read_algo(row: &SqliteRow) -> Result<Algo, sqlx::Error> {
    let terms = PlaceAlgo {
        account: AccountId(row.try_get("account")?),
        symbol: SymbolId(row.try_get("symbol")?),
        side: Word::read(row, "side")?,
        algo_type: Word::read(row, "algo_type")?,
        time_in_force: Word::read(row, "time_in_force")?,
        self_trade: Word::read(row, "self_trade")?,
        price_match: Word::read(row, "price_match")?,
        position_side: Word::read(row, "position_side")?,
        working_type: Word::read(row, "working_type")?,
        reduce_only: row.try_get("reduce_only")?,
        close_position: row.try_get("close_position")?,
        price_protect: row.try_get("price_protect")?,
        price: row.try_get("price")?,
        qty: row.try_get("qty")?,
        trigger_price: row.try_get("trigger_price")?,
        activate_price: row.try_get("activate_price")?,
        callback: row.try_get("callback")?,
        good_till: unsigned(row, "good_till")?,
        client_id: read_client_id(row)?,
        _pad: [0; 4],
    };
    Ok(Algo {
        algo: AlgoId(unsigned(row, "id")?),
        terms,
        status: Word::read(row, "status")?,
        order: OrderId(unsigned(row, "order_id")?),
        reject: Word::read(row, "reject")?,
        activated: row.try_get("activated")?,
        cum_qty: row.try_get("cum_qty")?,
        cum_quote: row.try_get("cum_quote")?,
        created: unsigned(row, "created")?,
        updated: unsigned(row, "updated")?,
        triggered: unsigned(row, "triggered")?,
    })
}

/// What an order remembers of the conditional one that it was.
pub(super) fn read_origin(row: &SqliteRow) -> Result<Option<Origin>, sqlx::Error> {
    let algo: Option<i64> = row.try_get("algo")?;
    if algo.is_none() {
        return Ok(None);
    }
    Ok(Some(Origin {
        algo: AlgoId(narrow(row, "algo")?),
        algo_type: Word::read(row, "algo_type")?,
        trigger_price: row.try_get("trigger_price")?,
        activate_price: row.try_get("activate_price")?,
        callback: row.try_get("callback")?,
        working_type: Word::read(row, "working_type")?,
        close_position: row.try_get("close_position")?,
        price_protect: row.try_get("price_protect")?,
    }))
}
