//! The price at which a position is said to end is the first at which its account is due.

use proptest::prelude::*;
use protocol::{AccountId, Ticks};

use super::{
    figures::{Figures, SymbolFigures},
    sample::{ACCOUNTS, Toy, asks},
};
use crate::views::{Effects, Views};

/// The figures that an account would have at another mark of one symbol.
fn at(views: &mut Views, account: AccountId, row: &SymbolFigures, mark: Ticks) -> Figures {
    let now = views.accounts.mark(row.symbol);
    views.accounts.restore_mark(row.symbol, mark);
    let figures = views.accounts.figures(account, &views.instruments);
    views.accounts.restore_mark(row.symbol, now);
    figures
}

/// Whether what backs the position is no more than the maintenance margin: of a cross one all
/// that there is on every shard, of an isolated one its own wallet.
fn is_due(figures: &Figures, row: &SymbolFigures) -> bool {
    if !row.isolated {
        return figures.cross_wallet + figures.cross_unrealized <= figures.cross_maintenance;
    }
    let same = |one: &&SymbolFigures| (one.symbol, one.side) == (row.symbol, row.side);
    let own = figures.symbols.iter().find(same).unwrap();
    own.isolated_margin() <= own.maintenance
}

proptest! {
    /// One tick to the safe side it is not due, at the price it is; but whoever is due already, or
    /// would be at no price above 0, is shown what the rules say.
    #[test]
    fn the_shown_price_is_where_the_account_comes_due(
        asks in asks(120),
        poorer in 0i64..10_000,
    ) {
        let mut toy = Toy::run(&asks);
        for account in 1..=ACCOUNTS {
            toy.deposit(AccountId(account), -poorer * 100_000_000);
        }
        let mut views = Views::default();
        for (shard, header, event) in &toy.said {
            views.apply(*shard, header, event, &mut Effects::default());
        }
        for account in (1..=ACCOUNTS).map(AccountId) {
            let figures = views.accounts.figures(account, &views.instruments);
            for row in figures.symbols.iter().filter(|row| row.position != 0) {
                let Some(price) = row.liquidation else { continue };
                if is_due(&figures, row) {
                    continue;
                }
                prop_assert!(price != row.mark);
                // what is shown is rounded towards the mark
                let safer = if price < row.mark { 1 } else { -1 };
                let beyond = at(&mut views, account, row, price - safer);
                prop_assert!(is_due(&beyond, row), "{account} {row:?}");
                let before = at(&mut views, account, row, price + safer);
                prop_assert!(!is_due(&before, row), "{account} {row:?}");
            }
        }
    }
}
