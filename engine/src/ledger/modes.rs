//! Changing an account's position mode: on all shards or on none.
//!
//! The ledger asks every shard to hold the account. When all say that nothing is open there, it
//! releases them with the new mode, else with the old one; so it does when one says nothing in
//! time.

use protocol::{
    AccountId, Micros, OrderId, Reject, Seq, SessionId, ShardId,
    command::{Held, SetPositionMode},
    event::{HoldIssued, PositionModeChanged, PositionModeSettled, ReleaseIssued},
    limits::{MODE_WAIT_US, PENDING_MODES_MAX},
    order::{HoldFor, HoldState, ModeChange, PositionMode},
};

use super::Ledger;
use crate::{
    accounts::Accounts,
    engine::Frame,
    hash::Digest,
    limits::MODES_PER_TICK_MAX,
    links::Message,
    output::{Output, Sink},
    saved::{LoadError, Saved},
    verdict::{Verdict, require},
};

/// A change that waits for shards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    change: Seq,
    session: SessionId,
    number: u64,
    account: AccountId,
    mode: PositionMode,
    pub deadline: Micros,
    /// Shards, as bits, that have not answered.
    awaited: u16,
    has_orders: bool,
    has_position: bool,
}

impl Change {
    pub fn digest(&self, into: &mut Digest) {
        into.add(self.change).add(self.session.0).add(self.number).add(self.account.0);
        into.add(self.mode as u8).add(self.deadline).add(self.awaited);
        into.add(u8::from(self.has_orders)).add(u8::from(self.has_position));
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        Ok(Self {
            change: saved.take()?,
            session: SessionId(saved.take()?),
            number: saved.take()?,
            account: AccountId(saved.take()?),
            mode: saved.word(PositionMode::from_u8)?,
            deadline: saved.take()?,
            awaited: saved.take()?,
            has_orders: saved.flag()?,
            has_position: saved.flag()?,
        })
    }

    const fn verdict(&self) -> Reject {
        match (self.has_orders, self.has_position) {
            (true, _) => Reject::PositionModeOrders,
            (false, true) => Reject::PositionModePosition,
            (false, false) if self.awaited != 0 => Reject::LedgerBusy,
            (false, false) => Reject::None,
        }
    }
}

impl Ledger {
    pub(super) fn set_position_mode<S: Sink>(
        &mut self,
        frame: &Frame,
        set: &SetPositionMode,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let &SetPositionMode { account, mode, .. } = set;
        require(Accounts::is_id(account), Reject::UnknownAccount)?;
        let known = self.find(account).map_or(PositionMode::OneWay, |at| self.wallets[at].mode);
        require(known != mode, Reject::PositionModeUnchanged)?;
        let changing = self.is_changing(account);
        let full = self.changes.len() == PENDING_MODES_MAX;
        let room = self.links.iter().skip(1).all(|link| link.has_room());
        let busy = changing || full || self.is_leaving(account);
        require(!busy && room, Reject::LedgerBusy)?;
        let mut awaited = 0;
        for shard in 1..self.shards {
            let purpose = HoldFor::Mode;
            let message = Message::Hold { change: frame.seq, purpose };
            let link_seq = self.links[usize::from(shard)].send(message, account, 0);
            let (change, to) = (frame.seq, ShardId(shard));
            out.emit(&HoldIssued { link_seq, change, account, to, purpose, _pad: [0; 2] });
            awaited |= 1 << shard;
        }
        let change = Change {
            change: frame.seq,
            session: frame.session,
            number: frame.number,
            account,
            mode,
            deadline: frame.now + MODE_WAIT_US,
            awaited,
            has_orders: false,
            has_position: false,
        };
        if awaited == 0 {
            self.settle_mode(&change, out);
        } else {
            self.changes.push(change);
        }
        Ok(OrderId::NONE)
    }

    /// The account's position mode is being changed.
    pub(super) fn is_changing(&self, account: AccountId) -> bool {
        self.changes.iter().any(|change| change.account == account)
    }

    /// Takes a shard's answer; with the last one the change is decided.
    pub(super) fn take_held<S: Sink>(&mut self, held: &Held, out: &mut Output<'_, S>) -> Verdict {
        let &Held { link_seq, change, account, from, state, .. } = held;
        let sane = (1..self.shards).contains(&from.0) && Accounts::is_id(account);
        require(sane, Reject::Malformed)?;
        self.take(from, link_seq, out)?;
        let Ok(place) = self.changes.binary_search_by_key(&change, |known| known.change) else {
            self.take_spare(held, out);
            return Ok(OrderId::NONE);
        };
        let known = &mut self.changes[place];
        known.awaited &= !(1 << from.0);
        known.has_orders |= state == HoldState::HasOrders;
        known.has_position |= state == HoldState::HasPosition;
        if known.awaited == 0 {
            let change = self.changes.remove(place);
            self.settle_mode(&change, out);
        }
        Ok(OrderId::NONE)
    }

    /// Ends changes whose time is over, a bounded number at once.
    pub(super) fn end_changes<S: Sink>(&mut self, now: Micros, out: &mut Output<'_, S>) {
        let over = self.changes.iter().take_while(|change| change.deadline <= now).count();
        let over = over.min(MODES_PER_TICK_MAX);
        for place in 0..over {
            let change = self.changes[place];
            self.settle_mode(&change, out);
        }
        self.changes.drain(..over);
    }

    fn settle_mode<S: Sink>(&mut self, change: &Change, out: &mut Output<'_, S>) {
        let account = change.account;
        let reject = change.verdict();
        let mode = match (reject, change.mode) {
            (Reject::None, PositionMode::OneWay) => ModeChange::OneWay,
            (Reject::None, PositionMode::Hedge) => ModeChange::Hedge,
            _ => ModeChange::Keep,
        };
        for shard in 1..self.shards {
            let message = Message::Release { mode };
            let link_seq = self.links[usize::from(shard)].send(message, account, 0);
            let to = ShardId(shard);
            out.emit(&ReleaseIssued { link_seq, account, to, mode, _pad: [0; 2] });
        }
        let at = self.open(account);
        if reject.is_none() {
            let mode = change.mode;
            self.wallets[at].mode = mode;
            out.emit(&PositionModeChanged { account, mode, held: false, _pad: [0; 2] });
        }
        out.emit(&PositionModeSettled {
            session: change.session,
            number: change.number,
            change: change.change,
            account,
            mode: self.wallets[at].mode,
            _pad: 0,
            reject,
        });
    }
}
