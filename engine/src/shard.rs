//! A trading shard: symbols, accounts, and the link to the ledger that their money comes over.

use protocol::{
    AccountId, AlgoId, Micros, OrderId, Reject, SessionId, ShardId, SymbolId,
    command::{CancelAll, Command, Genesis, Place},
    limits::EVENTS_PER_COMMAND_MAX,
    order::{CallKind, PositionSide},
};

use self::{ahead::Sight, deleverage::Search};
use crate::{
    accounts::Accounts,
    bands::Bands,
    calls::Calls,
    client_ids::ClientIds,
    countdowns::Countdowns,
    dated::DatedOrders,
    desk::{Changes, Desk},
    engine::{Capacity, Frame},
    foresight::Foresight,
    funding::Pools,
    hash::Digest,
    limits::{UNIT_EVENTS_MAX, WORK_EVENTS_MAX},
    links::Link,
    orders::Plan,
    output::{Output, Sink},
    saved::{LoadError, Saved, sound},
    symbols::Symbols,
    triggers::Answer,
    verdict::{Refusal, Verdict, require},
    work::{Job, Unit, Work},
};

pub(crate) mod ahead;
mod calls;
mod deleverage;
mod fund;
mod liquidation;
mod modes;
mod money;
pub(crate) mod need;
mod open;
mod sweep;

pub(crate) struct Shard {
    id: ShardId,
    symbols: Symbols,
    accounts: Accounts,
    clients: ClientIds,
    algo_clients: ClientIds,
    work: Work,
    countdowns: Countdowns,
    calls: Calls,
    dated: DatedOrders,
    bands: Bands,
    /// The frame's time.
    now: Micros,
    /// Commands and units of pending work that were begun.
    turn: u64,
    ledger: Link,
    /// Fees taken, less rebates.
    fees: i128,
    pools: Pools,
    changes: Changes,
    foresight: Foresight,
    sight: Sight,
}

impl Shard {
    pub fn new(genesis: &Genesis, capacity: &Capacity) -> Self {
        let mut accounts = Accounts::with_capacity(capacity.accounts);
        accounts.open(AccountId::INSURANCE);
        Self {
            id: genesis.shard,
            symbols: Symbols::with_capacity(capacity.orders),
            accounts,
            clients: ClientIds::new(&genesis.secret, capacity.orders),
            algo_clients: ClientIds::new(&genesis.secret, 0),
            work: Work::new(),
            countdowns: Countdowns::default(),
            calls: Calls::new(),
            dated: DatedOrders::default(),
            bands: Bands::default(),
            now: 0,
            turn: 0,
            ledger: Link::new(),
            fees: 0,
            pools: Pools::new(),
            changes: Changes::with_capacity(EVENTS_PER_COMMAND_MAX),
            foresight: Foresight::with_capacity(protocol::limits::FILLS_MAX as usize),
            sight: Sight::default(),
        }
    }

    pub fn apply<S: Sink>(
        &mut self,
        frame: &Frame,
        command: &Command,
        out: &mut Output<'_, S>,
    ) -> Verdict {
        let frame = &self.book_funding(frame, command, out);
        match command {
            Command::Place(order) => {
                self.tried(frame, order.account);
                self.planned(frame, order, |desk, plan| desk.place(order, plan, AlgoId::NONE, out))
            }
            Command::TestPlace(order) => self.planned(frame, order, |_, _| OrderId::NONE),
            Command::Amend(amend) => {
                self.check_moves(amend.account)?;
                self.tried(frame, amend.account);
                self.desk(frame, amend.symbol)?.amend(amend, frame.last_try, out)
            }
            Command::Cancel(cancel) => {
                check_account(cancel.account)?;
                self.desk(frame, cancel.symbol)?.cancel(cancel, out)
            }
            Command::CancelAll(CancelAll { account, symbol, .. }) => {
                check_account(*account)?;
                self.desk(frame, *symbol)?.cancel_all(*account, out)
            }
            Command::PlaceAlgo(terms) => {
                check_account(terms.account)?;
                self.desk(frame, terms.symbol)?.place_algo(terms, out)
            }
            Command::CancelAlgo(cancel) => {
                check_account(cancel.account)?;
                self.desk(frame, cancel.symbol)?.cancel_algo(cancel, out)
            }
            Command::CancelAllAlgos(CancelAll { account, symbol, .. }) => {
                check_account(*account)?;
                self.desk(frame, *symbol)?.cancel_all_algos(*account, out)
            }
            Command::SetLeverage(set) => {
                self.check_moves(set.account)?;
                self.tried(frame, set.account);
                self.desk(frame, set.symbol)?.set_leverage(set, frame.last_try, out)
            }
            Command::SetMarginMode(set) => {
                self.check_moves(set.account)?;
                self.desk(frame, set.symbol)?.set_margin_mode(set, out)
            }
            Command::MoveMargin(set) => {
                self.check_moves(set.account)?;
                self.tried(frame, set.account);
                self.desk(frame, set.symbol)?.move_margin(set, frame.last_try, out)
            }
            Command::SetFees(set) => {
                check_account(set.account)?;
                self.desk(frame, set.symbol)?.set_fees(set, out)
            }
            Command::ListSymbol(spec) => done(self.symbols.list(spec, self.id, frame.now, out)),
            Command::SetBrackets(brackets) => {
                self.accounts.touch_all();
                done(self.symbols.set_brackets(brackets, out))
            }
            Command::SetSymbolState(set) => {
                done(self.symbols.set_state(set.symbol, set.state, out))
            }
            Command::Settle(settle) => {
                done(self.symbols.begin_settling(settle, &mut self.work, out))
            }
            Command::IndexPrices(prices) => {
                done(self.symbols.set_index(prices, frame.now, &mut self.work, out))
            }
            Command::Grant(grant) => self.grant(frame, grant, out),
            Command::Recall(recall) => self.recall(frame, recall, out),
            Command::LinkAck(ack) => self.acked(ack, out),
            Command::LinkState(state) => {
                require(state.peer == ShardId::LEDGER, Reject::Malformed)?;
                self.calls.set_link(state.up, frame.now);
                Ok(OrderId::NONE)
            }
            Command::Tick(_) => {
                self.symbols.tick(frame.now, &mut self.work, out);
                Ok(OrderId::NONE)
            }
            Command::Hold(hold) => self.hold(hold, out),
            Command::Release(release) => self.release(release, out),
            Command::Deposit(_)
            | Command::Lend(_)
            | Command::Return(_)
            | Command::SetPositionMode(_)
            | Command::Withdraw(_)
            | Command::Held(_)
            | Command::MarginCall(_)
            | Command::Debt(_) => Err(Reject::WrongShard.into()),
            Command::Countdown(set) => {
                check_account(set.account)?;
                self.desk(frame, set.symbol)?.set_countdown(set, out)
            }
            Command::Open(_) | Command::Genesis(_) => Err(Reject::Unsupported.into()),
        }
    }

    /// Messages the ledger has not acknowledged.
    pub fn outbox(&self) -> impl Iterator<Item = (ShardId, u64, Command)> + '_ {
        self.ledger.outbox(self.id).map(|(n, command)| (ShardId::LEDGER, n, command))
    }

    pub fn digest(&self, into: &mut Digest) {
        self.symbols.digest(into);
        self.accounts.digest(into);
        self.ledger.digest(into);
        into.add(self.fees).add(self.turn);
        self.pools.digest(into);
        self.digest_orders(into);
        self.digest_algos(into);
        self.work.digest(into);
        self.countdowns.digest(into);
        self.digest_calls(into);
    }

    pub fn load(
        genesis: &Genesis,
        capacity: &Capacity,
        saved: &mut Saved<'_>,
    ) -> Result<Self, LoadError> {
        let mut shard = Self {
            symbols: Symbols::load(capacity.orders, saved)?,
            accounts: Accounts::load(capacity.accounts, saved)?,
            ledger: Link::load(saved)?,
            fees: saved.take()?,
            turn: saved.take()?,
            ..Self::new(genesis, capacity)
        };
        sound(shard.accounts.are_on(shard.symbols.len()))?;
        sound(shard.accounts.find(AccountId::INSURANCE).is_some())?;
        shard.pools = Pools::load(shard.symbols.quotes(), saved)?;
        shard.load_orders(saved)?;
        shard.load_algos(saved)?;
        shard.work = Work::load(saved)?;
        let listed = |symbol| shard.symbols.find(symbol).is_ok();
        sound(shard.work.symbols().all(listed))?;
        for account in shard.work.needs() {
            if let Some(at) = shard.accounts.find(account) {
                shard.accounts.account_mut(at).need_queued = true;
            }
        }
        shard.countdowns = Countdowns::load(saved, |account, symbol| {
            let at = shard.symbols.find(symbol).ok()?;
            shard.accounts.find_holding(account, at, PositionSide::Both)
        })?;
        shard.load_calls(saved)?;
        Ok(shard)
    }

    /// Does pending work: so many units at the most, and none after many events.
    #[inline]
    pub fn work<S: Sink>(&mut self, now: Micros, most: usize, out: &mut Output<'_, S>) {
        self.now = now;
        if !self.work.is_empty() || self.has_come(now) || self.may_sweep(now) {
            self.work_off(now, most, out);
        }
    }

    #[cold]
    fn work_off<S: Sink>(&mut self, now: Micros, most: usize, out: &mut Output<'_, S>) {
        let mut left = most;
        while left > 0 && out.events() <= WORK_EVENTS_MAX {
            let mut weight = 1;
            if let Some(ended) = self.countdowns.take_ended(now) {
                self.work_desk(now, ended.symbol, out).countdown_ended(ended.account, out);
            } else if let Some(call) = self.calls.take_ended(now) {
                self.close_call(call.account, call.number, Answer::Silence);
            } else if let Some(at) = self.symbols.due_funding(now) {
                let Self { symbols, pools, work, .. } = self;
                symbols.begin_round(at, now, pools, work, out);
            } else if let Some(job) = self.work.next() {
                weight = job.unit.weight();
                self.do_job(now, job, out);
            } else if let Some(over) = self.dated.take_ended(now) {
                self.work_desk(now, over.symbol, out).end_dated(over.slot, out);
            } else if self.may_sweep(now)
                && let Some(at) = self.accounts.take_alarm(now)
            {
                self.sweep(now, at, out);
            } else {
                return;
            }
            left = left.saturating_sub(weight);
        }
    }

    /// Ends a frame: what came due in it is done before the next commands.
    #[inline]
    pub fn close_frame(&mut self) {
        if core::mem::take(&mut self.symbols.moved) {
            self.look_for_need();
        } else {
            self.guard_touched();
        }
        self.work.close_frame();
    }

    /// The log time from which on a tick has work to do.
    pub fn wake_at(&self, now: Micros) -> Option<Micros> {
        // an alarm waits for the next tick, but alarms that are left over do not
        let busy = !self.work.is_empty() || self.may_sweep(now);
        if busy { Some(now) } else { self.next_at() }
    }

    /// A margin call is open.
    pub fn awaits_ledger(&self) -> bool {
        !self.calls.is_empty()
    }

    /// When things come due by themselves, kind by kind.
    #[inline]
    fn dates(&self) -> [Option<Micros>; 4] {
        let (countdowns, dated) = (self.countdowns.next_at(), self.dated.next_at());
        [countdowns, self.calls.next_at(), self.symbols.next_funding, dated]
    }

    /// Something has come due by itself.
    #[inline]
    fn has_come(&self, now: Micros) -> bool {
        self.dates().map(|at| at.is_some_and(|at| at <= now)).contains(&true)
    }

    /// When something comes due by itself.
    fn next_at(&self) -> Option<Micros> {
        self.dates().into_iter().flatten().min()
    }

    fn do_job<S: Sink>(&mut self, now: Micros, job: Job, out: &mut Output<'_, S>) {
        let mut scratch = core::mem::take(&mut self.foresight);
        let may_call = self.ledger.has_room();
        match job.unit {
            Unit::Gone { account, leg, through } => {
                self.work_desk(now, job.symbol, out).expire_closing(account, leg, through, out);
            }
            Unit::Fire { count } => {
                let mut desk = self.work_desk(now, job.symbol, out);
                if let Some(short) = desk.fire(count, may_call, &mut scratch, out) {
                    self.call(now, short.account, CallKind::Order, short.amount, out);
                }
            }
            Unit::Need { account } => self.call_for_need(now, account, out),
            Unit::Liquidate { account, leg } => {
                self.liquidate(now, (job.symbol, account, leg), &mut scratch, out);
            }
            Unit::Deleverage { account, leg, isolated, from, best } => {
                let due = (account, leg);
                let search = Search { symbol: job.symbol, due, isolated, from, best };
                self.seek_counterparty(now, &search, &mut scratch, out);
            }
            Unit::Unwind => self.unwind(now, job.symbol, &mut scratch, out),
            Unit::Fund { from } => {
                let Self { symbols, accounts, pools, work, .. } = self;
                let at = symbols.find(job.symbol).expect("work is on listed symbols");
                let residue = pools.book_slice((symbols, accounts), at, from, work, out);
                self.move_fund(residue, out);
            }
            Unit::Clear { from } => self.work_desk(now, job.symbol, out).clear_slice(from, out),
            Unit::Settle { from } => self.work_desk(now, job.symbol, out).settle_slice(from, out),
        }
        self.foresight = scratch;
    }

    /// Books the pending funding of the account that a command is about, before it is judged. The
    /// frame's command has so much less room.
    #[inline]
    fn book_funding<S: Sink>(
        &mut self,
        frame: &Frame,
        command: &Command,
        out: &mut Output<'_, S>,
    ) -> Frame {
        let before = out.events();
        if !self.pools.are_settled()
            && let Some(account) = command.judged_account()
        {
            self.pools.book_all(&mut self.accounts, account, self.symbols.quotes(), out);
        }
        Frame { room: frame.room - (out.events() - before), ..*frame }
    }

    /// Where a unit of pending work is done.
    fn work_desk<S: Sink>(
        &mut self,
        now: Micros,
        symbol: SymbolId,
        out: &Output<'_, S>,
    ) -> Desk<'_> {
        let frame = Frame {
            seq: 0,
            now,
            session: SessionId::NONE,
            number: 0,
            last_try: true,
            ceiling: out.events() + UNIT_EVENTS_MAX,
            room: UNIT_EVENTS_MAX,
        };
        self.desk(&frame, symbol).expect("work is on listed symbols")
    }

    /// Plans a new order and, if it passes, does something with it.
    fn planned(
        &mut self,
        frame: &Frame,
        order: &Place,
        then: impl FnOnce(&mut Desk<'_>, &Plan) -> OrderId,
    ) -> Verdict {
        check_account(order.account)?;
        let mut scratch = core::mem::take(&mut self.foresight);
        let verdict = match self.desk(frame, order.symbol) {
            Ok(mut desk) => match desk.plan(order, frame.last_try, &mut scratch) {
                Ok(plan) => Ok(then(&mut desk, &plan)),
                Err(refusal) => Err(refusal),
            },
            Err(reject) => Err(reject.into()),
        };
        self.foresight = scratch;
        verdict
    }

    fn desk(&mut self, frame: &Frame, symbol: SymbolId) -> Result<Desk<'_>, Reject> {
        let at = self.symbols.find(symbol)?;
        Ok(self.desk_at(frame, at))
    }

    /// The desk of the symbol at a place.
    fn desk_at(&mut self, frame: &Frame, at: u16) -> Desk<'_> {
        let (symbol, quotes) = self.symbols.split(at);
        self.turn += 1;
        Desk {
            turn: self.turn,
            now: frame.now,
            ceiling: frame.ceiling,
            room: frame.room,
            at,
            symbol,
            quotes,
            accounts: &mut self.accounts,
            clients: &mut self.clients,
            algo_clients: &mut self.algo_clients,
            work: &mut self.work,
            countdowns: &mut self.countdowns,
            dated: &mut self.dated,
            bands: &mut self.bands,
            changes: &mut self.changes,
            fees: &mut self.fees,
            pools: &mut self.pools,
        }
    }

    /// True for an account's id, but of one that the ledger holds.
    fn check_moves(&self, id: AccountId) -> Result<(), Reject> {
        check_account(id)?;
        let held = self.accounts.find(id).is_some_and(|at| self.accounts.account(at).held);
        require(!held, Reject::AccountHeld)
    }

    /// The order that a grant was made for has come: the rest of the grant is free.
    fn tried(&mut self, frame: &Frame, account: AccountId) {
        if !frame.last_try {
            return;
        }
        if let Some(at) = self.accounts.find(account) {
            self.accounts.account_mut(at).earmark = 0;
        }
    }
}

fn check_account(id: AccountId) -> Result<(), Reject> {
    require(Accounts::is_id(id), Reject::UnknownAccount)
}

fn done(result: Result<(), Reject>) -> Verdict {
    result.map(|()| OrderId::NONE).map_err(Refusal::from)
}
