//! How one event changes the accounts, and what of it goes to the store and to its owners.

use protocol::{
    AccountId, Cash, Event, EventKind, Lots, OrderId, ShardId, SymbolId, Ticks, TradeId,
    event::{self, EventHeader},
    limits::EVENTS_PER_COMMAND_MAX,
    order::{CashReason, OrderStatus, PositionSide, Side},
};

use super::{Account, Accounts, Recent};
use crate::{
    store::{
        Row,
        row::{
            AmendmentRow, CashRow, Fees, FillRow, IncomeKind, IncomeRow, LentRow, SlotRow, Sums,
        },
    },
    views::{
        Effects,
        instruments::Instruments,
        notice::{
            AccountNotice, Cause, Execution, Filled, OrderNotice, PositionNotice, UserNotice,
        },
        order::Order,
    },
};

/// One event on its way into the accounts.
pub(super) struct Step<'a> {
    pub accounts: &'a mut Accounts,
    pub shard: ShardId,
    pub header: &'a EventHeader,
    pub instruments: &'a Instruments,
    pub effects: &'a mut Effects,
}

/// What both sides of a trade have in common, or what a settlement has instead.
struct Traded {
    trade: TradeId,
    symbol: SymbolId,
    price: Ticks,
    qty: Lots,
}

impl Traded {
    const fn of(trade: &event::Trade) -> Self {
        Self { trade: trade.trade, symbol: trade.symbol, price: trade.price, qty: trade.qty }
    }

    const fn of_settled(settled: &event::PositionSettled) -> Self {
        let &event::PositionSettled { trade, symbol, price, qty, .. } = settled;
        Self { trade, symbol, price, qty }
    }
}

impl Step<'_> {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::OrderAccepted(accepted) => self.accept(accepted),
            Event::Trade(trade) => self.trade(trade),
            Event::PositionSettled(settled) => {
                self.fill(&Traded::of_settled(settled), &settled.fill, settled.side, false);
            }
            Event::OrderAmended(amended) => self.amend(amended),
            Event::OrderClosed(closed) => self.close(closed),
            Event::Reserved(reserved) => {
                let leg = reserved.position_side;
                let slot = self.slot(reserved.account, reserved.symbol, leg);
                slot.reserved = Sums {
                    buy: reserved.buy,
                    sell: reserved.sell,
                    loss: reserved.loss,
                    fee: reserved.fee,
                };
                self.keep_slot(reserved.account, reserved.symbol, leg);
            }
            Event::SettingsChanged(settings) => self.settings(settings),
            Event::FeesChanged(fees) => {
                let slot = self.slot(fees.account, fees.symbol, PositionSide::Both);
                slot.fees = Some(Fees { maker: fees.maker, taker: fees.taker });
                self.keep_slot(fees.account, fees.symbol, PositionSide::Both);
            }
            Event::Mark(mark) => self.mark(mark),
            Event::CashChanged(cash) => self.cash(cash),
            Event::FundingPaid(paid) => self.funding(paid),
            Event::LiquidationFeePaid(paid) => self.liquidation_fee(paid),
            Event::MarginCallIssued(call) => self.margin_call(call),
            Event::Outcome(_) => self.end_command(),
            Event::AlgoAccepted(accepted) => self.accept_algo(accepted),
            Event::AlgoChanged(changed) => self.change_algo(changed),
            Event::MarginMoved(moved) => self.margin(moved),
            Event::PositionModeChanged(changed) => self.mode(changed),
            Event::CountdownSet(_)
            | Event::PositionModeSettled(_)
            | Event::HoldIssued(_)
            | Event::ReleaseIssued(_)
            | Event::HeldIssued(_)
            | Event::Funding(_)
            | Event::FundingEnded(_)
            | Event::DebtIssued(_)
            | Event::SessionOpened(_)
            | Event::Level(_)
            | Event::SymbolListed(_)
            | Event::BracketsSet(_)
            | Event::SymbolStateChanged(_)
            | Event::LendSettled(_)
            | Event::WithdrawalSettled(_)
            | Event::GrantIssued(_)
            | Event::RecallIssued(_)
            | Event::ReturnIssued(_)
            | Event::LinkApplied(_)
            | Event::LinkAcked(_) => {}
        }
    }

    fn accept(&mut self, accepted: &event::OrderAccepted) {
        let algo = self.account(accepted.account).algo_of(accepted.symbol, accepted.order);
        let named = !accepted.client_id.is_empty();
        let order = Order {
            order: accepted.order,
            account: accepted.account,
            symbol: accepted.symbol,
            side: accepted.side,
            order_type: accepted.order_type,
            time_in_force: accepted.time_in_force,
            self_trade: accepted.self_trade,
            price_match: accepted.price_match,
            position_side: accepted.position_side,
            reduce_only: accepted.reduce_only,
            wanted_by: accepted.origin,
            status: OrderStatus::New,
            price: accepted.price,
            qty: accepted.qty,
            cum_qty: 0,
            cum_quote: 0,
            good_till: accepted.good_till,
            client_id: if named {
                accepted.client_id
            } else {
                Order::own_client_id(accepted.order, accepted.origin)
            },
            origin: algo.map(|algo| algo.origin()),
            created: self.header.ts,
            updated: self.header.ts,
        };
        self.account(order.account).add_open(order);
        self.tell_order(order, Execution::New);
    }

    fn trade(&mut self, trade: &event::Trade) {
        let (traded, maker_side) = (Traded::of(trade), trade.taker_side.opposite());
        self.fill(&traded, &trade.taker, trade.taker_side, false);
        self.fill(&traded, &trade.maker, maker_side, true);
    }

    fn fill(&mut self, trade: &Traded, fill: &event::Fill, side: Side, maker: bool) {
        let (id, ts, symbol) = (fill.account, self.header.ts, trade.symbol);
        let order = self.filled_order(symbol, fill);

        let shard = self.shard;
        let account = self.account(id);
        account.updated = ts;
        let leg = fill.position_side;
        let slot = slot_of(account, id, symbol, leg);
        slot.position = fill.position;
        slot.entry = fill.entry;
        slot.wallet = fill.isolated_wallet;
        slot.realized = slot.realized.saturating_add(fill.pnl);
        slot.updated = ts;
        let cash = account.cash.entry(shard).or_default();
        cash.cash = fill.cash;
        cash.updated = ts;

        self.keep_slot(id, symbol, leg);
        self.keep_cash(id);
        self.record_fill(trade, fill, side, maker);
        let filled = Filled {
            trade: trade.trade,
            price: trade.price,
            qty: trade.qty,
            fee: fill.fee,
            pnl: fill.pnl,
            maker,
        };
        let account_notice = self.position_notice(id, symbol, leg, Cause::Order);
        if let Some(order) = order {
            let notice = self.order_notice(order, Execution::Trade(filled));
            self.tell(id, UserNotice::TradeLite(Box::new(notice)));
            self.tell(id, UserNotice::Account(account_notice));
            self.tell(id, UserNotice::Order(Box::new(notice)));
            self.effects.rows.push(Row::Order(Box::new(order)));
            self.follow_order(&order);
            self.tell_forced(&order);
        } else {
            self.tell(id, UserNotice::Account(account_notice));
        }
    }

    /// The order as a fill leaves it; it moves to the closed ones when nothing of it is left.
    fn filled_order(&mut self, symbol: SymbolId, fill: &event::Fill) -> Option<Order> {
        let ts = self.header.ts;
        let account = self.account(fill.account);
        let Some(order) = account.open.get_mut(&(symbol, fill.order)) else {
            self.stranger(EventKind::Trade, symbol, fill.order);
            return None;
        };
        order.status = fill.status;
        order.cum_qty = fill.cum_qty;
        order.cum_quote = fill.cum_quote;
        order.updated = ts;
        let order = *order;
        if order.status == OrderStatus::Filled {
            account.close(order);
            self.recent(fill.account, Recent::Order(symbol, order.order));
        }
        Some(order)
    }

    /// Writes the fill into the account's history: the trade itself, its profit and its fee.
    fn record_fill(&mut self, trade: &Traded, fill: &event::Fill, side: Side, maker: bool) {
        let quote = self
            .instruments
            .get(trade.symbol)
            .map_or(0, |instrument| narrow(instrument.notional(trade.price, trade.qty)));
        let row = FillRow {
            account: fill.account,
            symbol: trade.symbol,
            trade: trade.trade,
            order: fill.order,
            side,
            position_side: fill.position_side,
            maker,
            price: trade.price,
            qty: trade.qty,
            quote,
            fee: fill.fee,
            pnl: fill.pnl,
            ts: self.header.ts,
        };
        self.account(fill.account).fills.insert((row.symbol, row.trade), row);
        self.recent(fill.account, Recent::Fill(row.symbol, row.trade));
        self.effects.rows.push(Row::Fill(row));

        let amounts = [(IncomeKind::RealizedPnl, fill.pnl), (IncomeKind::Commission, -fill.fee)];
        for (kind, amount) in amounts {
            self.income(IncomeRow {
                account: fill.account,
                ts: self.header.ts,
                kind,
                id: trade_income_id(trade),
                symbol: trade.symbol,
                amount,
                trade: trade.trade,
            });
        }
    }

    pub(super) fn income(&mut self, row: IncomeRow) {
        if row.amount == 0 {
            return;
        }
        let key = (row.ts, row.kind, row.id);
        self.account(row.account).incomes.insert(key, row);
        self.recent(row.account, Recent::Income(key));
        self.effects.rows.push(Row::Income(row));
    }

    fn amend(&mut self, amended: &event::OrderAmended) {
        let ts = self.header.ts;
        let id = event_id(self.header);
        let account = self.account(amended.account);
        let Some(order) = account.open.get_mut(&(amended.symbol, amended.order)) else {
            return self.stranger(EventKind::OrderAmended, amended.symbol, amended.order);
        };
        let row = AmendmentRow {
            account: amended.account,
            symbol: amended.symbol,
            order: amended.order,
            id,
            client_id: order.client_id,
            price_before: order.price,
            price_after: amended.price,
            qty_before: order.qty,
            qty_after: amended.qty,
            ts,
        };
        order.price = amended.price;
        order.qty = amended.qty;
        order.cum_qty = amended.cum_qty;
        order.cum_quote = amended.cum_quote;
        order.updated = ts;
        let order = *order;
        let key = (row.symbol, row.order, row.id);
        account.amendments.insert(key, row);
        self.recent(amended.account, Recent::Amendment(key));
        self.effects.rows.push(Row::Amendment(row));
        self.tell_order(order, Execution::Amendment);
    }

    fn close(&mut self, closed: &event::OrderClosed) {
        let ts = self.header.ts;
        let account = self.account(closed.account);
        let Some(order) = account.open.get(&(closed.symbol, closed.order)) else {
            return self.stranger(EventKind::OrderClosed, closed.symbol, closed.order);
        };
        let order = Order {
            status: closed.status,
            qty: closed.qty,
            cum_qty: closed.cum_qty,
            cum_quote: closed.cum_quote,
            updated: ts,
            ..*order
        };
        account.close(order);
        self.recent(closed.account, Recent::Order(closed.symbol, closed.order));
        self.tell_order(order, Execution::Closed(closed.reason));
        self.follow_order(&order);
        self.tell_forced(&order);
    }

    fn cash(&mut self, change: &event::CashChanged) {
        let (shard, ts) = (self.shard, self.header.ts);
        let id = change.account;
        let account = self.account(id);
        let cash = account.cash.entry(shard).or_default();
        cash.cash = change.cash;
        cash.updated = ts;
        let income = match change.reason {
            CashReason::Deposit | CashReason::Withdraw => Some(IncomeKind::Transfer),
            CashReason::Funding => Some(IncomeKind::Funding),
            CashReason::Insurance | CashReason::Advance | CashReason::Repayment => {
                Some(IncomeKind::InsuranceClear)
            }
            CashReason::GrantApplied | CashReason::ReturnIssued => {
                cash.received = cash.received.saturating_add(change.delta);
                None
            }
            CashReason::GrantIssued | CashReason::ReturnTaken => {
                account.lent.insert(change.shard, change.lent);
                let row = LentRow { account: id, shard: change.shard, lent: change.lent };
                self.effects.rows.push(Row::Lent(row));
                None
            }
        };
        self.keep_cash(id);
        // money that only changes its place changes nothing for its owner
        let Some(kind) = income else { return };
        self.account(id).updated = ts;
        self.income(IncomeRow {
            account: id,
            ts,
            kind,
            id: cash_income_id(self.header, shard),
            symbol: SymbolId::NONE,
            amount: change.delta,
            trade: protocol::TradeId::NONE,
        });
        let notice = AccountNotice {
            ts,
            cause: Cause::Cash(change.reason),
            wallet: narrow(self.account(id).wallet()),
            cross_wallet: narrow(self.account(id).cross_wallet()),
            change: change.delta,
            position: None,
        };
        self.tell(id, UserNotice::Account(notice));
    }

    fn funding(&mut self, paid: &event::FundingPaid) {
        let ts = self.header.ts;
        let (id, symbol, leg) = (paid.account, paid.symbol, paid.position_side);
        self.set_cash(id, paid.cash);
        self.slot(id, symbol, leg).wallet = paid.isolated_wallet;
        self.keep_slot(id, symbol, leg);
        self.income(IncomeRow {
            account: id,
            ts,
            kind: IncomeKind::Funding,
            id: funding_income_id(paid),
            symbol,
            amount: paid.amount,
            trade: protocol::TradeId::NONE,
        });
        self.tell_charge(id, symbol, leg, paid.amount, CashReason::Funding);
    }

    /// Tells of money that came or went for a position: with the position, when it has a wallet of
    /// its own.
    pub(super) fn tell_charge(
        &mut self,
        id: AccountId,
        symbol: SymbolId,
        leg: PositionSide,
        change: Cash,
        reason: CashReason,
    ) {
        let isolated = self.account(id).slot(symbol).isolated;
        let told = self.position_notice(id, symbol, leg, Cause::Cash(reason));
        // a cross position is backed by the wallet alone
        let position = told.position.filter(|_| isolated);
        self.tell(id, UserNotice::Account(AccountNotice { change, position, ..told }));
    }

    fn end_command(&mut self) {
        let (shard, seq, ts) = (self.shard, self.header.seq, self.header.ts);
        self.effects.rows.push(Row::Boundary { shard, seq, ts });
        self.accounts.prune(shard, ts);
    }

    pub(super) fn account(&mut self, account: AccountId) -> &mut Account {
        self.accounts.by_id.entry(account).or_default()
    }

    pub(super) fn slot(
        &mut self,
        account: AccountId,
        symbol: SymbolId,
        leg: PositionSide,
    ) -> &mut SlotRow {
        slot_of(self.account(account), account, symbol, leg)
    }

    pub(super) fn keep_slot(&mut self, account: AccountId, symbol: SymbolId, leg: PositionSide) {
        let slot = *self.slot(account, symbol, leg);
        self.accounts.watch(&slot);
        self.effects.rows.push(Row::Slot(slot));
    }

    /// What a charge has left of an account's cash here.
    pub(super) fn set_cash(&mut self, account: AccountId, cash: Cash) {
        let (shard, ts) = (self.shard, self.header.ts);
        let account_view = self.account(account);
        account_view.updated = ts;
        let at = account_view.cash.entry(shard).or_default();
        (at.cash, at.updated) = (cash, ts);
        self.keep_cash(account);
    }

    fn keep_cash(&mut self, account: AccountId) {
        let shard = self.shard;
        let at = self.account(account).cash.get(&shard).copied().unwrap_or_default();
        self.effects.rows.push(Row::Cash(CashRow {
            account,
            shard,
            cash: at.cash,
            received: at.received,
            updated: at.updated,
        }));
    }

    /// Nobody listens for the insurance fund.
    pub(super) fn tell(&mut self, account: AccountId, notice: UserNotice) {
        if !account.is_insurance() {
            self.effects.user.push((account, notice));
        }
    }

    fn tell_order(&mut self, order: Order, execution: Execution) {
        let notice = self.order_notice(order, execution);
        self.tell(order.account, UserNotice::Order(Box::new(notice)));
        self.effects.rows.push(Row::Order(Box::new(order)));
    }

    fn order_notice(&mut self, order: Order, execution: Execution) -> OrderNotice {
        let leg = order.position_side;
        let reserved = self.slot(order.account, order.symbol, leg).reserved;
        let (bids, asks) = (reserved.buy, reserved.sell);
        OrderNotice { ts: self.header.ts, order, execution, bids, asks }
    }

    /// The wallet and a position as they are now.
    pub(super) fn position_notice(
        &mut self,
        id: AccountId,
        symbol: SymbolId,
        leg: PositionSide,
        cause: Cause,
    ) -> AccountNotice {
        let mark = self.accounts.mark(symbol);
        let ts = self.header.ts;
        let instrument = self.instruments.get(symbol);
        let account = self.account(id);
        let (slot, chosen) = (account.leg(symbol, leg), account.slot(symbol));
        let position = instrument.map(|instrument| {
            let spec = &instrument.spec;
            let position = super::figures::position_of(&slot);
            PositionNotice {
                symbol,
                position_side: leg,
                mode: chosen.margin_mode(),
                wallet: slot.wallet,
                position: slot.position,
                entry: slot.entry,
                realized: slot.realized,
                unrealized: narrow(position.pnl(mark, spec.mult)),
                taker_fee: chosen.fees.map_or(spec.taker_fee, |fees| fees.taker),
            }
        });
        let (wallet, cross_wallet) = (narrow(account.wallet()), narrow(account.cross_wallet()));
        AccountNotice { ts, cause, wallet, cross_wallet, change: 0, position }
    }

    pub(super) fn recent(&mut self, account: AccountId, what: Recent) {
        let (shard, seq, ts) = (self.shard, self.header.seq, self.header.ts);
        self.accounts.recents.push(shard, seq, ts, account, what);
    }

    /// An event about an order that never was accepted here: the log and this view disagree.
    fn stranger(&self, kind: EventKind, symbol: SymbolId, order: OrderId) {
        let (shard, seq) = (self.shard, self.header.seq);
        tracing::error!(%shard, seq, ?kind, %symbol, %order, "an event about an unknown order");
    }
}

fn slot_of(
    account: &mut Account,
    id: AccountId,
    symbol: SymbolId,
    position_side: PositionSide,
) -> &mut SlotRow {
    let empty = SlotRow { account: id, symbol, position_side, ..SlotRow::default() };
    account.slots.entry((symbol, position_side)).or_insert(empty)
}

/// A number of an event that grows with its shard's log and stays below 2^53 for 2^40 frames.
pub(super) fn event_id(header: &EventHeader) -> u64 {
    header.seq * EVENTS_PER_COMMAND_MAX as u64 + u64::from(header.index)
}

/// Symbols of a cluster, as a factor: a trade's and its symbol's number in one.
const SYMBOLS_FACTOR: u64 = 4_096;

fn trade_income_id(trade: &Traded) -> u64 {
    trade.trade.0 * SYMBOLS_FACTOR + u64::from(trade.symbol.0)
}

/// A funding's time, its symbol and the leg that paid, in one.
fn funding_income_id(paid: &event::FundingPaid) -> u64 {
    /// The shortest time between two fundings of a symbol.
    const HOUR_US: u64 = 3_600_000_000;
    let legs = protocol::order::PositionSide::ALL.len() as u64;
    let of_symbol = paid.time / HOUR_US * SYMBOLS_FACTOR + u64::from(paid.symbol.0);
    of_symbol * legs + paid.position_side as u64
}

/// One frame may change an account's cash more than once, and shards count their frames alike.
pub(super) fn cash_income_id(header: &EventHeader, shard: ShardId) -> u64 {
    event_id(header) * protocol::limits::SHARDS_MAX as u64 + u64::from(shard.0)
}

/// Amounts that the engine's limits keep inside an i64, from sums that no limit binds.
pub(super) fn narrow(amount: i128) -> Cash {
    Cash::try_from(amount).unwrap_or(if amount < 0 { Cash::MIN } else { Cash::MAX })
}
