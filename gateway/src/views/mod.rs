//! What the gateway knows: instruments, markets and accounts as the shards' events tell them.
//!
//! One writer, the link thread, applies events in the order of each shard's log and under one
//! write lock a batch; handlers take short read locks. A view applies an event before the reply
//! made from it is sent, so a client reads its own writes.

pub mod accounts;
pub mod algo;
pub mod instruments;
pub mod market;
pub mod notice;
pub mod order;

use protocol::{AccountId, Event, ShardId, event::EventHeader, limits::SHARDS_MAX};

use crate::store::Row;
use accounts::{Accounts, UserNotice};
use instruments::Instruments;
use market::{Market, MarketNotice};

#[derive(Default)]
pub struct Views {
    pub instruments: Instruments,
    pub market: Market,
    pub accounts: Accounts,
    /// By shard: rows of the frame whose events are still coming.
    unfinished: [Vec<Row>; SHARDS_MAX],
}

/// What a batch of events means to others than the views; handed on, in order, once the lock on
/// the views is released.
#[derive(Default)]
pub struct Effects {
    pub market: Vec<MarketNotice>,
    pub user: Vec<(AccountId, UserNotice)>,
    /// Of whole frames, each with its boundary: a store can cut behind any of them.
    pub rows: Vec<Row>,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        self.market.is_empty() && self.user.is_empty() && self.rows.is_empty()
    }
}

impl Views {
    /// Takes one event; the caller has made sure that it is the next of its shard.
    pub fn apply(
        &mut self,
        shard: ShardId,
        header: &EventHeader,
        event: &Event,
        effects: &mut Effects,
    ) {
        let whole = effects.rows.len();
        self.instruments.apply(shard, header, event);
        self.market.apply(shard, header, event, &self.instruments, effects);
        self.accounts.apply(shard, header, event, &self.instruments, effects);

        let unfinished = &mut self.unfinished[usize::from(shard.0)];
        unfinished.extend(effects.rows.drain(whole..));
        if let Event::Outcome(_) = event {
            effects.rows.append(unfinished);
        }
    }
}
