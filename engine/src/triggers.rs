//! What waits on one symbol for a price: conditional orders on ladders of their own.
//!
//! A condition is a price to be reached from below or from above, so those that wait are kept as
//! a book keeps orders: `Sell` holds what comes true when the price rises to it, `Buy` what does
//! when it falls. A move that makes nothing true costs a look at the best of each ladder.
//!
//! There is a ladder for each price that is looked at (last trade or mark), once more for those
//! under price protection, which are not looked at while the two prices are too far apart. What
//! has come true is lifted out of its ladder: it can be found, and cancelled, but not met again.

use protocol::{
    AccountId, ClientId, Event, EventKind, OrderId, RATE_ONE, SymbolId, Ticks,
    command::PlaceAlgo,
    event::AlgoAccepted,
    limits::PRICE_MAX,
    order::{
        AlgoType, PositionSide, PriceMatch, SelfTradePrevention, Side, TimeInForce, WorkingType,
    },
};

use crate::{
    accounts::HoldingAt,
    book::{Book, Resting, Slot},
    client_ids::ClientKey,
    hash::Digest,
    saved::{LoadError, Saved, sound},
    symbols::Symbol,
    trails::{NodeAt, Trails},
    work::{Unit, Work},
};

/// A price that is watched, without or with price protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Last,
    LastProtected,
    Mark,
    MarkProtected,
}

/// Where a waiting conditional order is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlgoAt {
    watch: Watched,
    slot: Slot,
}

/// How far a waiting conditional order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// For a price; a trailing stop for that of its activation.
    Waits,
    /// Follows the price, from its activation on.
    Follows(NodeAt),
    /// For its turn in the queue of pending work.
    Due,
    /// For its account's margin call.
    Calls,
    /// For its symbol to take orders again: it had come true, and fires at the next price.
    Parked,
}

/// How a margin call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The ledger had what was asked for.
    Granted,
    /// It had not.
    Refused,
    /// It has said nothing in time.
    Silence,
}

/// A conditional order that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Algo {
    pub holding: HoldingAt,
    pub client: ClientKey,
    pub terms: PlaceAlgo,
    pub stage: Stage,
    /// A trailing stop that has met its activation price, or has none.
    pub activated: bool,
    /// It has waited for a margin call, and told so.
    pub called: bool,
    /// What it lacks has been asked for, and it is not known to be there: its next try is its last.
    pub asked: bool,
    /// Neighbours among its holding's.
    pub prev: Option<AlgoAt>,
    pub next: Option<AlgoAt>,
}

impl Default for Algo {
    fn default() -> Self {
        let terms = PlaceAlgo {
            account: AccountId::NONE,
            symbol: SymbolId::NONE,
            side: Side::Buy,
            algo_type: AlgoType::Stop,
            time_in_force: TimeInForce::Gtc,
            self_trade: SelfTradePrevention::ExpireMaker,
            price_match: PriceMatch::None,
            position_side: PositionSide::Both,
            working_type: WorkingType::Contract,
            reduce_only: false,
            close_position: false,
            price_protect: false,
            price: 0,
            qty: 0,
            trigger_price: 0,
            activate_price: 0,
            callback: 0,
            good_till: 0,
            client_id: ClientId::EMPTY,
            _pad: [0; 4],
        };
        Self {
            holding: HoldingAt::default(),
            client: ClientKey::NONE,
            terms,
            stage: Stage::Waits,
            activated: false,
            called: false,
            asked: false,
            prev: None,
            next: None,
        }
    }
}

/// The prices that conditions are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prices {
    /// By [`WorkingType`]: the last trade, or the mark before the first; and the mark.
    of: [Ticks; 2],
    /// The symbol takes orders; else nothing fires.
    open: bool,
    /// Last trade and mark are so far apart that price protection holds.
    apart: bool,
}

impl Prices {
    pub fn of(symbol: &Symbol, mark: Ticks) -> Self {
        let last = if symbol.last == 0 { mark } else { symbol.last };
        let distance = i128::from((last - mark).abs()) * i128::from(RATE_ONE);
        let allowed = i128::from(mark) * i128::from(symbol.spec.trigger_protect);
        Self { of: [last, mark], open: symbol.takes_orders(), apart: distance > allowed }
    }

    pub const fn reference(&self, working_type: WorkingType) -> Ticks {
        self.of[working_type as usize]
    }
}

/// True for a condition that a rising price makes true; of a trailing stop: its activation.
pub(crate) const fn rises(algo_type: AlgoType, side: Side) -> bool {
    match (algo_type, side) {
        (AlgoType::Stop | AlgoType::StopMarket, Side::Buy)
        | (AlgoType::TakeProfit | AlgoType::TakeProfitMarket, Side::Sell)
        | (AlgoType::TrailingStopMarket, Side::Sell) => true,
        (AlgoType::Stop | AlgoType::StopMarket, Side::Sell)
        | (AlgoType::TakeProfit | AlgoType::TakeProfitMarket, Side::Buy)
        | (AlgoType::TrailingStopMarket, Side::Buy) => false,
    }
}

/// The conditional orders of one symbol that wait.
#[derive(Default)]
pub(crate) struct Triggers {
    /// Accepted so far.
    count: u64,
    watches: [Watch; Watched::ALL.len()],
    /// What was looked at last, if nothing has come to wait since: looking again finds nothing.
    looked: Option<Prices>,
}

/// Those that look at one price, with or without protection.
#[derive(Default)]
struct Watch {
    book: Book<Algo>,
    trails: Trails,
}

impl Triggers {
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Takes a conditional order in; returns its count.
    pub fn insert(&mut self, algo: &Algo, prices: &Prices) -> (u64, AlgoAt) {
        self.count += 1;
        self.looked = None;
        let terms = &algo.terms;
        let watch = Watched::of(terms.working_type, terms.price_protect);
        let follows = terms.algo_type == AlgoType::TrailingStopMarket;
        let price = match (follows, terms.activate_price) {
            (false, _) => terms.trigger_price,
            (true, 0) => prices.reference(terms.working_type),
            (true, price) => price,
        };
        let book = &mut self.watches[watch as usize].book;
        let (slot, _) = book.rest(resting(self.count, price, algo));
        let at = AlgoAt { watch, slot };
        if follows && terms.activate_price == 0 {
            book.lift(slot);
            self.activate(at, prices);
        }
        (self.count, at)
    }

    /// Lets a trailing stop follow the price from where it is now.
    pub fn activate(&mut self, at: AlgoAt, prices: &Prices) {
        self.looked = None;
        let Watch { book, trails } = &mut self.watches[at.watch as usize];
        let algo = &mut book.order_mut(at.slot).data;
        let PlaceAlgo { side, callback, working_type, .. } = algo.terms;
        let node = trails.join(side, callback, prices.reference(working_type), at.slot);
        (algo.stage, algo.activated) = (Stage::Follows(node), true);
    }

    /// Lets one that is due wait until its symbol takes orders, at a price that all prices meet.
    pub fn park(&mut self, at: AlgoAt) {
        self.looked = None;
        let book = &mut self.watches[at.watch as usize].book;
        let price = met_by_all(book.order(at.slot).side());
        book.rest_lifted(at.slot, price, 1, 0).order.data.stage = Stage::Parked;
    }

    pub fn find(&self, count: u64) -> Option<AlgoAt> {
        self.watches.iter().zip(Watched::ALL).find_map(|(known, watch)| {
            known.book.find(OrderId(count)).map(|slot| AlgoAt { watch, slot })
        })
    }

    pub fn get(&self, at: AlgoAt) -> &Algo {
        &self.watches[at.watch as usize].book.order(at.slot).data
    }

    pub fn get_mut(&mut self, at: AlgoAt) -> &mut Algo {
        &mut self.watches[at.watch as usize].book.order_mut(at.slot).data
    }

    pub fn count_of(&self, at: AlgoAt) -> u64 {
        self.watches[at.watch as usize].book.order(at.slot).id().0
    }

    pub fn remove(&mut self, at: AlgoAt) -> Algo {
        let Watch { book, trails } = &mut self.watches[at.watch as usize];
        match book.order(at.slot).data.stage {
            Stage::Waits | Stage::Parked => book.remove(at.slot).order.data,
            Stage::Due | Stage::Calls => book.drop_lifted(at.slot).data,
            Stage::Follows(node) => {
                trails.leave(node);
                book.drop_lifted(at.slot).data
            }
        }
    }

    /// Lifts what these prices make true out of the ladders and makes it pending work.
    pub fn look(&mut self, prices: &Prices, symbol: SymbolId, work: &mut Work) {
        if self.looked.replace(*prices) == Some(*prices) {
            return;
        }
        for (watch, Watch { book, trails }) in Watched::ALL.into_iter().zip(&mut self.watches) {
            let price = prices.of[watch as usize / 2];
            let may_fire = prices.open && !(prices.apart && watch.is_protected());
            trails.follow(price, may_fire, |slot| {
                let order = book.order_mut(slot);
                order.data.stage = Stage::Due;
                work.add(symbol, Unit::Fire { count: order.id().0 });
            });
            if !may_fire {
                continue;
            }
            for side in [Side::Sell, Side::Buy] {
                while let Some(slot) = book.maker(side, price) {
                    let order = book.lift(slot).order;
                    order.data.stage = Stage::Due;
                    work.add(symbol, Unit::Fire { count: order.id().0 });
                }
            }
        }
    }

    /// Of a list of conditional orders, those that wait for a margin call wait no more.
    pub fn resume(
        &mut self,
        first: Option<AlgoAt>,
        answer: Answer,
        symbol: SymbolId,
        work: &mut Work,
    ) {
        let mut next = first;
        while let Some(at) = next {
            let count = self.count_of(at);
            let algo = self.get_mut(at);
            if algo.stage == Stage::Calls {
                algo.stage = Stage::Due;
                algo.asked = match answer {
                    Answer::Granted => false,
                    Answer::Refused => algo.asked,
                    Answer::Silence => true,
                };
                work.add(symbol, Unit::Fire { count });
            }
            next = algo.next;
        }
    }

    /// The counter, and by watch, side and callback what follows a price, the group that fires
    /// first in front; what waits is told with its holding.
    pub fn digest(&self, into: &mut Digest) {
        into.add(self.count);
        for Watch { book, trails } in &self.watches {
            let groups = trails.groups();
            into.add_len(groups.len());
            for (side, callback, extreme, members) in groups {
                into.add(side as u8).add(callback).add(extreme).add_len(members.len());
                members.iter().for_each(|slot| _ = into.add(book.order(*slot).id().0));
            }
        }
    }

    /// Reads the counter and what follows; what waits has been restored.
    pub fn load(&mut self, saved: &mut Saved<'_>) -> Result<(), LoadError> {
        self.count = saved.take()?;
        for Watch { book, trails } in &mut self.watches {
            for _ in 0..saved.len()? {
                let (side, callback) = (saved.word(Side::from_u8)?, saved.take()?);
                let extreme = saved.take()?;
                for _ in 0..saved.len()? {
                    let slot = book.find(OrderId(saved.take()?)).ok_or(LoadError::Damaged)?;
                    let algo = &mut book.order_mut(slot).data;
                    let follows = algo.stage == Stage::Waits && algo.activated;
                    let alike = (algo.terms.side, algo.terms.callback) == (side, callback);
                    sound(follows && alike && trails.may_join(side, callback, extreme))?;
                    algo.stage = Stage::Follows(trails.join(side, callback, extreme, slot));
                }
            }
        }
        Ok(())
    }

    pub fn digest_algo(&self, at: AlgoAt, into: &mut Digest) {
        let Algo { terms, stage, activated, called, asked, .. } = *self.get(at);
        into.add(self.count_of(at));
        into.add_bytes(
            Event::AlgoAccepted(AlgoAccepted { algo: Default::default(), terms }).body(),
        );
        let is_lifted = matches!(stage, Stage::Due | Stage::Calls);
        into.add_flag(is_lifted).add_flag(activated).add_flag(called).add_flag(asked);
        into.add_flag(stage == Stage::Calls).add_flag(stage == Stage::Parked);
    }

    /// What [`Self::digest_algo`] told: its count, itself, and whether it has come true.
    pub fn load_algo(saved: &mut Saved<'_>) -> Result<(u64, Algo, bool), LoadError> {
        let count = saved.take()?;
        let accepted = saved.event::<AlgoAccepted>(EventKind::AlgoAccepted)?;
        let Event::AlgoAccepted(AlgoAccepted { terms, .. }) = accepted else {
            return Err(LoadError::Damaged);
        };
        let (is_lifted, activated) = (saved.flag()?, saved.flag()?);
        let (called, asked) = (saved.flag()?, saved.flag()?);
        let stage = match (saved.flag()?, saved.flag()?) {
            (false, false) => Stage::Due,
            (true, false) => Stage::Calls,
            (false, true) => Stage::Parked,
            (true, true) => return Err(LoadError::Damaged),
        };
        sound(stage != Stage::Calls || is_lifted && called)?;
        sound(!asked || called)?;
        sound(stage != Stage::Parked || !is_lifted)?;
        Ok((count, Algo { terms, activated, called, asked, stage, ..Algo::default() }, is_lifted))
    }

    /// Puts what was loaded to where it waited; what follows a price joins its group later.
    pub fn restore(
        &mut self,
        count: u64,
        algo: &Algo,
        is_lifted: bool,
    ) -> Result<AlgoAt, LoadError> {
        let terms = &algo.terms;
        let watch = Watched::of(terms.working_type, terms.price_protect);
        let price = terms.trigger_price.max(terms.activate_price);
        let known = self.find(count).is_some();
        sound(count != 0 && !known && (0..=PRICE_MAX).contains(&price))?;
        let book = &mut self.watches[watch as usize].book;
        let mut waiting = resting(count, price, algo);
        if algo.stage == Stage::Parked {
            waiting.price = met_by_all(waiting.side);
            return Ok(AlgoAt { watch, slot: book.rest(waiting).0 });
        }
        let (slot, _) = book.rest(waiting);
        if is_lifted || algo.activated {
            book.lift(slot);
        }
        if !is_lifted {
            book.order_mut(slot).data.stage = Stage::Waits;
        }
        Ok(AlgoAt { watch, slot })
    }
}

/// A conditional order as its ladder holds it.
fn resting(count: u64, price: Ticks, algo: &Algo) -> Resting<Algo> {
    Resting {
        id: OrderId(count),
        account: algo.terms.account,
        side: ladder_of(rises(algo.terms.algo_type, algo.terms.side)),
        price,
        remaining: 1,
        cum_qty: 0,
        data: *algo,
    }
}

impl Watched {
    const ALL: [Self; 4] = [Self::Last, Self::LastProtected, Self::Mark, Self::MarkProtected];

    const fn of(working_type: WorkingType, protect: bool) -> Self {
        Self::ALL[2 * working_type as usize + protect as usize]
    }

    const fn is_protected(self) -> bool {
        matches!(self, Self::LastProtected | Self::MarkProtected)
    }
}

/// The trigger of a ladder's side that any price meets.
const fn met_by_all(ladder: Side) -> Ticks {
    match ladder {
        Side::Sell => 0,
        Side::Buy => PRICE_MAX,
    }
}

/// The side of a watch's book that holds what a rising price makes true, or a falling one.
const fn ladder_of(rises: bool) -> Side {
    if rises { Side::Sell } else { Side::Buy }
}
