//! A shard's part in a change of an account's position mode: it holds an account that has nothing
//! open, until the ledger says how the hold ends.

use protocol::{
    OrderId, Reject,
    command::{Hold, Release},
    event::{HeldIssued, PositionModeChanged},
    order::{HoldState, ModeChange, PositionMode},
};

use super::Shard;
use crate::{
    accounts::Accounts,
    links::Message,
    output::{Output, Sink},
    verdict::{Verdict, require},
};

impl Shard {
    /// From its answer on, an account that is clean stays so.
    pub(super) fn hold<S: Sink>(&mut self, hold: &Hold, out: &mut Output<'_, S>) -> Verdict {
        require(Accounts::is_id(hold.account), Reject::Malformed)?;
        require(self.ledger.has_room(), Reject::ShardFull)?;
        self.take(hold.link_seq, out)?;
        let at = self.accounts.open(hold.account);
        let state = self.accounts.hold_state(at);
        if state == HoldState::Clean {
            self.accounts.account_mut(at).held = true;
            self.tell_mode(at, out);
        }
        let (change, account) = (hold.change, hold.account);
        let link_seq = self.ledger.send(Message::Held { change, state }, account, 0);
        out.emit(&HeldIssued { link_seq, change, account, state, _pad: [0; 3] });
        Ok(OrderId::NONE)
    }

    /// Ends a hold; only an account that is held changes its mode.
    pub(super) fn release<S: Sink>(
        &mut self,
        release: &Release,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        require(Accounts::is_id(release.account), Reject::Malformed)?;
        self.take(release.link_seq, out)?;
        let found = self.accounts.find(release.account);
        let Some(at) = found.filter(|at| self.accounts.account(*at).held) else {
            return Ok(OrderId::NONE);
        };
        let account = self.accounts.account_mut(at);
        account.held = false;
        account.mode = match release.mode {
            ModeChange::Keep => account.mode,
            ModeChange::OneWay => PositionMode::OneWay,
            ModeChange::Hedge => PositionMode::Hedge,
        };
        self.tell_mode(at, out);
        Ok(OrderId::NONE)
    }

    fn tell_mode<S: Sink>(&self, at: u32, out: &mut Output<'_, S>) {
        let account = self.accounts.account(at);
        let (mode, held) = (account.mode, account.held);
        out.emit(&PositionModeChanged { account: account.id, mode, held, _pad: [0; 2] });
    }
}
