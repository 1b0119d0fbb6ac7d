//! Books, trades, marks and klines as the shards' events tell them.

use protocol::{Event, ShardId, event::EventHeader};

use super::{Effects, instruments::Instruments};

#[derive(Default)]
pub struct Market {}

/// What market data streams tell their subscribers.
#[derive(Clone, Debug)]
pub enum MarketNotice {}

impl Market {
    pub fn apply(
        &mut self,
        _shard: ShardId,
        _header: &EventHeader,
        _event: &Event,
        _instruments: &Instruments,
        _effects: &mut Effects,
    ) {
    }
}
