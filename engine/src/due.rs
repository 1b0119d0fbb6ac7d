//! Pools that are due: what an account has behind all its cross positions, or behind an isolated
//! one, has fallen to what must stay.

use crate::{
    accounts::HoldingAt,
    hash::Digest,
    saved::{LoadError, Saved},
};

/// Where a pool is: an account, of which it is all that is cross, or an isolated position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolAt {
    Cross(u32),
    Isolated(HoldingAt),
}

/// How far the liquidation of a pool has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub stage: Stage,
    /// Its next step is among the pending work.
    pub queued: bool,
}

/// What has been asked for, to avert it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    None = 0,
    /// The account has had its last margin call.
    Called = 1,
    /// The insurance fund has had one, so that it can take a position over.
    FundCalled = 2,
}

impl Due {
    pub fn digest(&self, into: &mut Digest) {
        into.add(self.stage as u8).add_flag(self.queued);
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let stage = saved.word(|byte| match byte {
            0 => Some(Stage::None),
            1 => Some(Stage::Called),
            2 => Some(Stage::FundCalled),
            _ => None,
        })?;
        Ok(Self { stage, queued: saved.flag()? })
    }
}
