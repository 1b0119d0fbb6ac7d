//! Accounts on this shard: their cash, and what they hold of each symbol.
//!
//! An account comes into being with its first grant, setting or accepted order. What it has on a
//! symbol is a holding, in hedge mode one for each leg; an account's holdings are linked, because
//! most have one or two.

use alloc::{vec, vec::Vec};

use prefetch::{LINE, prefetch, prefetch_front};
use protocol::{
    AccountId, Cash, Lots, Micros, Rate,
    limits::{ACCOUNTS_MAX, FILLS_MAX},
    order::{HoldState, MarginMode, PositionMode, PositionSide, Side},
};
use rules::{
    Exposure, Position,
    margin::{Reserved, Totals},
};

use crate::{
    bands::Band,
    book::Slot,
    due::{Due, PoolAt},
    hash::Digest,
    saved::{LoadError, Saved, sound},
    shard::need::amount_takes,
    sweeps::Sweeps,
    symbols::Quote,
    triggers::AlgoAt,
};

/// Holdings of an account that are found without a walk.
const NEAR: usize = 4;

/// Accounts that a frame may change before the note of them allocates.
const TOUCHED_WARM: usize = 4 * FILLS_MAX as usize;

/// A holding's place; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HoldingAt(u32);

impl HoldingAt {
    const NONE: Self = Self(0);

    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An account's money on this shard.
///
/// What nearly each command of it reads is in its first cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Account {
    pub id: AccountId,
    first: HoldingAt,
    /// Where to look first for a leg: see [`near`].
    near: [HoldingAt; NEAR],
    pub cash: Cash,
    /// When it used what it has last: see [`crate::sweeps`].
    pub used: Micros,
    /// When to look whether it rests; 0: not until it is used.
    pub alarm: Micros,
    pub mode: PositionMode,
    /// The ledger is about to change the mode: no orders until it has.
    pub held: bool,
    /// Its open call is because it is in need: it opens nothing until the call is closed.
    pub in_need: bool,
    /// It has had its call, and not come out of need since.
    pub warned: bool,
    /// A unit of pending work is to look at its need: the state's digest tells it with the work.
    pub need_queued: bool,
    /// This frame has changed it.
    is_touched: bool,
    /// The next mark looks at it.
    waits_for_mark: bool,
    /// The liquidation of its cross positions.
    pub due: Due,
    // The second line.
    /// What is left of its way to the line of a margin call wherever its marks are inside their
    /// bands, at the least: see [`crate::shard`]'s part on need for its unit.
    pub spare: u128,
    /// Its open margin call, by its place in the shard's stream to the ledger; 0: none.
    pub call: u64,
    /// Granted for an order that has not come yet: not returnable until then or `earmark_until`.
    pub earmark: Cash,
    pub earmark_until: Micros,
    /// Its conditional orders that wait.
    pub algos: u32,
}

/// What an account has on one symbol, or on one leg of it. What is chosen for a symbol (leverage,
/// margin mode, fees) is the same on all its legs.
///
/// What tells its margin is in its first two cache lines.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Holding {
    /// The account's and the symbol's places in this shard.
    pub account: u32,
    next: HoldingAt,
    pub symbol: u16,
    pub side: PositionSide,
    /// 0: the account has not chosen one.
    pub leverage: u8,
    /// The symbol's last funding that has been booked.
    pub funded: u32,
    pub exposure: Exposure,
    /// The marks that guard it.
    pub band: Band,
    /// Rates of its own.
    pub fees: Option<Fees>,
    /// The turn that touched its reservations last, which takes a note of them once.
    pub touched: u64,
    pub orders: OpenOrders,
    pub algos: WaitingAlgos,
    /// The liquidation of an isolated position.
    pub due: Due,
    /// At which of its symbol's marks, by their low bits, a part of it was closed that has others
    /// to come.
    pub parted: u16,
}

const _: () = assert!(size_of::<Account>() == 2 * LINE && size_of::<Holding>() == 3 * LINE);
const _: () = assert!(core::mem::offset_of!(Account, spare) == LINE);
const _: () = assert!(core::mem::offset_of!(Holding, touched) + size_of::<u64>() == 2 * LINE);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    pub maker: Rate,
    pub taker: Rate,
}

/// The resting orders of a holding, linked in the order of their accepts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenOrders {
    pub count: u32,
    pub first: Slot,
    pub last: Slot,
    /// Remaining lots by side.
    pub lots: [Lots; 2],
    /// Orders and lots that are reduce-only: all on the side that closes the position.
    pub reducing: u32,
    pub reducing_lots: Lots,
}

/// The conditional orders of a holding that wait, linked in the order of their accepts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WaitingAlgos {
    pub first: Option<AlgoAt>,
    pub last: Option<AlgoAt>,
    /// Those that close the position, whatever it is when they fire.
    pub closing: u32,
}

impl Account {
    /// Its bands are those of what it has now, and they keep it above the line of a margin call.
    pub fn is_well_guarded(&self) -> bool {
        let looked_at = !self.is_touched && !self.waits_for_mark && !self.need_queued;
        looked_at && !self.warned && self.call == 0 && self.due == Due::default()
    }

    /// So much may go and it is above the line of a margin call all the same.
    pub fn spares(&self, amount: i128) -> bool {
        let spare = i128::try_from(self.spare).unwrap_or(i128::MAX);
        self.is_well_guarded() && amount_takes(amount) <= spare
    }

    /// What must not be returned now.
    pub const fn earmarked(&self, now: Micros) -> Cash {
        if now < self.earmark_until { self.earmark } else { 0 }
    }
}

impl Holding {
    /// The next one of its account.
    pub fn next(&self) -> Option<HoldingAt> {
        Some(self.next).filter(|at| *at != HoldingAt::NONE)
    }

    pub const fn leverage(&self, quote: &Quote) -> u8 {
        if self.leverage == 0 { quote.default_leverage } else { self.leverage }
    }

    pub fn fees(&self, quote: &Quote) -> Fees {
        self.fees.unwrap_or(quote.fees)
    }

    pub fn initial_margin(&self, quote: &Quote) -> i128 {
        self.exposure.initial_margin(quote.mark, quote.mult, self.leverage(quote))
    }

    /// Lots of an order of this side that only close the position, after the resting orders of
    /// its side.
    pub fn closes(&self, side: Side, qty: Lots) -> bool {
        let closable = self.exposure.position.closable(side.sign());
        self.orders.lots[side as usize] + qty <= closable
    }
}

#[derive(Default)]
pub(crate) struct Accounts {
    /// By account id: its place + 1; 0: unknown here.
    index: Vec<u32>,
    list: Vec<Account>,
    /// The first is nobody's.
    holdings: Vec<Holding>,
    /// Behind the highest account id.
    ids_end: u32,
    /// Orders that rest on this shard.
    pub resting: usize,
    /// Conditional orders that wait on this shard.
    pub waiting: usize,
    /// Accounts whose cash or positions this frame has changed.
    touched: Vec<u32>,
    /// Those that have changed since their bands were set, for the next mark to look at.
    for_mark: Vec<u32>,
    pub sweeps: Sweeps,
}

impl Accounts {
    pub fn with_capacity(accounts: usize) -> Self {
        let mut holdings = vec![Holding::default()];
        holdings.reserve(accounts);
        Self {
            index: vec![0; accounts + 1],
            list: Vec::with_capacity(accounts),
            holdings,
            ids_end: 1,
            resting: 0,
            waiting: 0,
            touched: Vec::with_capacity(TOUCHED_WARM),
            for_mark: Vec::with_capacity(accounts),
            sweeps: Sweeps::with_capacity(accounts),
        }
    }

    /// True for ids that an account can have which clients may name.
    pub const fn is_id(id: AccountId) -> bool {
        0 < id.0 && Self::may_hold(id)
    }

    /// True for ids that hold money: those of [`Self::is_id`] and the insurance fund's.
    pub const fn may_hold(id: AccountId) -> bool {
        id.0 as usize <= ACCOUNTS_MAX
    }

    pub fn find(&self, id: AccountId) -> Option<u32> {
        self.index.get(id.0 as usize).and_then(|place| place.checked_sub(1))
    }

    /// The account's place; it comes into being if it must.
    pub fn open(&mut self, id: AccountId) -> u32 {
        assert!(Self::may_hold(id), "account ids are checked on entry");
        if let Some(at) = self.find(id) {
            return at;
        }
        if self.index.len() <= id.0 as usize {
            self.index.resize((id.0 as usize + 1).next_power_of_two(), 0);
        }
        self.list.push(Account { id, ..Account::default() });
        self.ids_end = self.ids_end.max(id.0 + 1);
        self.index[id.0 as usize] = self.list.len() as u32;
        self.list.len() as u32 - 1
    }

    /// Behind the highest account id; 1 when there are no accounts.
    pub const fn ids_end(&self) -> u32 {
        self.ids_end
    }

    /// There are more of them than this.
    #[inline]
    pub const fn are_many(&self, than: usize) -> bool {
        self.list.len() > than
    }

    /// Asks for where an account's id is looked up.
    #[inline]
    pub fn prefetch_id(&self, id: AccountId) {
        self.index.get(id.0 as usize).into_iter().for_each(prefetch);
    }

    /// Asks for what an account most likely has on a symbol, and for the first of what it has.
    #[inline]
    pub fn prefetch_holdings(&self, place: u32, symbol: u16) {
        let account = self.account(place);
        let near = account.near[near(symbol, PositionSide::Both)];
        prefetch(self.holding(near));
        if account.first != near {
            prefetch_front(self.holding(account.first));
        }
    }

    pub fn account(&self, at: u32) -> &Account {
        &self.list[at as usize]
    }

    pub fn account_mut(&mut self, at: u32) -> &mut Account {
        &mut self.list[at as usize]
    }

    /// Notes that an account's cash or positions change.
    #[inline]
    pub fn touch(&mut self, at: u32) {
        if !core::mem::replace(&mut self.list[at as usize].is_touched, true) {
            self.touched.push(at);
        }
    }

    /// All accounts are to be looked at at the next mark.
    pub fn touch_all(&mut self) {
        (0..self.list.len() as u32).for_each(|at| self.await_mark(at));
    }

    #[inline]
    pub fn take_touched(&mut self) -> Option<u32> {
        let at = self.touched.pop()?;
        self.list[at as usize].is_touched = false;
        Some(at)
    }

    /// Notes that an account is to be looked at at the next mark.
    pub fn await_mark(&mut self, at: u32) {
        if !core::mem::replace(&mut self.list[at as usize].waits_for_mark, true) {
            self.for_mark.push(at);
        }
    }

    pub fn take_for_mark(&mut self) -> Option<u32> {
        let at = self.for_mark.pop()?;
        self.list[at as usize].waits_for_mark = false;
        Some(at)
    }

    pub fn holding(&self, at: HoldingAt) -> &Holding {
        &self.holdings[at.index()]
    }

    pub fn holding_mut(&mut self, at: HoldingAt) -> &mut Holding {
        &mut self.holdings[at.index()]
    }

    /// What the account has on a symbol: one holding in one-way mode, in hedge mode up to one a
    /// leg beside the one that keeps what was chosen.
    pub fn legs(&self, id: AccountId, symbol: u16) -> impl Iterator<Item = (HoldingAt, &Holding)> {
        let all = self.find(id).into_iter().flat_map(|at| self.holdings_of(at));
        all.filter(move |(_, holding)| holding.symbol == symbol)
    }

    /// A leg that nothing has been done with yet: only what was chosen for its symbol.
    pub fn blank(&self, id: AccountId, symbol: u16, side: PositionSide) -> Holding {
        let blank = Holding { symbol, side, ..Holding::default() };
        let Some((_, sibling)) = self.legs(id, symbol).next() else { return blank };
        let Holding { leverage, fees, exposure, .. } = sibling;
        let exposure = Exposure { mode: exposure.mode, ..Exposure::default() };
        Holding { leverage: *leverage, fees: *fees, exposure, ..blank }
    }

    /// What the account has on a leg of a symbol, if it ever had anything there.
    pub fn find_holding(
        &self,
        id: AccountId,
        symbol: u16,
        side: PositionSide,
    ) -> Option<HoldingAt> {
        let at = self.find(id)?;
        let same = |holding: &Holding| holding.symbol == symbol && holding.side == side;
        let near = self.list[at as usize].near[near(symbol, side)];
        if near != HoldingAt::NONE && same(self.holding(near)) {
            return Some(near);
        }
        self.holdings_of(at).find(|(_, holding)| same(holding)).map(|(at, _)| at)
    }

    /// As [`Self::find_holding`]; account and holding come into being if they must.
    pub fn open_holding(&mut self, id: AccountId, symbol: u16, side: PositionSide) -> HoldingAt {
        if let Some(at) = self.find_holding(id, symbol, side) {
            return at;
        }
        let blank = self.blank(id, symbol, side);
        let account = self.open(id);
        let at = HoldingAt(self.holdings.len() as u32);
        let owner = &mut self.list[account as usize];
        owner.near[near(symbol, side)] = at;
        let next = core::mem::replace(&mut owner.first, at);
        self.holdings.push(Holding { account, next, ..blank });
        at
    }

    /// How far a pool's liquidation has come.
    pub fn due_mut(&mut self, pool: PoolAt) -> &mut Due {
        match pool {
            PoolAt::Cross(at) => &mut self.account_mut(at).due,
            PoolAt::Isolated(at) => &mut self.holding_mut(at).due,
        }
    }

    /// Whose pool it is, by its place.
    pub fn owner_of(&self, pool: PoolAt) -> u32 {
        match pool {
            PoolAt::Cross(at) => at,
            PoolAt::Isolated(at) => self.holding(at).account,
        }
    }

    /// Equity and initial margin of an account over the shard's symbols.
    pub fn totals(&self, at: u32, quotes: &[Quote]) -> Totals {
        self.totals_but(at, None, quotes)
    }

    /// As [`Self::totals`], but for the margin of one holding.
    pub fn totals_but(&self, at: u32, other: Option<HoldingAt>, quotes: &[Quote]) -> Totals {
        let mut totals = Totals::of_cash(i128::from(self.account(at).cash));
        for (at, holding) in self.holdings_of(at) {
            if holding.exposure.is_blank() {
                continue;
            }
            let quote = &quotes[usize::from(holding.symbol)];
            totals.add_equity(&holding.exposure, quote.mark, quote.mult);
            if other != Some(at) {
                totals.initial_margin += holding.initial_margin(quote);
            }
        }
        totals
    }

    pub fn holdings_of(&self, at: u32) -> impl Iterator<Item = (HoldingAt, &Holding)> {
        let first = self.list[at as usize].first;
        core::iter::successors(Some(first), |at| Some(self.holdings[at.index()].next))
            .take_while(|at| *at != HoldingAt::NONE)
            .map(|at| (at, &self.holdings[at.index()]))
    }

    /// An account's holdings one by one, for those who change things in between.
    pub fn first_holding(&self, at: u32) -> Option<HoldingAt> {
        Some(self.account(at).first).filter(|at| *at != HoldingAt::NONE)
    }

    pub fn next_holding(&self, at: HoldingAt) -> Option<HoldingAt> {
        self.holding(at).next()
    }

    /// The first of an account's holdings, by symbol and leg, whose orders reserve margin.
    pub fn first_reserving(&self, at: u32) -> Option<HoldingAt> {
        let reserving = |holding: &Holding| holding.orders.count > holding.orders.reducing;
        let all = self.holdings_of(at).filter(|(_, holding)| reserving(holding));
        all.min_by_key(|(_, holding)| (holding.symbol, holding.side as u8)).map(|(at, _)| at)
    }

    /// What of an account stands against a change of its position mode.
    pub fn hold_state(&self, at: u32) -> HoldState {
        let any = |is: fn(&Holding) -> bool| self.holdings_of(at).any(|(_, holding)| is(holding));
        if self.account(at).algos > 0 || any(|holding| holding.orders.count > 0) {
            HoldState::HasOrders
        } else if any(|holding| holding.exposure.position.qty != 0) {
            HoldState::HasPosition
        } else {
            HoldState::Clean
        }
    }

    /// The places of all accounts, by id.
    pub fn places(&self) -> impl Iterator<Item = u32> + '_ {
        self.index.iter().filter_map(|place| place.checked_sub(1))
    }

    /// Every holding is on one of so many symbols.
    pub fn are_on(&self, symbols: u16) -> bool {
        self.holdings.iter().skip(1).all(|holding| holding.symbol < symbols)
    }

    /// Accounts by id, the holdings of each by symbol and leg; orders are hashed with their books.
    pub fn digest(&self, into: &mut Digest) {
        into.add_len(self.list.len());
        for place in self.places() {
            let account = self.account(place);
            into.add(account.id.0).add(account.cash).add(account.earmark);
            into.add(account.earmark_until).add(account.mode as u8).add_flag(account.held);
            into.add_flag(account.warned).add(account.used).add(account.alarm);
            account.due.digest(into);
            let holdings = self.by_symbol(place);
            into.add_len(holdings.len());
            for at in holdings {
                digest_holding(self.holding(at), into);
            }
        }
    }

    /// Their lists of orders are empty until these are loaded.
    pub fn load(accounts: usize, saved: &mut Saved<'_>) -> Result<Self, LoadError> {
        let mut loaded = Self::with_capacity(accounts);
        for _ in 0..saved.len()? {
            let id = AccountId(saved.take()?);
            sound(Self::may_hold(id) && loaded.find(id).is_none())?;
            let at = loaded.open(id);
            let account = loaded.account_mut(at);
            (account.cash, account.earmark) = (saved.take()?, saved.take()?);
            account.earmark_until = saved.take()?;
            (account.mode, account.held) = (saved.word(PositionMode::from_u8)?, saved.flag()?);
            (account.warned, account.used) = (saved.flag()?, saved.take()?);
            let alarm = saved.take()?;
            account.due = Due::load(saved)?;
            if alarm != 0 {
                loaded.set_alarm(at, alarm);
            }
            loaded.await_mark(at);
            for _ in 0..saved.len()? {
                let read = load_holding(saved)?;
                sound(loaded.find_holding(id, read.symbol, read.side).is_none())?;
                let at = loaded.open_holding(id, read.symbol, read.side);
                let Holding { account, next, .. } = *loaded.holding(at);
                *loaded.holding_mut(at) = Holding { account, next, ..read };
            }
        }
        Ok(loaded)
    }

    /// An account's holdings by symbol and leg, however they came to be.
    pub fn by_symbol(&self, place: u32) -> Vec<HoldingAt> {
        let mut holdings: Vec<HoldingAt> = self.holdings_of(place).map(|pair| pair.0).collect();
        holdings.sort_by_key(|at| {
            let holding = self.holding(*at);
            (holding.symbol, holding.side as u8)
        });
        holdings
    }
}

/// The place of a leg among its account's [`Account::near`], which it shares with others.
const fn near(symbol: u16, side: PositionSide) -> usize {
    (symbol as usize + side as usize) % NEAR
}

fn load_holding(saved: &mut Saved<'_>) -> Result<Holding, LoadError> {
    let symbol = saved.take()?;
    let (side, leverage) = (saved.word(PositionSide::from_u8)?, saved.take()?);
    let fees = match saved.flag()? {
        false => None,
        true => Some(Fees { maker: saved.take()?, taker: saved.take()? }),
    };
    let exposure = Exposure {
        position: Position { qty: saved.take()?, entry: saved.take()? },
        mode: saved.word(MarginMode::from_u8)?,
        wallet: saved.take()?,
        reserved: Reserved {
            buy: saved.take()?,
            sell: saved.take()?,
            loss: saved.take()?,
            fee: saved.take()?,
        },
    };
    let orders = OpenOrders {
        count: saved.take()?,
        lots: [saved.take()?, saved.take()?],
        reducing: saved.take()?,
        reducing_lots: saved.take()?,
        first: Slot::NONE,
        last: Slot::NONE,
    };
    let (funded, parted, due) = (saved.take()?, saved.take()?, Due::load(saved)?);
    Ok(Holding {
        symbol,
        side,
        leverage,
        fees,
        exposure,
        orders,
        funded,
        parted,
        due,
        ..Holding::default()
    })
}

fn digest_holding(holding: &Holding, into: &mut Digest) {
    let Exposure { position, reserved, mode, wallet } = holding.exposure;
    into.add(holding.symbol).add(holding.side as u8).add(holding.leverage);
    match holding.fees {
        None => into.add(0u8),
        Some(fees) => into.add(1u8).add(fees.maker).add(fees.taker),
    };
    into.add(position.qty).add(position.entry).add(mode as u8).add(wallet);
    into.add(reserved.buy).add(reserved.sell).add(reserved.loss).add(reserved.fee);
    let orders = &holding.orders;
    into.add(orders.count).add(orders.lots[0]).add(orders.lots[1]);
    into.add(orders.reducing).add(orders.reducing_lots).add(holding.funded);
    into.add(holding.parted);
    holding.due.digest(into);
}
