//! A trading shard's accounts and its link; orders and symbols have files of their own.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{
    AccountId, Command, Event, Reject, ShardId,
    command::Recall,
    event::{CashChanged, LinkAcked, LinkApplied, ReturnIssued},
    instrument::{Brackets, SymbolSpec},
    limits::{ACCOUNTS_MAX, CASH_MAX, EARMARK_US, EVENTS_PER_COMMAND_MAX, LINK_WINDOW_MAX},
    order::{CashReason, PositionSide, SelfTradePrevention, Side, TimeInForce},
};

use super::{
    Answer, Context,
    algos::{Algo, Job},
    calls::Call,
    funding::{Pricing, Round},
    liquidation::Due,
    margin::{Hold, Sums, ceil_div},
    no,
};

/// An account's position on a symbol, or its long or short one.
pub type Leg = (u32, u16, PositionSide);

#[derive(Clone)]
pub struct Order {
    pub id: u64,
    pub account: u32,
    pub position: PositionSide,
    pub side: Side,
    pub price: i64,
    pub qty: i64,
    pub filled: i64,
    pub quote: i128,
    pub tif: TimeInForce,
    pub stp: SelfTradePrevention,
    pub reduce: bool,
    pub good_till: u64,
    pub client: Vec<u8>,
    pub hold: Hold,
    pub amends: u32,
    /// The conditional order it stems from; 0: none.
    pub algo: u64,
    /// The engine's own, for no fee.
    pub forced: bool,
}

impl Order {
    pub fn left(&self) -> i64 {
        self.qty - self.filled
    }

    pub fn leg(&self, symbol: u16) -> Leg {
        (self.account, symbol, self.position)
    }
}

#[derive(Clone)]
pub struct Market {
    pub spec: SymbolSpec,
    pub brackets: Option<Brackets>,
    pub mark: i64,
    /// What positions are closed at while the symbol is being settled.
    pub settlement: Option<i64>,
    /// All that rest, first come first.
    pub orders: Vec<Order>,
    pub order_ids: u64,
    /// Those that wait, first come first.
    pub algos: Vec<Algo>,
    pub algo_ids: u64,
    /// Price of the last trade; 0: none yet.
    pub last: i64,
    pub trade_ids: u64,
    pub updates: u64,
    pub pricing: Pricing,
    /// The funding that some have not been booked in yet.
    pub round: Option<Round>,
}

#[derive(Clone, Copy, Default)]
pub struct Holding {
    pub qty: i128,
    pub entry: i128,
    /// What an isolated position has for itself, out of the account's cash.
    pub wallet: i128,
}

/// What an account has chosen, or was given, on a symbol.
#[derive(Clone, Copy, Default)]
pub struct Chosen {
    pub leverage: Option<u8>,
    pub fees: Option<(i64, i64)>,
    pub isolated: bool,
}

#[derive(Clone, Default)]
pub struct Account {
    pub cash: i128,
    pub earmark: i128,
    pub earmark_until: u64,
    /// When it has used what it has, and when somebody looks whether it does.
    pub used: u64,
    pub alarm: Option<u64>,
    /// Has had its margin call, and not come out of need since.
    pub warned: bool,
    pub holdings: BTreeMap<(u16, PositionSide), Holding>,
    pub chosen: BTreeMap<u16, Chosen>,
    pub hedge: bool,
    /// The ledger changes the mode: no orders.
    pub held: bool,
}

#[derive(Clone)]
pub struct Shard {
    me: u8,
    pub markets: BTreeMap<u16, Market>,
    pub accounts: BTreeMap<u32, Account>,
    applied: u64,
    pub sent: u64,
    pub acked: u64,
    pub now: u64,
    pub events: Vec<Event>,
    /// Levels and reservations as they were before this command.
    pub levels_before: Vec<(Side, i64, i64)>,
    pub sums_before: Vec<(Leg, Sums)>,
    /// What has come due: in earlier frames, and in this one.
    pub queue: Vec<Job>,
    pub fresh: Vec<Job>,
    /// When an account's orders on a symbol are cancelled.
    pub countdowns: BTreeMap<(u32, u16), u64>,
    /// Liquidations, by pool.
    pub dues: BTreeMap<Leg, Due>,
    /// What a part of was closed since its symbol's last mark, with others to come.
    pub parted: BTreeSet<Leg>,
    /// Open margin calls, the oldest first.
    pub calls: Vec<Call>,
    /// What the log says of it, if it says anything.
    pub hears_ledger: Option<bool>,
    /// Events of the frame that have been looked at for who used his money.
    pub uses_seen: usize,
    /// When the ledger was heard again after a silence.
    pub heard_again: u64,
    /// A mark has moved in this frame.
    pub moved: bool,
    /// The frame's events may not become more than these.
    pub ceiling: usize,
    /// The second of the last tick.
    pub second: u64,
}

impl Shard {
    pub fn new(me: u8) -> Self {
        Self {
            me,
            markets: BTreeMap::new(),
            // the insurance fund is there from the beginning
            accounts: BTreeMap::from([(0, Account::default())]),
            applied: 0,
            sent: 0,
            acked: 0,
            now: 0,
            events: Vec::new(),
            levels_before: Vec::new(),
            sums_before: Vec::new(),
            queue: Vec::new(),
            fresh: Vec::new(),
            countdowns: BTreeMap::new(),
            dues: BTreeMap::new(),
            parted: BTreeSet::new(),
            calls: Vec::new(),
            hears_ledger: None,
            uses_seen: 0,
            heard_again: 0,
            moved: false,
            ceiling: 0,
            second: 0,
        }
    }

    pub fn holding(&self, (account, symbol, side): Leg) -> Holding {
        let known = self.accounts.get(&account);
        known.and_then(|known| known.holdings.get(&(symbol, side))).copied().unwrap_or_default()
    }

    pub fn holding_mut(&mut self, (account, symbol, side): Leg) -> &mut Holding {
        let known = self.accounts.entry(account).or_default();
        known.holdings.entry((symbol, side)).or_default()
    }

    pub fn chosen(&self, account: u32, symbol: u16) -> Chosen {
        let known = self.accounts.get(&account);
        known.and_then(|known| known.chosen.get(&symbol)).copied().unwrap_or_default()
    }

    pub fn chosen_mut(&mut self, account: u32, symbol: u16) -> &mut Chosen {
        self.accounts.entry(account).or_default().chosen.entry(symbol).or_default()
    }

    pub(super) fn apply(
        &mut self,
        context: &Context,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Answer {
        let answer = self.dispatch(context, command);
        events.append(&mut self.take_events());
        answer
    }

    /// Does what came due in earlier frames.
    pub(super) fn begin_frame(&mut self, now: u64, most: usize) {
        self.now = now;
        self.work(most);
        self.ceiling = EVENTS_PER_COMMAND_MAX;
    }

    fn dispatch(&mut self, context: &Context, command: &Command) -> Answer {
        match command {
            Command::Place(body) | Command::TestPlace(body) => self.book_account(body.account.0),
            Command::Amend(body) => self.book_account(body.account.0),
            Command::PlaceAlgo(body) => self.book_account(body.account.0),
            Command::SetLeverage(body) => self.book_account(body.account.0),
            Command::SetMarginMode(body) => self.book_account(body.account.0),
            Command::MoveMargin(body) => self.book_account(body.account.0),
            Command::Recall(body) => self.book_account(body.account.0),
            Command::Hold(body) => self.book_account(body.account.0),
            _ => {}
        }
        let (account, symbol) = match command {
            Command::Place(order) | Command::TestPlace(order) => (order.account, order.symbol),
            Command::Amend(amend) => (amend.account, amend.symbol),
            Command::Cancel(cancel) => (cancel.account, cancel.symbol),
            Command::CancelAll(all) => (all.account, all.symbol),
            Command::SetLeverage(set) => (set.account, set.symbol),
            Command::SetMarginMode(set) => (set.account, set.symbol),
            Command::MoveMargin(set) => (set.account, set.symbol),
            Command::SetFees(set) => (set.account, set.symbol),
            Command::ListSymbol(spec) => return self.list(spec, self.me),
            Command::SetBrackets(brackets) => return self.set_brackets(brackets),
            Command::SetSymbolState(set) => return self.set_state(set.symbol.0, set.state),
            Command::Settle(settle) => return self.begin_settling(settle.symbol.0, settle.price),
            Command::IndexPrices(prices) => return self.set_index(prices),
            Command::Grant(_) | Command::Recall(_) | Command::LinkAck(_) => {
                return self.link(context, command);
            }
            Command::Hold(hold) => return self.hold(hold),
            Command::Release(release) => return self.release(release),
            Command::LinkState(state) => {
                if state.peer.0 != 0 {
                    return no(Reject::Malformed);
                }
                if state.up && self.hears_ledger != Some(true) {
                    self.heard_again = self.now;
                }
                self.hears_ledger = Some(state.up);
                return Ok(0);
            }
            Command::Tick(_) => {
                self.tick();
                return Ok(0);
            }
            Command::Deposit(_)
            | Command::Lend(_)
            | Command::Return(_)
            | Command::SetPositionMode(_)
            | Command::Withdraw(_)
            | Command::Held(_)
            | Command::MarginCall(_)
            | Command::Debt(_) => return no(Reject::WrongShard),
            Command::PlaceAlgo(terms) => (terms.account, terms.symbol),
            Command::CancelAlgo(cancel) => (cancel.account, cancel.symbol),
            Command::CancelAllAlgos(all) => (all.account, all.symbol),
            Command::Countdown(set) => (set.account, set.symbol),
            Command::Open(_) | Command::Genesis(_) => unreachable!("handled before"),
        };
        if account.0 == 0 || account.0 as usize > ACCOUNTS_MAX {
            return no(Reject::UnknownAccount);
        }
        let held = self.accounts.get(&account.0).is_some_and(|known| known.held);
        let moves = matches!(
            command,
            Command::Amend(_)
                | Command::SetLeverage(_)
                | Command::SetMarginMode(_)
                | Command::MoveMargin(_)
        );
        if held && moves {
            return no(Reject::AccountHeld);
        }
        let tries = matches!(
            command,
            Command::Place(_)
                | Command::Amend(_)
                | Command::SetLeverage(_)
                | Command::MoveMargin(_)
        );
        if context.last_try
            && tries
            && let Some(known) = self.accounts.get_mut(&account.0)
        {
            known.earmark = 0;
        }
        if !self.markets.contains_key(&symbol.0) {
            return no(Reject::UnknownSymbol);
        }
        match command {
            Command::Place(order) => self.place(order, context.last_try),
            Command::TestPlace(order) => self.clone().place(order, context.last_try).map(|_| 0),
            Command::Amend(amend) => self.amend(amend, context.last_try),
            Command::Cancel(cancel) => self.cancel(cancel),
            Command::CancelAll(_) => self.cancel_all(account.0, symbol.0),
            Command::PlaceAlgo(terms) => self.place_algo(terms),
            Command::CancelAlgo(cancel) => self.cancel_algo(cancel),
            Command::CancelAllAlgos(_) => self.cancel_all_algos(account.0, symbol.0),
            Command::Countdown(set) => self.set_countdown(set),
            Command::SetLeverage(set) => self.set_leverage(set, context.last_try),
            Command::SetMarginMode(set) => self.set_margin_mode(set),
            Command::MoveMargin(set) => self.move_margin(set, context.last_try),
            Command::SetFees(set) => self.set_fees(set),
            _ => unreachable!("the rest has been handled"),
        }
    }

    fn link(&mut self, context: &Context, command: &Command) -> Answer {
        let (account, amount, link_seq, least) = match command {
            Command::Grant(grant) => {
                let least = i64::from(grant.call == 0);
                (grant.account, grant.amount, grant.link_seq, least)
            }
            Command::Recall(recall) => (recall.account, recall.amount, recall.link_seq, 0),
            Command::LinkAck(ack) => {
                if ack.peer.0 != 0 || ack.link_seq > self.sent {
                    return no(Reject::Malformed);
                }
                self.acked = self.acked.max(ack.link_seq);
                let link_seq = self.acked;
                let event = LinkAcked { peer: ShardId(0), _pad: [0; 7], link_seq };
                self.events.push(Event::LinkAcked(event));
                return Ok(0);
            }
            _ => unreachable!("not of a link"),
        };
        if account.0 as usize > ACCOUNTS_MAX || amount < least || amount > CASH_MAX {
            return no(Reject::Malformed);
        }
        if matches!(command, Command::Recall(_)) && self.sent - self.acked >= LINK_WINDOW_MAX as u64
        {
            return no(Reject::ShardFull);
        }
        self.take(link_seq)?;
        if let Command::Recall(recall) = command {
            self.give_back(recall);
            return Ok(0);
        }
        let known = self.accounts.entry(account.0).or_default();
        if amount > 0 {
            if context.now >= known.earmark_until {
                known.earmark = 0;
            }
            known.earmark += i128::from(amount);
            known.earmark_until = context.now + EARMARK_US;
            self.move_cash(account, CashReason::GrantApplied, amount.into());
        }
        if let Command::Grant(grant) = command {
            self.close_call(account.0, grant.call, Some(grant.amount));
        }
        Ok(0)
    }

    /// The ledger's next message and no other.
    pub fn take(&mut self, link_seq: u64) -> Result<(), (Reject, i64)> {
        let before = self.applied;
        self.applied += u64::from(link_seq == before + 1);
        let event = LinkApplied { peer: ShardId(0), _pad: [0; 7], link_seq: self.applied };
        self.events.push(Event::LinkApplied(event));
        if link_seq <= before {
            return no(Reject::Duplicate);
        }
        if link_seq > before + 1 {
            return Err((Reject::SessionGap, before as i64));
        }
        Ok(())
    }

    fn give_back(&mut self, recall: &Recall) {
        let Recall { account, amount: most, lend, urgent, .. } = *recall;
        if urgent && self.accounts.contains_key(&account.0) {
            self.free_margin(account.0);
        }
        let mut amount = 0;
        if let Some(known) = self.accounts.get(&account.0) {
            let earmark = if self.now < known.earmark_until { known.earmark } else { 0 };
            let spare = if urgent {
                let (equity, maintenance) = self.cross_pool(account.0);
                equity - ceil_div(6 * maintenance, 5) - earmark
            } else if known.held {
                self.spare(account.0)
            } else {
                self.available(account.0) - earmark
            };
            amount = spare.clamp(0, most.into());
        }
        if amount > 0 {
            self.move_cash(account, CashReason::ReturnIssued, -amount);
        }
        self.sent += 1;
        let (link_seq, amount) = (self.sent, amount as i64);
        let event = ReturnIssued { link_seq, account, _pad: 0, amount, lend };
        self.events.push(Event::ReturnIssued(event));
    }

    /// Changes what the insurance fund has.
    pub fn move_fund(&mut self, delta: i128) {
        if delta != 0 {
            self.move_cash(AccountId(0), CashReason::Insurance, delta);
        }
    }

    pub fn move_cash(&mut self, account: AccountId, reason: CashReason, delta: i128) {
        let known = self.accounts.get_mut(&account.0).unwrap();
        known.cash += delta;
        self.events.push(Event::CashChanged(CashChanged {
            account,
            reason,
            shard: ShardId(0),
            _pad: [0; 2],
            cash: known.cash as i64,
            delta: delta as i64,
            lent: 0,
        }));
    }
}
