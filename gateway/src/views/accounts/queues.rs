//! Who would be deleveraged first: every position's place in the queue of its symbol and side.
//!
//! Shards rank by the same rule, each by the collateral that it holds itself, at the moment that
//! they have to. Here the whole queue is ranked now and then, for display.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use protocol::{AccountId, ShardId, SymbolId, Ticks, order::PositionSide};
use rules::{BracketTable, adl, liquidation::Solvency};

use super::{
    Account, Accounts,
    figures::{bracket_table, position_of},
};
use crate::{clock::now_ms, store::row::SlotRow, views::Views, views::instruments::Instruments};

/// How long a ranking is good enough to be shown.
pub const RANKED_EVERY: Duration = Duration::from_secs(2);
/// The most urgent part of a queue; the least is 0.
pub const QUANTILE_MAX: u8 = 4;
/// Accounts that are looked at under one lock.
const ACCOUNTS_PER_LOCK: usize = 256;

/// All queues as they were ranked last.
#[derive(Debug, Default)]
pub struct Queues {
    quantiles: HashMap<(AccountId, SymbolId, PositionSide), u8>,
    stakes: BTreeMap<SymbolId, Stake>,
    pub ranked_ms: i64,
}

/// What the insurance fund would have to carry of a symbol: maintenance margins, in cash units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stake {
    pub largest: i128,
    pub all: i128,
}

/// A position on its way into a queue.
struct Ranked {
    rank: i128,
    account: AccountId,
    leg: PositionSide,
}

/// The ranking of a moment, made anew when it is asked for and too old.
#[derive(Default)]
pub struct RankedQueues {
    latest: RwLock<Option<(Instant, Arc<Queues>)>>,
    ranking: Mutex<()>,
}

impl RankedQueues {
    /// While somebody else ranks, the last ranking is good enough.
    pub fn latest(&self, views: &RwLock<Views>) -> Arc<Queues> {
        let known = self.latest.read().clone();
        let _ranking = match (known, self.ranking.try_lock()) {
            (Some((at, queues)), _) if at.elapsed() < RANKED_EVERY => return queues,
            (Some((_, queues)), None) => return queues,
            (_, Some(ranking)) => ranking,
            (None, None) => {
                let ranking = self.ranking.lock();
                if let Some((_, queues)) = &*self.latest.read() {
                    return Arc::clone(queues);
                }
                ranking
            }
        };
        let queues = Arc::new(Queues::rank(views));
        *self.latest.write() = Some((Instant::now(), Arc::clone(&queues)));
        queues
    }
}

impl Queues {
    /// From 0 to [`QUANTILE_MAX`], the first in the queue having the most; 0 outside of it.
    pub fn quantile(&self, account: AccountId, symbol: SymbolId, leg: PositionSide) -> u8 {
        self.quantiles.get(&(account, symbol, leg)).copied().unwrap_or(0)
    }

    pub fn stake(&self, symbol: SymbolId) -> Stake {
        self.stakes.get(&symbol).copied().unwrap_or_default()
    }

    /// Ranks everybody; others get at the views in between.
    pub fn rank(views: &RwLock<Views>) -> Self {
        let (ids, terms) = {
            let views = views.read();
            let ids: Vec<_> = views.accounts.ids().filter(|id| !id.is_insurance()).collect();
            (ids, Terms::all(&views.accounts, &views.instruments))
        };
        let mut queues: BTreeMap<(SymbolId, bool), Vec<Ranked>> = BTreeMap::new();
        let mut stakes: BTreeMap<SymbolId, Stake> = BTreeMap::new();
        for some in ids.chunks(ACCOUNTS_PER_LOCK) {
            let views = views.read();
            for id in some {
                let Some(account) = views.accounts.get(*id) else { continue };
                for (holding, pool) in holdings(account, &terms) {
                    let stake = stakes.entry(holding.slot.symbol).or_default();
                    stake.all += holding.maintenance;
                    stake.largest = stake.largest.max(holding.maintenance);
                    let Some(rank) = holding.rank(&pool) else { continue };
                    let SlotRow { symbol, position_side: leg, position, .. } = *holding.slot;
                    let queue = queues.entry((symbol, position > 0)).or_default();
                    queue.push(Ranked { rank, account: *id, leg });
                }
            }
        }
        let mut quantiles = HashMap::new();
        for ((symbol, _), mut queue) in queues {
            queue.sort_by_key(|one| (std::cmp::Reverse(one.rank), one.account, one.leg));
            let count = queue.len();
            for (place, one) in queue.into_iter().enumerate() {
                quantiles.insert((one.account, symbol, one.leg), quantile(place, count));
            }
        }
        Self { quantiles, stakes, ranked_ms: now_ms() }
    }
}

/// The fifth of the queue that a place from 0 is in, counted from its end.
pub(super) fn quantile(place: usize, count: usize) -> u8 {
    let parts = usize::from(QUANTILE_MAX) + 1;
    QUANTILE_MAX - u8::try_from(place * parts / count).unwrap_or(QUANTILE_MAX)
}

/// What a symbol's positions are valued by.
struct Terms {
    shard: ShardId,
    mark: Ticks,
    mult: i64,
    brackets: BracketTable,
}

impl Terms {
    fn all(accounts: &Accounts, instruments: &Instruments) -> BTreeMap<SymbolId, Self> {
        let of = |instrument| {
            let brackets = bracket_table(instrument)?;
            let spec = &instrument.spec;
            let (shard, mark, mult) = (spec.shard, accounts.mark(spec.symbol), spec.mult);
            Some((spec.symbol, Self { shard, mark, mult, brackets }))
        };
        instruments.iter().filter_map(of).collect()
    }
}

struct Holding<'a> {
    slot: &'a SlotRow,
    terms: &'a Terms,
    isolated: bool,
    pnl: i128,
    maintenance: i128,
}

impl Holding<'_> {
    fn rank(&self, pool: &Solvency) -> Option<i128> {
        let Terms { mark, mult, .. } = *self.terms;
        adl::rank(&position_of(self.slot), mark, mult, self.maintenance, pool)
    }
}

/// An account's positions, each with what backs it on its own shard.
fn holdings<'a>(
    account: &'a Account,
    terms: &'a BTreeMap<SymbolId, Terms>,
) -> Vec<(Holding<'a>, Solvency)> {
    let open = account.slots.values().filter(|slot| slot.position != 0);
    let held: Vec<_> = open
        .filter_map(|slot| {
            let terms = terms.get(&slot.symbol)?;
            let position = position_of(slot);
            let value: i128 = position.value(terms.mark, terms.mult);
            Some(Holding {
                slot,
                terms,
                isolated: account.slot(slot.symbol).isolated,
                pnl: position.pnl(terms.mark, terms.mult),
                maintenance: terms.brackets.maintenance(value.abs()),
            })
        })
        .collect();
    let mut pools: BTreeMap<ShardId, Solvency> = BTreeMap::new();
    for holding in &held {
        let shard = holding.terms.shard;
        let cash = || i128::from(account.cash.get(&shard).map_or(0, |at| at.cash));
        let pool =
            pools.entry(shard).or_insert_with(|| Solvency { equity: cash(), maintenance: 0 });
        if holding.isolated {
            pool.equity -= i128::from(holding.slot.wallet);
        } else {
            pool.equity += holding.pnl;
            pool.maintenance += holding.maintenance;
        }
    }
    let backed = |holding: Holding<'a>| {
        let pool = match holding.isolated {
            true => Solvency {
                equity: i128::from(holding.slot.wallet) + holding.pnl,
                maintenance: holding.maintenance,
            },
            false => pools[&holding.terms.shard],
        };
        (holding, pool)
    };
    held.into_iter().map(backed).collect()
}
