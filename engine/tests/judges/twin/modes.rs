//! Position modes on a trading shard: accounts are held while the ledger changes theirs.

use protocol::{
    AccountId, Event, Reject,
    command::{Hold, Release},
    event::{HeldIssued, PositionModeChanged},
    limits::{ACCOUNTS_MAX, LINK_WINDOW_MAX},
    order::{HoldFor, HoldState, ModeChange, PositionMode, PositionSide},
};

use super::{Answer, no, shard::Shard};

fn is_id(id: AccountId) -> bool {
    (1..=ACCOUNTS_MAX).contains(&(id.0 as usize))
}

impl Shard {
    pub fn hold(&mut self, hold: &Hold) -> Answer {
        if !is_id(hold.account) {
            return no(Reject::Malformed);
        }
        if self.sent - self.acked >= LINK_WINDOW_MAX as u64 {
            return no(Reject::ShardFull);
        }
        self.take(hold.link_seq)?;
        let id = hold.account.0;
        self.accounts.entry(id).or_default();
        let state = self.open_state(id);
        if state == HoldState::Clean || hold.purpose == HoldFor::Withdrawal {
            self.accounts.get_mut(&id).unwrap().held = true;
            self.tell_mode(hold.account);
        }
        self.sent += 1;
        self.events.push(Event::HeldIssued(HeldIssued {
            link_seq: self.sent,
            change: hold.change,
            account: hold.account,
            state,
            _pad: [0; 3],
            spare: self.spare(id).clamp(i64::MIN.into(), i64::MAX.into()) as i64,
        }));
        Ok(0)
    }

    /// What stands against a change of the mode.
    fn open_state(&self, id: u32) -> HoldState {
        let mut orders = self.markets.values().flat_map(|market| &market.orders);
        let mut algos = self.markets.values().flat_map(|market| &market.algos);
        let known = self.accounts.get(&id);
        let mut held = known.into_iter().flat_map(|known| known.holdings.values());
        if orders.any(|order| order.account == id) || algos.any(|algo| algo.terms.account.0 == id) {
            HoldState::HasOrders
        } else if held.any(|holding| holding.qty != 0) {
            HoldState::HasPosition
        } else {
            HoldState::Clean
        }
    }

    pub fn release(&mut self, release: &Release) -> Answer {
        if !is_id(release.account) {
            return no(Reject::Malformed);
        }
        self.take(release.link_seq)?;
        let clean = self.open_state(release.account.0) == HoldState::Clean;
        let Some(known) = self.accounts.get_mut(&release.account.0) else { return Ok(0) };
        if !known.held {
            return Ok(0);
        }
        known.held = false;
        if clean && release.mode != ModeChange::Keep {
            known.hedge = release.mode == ModeChange::Hedge;
        }
        self.tell_mode(release.account);
        Ok(0)
    }

    /// The account takes orders, and of this leg.
    pub fn check_mode(&self, account: u32, side: PositionSide) -> Result<(), (Reject, i64)> {
        let known = self.accounts.get(&account);
        if known.is_some_and(|known| known.held) {
            return no(Reject::AccountHeld);
        }
        let hedge = known.is_some_and(|known| known.hedge);
        if hedge == (side == PositionSide::Both) {
            return no(Reject::PositionSideMismatch);
        }
        Ok(())
    }

    fn tell_mode(&mut self, account: AccountId) {
        let known = &self.accounts[&account.0];
        self.events.push(Event::PositionModeChanged(PositionModeChanged {
            account,
            mode: if known.hedge { PositionMode::Hedge } else { PositionMode::OneWay },
            held: known.held,
            _pad: [0; 2],
        }));
    }
}
