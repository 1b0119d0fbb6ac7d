//! What the store keeps of fundings: all of them.

use protocol::SymbolId;
use sqlx::{QueryBuilder, Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    Store, StoreError,
    convert::{narrow, signed, unsigned},
    history::Range,
};
use crate::views::market::fundings::Funding;

pub(super) async fn write(
    connection: &mut SqliteConnection,
    funding: &Funding,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO fundings (symbol, ts, rate, mark) VALUES (?, ?, ?, ?)")
        .bind(funding.symbol.0)
        .bind(signed(funding.time))
        .bind(funding.rate)
        .bind(funding.mark)
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Fundings of one symbol or of all, in no particular order.
    pub async fn fundings(
        &self,
        symbol: Option<SymbolId>,
        range: &Range,
    ) -> Result<Vec<Funding>, StoreError> {
        let mut query = QueryBuilder::new("SELECT * FROM fundings WHERE symbol ");
        match symbol {
            Some(symbol) => query.push("= ").push_bind(symbol.0),
            None => query.push("> 0"),
        };
        range.push_times(&mut query, "ts");
        range.push_end(&mut query, "ts, symbol");
        let rows = query.build().fetch_all(&self.readers).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

fn read(row: &SqliteRow) -> Result<Funding, sqlx::Error> {
    Ok(Funding {
        symbol: SymbolId(narrow(row, "symbol")?),
        time: unsigned(row, "ts")?,
        rate: row.try_get("rate")?,
        mark: row.try_get("mark")?,
    })
}
