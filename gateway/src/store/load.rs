//! How a restarted gateway gets back what was live, and from where it goes on.

use protocol::{AccountId, Seq, ShardId, SymbolId};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    Store, StoreError,
    algo::read_algo,
    convert::{Word, narrow, unsigned},
    history::read_order,
    market,
    row::{CashRow, Fees, LentRow, ModeRow, SlotRow, Sums},
};
use crate::views::Views;

/// How far a shard's log is in the database; the next frame is the first that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    pub shard: ShardId,
    pub seq: Seq,
}

impl Store {
    /// Puts what was live into empty views, all as of the resume points that are returned.
    pub async fn load(&self, views: &mut Views) -> Result<Vec<ResumePoint>, StoreError> {
        let mut transaction = self.readers.begin().await?;
        let points = load_points(&mut transaction).await?;
        market::restore(&mut transaction, &mut views.instruments, &mut views.market).await?;
        load_accounts(&mut transaction, views).await?;
        transaction.rollback().await?;

        let symbols: Vec<SymbolId> =
            views.instruments.iter().map(|instrument| instrument.spec.symbol).collect();
        for symbol in symbols {
            let market = views.market.restore(symbol);
            market.restore_shown();
            if let Some(mark) = market.mark {
                views.accounts.restore_mark(symbol, mark.mark);
            }
        }
        views.accounts.follow(self.progress());
        Ok(points)
    }
}

async fn load_points(connection: &mut SqliteConnection) -> Result<Vec<ResumePoint>, sqlx::Error> {
    sqlx::query("SELECT shard, seq FROM resume ORDER BY shard")
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok(ResumePoint { shard: ShardId(row.try_get("shard")?), seq: unsigned(row, "seq")? })
        })
        .collect()
}

async fn load_accounts(
    connection: &mut SqliteConnection,
    views: &mut Views,
) -> Result<(), sqlx::Error> {
    // the condition is the index's own, so that history costs nothing here
    let orders = sqlx::query("SELECT * FROM orders WHERE status < 2").fetch_all(&mut *connection);
    for row in &orders.await? {
        let order = read_order(row)?;
        let remaining = order.qty - order.cum_qty;
        views.market.restore(order.symbol).book.restore(order.side, order.price, remaining);
        views.accounts.restore_order(order);
    }
    let algos = sqlx::query("SELECT * FROM algos WHERE status < 3").fetch_all(&mut *connection);
    for row in &algos.await? {
        views.accounts.restore_algo(read_algo(row)?);
    }
    // a symbol's settings stand before its legs
    let slots = sqlx::query("SELECT * FROM slots ORDER BY account, symbol, position_side");
    for row in &slots.fetch_all(&mut *connection).await? {
        views.accounts.restore_slot(read_slot(row)?);
    }
    for row in &sqlx::query("SELECT * FROM cash").fetch_all(&mut *connection).await? {
        views.accounts.restore_cash(CashRow {
            account: AccountId(row.try_get("account")?),
            shard: ShardId(row.try_get("shard")?),
            cash: row.try_get("cash")?,
            received: row.try_get("received")?,
            updated: unsigned(row, "updated")?,
        });
    }
    for row in &sqlx::query("SELECT * FROM position_modes").fetch_all(&mut *connection).await? {
        views.accounts.restore_mode(ModeRow {
            account: AccountId(row.try_get("account")?),
            hedge: row.try_get("hedge")?,
        });
    }
    for row in &sqlx::query("SELECT * FROM lent").fetch_all(connection).await? {
        views.accounts.restore_lent(LentRow {
            account: AccountId(row.try_get("account")?),
            shard: ShardId(row.try_get("shard")?),
            lent: row.try_get("lent")?,
        });
    }
    Ok(())
}

fn read_slot(row: &SqliteRow) -> Result<SlotRow, sqlx::Error> {
    let maker: Option<i64> = row.try_get("maker_fee")?;
    let taker: Option<i64> = row.try_get("taker_fee")?;
    let leverage: Option<i64> = row.try_get("leverage")?;
    Ok(SlotRow {
        account: AccountId(row.try_get("account")?),
        symbol: SymbolId(row.try_get("symbol")?),
        position_side: Word::read(row, "position_side")?,
        position: row.try_get("position")?,
        entry: row.try_get("entry")?,
        wallet: row.try_get("wallet")?,
        realized: row.try_get("realized")?,
        reserved: Sums {
            buy: row.try_get("reserved_buy")?,
            sell: row.try_get("reserved_sell")?,
            loss: row.try_get("reserved_loss")?,
            fee: row.try_get("reserved_fee")?,
        },
        leverage: leverage.map(|_| narrow(row, "leverage")).transpose()?,
        isolated: row.try_get("isolated")?,
        fees: maker.zip(taker).map(|(maker, taker)| Fees { maker, taker }),
        updated: unsigned(row, "updated")?,
    })
}
