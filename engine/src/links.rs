//! Links between the ledger and the trading shards: numbered messages each way, sent until the
//! other end has applied them, and applied once.

use alloc::collections::VecDeque;

use protocol::{
    AccountId, Cash, Command, Reject, Seq, ShardId,
    command::{Debt, Grant, Held, Hold, MarginCall, Recall, Release, Return},
    limits::{LINK_WINDOW_MAX, PENDING_MODES_MAX, PENDING_WITHDRAWALS_MAX},
    order::{CallKind, HoldFor, HoldState, ModeChange},
};

use crate::{
    hash::Digest,
    saved::{LoadError, Saved, sound},
    verdict::{Refusal, require},
};

/// Messages a link has room for before it allocates.
const OUTBOX_WARM: usize = 1_024;

/// What can be said over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// `call` 0: no margin call's.
    Grant {
        call: u64,
    },
    Recall {
        lend: Seq,
        urgent: bool,
    },
    Return {
        lend: Seq,
    },
    Hold {
        change: Seq,
        purpose: HoldFor,
    },
    Release {
        mode: ModeChange,
    },
    /// With what the account can spare as its amount.
    Held {
        change: Seq,
        state: HoldState,
    },
    MarginCall {
        kind: CallKind,
    },
    Debt,
}

#[derive(Clone, Copy, Debug)]
struct Unacked {
    message: Message,
    account: AccountId,
    amount: Cash,
}

/// One shard's end of a link.
#[derive(Default)]
pub(crate) struct Link {
    /// The last message of the other end that was applied here.
    applied: u64,
    /// The last of ours that was applied there.
    acked: u64,
    unacked: VecDeque<Unacked>,
}

impl Link {
    pub fn new() -> Self {
        Self { unacked: VecDeque::with_capacity(OUTBOX_WARM), ..Self::default() }
    }

    pub const fn applied(&self) -> u64 {
        self.applied
    }

    pub const fn acked(&self) -> u64 {
        self.acked
    }

    /// Passes the next message of the other end and no other.
    pub fn check_next(&self, link_seq: u64) -> Result<(), Refusal> {
        require(link_seq > self.applied, Reject::Duplicate)?;
        if link_seq - self.applied == 1 {
            return Ok(());
        }
        let amount = i64::try_from(self.applied).unwrap_or(i64::MAX);
        Err(Refusal { reject: Reject::SessionGap, amount })
    }

    /// Counts a message as applied.
    pub fn advance(&mut self) {
        self.applied += 1;
    }

    pub fn has_room(&self) -> bool {
        self.unacked.len() < LINK_WINDOW_MAX
    }

    /// Keeps a message until it is acknowledged; returns its place in the stream. The releases
    /// that holds will need have room beyond the window.
    pub fn send(&mut self, message: Message, account: AccountId, amount: Cash) -> u64 {
        let most = match message {
            Message::Release { .. } => {
                LINK_WINDOW_MAX + PENDING_MODES_MAX + PENDING_WITHDRAWALS_MAX
            }
            _ => LINK_WINDOW_MAX,
        };
        assert!(self.unacked.len() < most, "room is asked for first");
        self.unacked.push_back(Unacked { message, account, amount });
        self.acked + self.unacked.len() as u64
    }

    /// The other end has applied all up to `link_seq`.
    pub fn ack(&mut self, link_seq: u64) -> Result<(), Reject> {
        let sent = self.acked + self.unacked.len() as u64;
        require(link_seq <= sent, Reject::Malformed)?;
        while self.acked < link_seq {
            self.unacked.pop_front();
            self.acked += 1;
        }
        Ok(())
    }

    /// What the other end has not acknowledged, oldest first. `me` is this end's shard.
    pub fn outbox(&self, me: ShardId) -> impl Iterator<Item = (u64, Command)> + '_ {
        let numbers = self.acked + 1..;
        numbers.zip(&self.unacked).map(move |(n, message)| (n, message.command(n, me)))
    }

    pub fn digest(&self, into: &mut Digest) {
        into.add(self.applied).add(self.acked).add_len(self.unacked.len());
        for unacked in &self.unacked {
            let (kind, lend) = match unacked.message {
                Message::Grant { call } => (0u8, call),
                Message::Recall { lend, urgent: false } => (1, lend),
                Message::Recall { lend, urgent: true } => (10, lend),
                Message::Return { lend } => (2, lend),
                Message::Hold { change, purpose: HoldFor::Mode } => (3, change),
                Message::Hold { change, purpose: HoldFor::Withdrawal } => (9, change),
                Message::Release { mode } => (4, mode as u64),
                Message::MarginCall { kind } => (5, kind as u64),
                Message::Debt => (11, 0),
                Message::Held { change, state } => (6 + state as u8, change),
            };
            into.add(kind).add(lend).add(unacked.account.0).add(unacked.amount);
        }
    }

    pub fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut link = Self { applied: saved.take()?, acked: saved.take()?, ..Self::new() };
        for _ in 0..saved.len()? {
            let (kind, about): (u8, u64) = (saved.take()?, saved.take()?);
            let word = u8::try_from(about).map_err(|_| LoadError::Damaged);
            let message = match kind {
                0 => Message::Grant { call: about },
                1 => Message::Recall { lend: about, urgent: false },
                10 => Message::Recall { lend: about, urgent: true },
                2 => Message::Return { lend: about },
                3 => Message::Hold { change: about, purpose: HoldFor::Mode },
                9 => Message::Hold { change: about, purpose: HoldFor::Withdrawal },
                4 => {
                    let mode = ModeChange::from_u8(word?).ok_or(LoadError::Damaged)?;
                    Message::Release { mode }
                }
                5 => {
                    let kind = CallKind::from_u8(word?).ok_or(LoadError::Damaged)?;
                    Message::MarginCall { kind }
                }
                11 => Message::Debt,
                6.. => {
                    let state = HoldState::from_u8(kind - 6).ok_or(LoadError::Damaged)?;
                    Message::Held { change: about, state }
                }
            };
            sound(link.has_room())?;
            let (account, amount) = (AccountId(saved.take()?), saved.take()?);
            link.unacked.push_back(Unacked { message, account, amount });
        }
        Ok(link)
    }
}

impl Unacked {
    fn command(&self, link_seq: u64, me: ShardId) -> Command {
        let Self { message, account, amount } = *self;
        match message {
            Message::Grant { call } => {
                Command::Grant(Grant { link_seq, account, _pad: 0, amount, call })
            }
            Message::Debt => {
                let (from, _pad) = (me, [0; 3]);
                Command::Debt(Debt { link_seq, account, from, _pad, amount })
            }
            Message::MarginCall { kind } => {
                let (from, _pad) = (me, [0; 2]);
                Command::MarginCall(MarginCall { link_seq, account, from, kind, _pad, amount })
            }
            Message::Recall { lend, urgent } => {
                let _pad = [0; 3];
                Command::Recall(Recall { link_seq, account, urgent, _pad, amount, lend })
            }
            Message::Return { lend } => {
                let (from, _pad) = (me, [0; 3]);
                Command::Return(Return { link_seq, account, from, _pad, amount, lend })
            }
            Message::Hold { change, purpose } => {
                Command::Hold(Hold { link_seq, change, account, purpose, _pad: [0; 3] })
            }
            Message::Release { mode } => {
                Command::Release(Release { link_seq, account, mode, _pad: [0; 3] })
            }
            Message::Held { change, state } => {
                let (from, _pad, spare) = (me, [0; 2], amount);
                Command::Held(Held { link_seq, change, account, from, state, _pad, spare })
            }
        }
    }
}
