//! The accounts view equals a slow recount of everything that was said, in any interleaving.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use protocol::{
    AccountId, AlgoId, Event, OrderId, ShardId, SymbolId, event,
    order::{AlgoStatus, CashReason, CloseReason, MarginMode, OrderStatus, PositionSide, Side},
};

use super::{
    recent::{Progress, RECENT_KEPT_US},
    sample::{ACCOUNTS, BTC, ETH, Said, Toy, asks, spec},
};
use crate::views::{Effects, Views, notice::UserNotice};

/// Orders of the shards' events as another link may see them: each shard's own order stays.
fn interleave(said: &[Said], picks: &[u8]) -> Vec<Said> {
    let mut streams: BTreeMap<ShardId, VecDeque<Said>> = BTreeMap::new();
    for one in said {
        streams.entry(one.0).or_default().push_back(*one);
    }
    let mut mixed = Vec::new();
    let mut picks = picks.iter().cycle();
    while !streams.is_empty() {
        let at = usize::from(*picks.next().unwrap_or(&0)) % streams.len();
        let shard = *streams.keys().nth(at).unwrap();
        let stream = streams.get_mut(&shard).unwrap();
        mixed.extend(stream.pop_front());
        if stream.is_empty() {
            streams.remove(&shard);
        }
    }
    mixed
}

/// Each fill with its symbol and its signed lots.
fn fills(event: &Event) -> Vec<(SymbolId, event::Fill, i64)> {
    match event {
        Event::Trade(trade) => {
            let lots = trade.taker_side.sign() * trade.qty;
            vec![(trade.symbol, trade.taker, lots), (trade.symbol, trade.maker, -lots)]
        }
        Event::PositionSettled(settled) => {
            vec![(settled.symbol, settled.fill, settled.side.sign() * settled.qty)]
        }
        _ => Vec::new(),
    }
}

/// Deposits less withdrawals, profits, fees and fundings of an account, added up.
fn wallet(said: &[Said], account: AccountId) -> i128 {
    let of = |(_, _, event): &Said| match event {
        Event::CashChanged(change)
            if change.account == account
                && matches!(
                    change.reason,
                    CashReason::Deposit
                        | CashReason::Withdraw
                        | CashReason::Insurance
                        | CashReason::Advance
                        | CashReason::Repayment
                ) =>
        {
            i128::from(change.delta)
        }
        Event::FundingPaid(paid) if paid.account == account => i128::from(paid.amount),
        Event::LiquidationFeePaid(paid) if paid.account == account => -i128::from(paid.amount),
        event => fills(event)
            .iter()
            .filter(|(_, fill, _)| fill.account == account)
            .map(|(_, fill, _)| i128::from(fill.pnl - fill.fee))
            .sum(),
    };
    said.iter().map(of).sum()
}

/// The open orders of an account: what was accepted and neither closed nor filled.
fn open_orders(said: &[Said], account: AccountId) -> Vec<(SymbolId, OrderId, i64, i64, i64)> {
    let mut open = BTreeMap::new();
    for (_, _, event) in said {
        match event {
            Event::OrderAccepted(order) if order.account == account => {
                open.insert((order.symbol, order.order), (order.price, order.qty, 0));
            }
            Event::OrderAmended(order) if order.account == account => {
                open.insert((order.symbol, order.order), (order.price, order.qty, order.cum_qty));
            }
            Event::OrderClosed(order) => {
                open.remove(&(order.symbol, order.order));
            }
            Event::Trade(_) | Event::PositionSettled(_) => {
                for (symbol, fill, _) in fills(event) {
                    let key = (symbol, fill.order);
                    if fill.status == OrderStatus::Filled {
                        open.remove(&key);
                    } else if let Some(order) = open.get_mut(&key) {
                        order.2 = fill.cum_qty;
                    }
                }
            }
            _ => {}
        }
    }
    open.into_iter().map(|((s, o), (price, qty, cum))| (s, o, price, qty, cum)).collect()
}

/// The conditional orders of an account that wait.
fn waiting_algos(said: &[Said], account: AccountId) -> Vec<AlgoId> {
    let mut waiting = std::collections::BTreeSet::new();
    for (_, _, event) in said {
        match event {
            Event::AlgoAccepted(algo) if algo.terms.account == account => {
                waiting.insert(algo.algo);
            }
            Event::AlgoChanged(algo)
                if !matches!(algo.status, AlgoStatus::New | AlgoStatus::Triggering) =>
            {
                waiting.remove(&algo.algo);
            }
            _ => {}
        }
    }
    waiting.into_iter().collect()
}

/// Orders that were conditional ones: what they are called, and what their story says of them.
fn check_born(views: &Views, said: &[Said]) -> Result<(), TestCaseError> {
    for (_, _, event) in said {
        let Event::AlgoChanged(changed) = event else { continue };
        let account = views.accounts.get(changed.account).unwrap();
        let algo = account.algo(changed.algo).unwrap();
        if changed.order.is_none() {
            continue;
        }
        let order = account.order(changed.symbol, changed.order);
        // it may be told of next
        let Some(order) = order else { continue };
        prop_assert_eq!(order.origin, Some(algo.origin()));
        prop_assert!(order.is_nameless());
        prop_assert_eq!(account.order_by_client_id(changed.symbol, &order.client_id), Some(order));
        prop_assert_eq!((algo.cum_qty, algo.cum_quote), (order.cum_qty, order.cum_quote));
        let open = account.open.contains_key(&(changed.symbol, changed.order));
        let status = if open { AlgoStatus::Triggered } else { AlgoStatus::Finished };
        prop_assert_eq!((algo.status, algo.order), (status, order.order));
        prop_assert!(algo.triggered > 0 && algo.triggered <= algo.updated);
    }
    Ok(())
}

/// The position of an account: every fill's quantity, added up.
fn position(said: &[Said], account: AccountId, symbol: SymbolId) -> i64 {
    let own =
        |(of, fill, _): &(SymbolId, event::Fill, i64)| (*of, fill.account) == (symbol, account);
    let lots = said.iter().flat_map(|(_, _, event)| fills(event)).filter(own);
    lots.map(|(.., lots)| lots).sum()
}

/// The isolated wallets of an account on a symbol, as each leg was told last.
fn isolated_wallets(
    said: &[Said],
    account: AccountId,
    symbol: SymbolId,
) -> BTreeMap<PositionSide, i64> {
    let mut wallets = BTreeMap::new();
    for (_, _, event) in said {
        match event {
            Event::Trade(_) | Event::PositionSettled(_) => {
                for (of, fill, _) in fills(event) {
                    if (of, fill.account) == (symbol, account) {
                        wallets.insert(fill.position_side, fill.isolated_wallet);
                    }
                }
            }
            Event::MarginMoved(moved) if (moved.account, moved.symbol) == (account, symbol) => {
                *wallets.get_mut(&moved.position_side).unwrap() += moved.delta;
            }
            Event::FundingPaid(paid) if (paid.account, paid.symbol) == (account, symbol) => {
                wallets.insert(paid.position_side, paid.isolated_wallet);
            }
            Event::LiquidationFeePaid(paid) if (paid.account, paid.symbol) == (account, symbol) => {
                wallets.insert(paid.position_side, paid.isolated_wallet);
            }
            _ => {}
        }
    }
    wallets
}

/// What is free, under way or on a shard, with the profits of cross positions, less what must be
/// covered by it: as the engine's judges count what can be spent.
fn available(said: &[Said], account: AccountId) -> i128 {
    let mut marks = BTreeMap::new();
    let mut chosen = BTreeMap::new();
    let mut entries = BTreeMap::new();
    let mut sums = BTreeMap::new();
    for (_, _, event) in said {
        match event {
            Event::Mark(mark) => _ = marks.insert(mark.symbol, mark.mark),
            Event::SettingsChanged(set) if set.account == account => {
                let isolated = set.margin_mode == MarginMode::Isolated;
                chosen.insert(set.symbol, (set.leverage, isolated));
            }
            Event::Reserved(told) if told.account == account => {
                let of_leg = [told.buy, told.sell, told.loss, told.fee].map(i128::from);
                sums.insert((told.symbol, told.position_side), of_leg);
            }
            event => {
                let own = fills(event).into_iter().filter(|(_, fill, _)| fill.account == account);
                let held = own.map(|(of, fill, _)| {
                    ((of, fill.position_side), (fill.position, i128::from(fill.entry)))
                });
                entries.extend(held);
            }
        }
    }
    let mut available = wallet(said, account);
    for (symbol, leg) in
        [BTC, ETH].into_iter().flat_map(|of| PositionSide::ALL.iter().map(move |leg| (of, *leg)))
    {
        let (leverage, isolated) = chosen.get(&symbol).copied().unwrap_or((0, false));
        let leverage = if leverage == 0 { spec(symbol).default_leverage } else { leverage };
        let (lots, entry) = entries.get(&(symbol, leg)).copied().unwrap_or_default();
        let mark = marks.get(&symbol).copied().unwrap_or(0);
        let [buy, sell, loss, fee] = sums.get(&(symbol, leg)).copied().unwrap_or_default();
        let value = i128::from(lots) * i128::from(mark * spec(symbol).mult);
        let worst = match (isolated, value) {
            (false, _) => (value + buy).abs().max((value - sell).abs()),
            (true, 0..) => buy.max(sell - value),
            (true, _) => sell.max(buy + value),
        };
        let wallets = isolated_wallets(said, account, symbol);
        available += match isolated {
            true => -i128::from(wallets.get(&leg).copied().unwrap_or(0)),
            false => value - entry,
        };
        available -= -(-worst).div_euclid(leverage.into()) + loss + fee;
    }
    available
}

fn check(views: &Views, said: &[Said]) -> Result<(), TestCaseError> {
    // the insurance fund is an account like any other
    for account in (0..=ACCOUNTS).map(AccountId) {
        let figures = views.accounts.figures(account, &views.instruments);
        prop_assert_eq!(figures.wallet, wallet(said, account));
        prop_assert_eq!(figures.available() + figures.initial_shown(), figures.margin_balance());
        prop_assert_eq!(figures.available(), available(said, account).max(0));
        let rows = &figures.symbols;
        let wallets: i128 = rows.iter().map(|row| row.wallet).sum();
        prop_assert_eq!(figures.cross_wallet + wallets, figures.wallet);
        let worth: i128 = rows.iter().map(|row| row.isolated_margin()).sum();
        prop_assert_eq!(
            figures.cross_wallet + figures.cross_unrealized + worth,
            figures.margin_balance()
        );
        let open: Vec<_> = views
            .accounts
            .open_orders(account, None)
            .iter()
            .map(|order| (order.symbol, order.order, order.price, order.qty, order.cum_qty))
            .collect();
        prop_assert_eq!(&open, &open_orders(said, account));
        let waiting: Vec<_> =
            views.accounts.waiting_algos(account, None).iter().map(|algo| algo.algo).collect();
        prop_assert_eq!(waiting, waiting_algos(said, account));
        for symbol in [BTC, ETH] {
            let of = views.accounts.open_orders(account, Some(symbol)).len();
            prop_assert_eq!(of, open.iter().filter(|order| order.0 == symbol).count());
            let legs: Vec<_> = rows.iter().filter(|row| row.symbol == symbol).collect();
            let held = legs.iter().map(|row| row.position).sum::<i64>();
            prop_assert_eq!(held, position(said, account, symbol));
            let wallets = isolated_wallets(said, account, symbol);
            for row in legs {
                let slot = views.accounts.get(account).map(|known| known.leg(symbol, row.side));
                let slot = slot.unwrap_or_default();
                prop_assert_eq!(slot.position == 0, slot.entry == 0);
                prop_assert_eq!(
                    slot.position == 0 && row.isolated,
                    slot.wallet == 0 && row.isolated
                );
                prop_assert_eq!(slot.wallet, wallets.get(&row.side).copied().unwrap_or(0));
                let signs = [0, 1, -1][row.side as usize];
                prop_assert!(signs == 0 || row.position * signs >= 0);
            }
        }
    }
    check_born(views, said)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var_os("EXCHANGE_FULL").is_some() { 5_000 } else { 200 }
    ))]

    #[test]
    fn equals_a_recount(asks in asks(120), picks in prop::collection::vec(any::<u8>(), 1..40)) {
        let said = interleave(&Toy::run(&asks).said, &picks);
        let mut views = Views::default();
        let mut effects = Effects::default();
        for (at, (shard, header, event)) in said.iter().enumerate() {
            views.apply(*shard, header, event, &mut effects);
            if at % 7 == 0 {
                check(&views, &said[..=at])?;
            }
        }
        check(&views, &said)?;

        // whoever has nothing under way has what the shards hold
        for (account, notice) in &effects.user {
            if let UserNotice::Account(notice) = notice {
                prop_assert!(*account != AccountId(0) && notice.ts > 0);
            }
        }
    }

    /// A wallet that only changes its place says nothing to its owner.
    #[test]
    fn moved_collateral_is_no_news(amount in 1i64..1_000_000, back in any::<bool>()) {
        let mut toy = Toy::new();
        let seen = toy.said.len();
        toy.grant(AccountId(1), ShardId(1), amount);
        if back {
            toy.deliver();
        }
        let mut views = Views::default();
        let mut effects = Effects::default();
        for (at, (shard, header, event)) in toy.said.iter().enumerate() {
            if at == seen {
                effects = Effects::default();
            }
            views.apply(*shard, header, event, &mut effects);
        }
        prop_assert!(effects.user.is_empty());
        prop_assert!(!effects.rows.is_empty());
        let wallet = views.accounts.get(AccountId(1)).map(|account| account.wallet());
        prop_assert_eq!(wallet, Some(1_000_000_000_000));
    }
}

/// What is over stays until it is stored and its reply can't be made from it any more.
#[test]
fn what_is_stored_is_forgotten() {
    let mut toy = Toy::new();
    for n in 0..4 {
        toy.place(AccountId(1), BTC, Side::Buy, 600_000 + n, 2, true);
        toy.place(AccountId(2), BTC, Side::Sell, 600_000 + n, 2, true);
        toy.ask((3, 0, 0, 0, 1));
        toy.ask((3, 0, 0, 0, 1));
    }
    toy.place(AccountId(1), BTC, Side::Buy, 1, 7, true);
    toy.place(AccountId(1), BTC, Side::Buy, 2, 7, true);
    toy.close(0, CloseReason::Canceled);
    for _ in 0..3 {
        toy.place_algo(AccountId(1), BTC, Side::Sell, 590_000, 3, false);
    }
    toy.end_algo(0, 0);
    toy.fire(0, 3);
    let progress = std::sync::Arc::new(Progress::default());
    let mut views = Views::default();
    views.accounts.follow(progress.clone());
    let mut effects = Effects::default();
    for (shard, header, event) in &toy.said {
        views.apply(*shard, header, event, &mut effects);
    }
    let of_btc =
        |(shard, _, event): &&Said| *shard == ShardId(1) && matches!(event, Event::Outcome(_));
    let (shard, mut header, outcome) = *toy.said.iter().rfind(of_btc).unwrap();
    let stored = header.seq;
    let mut pass = |views: &mut Views, us: u64| {
        header.seq += 1;
        header.ts += us;
        views.apply(shard, &header, &outcome, &mut Effects::default());
    };
    let kept = |views: &Views| {
        let account = views.accounts.get(AccountId(1)).unwrap();
        let algos = (account.algos.len(), account.ended_algos.len());
        (account.closed.len(), account.fills.len(), account.open.len(), algos)
    };
    let before = kept(&views);
    assert_eq!(before, (5, 8, 2, (2, 1)));
    pass(&mut views, 10 * RECENT_KEPT_US);
    assert_eq!(kept(&views), before, "nothing is stored");
    progress.advance(ShardId(2), u64::MAX);
    pass(&mut views, 1);
    assert_eq!(kept(&views), before, "another shard's rows are stored");
    progress.advance(shard, stored);
    pass(&mut views, 1);
    assert_eq!(kept(&views), (0, 0, 2, (2, 0)));
    let account = views.accounts.get(AccountId(1)).unwrap();
    let open = account.open.values().next().unwrap();
    let found = account.order_by_client_id(BTC, &open.client_id);
    assert_eq!(found, Some(open));
    assert_eq!(account.by_client_id.len(), 2);
    assert_eq!((account.algo_by_client_id.len(), account.born_of.len()), (2, 1));
    // the ledger's entry waits for its own shard
    assert_eq!(account.incomes.len(), 1);
}

/// An order that has just been closed is there for its reply, even if it is stored at once.
#[test]
fn what_has_just_happened_stays_for_a_while() {
    let mut toy = Toy::new();
    toy.place(AccountId(1), BTC, Side::Buy, 1, 7, true);
    toy.close(0, CloseReason::Canceled);
    toy.place(AccountId(1), BTC, Side::Buy, 1, 7, true);
    let progress = std::sync::Arc::new(Progress::default());
    progress.advance(ShardId(1), u64::MAX);
    let mut views = Views::default();
    views.accounts.follow(progress);
    for (shard, header, event) in &toy.said {
        views.apply(*shard, header, event, &mut Effects::default());
    }
    assert_eq!(views.accounts.get(AccountId(1)).unwrap().closed.len(), 1);
}
