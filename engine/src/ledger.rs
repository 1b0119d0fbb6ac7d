//! The ledger, shard 0: whose money is free and whose is lent to which shard.
//!
//! Gateways ask it to lend. What is free goes at once; when it does not suffice, the other shards
//! are asked for what they can spare, and after a bounded time the answer is what has come back.

use alloc::{vec, vec::Vec};

use protocol::{
    AccountId, Cash, Micros, OrderId, Reject, ShardId,
    command::{Command, Deposit, Genesis, LinkAck},
    event::{CashChanged, LinkAcked, LinkApplied},
    limits::{CASH_MAX, PENDING_LENDS_MAX, PENDING_MODES_MAX, PENDING_WITHDRAWALS_MAX, SHARDS_MAX},
    order::{CashReason, PositionMode},
};

use crate::{
    accounts::Accounts,
    engine::{Capacity, Frame},
    hash::Digest,
    limits::DEPOSITS_MAX,
    links::Link,
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    verdict::{Refusal, Verdict, require},
};

mod calls;
mod debts;
mod lends;
mod modes;
mod withdrawals;

use lends::Pending;
use modes::Change;
use withdrawals::Withdrawal;

#[derive(Clone, Copy, Debug, Default)]
struct Wallet {
    account: AccountId,
    free: Cash,
    /// The last deposit's number.
    transfer: u64,
    /// The last withdrawal's number that was paid out.
    withdrawal: u64,
    /// What the insurance fund has advanced and not got back.
    debt: i128,
    /// Net, by shard: what was granted less what came back, which profits can make negative.
    lent: [Cash; SHARDS_MAX],
    /// Shards, as bits, that were ever granted anything: where money of the account may be.
    shards: u16,
    mode: PositionMode,
}

const _: () = assert!(SHARDS_MAX <= u16::BITS as usize);

pub(crate) struct Ledger {
    shards: u8,
    /// By account id: the wallet's place + 1; 0: unknown.
    index: Vec<u32>,
    wallets: Vec<Wallet>,
    links: Vec<Link>,
    /// By the seq of the lend, which is the order of the deadlines too.
    pending: Vec<Pending>,
    /// The same for margin calls, which wait less.
    calls: Vec<Pending>,
    /// Of position modes, by their seq, which is the order of the deadlines too.
    changes: Vec<Change>,
    /// By their seq, which is the order of the deadlines too.
    withdrawals: Vec<Withdrawal>,
    /// Less withdrawals.
    deposits: i128,
}

impl Ledger {
    pub fn new(genesis: &Genesis, capacity: &Capacity) -> Self {
        let mut ledger = Self {
            shards: genesis.shards,
            index: vec![0; capacity.accounts + 1],
            wallets: Vec::with_capacity(capacity.accounts + 1),
            links: (0..genesis.shards).map(|_| Link::new()).collect(),
            pending: Vec::with_capacity(PENDING_LENDS_MAX),
            calls: Vec::with_capacity(PENDING_LENDS_MAX),
            changes: Vec::with_capacity(PENDING_MODES_MAX),
            withdrawals: Vec::with_capacity(PENDING_WITHDRAWALS_MAX),
            deposits: 0,
        };
        ledger.open_fund();
        ledger
    }

    pub fn apply<S: Sink>(
        &mut self,
        frame: &Frame,
        command: &Command,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        match command {
            Command::Deposit(deposit) => self.deposit(deposit, out),
            Command::Lend(lend) => self.lend(frame, lend, out),
            Command::Withdraw(withdraw) => self.withdraw(frame, withdraw, out),
            Command::Return(back) => self.take_back(back, out),
            Command::SetPositionMode(set) => self.set_position_mode(frame, set, out),
            Command::Held(held) => self.take_held(held, out),
            Command::MarginCall(call) => self.margin_call(frame, call, out),
            Command::Debt(debt) => self.take_debt(debt, out),
            Command::LinkAck(ack) => self.acked(ack, out),
            Command::Tick(_) => {
                self.tick(frame.now, out);
                self.end_changes(frame.now, out);
                self.end_withdrawals(frame.now, out);
                Ok(OrderId::NONE)
            }
            Command::Place(_)
            | Command::TestPlace(_)
            | Command::Amend(_)
            | Command::Cancel(_)
            | Command::CancelAll(_)
            | Command::PlaceAlgo(_)
            | Command::CancelAlgo(_)
            | Command::CancelAllAlgos(_)
            | Command::Countdown(_)
            | Command::SetLeverage(_)
            | Command::SetMarginMode(_)
            | Command::MoveMargin(_)
            | Command::SetFees(_)
            | Command::Settle(_)
            | Command::ListSymbol(_)
            | Command::SetBrackets(_)
            | Command::SetSymbolState(_)
            | Command::IndexPrices(_)
            | Command::LinkState(_)
            | Command::Grant(_)
            | Command::Recall(_)
            | Command::Hold(_)
            | Command::Release(_) => Err(Reject::WrongShard.into()),
            Command::Open(_) | Command::Genesis(_) => Err(Reject::Unsupported.into()),
        }
    }

    /// When the patience of the first lend, call, change of mode or withdrawal ends.
    pub fn wake_at(&self) -> Option<Micros> {
        let lend = self.pending.first().map(|pending| pending.deadline);
        let call = self.calls.first().map(|pending| pending.deadline);
        let change = self.changes.first().map(|change| change.deadline);
        let withdrawal = self.withdrawals.first().map(|withdrawal| withdrawal.deadline);
        [lend, call, change, withdrawal].into_iter().flatten().min()
    }

    /// Messages the shards have not acknowledged.
    pub fn outbox(&self) -> impl Iterator<Item = (ShardId, u64, Command)> + '_ {
        (0..).zip(&self.links).flat_map(|(shard, link)| {
            link.outbox(ShardId::LEDGER).map(move |(n, command)| (ShardId(shard), n, command))
        })
    }

    pub fn digest(&self, into: &mut Digest) {
        into.add(self.deposits).add_len(self.wallets.len());
        for place in self.index.iter().filter_map(|place| place.checked_sub(1)) {
            let wallet = &self.wallets[place as usize];
            into.add(wallet.account.0).add(wallet.free).add(wallet.transfer).add(wallet.shards);
            into.add(wallet.mode as u8).add(wallet.withdrawal).add(wallet.debt);
            wallet.lent.iter().for_each(|lent| {
                into.add(*lent);
            });
        }
        self.links.iter().for_each(|link| link.digest(into));
        for waiting in [&self.pending, &self.calls] {
            into.add_len(waiting.len());
            waiting.iter().for_each(|pending| pending.digest(into));
        }
        into.add_len(self.changes.len());
        self.changes.iter().for_each(|change| change.digest(into));
        into.add_len(self.withdrawals.len());
        self.withdrawals.iter().for_each(|withdrawal| withdrawal.digest(into));
    }

    pub fn load(
        genesis: &Genesis,
        capacity: &Capacity,
        saved: &mut Saved<'_>,
    ) -> Result<Self, LoadError> {
        let mut ledger = Self { deposits: saved.take()?, ..Self::new(genesis, capacity) };
        (ledger.index[0], ledger.wallets) = (0, Vec::with_capacity(capacity.accounts + 1));
        for _ in 0..saved.len()? {
            let account = AccountId(saved.take()?);
            sound(Accounts::may_hold(account) && ledger.find(account).is_none())?;
            let at = ledger.open(account);
            let wallet = &mut ledger.wallets[at];
            (wallet.free, wallet.transfer) = (saved.take()?, saved.take()?);
            wallet.shards = saved.take()?;
            wallet.mode = saved.word(PositionMode::from_u8)?;
            (wallet.withdrawal, wallet.debt) = (saved.take()?, saved.take()?);
            for lent in &mut wallet.lent {
                *lent = saved.take()?;
            }
        }
        sound(ledger.find(AccountId::INSURANCE).is_some())?;
        for link in &mut ledger.links {
            *link = Link::load(saved)?;
        }
        ledger.pending = ledger.load_pending(saved)?;
        ledger.calls = ledger.load_pending(saved)?;
        for _ in 0..saved.len()? {
            let change = Change::load(saved)?;
            sound(ledger.changes.len() < PENDING_MODES_MAX)?;
            ledger.changes.push(change);
        }
        for _ in 0..saved.len()? {
            let withdrawal = Withdrawal::load(saved)?;
            let known = ledger.find(withdrawal.account).is_some();
            sound(known && ledger.withdrawals.len() < PENDING_WITHDRAWALS_MAX)?;
            ledger.withdrawals.push(withdrawal);
        }
        Ok(ledger)
    }

    fn deposit<S: Sink>(&mut self, deposit: &Deposit, out: &mut Output<'_, S>) -> Verdict {
        require(Accounts::may_hold(deposit.account), Reject::UnknownAccount)?;
        require((1..=CASH_MAX).contains(&deposit.amount), Reject::AmountInvalid)?;
        let known = self.find(deposit.account).map(|at| self.wallets[at]);
        let (last, free) = known.map_or((0, 0), |wallet| (wallet.transfer, wallet.free));
        require(deposit.transfer > last, Reject::TransferDuplicate)?;
        let deposits = self.deposits + i128::from(deposit.amount);
        let bounded = free <= CASH_MAX - deposit.amount && deposits <= DEPOSITS_MAX;
        require(bounded, Reject::AmountInvalid)?;
        self.deposits = deposits;
        let at = self.open(deposit.account);
        self.wallets[at].transfer = deposit.transfer;
        self.move_free(at, CashReason::Deposit, ShardId::LEDGER, deposit.amount, out);
        self.repay(at, out);
        Ok(OrderId::NONE)
    }

    /// Takes a shard's next message; tells, in any case, how far it is.
    pub(super) fn take<S: Sink>(
        &mut self,
        from: ShardId,
        link_seq: u64,
        out: &mut Output<'_, S>,
    ) -> Result<(), Refusal> {
        let link = &mut self.links[usize::from(from.0)];
        let next = link.check_next(link_seq);
        if next.is_ok() {
            link.advance();
        }
        out.emit(&LinkApplied { peer: from, _pad: [0; 7], link_seq: link.applied() });
        next
    }

    fn acked<S: Sink>(&mut self, ack: &LinkAck, out: &mut Output<'_, S>) -> Verdict {
        let peer = ack.peer;
        require((1..self.shards).contains(&peer.0), Reject::Malformed)?;
        let link = &mut self.links[usize::from(peer.0)];
        link.ack(ack.link_seq)?;
        out.emit(&LinkAcked { peer, _pad: [0; 7], link_seq: link.acked() });
        Ok(OrderId::NONE)
    }

    fn move_free<S: Sink>(
        &mut self,
        at: usize,
        reason: CashReason,
        shard: ShardId,
        delta: Cash,
        out: &mut Output<'_, S>,
    ) {
        let wallet = &mut self.wallets[at];
        wallet.free = rules::money::cash(i128::from(wallet.free) + i128::from(delta));
        out.emit(&CashChanged {
            account: wallet.account,
            reason,
            shard,
            _pad: [0; 2],
            cash: wallet.free,
            delta,
            lent: wallet.lent[usize::from(shard.0)],
        });
    }

    fn find(&self, id: AccountId) -> Option<usize> {
        let place = self.index.get(id.0 as usize)?.checked_sub(1)?;
        Some(place as usize)
    }

    fn open(&mut self, id: AccountId) -> usize {
        if let Some(at) = self.find(id) {
            return at;
        }
        if self.index.len() <= id.0 as usize {
            self.index.resize((id.0 as usize + 1).next_power_of_two(), 0);
        }
        self.wallets.push(Wallet { account: id, ..Wallet::default() });
        self.index[id.0 as usize] = self.wallets.len() as u32;
        self.wallets.len() - 1
    }
}
