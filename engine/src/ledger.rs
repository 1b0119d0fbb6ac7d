//! The ledger, shard 0: whose money is free and whose is lent to which shard.
//!
//! Gateways ask it to lend. What is free goes at once; when it does not suffice, the other shards
//! are asked for what they can spare, and after a bounded time the answer is what has come back.

use alloc::{vec, vec::Vec};

use protocol::{
    AccountId, Cash, Micros, OrderId, Reject, Seq, SessionId, ShardId,
    command::{Command, Deposit, Genesis, Lend, LinkAck, Return},
    event::{CashChanged, GrantIssued, LendSettled, LinkAcked, LinkApplied, RecallIssued},
    limits::{
        CASH_MAX, PENDING_LENDS_MAX, PENDING_MODES_MAX, PENDING_WITHDRAWALS_MAX, RECALL_WAIT_US,
        SHARDS_MAX,
    },
    order::{CashReason, PositionMode},
};

use crate::{
    accounts::Accounts,
    engine::{Capacity, Frame},
    hash::Digest,
    limits::{DEPOSITS_MAX, LENDS_PER_TICK_MAX},
    links::{Link, Message},
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    verdict::{Verdict, require},
};

mod calls;
mod modes;
mod withdrawals;

use modes::Change;
use withdrawals::Withdrawal;

/// A lend brings at least this part of what is free, so that the next order need not ask again.
const LEND_SHARE: Cash = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Wallet {
    account: AccountId,
    free: Cash,
    /// The last deposit's number.
    transfer: u64,
    /// The last withdrawal's number that was paid out.
    withdrawal: u64,
    /// Net, by shard: what was granted less what came back, which profits can make negative.
    lent: [Cash; SHARDS_MAX],
    /// Shards, as bits, that were ever granted anything: where money of the account may be.
    shards: u16,
    mode: PositionMode,
}

const _: () = assert!(SHARDS_MAX <= u16::BITS as usize);

/// A lend, or a margin call, that waits for what shards give back.
#[derive(Clone, Copy, Debug)]
struct Pending {
    lend: Seq,
    session: SessionId,
    number: u64,
    /// The margin call that it is for, by its place in the shard's stream; 0: a gateway's.
    call: u64,
    /// The account is in need: a part of the amount is worth a grant, and shards are asked
    /// urgently.
    takes_part: bool,
    account: AccountId,
    shard: ShardId,
    amount: Cash,
    deadline: Micros,
    /// Shards, as bits, that have not answered.
    awaited: u16,
}

impl Pending {
    fn digest(&self, into: &mut Digest) {
        into.add(self.lend).add(self.session.0).add(self.number).add(self.call);
        into.add_flag(self.takes_part);
        into.add(self.account.0).add(self.shard.0).add(self.amount);
        into.add(self.deadline).add(self.awaited);
    }

    fn load(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        Ok(Self {
            lend: saved.take()?,
            session: SessionId(saved.take()?),
            number: saved.take()?,
            call: saved.take()?,
            takes_part: saved.flag()?,
            account: AccountId(saved.take()?),
            shard: ShardId(saved.take()?),
            amount: saved.take()?,
            deadline: saved.take()?,
            awaited: saved.take()?,
        })
    }
}

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
        Self {
            shards: genesis.shards,
            index: vec![0; capacity.accounts + 1],
            wallets: Vec::with_capacity(capacity.accounts),
            links: (0..genesis.shards).map(|_| Link::new()).collect(),
            pending: Vec::with_capacity(PENDING_LENDS_MAX),
            calls: Vec::with_capacity(PENDING_LENDS_MAX),
            changes: Vec::with_capacity(PENDING_MODES_MAX),
            withdrawals: Vec::with_capacity(PENDING_WITHDRAWALS_MAX),
            deposits: 0,
        }
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
            | Command::Release(_)
            | Command::Debt(_) => Err(Reject::WrongShard.into()),
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
            into.add(wallet.mode as u8).add(wallet.withdrawal);
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
        for _ in 0..saved.len()? {
            let account = AccountId(saved.take()?);
            sound(Accounts::is_id(account) && ledger.find(account).is_none())?;
            let at = ledger.open(account);
            let wallet = &mut ledger.wallets[at];
            (wallet.free, wallet.transfer) = (saved.take()?, saved.take()?);
            wallet.shards = saved.take()?;
            wallet.mode = saved.word(PositionMode::from_u8)?;
            wallet.withdrawal = saved.take()?;
            for lent in &mut wallet.lent {
                *lent = saved.take()?;
            }
        }
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

    /// Lends or calls that wait, with the room that they have in a new ledger.
    fn load_pending(&self, saved: &mut Saved<'_>) -> Result<Vec<Pending>, LoadError> {
        let mut waiting = Vec::with_capacity(PENDING_LENDS_MAX);
        for _ in 0..saved.len()? {
            let pending = Pending::load(saved)?;
            let known = self.find(pending.account).is_some();
            sound(known && (1..self.shards).contains(&pending.shard.0))?;
            sound(waiting.len() < PENDING_LENDS_MAX)?;
            waiting.push(pending);
        }
        sound(waiting.is_sorted_by_key(|pending| pending.lend))?;
        Ok(waiting)
    }

    fn deposit<S: Sink>(&mut self, deposit: &Deposit, out: &mut Output<'_, S>) -> Verdict {
        require(Accounts::is_id(deposit.account), Reject::UnknownAccount)?;
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
        Ok(OrderId::NONE)
    }

    fn lend<S: Sink>(&mut self, frame: &Frame, lend: &Lend, out: &mut Output<'_, S>) -> Verdict {
        let Lend { account, shard, amount, .. } = *lend;
        let trades = shard != ShardId::LEDGER && shard.0 < self.shards;
        require(trades, Reject::WrongShard)?;
        require((1..=CASH_MAX).contains(&amount), Reject::AmountInvalid)?;
        let at = self.find(account).ok_or(Reject::UnknownAccount)?;
        let pending = Pending {
            lend: frame.seq,
            session: frame.session,
            number: frame.number,
            call: 0,
            takes_part: false,
            account,
            shard,
            amount,
            deadline: frame.now + RECALL_WAIT_US,
            awaited: 0,
        };
        if self.is_leaving(account) {
            self.answer(&pending, out);
            return Ok(OrderId::NONE);
        }
        if self.wallets[at].free >= amount {
            require(self.links[usize::from(shard.0)].has_room(), Reject::LedgerBusy)?;
            self.answer(&pending, out);
            return Ok(OrderId::NONE);
        }
        require(self.pending.len() < PENDING_LENDS_MAX, Reject::LedgerBusy)?;
        let awaited = self.recall(at, &pending, out);
        if awaited == 0 {
            self.answer(&pending, out);
        } else {
            self.pending.push(Pending { awaited, ..pending });
        }
        Ok(OrderId::NONE)
    }

    /// Asks each other shard where the account may have money for what is lacking; returns the
    /// shards asked.
    fn recall<S: Sink>(&mut self, at: usize, pending: &Pending, out: &mut Output<'_, S>) -> u16 {
        let wallet = &self.wallets[at];
        // free may be negative; what is lacking stays within what a message may ask for
        let amount = (i128::from(pending.amount) - i128::from(wallet.free)).min(CASH_MAX.into());
        let (amount, shards) = (amount as Cash, wallet.shards);
        let mut asked = 0;
        for shard in 1..self.shards {
            let elsewhere = shards & 1 << shard != 0 && shard != pending.shard.0;
            if !elsewhere || !self.links[usize::from(shard)].has_room() {
                continue;
            }
            let why = (pending.lend, pending.takes_part);
            self.send_recall(ShardId(shard), pending.account, amount, why, out);
            asked |= 1 << shard;
        }
        asked
    }

    fn send_recall<S: Sink>(
        &mut self,
        to: ShardId,
        account: AccountId,
        amount: Cash,
        (lend, urgent): (Seq, bool),
        out: &mut Output<'_, S>,
    ) {
        let link = &mut self.links[usize::from(to.0)];
        let link_seq = link.send(Message::Recall { lend, urgent }, account, amount);
        out.emit(&RecallIssued { link_seq, account, to, urgent, _pad: [0; 2], amount, lend });
    }

    /// Answers a lend: with a grant when enough is free now, else with nothing.
    fn answer<S: Sink>(&mut self, lend: &Pending, out: &mut Output<'_, S>) {
        let Pending { account, shard, .. } = *lend;
        let to = usize::from(shard.0);
        let at = self.find(account).unwrap_or_else(|| panic!("{account:?} had a wallet"));
        let free = self.wallets[at].free;
        let (mut granted, mut link_seq) = (0, 0);
        let least = if lend.takes_part { 1 } else { lend.amount };
        // an order can wait for a withdrawal, a margin call can't
        let may_have = lend.call != 0 || !self.is_leaving(account);
        if may_have && free >= least && self.links[to].has_room() {
            granted = lend.amount.max(free / LEND_SHARE).min(free);
            self.wallets[at].lent[to] += granted;
            self.wallets[at].shards |= 1 << shard.0;
            self.move_free(at, CashReason::GrantIssued, shard, -granted, out);
            let (call, amount) = (lend.call, granted);
            link_seq = self.links[to].send(Message::Grant { call }, account, amount);
            out.emit(&GrantIssued { link_seq, account, to: shard, _pad: [0; 3], amount, call });
        }
        if lend.call != 0 {
            if granted == 0 {
                self.refuse_call(lend, out);
            }
            return;
        }
        out.emit(&LendSettled {
            session: lend.session,
            number: lend.number,
            lend: lend.lend,
            account,
            shard,
            _pad: [0; 3],
            granted,
            link_seq,
        });
    }

    /// Takes what a shard gave back, and answers the lend it was for when that is decided.
    fn take_back<S: Sink>(&mut self, back: &Return, out: &mut Output<'_, S>) -> Verdict {
        let Return { account, from, amount, lend, link_seq, .. } = *back;
        let link = usize::from(from.0);
        let sane = (1..self.shards).contains(&from.0) && (0..=CASH_MAX).contains(&amount);
        let wallet = self.find(account).filter(|_| sane).ok_or(Reject::Malformed)?;
        let next = self.links[link].check_next(link_seq);
        if next.is_ok() {
            self.links[link].advance();
        }
        let applied = self.links[link].applied();
        out.emit(&LinkApplied { peer: from, _pad: [0; 7], link_seq: applied });
        next?;
        if amount > 0 {
            self.wallets[wallet].lent[link] -= amount;
            self.move_free(wallet, CashReason::ReturnTaken, from, amount, out);
        }
        if !self.came_back(from, lend, account, out) {
            self.recalled(from, lend, account, out);
        }
        Ok(OrderId::NONE)
    }

    /// A shard has given back what a lend or a call has recalled; false: none that waits.
    fn came_back<S: Sink>(
        &mut self,
        from: ShardId,
        lend: Seq,
        account: AccountId,
        out: &mut Output<'_, S>,
    ) -> bool {
        let find = |all: &[Pending]| all.binary_search_by_key(&lend, |pending| pending.lend).ok();
        let free = self.free(account);
        let (waiting, place) = match (find(&self.pending), find(&self.calls)) {
            (Some(place), _) => (&mut self.pending, place),
            (None, Some(place)) => (&mut self.calls, place),
            (None, None) => return false,
        };
        let pending = &mut waiting[place];
        pending.awaited &= !(1 << from.0);
        let decided = pending.awaited == 0 || free >= pending.amount;
        if decided && pending.account == account {
            let pending = waiting.remove(place);
            self.answer(&pending, out);
        }
        true
    }

    /// Answers calls and lends whose patience has ended, a bounded number at once.
    fn tick<S: Sink>(&mut self, now: Micros, out: &mut Output<'_, S>) {
        let over = |all: &[Pending], most: usize| {
            all.iter().take(most).take_while(|pending| pending.deadline <= now).count()
        };
        let calls = over(&self.calls, LENDS_PER_TICK_MAX);
        let lends = over(&self.pending, LENDS_PER_TICK_MAX - calls);
        for place in 0..calls {
            let call = self.calls[place];
            self.answer(&call, out);
        }
        self.calls.drain(..calls);
        for place in 0..lends {
            let lend = self.pending[place];
            self.answer(&lend, out);
        }
        self.pending.drain(..lends);
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
