//! A mind for tests: it keeps sessions as the engine does and counts money, nothing more.

use std::collections::BTreeMap;

use protocol::{
    AccountId, Cash, Command, FrameHeader, Micros, Reject, SessionId, ShardId,
    event::{CashChanged, Outcome, SessionOpened},
    order::CashReason,
};

use crate::mind::{Mind, Sink};

#[derive(Default)]
pub struct Tally {
    sessions: BTreeMap<u64, u64>,
    pub cash: BTreeMap<u32, Cash>,
    frames: u64,
}

/// A deposit of this amount makes as many events as it is over this one.
pub const LOUD_ABOVE: Cash = 1_000_000;

impl Tally {
    fn admit(&mut self, session: SessionId, prev: u64, number: u64) -> Reject {
        let Some(last) = self.sessions.get_mut(&session.0) else { return Reject::SessionUnknown };
        if number <= *last {
            return Reject::Duplicate;
        }
        if prev != *last {
            return Reject::SessionGap;
        }
        *last = number;
        Reject::None
    }
}

impl Mind for Tally {
    fn apply<S: Sink>(&mut self, header: &FrameHeader, payload: &[u8], sink: &mut S) {
        self.frames += 1;
        let mut outcome = Outcome {
            session: SessionId::NONE,
            number: 0,
            order: Default::default(),
            amount: 0,
            reject: Reject::None,
            command: header.kind,
            _pad: 0,
        };
        match Command::decode(header.kind, payload) {
            Err(_) => outcome.reject = Reject::Malformed,
            Ok((_, Command::Open(open))) => {
                let session = SessionId(header.seq);
                self.sessions.insert(session.0, 0);
                let (nonce, kind, name) = (open.nonce, open.kind, open.name);
                sink.emit(&SessionOpened { session, nonce, kind, _pad: [0; 7], name });
            }
            Ok((envelope, Command::Deposit(deposit))) => {
                (outcome.session, outcome.number) = (envelope.session, envelope.number);
                outcome.reject = self.admit(envelope.session, envelope.prev, envelope.number);
                if outcome.reject.is_none() {
                    let cash = self.cash.entry(deposit.account.0).or_default();
                    *cash += deposit.amount;
                    for _ in 0..1.max(deposit.amount - LOUD_ABOVE) {
                        sink.emit(&changed(deposit.account, *cash, deposit.amount));
                    }
                }
            }
            Ok(_) => {}
        }
        sink.emit(&outcome);
    }

    fn wake_at(&self) -> Option<Micros> {
        None
    }

    fn state_hash(&self) -> u64 {
        let text = format!("{:?} {:?} {}", self.sessions, self.cash, self.frames);
        journal::chain_after(0, text.as_bytes())
    }

    fn unacknowledged(&self, _visit: &mut dyn FnMut(ShardId, u64, Command)) {}
}

fn changed(account: AccountId, cash: Cash, delta: Cash) -> CashChanged {
    CashChanged {
        account,
        reason: CashReason::Deposit,
        shard: ShardId::LEDGER,
        _pad: [0; 2],
        cash,
        delta,
        lent: 0,
    }
}
