//! A shard's part in what the ledger does to a whole account: it holds the account until the
//! ledger says how the hold ends. To change its position mode only one that has nothing open is
//! held, for a withdrawal any.

use protocol::{
    Cash, OrderId, Reject,
    command::{Hold, Release},
    event::{HeldIssued, PositionModeChanged},
    order::{HoldFor, HoldState, ModeChange, PositionMode},
};

use super::Shard;
use crate::{
    accounts::Accounts,
    links::Message,
    output::{Output, Sink},
    verdict::{Verdict, require},
};

impl Shard {
    /// From its answer on, an account that is held takes no orders: a clean one stays clean, and
    /// what another has is spent by nothing new.
    pub(super) fn hold<S: Sink>(&mut self, hold: &Hold, out: &mut Output<'_, S>) -> Verdict {
        require(Accounts::is_id(hold.account), Reject::Malformed)?;
        require(self.ledger.has_room(), Reject::ShardFull)?;
        self.take(hold.link_seq, out)?;
        let at = self.accounts.open(hold.account);
        let state = self.accounts.hold_state(at);
        if state == HoldState::Clean || hold.purpose == HoldFor::Withdrawal {
            self.accounts.account_mut(at).held = true;
            self.tell_mode(at, out);
        }
        let (change, account) = (hold.change, hold.account);
        let spare = self.accounts.totals(at, self.symbols.quotes()).spare();
        let spare = spare.clamp(Cash::MIN.into(), Cash::MAX.into()) as Cash;
        let link_seq = self.ledger.send(Message::Held { change, state }, account, spare);
        out.emit(&HeldIssued { link_seq, change, account, state, _pad: [0; 3], spare });
        Ok(OrderId::NONE)
    }

    /// Ends a hold; only an account that is held and clean changes its mode.
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
        let clean = self.accounts.hold_state(at) == HoldState::Clean;
        let account = self.accounts.account_mut(at);
        account.held = false;
        account.mode = match release.mode {
            ModeChange::OneWay if clean => PositionMode::OneWay,
            ModeChange::Hedge if clean => PositionMode::Hedge,
            ModeChange::Keep | ModeChange::OneWay | ModeChange::Hedge => account.mode,
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
