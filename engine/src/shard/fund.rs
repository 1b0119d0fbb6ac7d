//! The insurance fund's part on a shard: an account that no client can name.
//!
//! What rounding leaves and what liquidations bring is its own; out of it come the losses that
//! accounts can't bear. The ledger lends it more, as it does for any account.

use protocol::{AccountId, order::CashReason};

use super::Shard;
use crate::output::{Output, Sink};

impl Shard {
    /// Changes what the fund has, below 0 if it must: a loss is never cut off.
    pub(super) fn move_fund<S: Sink>(&mut self, delta: i128, out: &mut Output<'_, S>) {
        let delta = rules::money::cash(delta);
        if delta != 0 {
            self.move_cash(self.fund(), CashReason::Insurance, delta, out);
        }
    }

    /// The fund's place, where it is from the beginning.
    pub(super) fn fund(&self) -> u32 {
        self.accounts.find(AccountId::INSURANCE).expect("made with the shard")
    }
}
