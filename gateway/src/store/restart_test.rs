//! A gateway that comes back knows what it knew: nothing lost, nothing twice.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use proptest::prelude::*;
use protocol::{AccountId, Seq, ShardId};
use sqlx::SqlitePool;

use super::{
    Directory, ResumePoint, Row, SealingKey, Store, StoreError,
    history::Range,
    row::{CashRow, SlotRow},
};
use crate::{
    credential::{
        Credential, PublicKey,
        tests::{ED25519_PEM, RSA_PEM},
    },
    keys::Key,
    views::{
        Effects, Views,
        accounts::sample::{ACCOUNTS, BTC, ETH, Said, Toy, asks},
        algo::Algo,
        order::Order,
    },
};

/// A book's last change, its bids and its asks, as price and quantity.
type Book = (u64, Vec<(i64, i64)>, Vec<(i64, i64)>);

/// What there is of every account, in a form that can be compared.
#[derive(Debug, PartialEq)]
struct Shown {
    open: Vec<Order>,
    algos: Vec<Algo>,
    slots: Vec<SlotRow>,
    hedged: Vec<bool>,
    cash: Vec<CashRow>,
    lent: Vec<(AccountId, ShardId, i64)>,
    wallets: Vec<i128>,
    books: Vec<Book>,
    candles: Vec<Option<crate::views::market::bars::TradeBar>>,
    interest: Vec<i64>,
}

fn show(views: &Views) -> Shown {
    let ids = || (0..=ACCOUNTS).map(AccountId);
    let known = |id: AccountId| views.accounts.get(id).cloned().unwrap_or_default();
    let market = |symbol| views.market.get(symbol).cloned().unwrap_or_default();
    let levels = |symbol| {
        let market = market(symbol);
        let bids = market.book.bids(1_000).map(|level| (level.price, level.qty)).collect();
        let asks = market.book.asks(1_000).map(|level| (level.price, level.qty)).collect();
        (market.book.update, bids, asks)
    };
    Shown {
        open: ids().flat_map(|id| views.accounts.open_orders(id, None)).collect(),
        algos: ids().flat_map(|id| known(id).algos.into_values()).collect(),
        slots: ids().flat_map(|id| known(id).slots.into_values()).collect(),
        hedged: ids().map(|id| known(id).hedge).collect(),
        cash: ids()
            .flat_map(|account| {
                known(account).cash.into_iter().map(move |(shard, at)| CashRow {
                    account,
                    shard,
                    cash: at.cash,
                    received: at.received,
                    updated: at.updated,
                })
            })
            .collect(),
        lent: ids()
            .flat_map(|id| known(id).lent.into_iter().map(move |(shard, lent)| (id, shard, lent)))
            .collect(),
        wallets: ids().map(|id| known(id).wallet()).collect(),
        books: [BTC, ETH].map(levels).into(),
        candles: [BTC, ETH].map(|symbol| market(symbol).candles.filling()).into(),
        interest: [BTC, ETH].map(|symbol| market(symbol).interest).into(),
    }
}

fn apply(views: &mut Views, said: &[Said]) -> Vec<Row> {
    let mut effects = Effects::default();
    for (shard, header, event) in said {
        views.apply(*shard, header, event, &mut effects);
    }
    effects.rows
}

/// What comes after the resume points.
fn after(said: &[Said], points: &[ResumePoint]) -> Vec<Said> {
    let stored = |shard: ShardId| -> Seq {
        points.iter().find(|point| point.shard == shard).map_or(0, |point| point.seq)
    };
    said.iter().filter(|(shard, header, _)| header.seq > stored(*shard)).copied().collect()
}

/// One life of a gateway: load, follow up to `upto` events, and die with or without writing all.
async fn live(path: &Path, said: &[Said], upto: usize, cleanly: bool) -> (Views, Vec<ResumePoint>) {
    let store = Store::open(path).await.unwrap();
    let mut views = Views::default();
    let points = store.load(&mut views).await.unwrap();
    let rest = after(said, &points);
    let rest = &rest[..upto.min(rest.len())];
    let task = store.start_writer(&points);
    for message in rest.chunks(37) {
        store.push(apply(&mut views, message));
        if !cleanly {
            tokio::time::sleep(std::time::Duration::from_millis(9)).await;
        }
    }
    if cleanly {
        store.finish();
        task.await.unwrap().unwrap();
    } else {
        // somewhere between queueing and writing, with some batches written and some not
        tokio::time::sleep(std::time::Duration::from_millis(upto as u64 % 61)).await;
        task.abort();
        let _ = task.await;
    }
    (views, points)
}

fn count(said: &[Said]) -> BTreeMap<&'static str, i64> {
    let mut views = Views::default();
    let mut counts = BTreeMap::new();
    let mut orders = std::collections::BTreeSet::new();
    let mut algos = std::collections::BTreeSet::new();
    for row in apply(&mut views, said) {
        let table = match row {
            Row::Fill(_) => "fills",
            Row::Income(_) => "income",
            Row::Amendment(_) => "amendments",
            Row::Margin(_) => "margin_moves",
            Row::Order(order) => {
                orders.insert((order.symbol, order.order));
                continue;
            }
            Row::Algo(algo) => {
                algos.insert(algo.algo);
                continue;
            }
            _ => continue,
        };
        *counts.entry(table).or_insert(0) += 1;
    }
    counts.insert("orders", orders.len() as i64);
    counts.insert("algos", algos.len() as i64);
    counts
}

async fn check_history(path: &Path, said: &[Said]) {
    let pool = SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for (table, expected) in count(said) {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let rows: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
        assert_eq!(rows, expected, "{table}");
    }
    pool.close().await;
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("EXCHANGE_FULL").is_some() { 150 } else { 8 }
    ))]

    #[test]
    fn comes_back_as_it_was(
        asks in asks(250),
        lives in prop::collection::vec((1usize..400, any::<bool>()), 0..4),
    ) {
        let said = Toy::run(&asks).said;
        let mut never_died = Views::default();
        apply(&mut never_died, &said);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.sqlite");
        let came_back = runtime().block_on(async {
            for (upto, cleanly) in lives {
                live(&path, &said, upto, cleanly).await;
            }
            live(&path, &said, usize::MAX, true).await;
            let (views, points) = live(&path, &said, usize::MAX, true).await;
            assert!(after(&said, &points).is_empty());
            check_history(&path, &said).await;
            views
        });
        prop_assert_eq!(show(&came_back), show(&never_died));
    }

    #[test]
    fn two_writers_write_each_frame_once(asks in asks(200), picks in prop::collection::vec(any::<bool>(), 40)) {
        let said = Toy::run(&asks).said;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.sqlite");
        let came_back = runtime().block_on(async {
            let stores = [Store::open(&path).await.unwrap(), Store::open(&path).await.unwrap()];
            let tasks = stores.each_ref().map(|store| store.start_writer(&[]));
            let mut views = [Views::default(), Views::default()];
            let mut behind = [&said[..], &said[..]];
            for second in picks.iter().cycle() {
                let who = usize::from(*second);
                let (now, later) = behind[who].split_at(behind[who].len().min(23));
                behind[who] = later;
                stores[who].push(apply(&mut views[who], now));
                tokio::task::yield_now().await;
                if behind.iter().all(|rest| rest.is_empty()) || picks.iter().all(|p| p == second) {
                    break;
                }
            }
            for who in 0..2 {
                stores[who].push(apply(&mut views[who], behind[who]));
                stores[who].finish();
            }
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            check_history(&path, &said).await;
            let mut views = Views::default();
            stores[0].load(&mut views).await.unwrap();
            views
        });
        let mut never_died = Views::default();
        apply(&mut never_died, &said);
        prop_assert_eq!(show(&came_back), show(&never_died));
    }
}

/// Orders and fills are found while the writer is behind and once it has caught up.
#[tokio::test]
async fn history_has_no_seam() {
    let said = Toy::run(&busy_asks(400)).said;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("gateway.sqlite")).await.unwrap();
    let mut views = Views::default();
    store.load(&mut views).await.unwrap();
    let (first, second) = said.split_at(said.len() / 2);
    let task = store.start_writer(&[]);
    store.push(apply(&mut views, first));
    while store.status().queued_rows > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    // the writer sees nothing of the second half
    let unwritten = apply(&mut views, second);
    let mut alone = Views::default();
    apply(&mut alone, &said);
    for account in (1..=ACCOUNTS).map(AccountId) {
        let all = alone.accounts.get(account).unwrap();
        let known = views.accounts.get(account).unwrap();
        let stored = store.fills(account, None, None, &Range::last(10_000)).await.unwrap();
        let mut both: BTreeMap<_, _> = known.fills.clone();
        both.extend(stored.iter().map(|fill| ((fill.symbol, fill.trade), *fill)));
        assert_eq!(both, all.fills);
        for order in all.closed.values() {
            let stored = store.order(account, order.symbol, order.order).await.unwrap();
            let live = known.order(order.symbol, order.order).copied();
            assert_eq!(live.or(stored), Some(*order));
        }
        for algo in all.ended_algos.values() {
            let stored = store.algo(account, algo.algo).await.unwrap();
            assert_eq!(known.algo(algo.algo).copied().or(stored), Some(*algo));
        }
    }
    store.push(unwritten);
    store.finish();
    task.await.unwrap().unwrap();
    for account in (1..=ACCOUNTS).map(AccountId) {
        let alone = alone.accounts.get(account).unwrap();
        for algo in alone.ended_algos.values() {
            assert_eq!(store.algo(account, algo.algo).await.unwrap(), Some(*algo));
        }
        for order in alone.closed.values().filter(|order| order.origin.is_some()) {
            let stored = store.order(account, order.symbol, order.order).await.unwrap();
            assert_eq!(stored, Some(*order));
        }
        let fills = store.fills(account, None, None, &Range::last(10_000)).await.unwrap();
        assert_eq!(fills.len(), alone.fills.len());
    }
}

#[tokio::test]
async fn a_database_that_was_replaced_stops_the_writer() {
    let said = Toy::new().said;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("gateway.sqlite")).await.unwrap();
    let task = store.start_writer(&[ResumePoint { shard: ShardId::LEDGER, seq: 1 }]);
    store.push(apply(&mut Views::default(), &said));
    store.finish();
    let ended = task.await.unwrap();
    assert!(matches!(ended, Err(StoreError::Replaced { stored: 0, written: 1, .. })), "{ended:?}");
}

#[tokio::test]
async fn a_database_that_fails_is_told_of_and_loses_nothing() {
    let said = Toy::run(&busy_asks(60)).said;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sqlite");
    let store = Store::open(&path).await.unwrap();
    let pool = SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("ALTER TABLE income RENAME TO hidden").execute(&pool).await.unwrap();
    let task = store.start_writer(&[]);
    store.push(apply(&mut Views::default(), &said));
    while store.status().error.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(store.status().queued_rows > 0);
    sqlx::query("ALTER TABLE hidden RENAME TO income").execute(&pool).await.unwrap();
    store.finish();
    task.await.unwrap().unwrap();
    assert_eq!(store.status().error, None);
    check_history(&path, &said).await;
}

/// Without room nothing is written and it is said so; the writer goes on once there is room.
#[tokio::test]
async fn a_full_database_is_told_of_and_loses_nothing() {
    let said = Toy::run(&busy_asks(300)).said;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sqlite");
    let store = Store::open(&path).await.unwrap();
    let limit_pages = async |limit: i64| {
        let mut connection = store.writer.acquire().await.unwrap();
        let pragma = format!("PRAGMA max_page_count = {limit}");
        sqlx::query(sqlx::AssertSqlSafe(pragma)).execute(&mut *connection).await.unwrap();
    };
    limit_pages(1).await;
    store.push(apply(&mut Views::default(), &said));
    let task = store.start_writer(&[]);
    while store.status().error.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let error = store.status().error.unwrap();
    assert!(error.contains("full"), "{error}");
    limit_pages(1_000_000).await;
    store.finish();
    task.await.unwrap().unwrap();
    check_history(&path, &said).await;
}

#[tokio::test]
async fn a_place_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open(dir.path()).await, Err(StoreError::Open { .. })));
    let nowhere = dir.path().join("no").join("gateway.sqlite");
    assert!(matches!(Store::open(&nowhere).await, Err(StoreError::Open { .. })));
    let other = dir.path().join("other.sqlite");
    std::fs::write(&other, "this is a text and no database, however long it may be").unwrap();
    assert!(Store::open(&other).await.is_err());
}

#[tokio::test]
async fn accounts_are_dense_and_secrets_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sqlite");
    let key_path = dir.path().join("sealing.key");
    let secret;
    let api_key;
    {
        let store = Arc::new(Store::open(&path).await.unwrap());
        let directory = Directory::new(store, SealingKey::from_file(&key_path).unwrap());
        for (id, name) in [(1, "demo"), (2, "maker")] {
            let account = directory.create_account("operator", name, 5).await.unwrap();
            assert_eq!(account, AccountId(id));
        }
        let again = directory.create_account("operator", "demo", 5).await;
        assert!(matches!(again, Err(StoreError::AccountExists(_))));
        for name in ["", "a\nb", &"x".repeat(65)] {
            let refused = directory.create_account("operator", name, 5).await;
            assert!(matches!(refused, Err(StoreError::AccountName(_))), "{name:?}");
        }
        let key = directory.create_key("operator", AccountId(2), 6).await.unwrap();
        let stranger = directory.create_key("operator", AccountId(3), 6).await;
        assert!(matches!(stranger, Err(StoreError::AccountUnknown(AccountId(3)))));
        let twice = directory.add_key("operator", &key, 6).await;
        assert!(matches!(twice, Err(StoreError::KeyExists)));
        let credential = Credential::Secret(b"b".to_vec());
        let short = Key { key: "a".into(), account: AccountId(1), credential };
        assert!(matches!(
            directory.add_key("operator", &short, 6).await,
            Err(StoreError::KeyUnusable)
        ));
        for pem in [ED25519_PEM, RSA_PEM] {
            let public = PublicKey::from_pem(pem).unwrap();
            directory.create_public_key("operator", AccountId(1), public, 7).await.unwrap();
        }
        secret = key.secret().unwrap().to_vec();
        api_key = key.key;
    }
    let store = Arc::new(Store::open(&path).await.unwrap());
    let directory = Directory::new(store.clone(), SealingKey::from_file(&key_path).unwrap());
    let keys = directory.keys().await.unwrap();
    assert_eq!(keys.len(), 3);
    let found = keys.iter().find(|key| key.key == api_key).unwrap();
    assert_eq!(found.secret(), Some(secret.as_slice()));
    for pem in [ED25519_PEM, RSA_PEM] {
        let of_key = |key: &&Key| key.public_key().is_some_and(|key| key.pem() == pem);
        assert_eq!(keys.iter().find(of_key).map(|key| key.account), Some(AccountId(1)));
    }
    assert_eq!(directory.account("maker").await.unwrap(), Some(AccountId(2)));
    assert_eq!(directory.accounts().await.unwrap().len(), 2);
    let other = Directory::new(store, SealingKey::random());
    assert!(matches!(other.keys().await, Err(StoreError::Sealed)));

    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for text in [api_key.as_bytes(), &secret] {
            assert!(!bytes.windows(text.len()).any(|window| window == text));
        }
    }
}

/// Asks that trade a lot.
fn busy_asks(count: u16) -> Vec<crate::views::accounts::sample::Ask> {
    (0..count)
        .map(|n| {
            let kinds = [0, 1, 3, 14, 2, 4, 15, 6, 9, 14, 5, 7, 16, 11, 17, 3];
            let kind = kinds[usize::from(n) % kinds.len()];
            (kind, (n % 251) as u8, (n * 7 % 253) as u8, n.wrapping_mul(31), n.wrapping_mul(17))
        })
        .collect()
}
