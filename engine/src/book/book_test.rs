//! The book beside its naive twin: the same commands, the same answers, after every step.

extern crate std;

use alloc::{vec, vec::Vec};
use std::collections::HashMap;

use proptest::{collection::vec as many, prelude::*, sample::select};
use protocol::{
    AccountId, Lots, OrderId, Ticks,
    limits::{PRICE_MAX, QTY_MAX},
    order::{SelfTradePrevention, Side, TimeInForce},
};

use super::{
    Book, Resting, Slot,
    twin::{Amended, Ended, Met, Terms, Twin, TwinOrder},
};

/// A book with the rules of matching that the twin has, by the book's own steps.
#[derive(Default)]
struct Desk {
    book: Book<Tag>,
}

/// What rests with each order, to see that data stays with its order.
#[derive(Clone, Copy, Default)]
struct Tag(u64);

impl Desk {
    fn place(&mut self, taker: TwinOrder, terms: Terms, met: &mut Vec<Met>) -> Ended {
        let refused = match terms.time_in_force {
            TimeInForce::Gtx => self.book.maker(taker.side.opposite(), taker.price).is_some(),
            TimeInForce::Fok => !self.can_fill(&taker, terms.self_trade),
            TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Gtd => false,
        };
        if refused {
            return Ended::Refused;
        }
        let mut taker = taker;
        if self.take(&mut taker, terms, met) {
            return Ended::SelfTrade { remaining: taker.remaining };
        }
        if taker.remaining == 0 {
            return Ended::Filled;
        }
        match terms.time_in_force {
            TimeInForce::Ioc | TimeInForce::Fok => Ended::Expired { remaining: taker.remaining },
            TimeInForce::Gtc | TimeInForce::Gtx | TimeInForce::Gtd => {
                let TwinOrder { id, account, side, price, remaining, cum_qty } = taker;
                let data = Tag(id.0);
                let order = Resting { id, account, side, price, remaining, cum_qty, data };
                let (_, level_qty) = self.book.rest(order);
                Ended::Rests { remaining, level_qty }
            }
        }
    }

    fn cancel(&mut self, id: OrderId) -> Option<(TwinOrder, Lots)> {
        let slot = self.book.find(id)?;
        let gone = self.book.remove(slot);
        let order = TwinOrder {
            id: gone.order.id(),
            account: gone.order.account(),
            side: gone.order.side(),
            price: gone.order.price(),
            remaining: gone.order.remaining(),
            cum_qty: gone.order.cum_qty(),
        };
        Some((order, gone.level_qty))
    }

    fn amend(
        &mut self,
        id: OrderId,
        price: Ticks,
        qty: Lots,
        terms: Terms,
        met: &mut Vec<Met>,
    ) -> Option<Amended> {
        let slot = self.book.find(id)?;
        let old = *self.book.order(slot);
        let remaining = qty - old.cum_qty();
        if remaining <= 0 {
            return Some(Amended::Cancelled { level_qty: self.book.remove(slot).level_qty });
        }
        if price == old.price() && remaining < old.remaining() {
            let level_qty = self.book.reduce(slot, old.remaining() - remaining).level_qty;
            return Some(Amended::Reduced { level_qty });
        }
        let left_level_qty = self.book.lift(slot).level_qty;
        let (account, side, cum_qty) = (old.account(), old.side(), old.cum_qty());
        let mut taker = TwinOrder { id, account, side, price, remaining, cum_qty };
        let own = self.take(&mut taker, terms, met);
        let ended = self.settle_lifted(slot, taker, own, terms.time_in_force);
        Some(Amended::Requeued { left_level_qty, ended })
    }

    fn settle_lifted(
        &mut self,
        slot: Slot,
        taker: TwinOrder,
        own: bool,
        time_in_force: TimeInForce,
    ) -> Ended {
        let TwinOrder { id, price, remaining, cum_qty, .. } = taker;
        let rests = match time_in_force {
            TimeInForce::Gtc | TimeInForce::Gtx | TimeInForce::Gtd => remaining > 0 && !own,
            TimeInForce::Ioc | TimeInForce::Fok => false,
        };
        if rests {
            let level_qty = self.book.rest_lifted(slot, price, remaining, cum_qty).level_qty;
            return Ended::Rests { remaining, level_qty };
        }
        assert_eq!(self.book.drop_lifted(slot).data.0, id.0);
        match (own, remaining) {
            (true, _) => Ended::SelfTrade { remaining },
            (false, 0) => Ended::Filled,
            (false, _) => Ended::Expired { remaining },
        }
    }

    /// Matches; whether an own order stopped it.
    fn take(&mut self, taker: &mut TwinOrder, terms: Terms, met: &mut Vec<Met>) -> bool {
        let makers = taker.side.opposite();
        while taker.remaining > 0
            && let Some(slot) = self.book.maker(makers, taker.price)
        {
            let maker = *self.book.order(slot);
            assert_eq!(maker.data.0, maker.id().0, "data stays with its order");
            if maker.account() == taker.account {
                if terms.self_trade != SelfTradePrevention::ExpireTaker {
                    let level_qty = self.book.remove(slot).level_qty;
                    met.push(Met::Expired { maker: maker.id(), level_qty });
                }
                if terms.self_trade != SelfTradePrevention::ExpireMaker {
                    return true;
                }
                continue;
            }
            let qty = taker.remaining.min(maker.remaining());
            let fill = self.book.fill(slot, qty);
            assert_eq!(fill.order.qty(), maker.qty(), "a fill moves quantity, it makes none");
            let level_qty = fill.level_qty;
            met.push(Met::Filled { maker: maker.id(), price: maker.price(), qty, level_qty });
            taker.remaining -= qty;
            taker.cum_qty += qty;
        }
        false
    }

    /// The dry run: a walk that changes nothing.
    fn can_fill(&self, taker: &TwinOrder, self_trade: SelfTradePrevention) -> bool {
        let mut wanted = taker.remaining;
        for (_, maker) in self.book.makers(taker.side.opposite()) {
            let worse = (maker.price() - taker.price) * taker.side.sign() > 0;
            if worse || wanted <= 0 {
                break;
            }
            if maker.account() != taker.account {
                wanted -= maker.remaining();
            } else if self_trade != SelfTradePrevention::ExpireMaker {
                return false;
            }
        }
        wanted <= 0
    }
}

/// A command, with prices yet to be laid on a grid.
#[derive(Clone, Copy, Debug)]
enum Step {
    Place { account: u32, side: Side, distance: u64, qty: Lots, terms: Terms },
    Cancel { pick: usize },
    Amend { pick: usize, distance: u64, qty: Lots, same_price: bool, terms: Terms },
}

/// How distances become prices.
#[derive(Clone, Copy, Debug)]
enum Grid {
    /// A handful of ticks that both sides share.
    Tiny,
    /// As a market is: dense near the middle, thin far away, and the middle wanders.
    Market { drift: i64 },
    /// Any price there is, near the middle or 2^40 ticks away.
    Universe,
    /// The edges of the range of prices.
    Edges,
}

impl Grid {
    fn price(self, side: Side, distance: u64, step: usize) -> Ticks {
        let away = match self {
            Self::Tiny => return 100 + (distance % 7) as Ticks,
            Self::Edges => {
                return [0, 1, 1_023, 1_024, 65_536, PRICE_MAX / 2, PRICE_MAX - 1, PRICE_MAX]
                    [(distance % 8) as usize];
            }
            Self::Market { .. } => {
                let reach = [4, 64, 3_000, 200_000][(distance >> 32 & 3) as usize];
                (distance as u32 % reach) as i64 - 1
            }
            Self::Universe => {
                let reach = 1u64 << (distance >> 56 & 63).min(40);
                (distance % reach) as i64 - 1
            }
        };
        let middle = match self {
            Self::Market { drift } => PRICE_MAX / 4 + drift * step as i64,
            Self::Tiny | Self::Universe | Self::Edges => PRICE_MAX / 2,
        };
        (middle - side.sign() * away).clamp(0, PRICE_MAX)
    }
}

fn terms() -> impl Strategy<Value = Terms> {
    let time_in_force = prop_oneof![
        6 => Just(TimeInForce::Gtc),
        1 => Just(TimeInForce::Ioc),
        1 => Just(TimeInForce::Fok),
        2 => Just(TimeInForce::Gtx),
    ];
    (time_in_force, select(SelfTradePrevention::ALL))
        .prop_map(|(time_in_force, self_trade)| Terms { time_in_force, self_trade })
}

fn step(owners: u32) -> impl Strategy<Value = Step> {
    let qty = prop_oneof![9 => 1i64..30, 1 => Just(QTY_MAX)];
    prop_oneof![
        6 => (1..=owners, select(Side::ALL), any::<u64>(), qty.clone(), terms()).prop_map(
            |(account, side, distance, qty, terms)| Step::Place { account, side, distance, qty, terms }
        ),
        2 => any::<usize>().prop_map(|pick| Step::Cancel { pick }),
        2 => (any::<usize>(), any::<u64>(), qty, any::<bool>(), terms()).prop_map(
            |(pick, distance, qty, same_price, terms)| Step::Amend {
                pick, distance, qty, same_price, terms
            }
        ),
    ]
}

fn case(steps: usize) -> impl Strategy<Value = (Grid, Vec<Step>)> {
    let grid = prop_oneof![
        3 => Just(Grid::Tiny),
        1 => Just(Grid::Edges),
        2 => Just(Grid::Universe),
        3 => (-900i64..900).prop_map(|drift| Grid::Market { drift }),
    ];
    (grid, (3u32..=6).prop_flat_map(move |owners| many(step(owners), steps / 2..steps)))
}

/// What became of each order: filled + remaining = its quantity, and it ends once.
#[derive(Default)]
struct Lives {
    open: HashMap<OrderId, (Lots, Lots)>,
}

impl Lives {
    fn meet(&mut self, taker: OrderId, met: &[Met]) {
        for met in met {
            match *met {
                Met::Filled { maker, qty, .. } => {
                    self.fill(maker, qty);
                    self.fill(taker, qty);
                }
                Met::Expired { maker, .. } => {
                    assert!(self.open.remove(&maker).is_some(), "{maker} ended before");
                }
            }
        }
    }

    fn fill(&mut self, id: OrderId, qty: Lots) {
        let (whole, filled) = self.open.get_mut(&id).expect("only living orders trade");
        *filled += qty;
        assert!(*filled <= *whole, "{id} is filled beyond its quantity");
    }

    fn end(&mut self, id: OrderId, ended: Ended) {
        let (whole, filled) = self.open[&id];
        let remaining = match ended {
            Ended::Filled => 0,
            Ended::Refused => whole,
            Ended::Expired { remaining }
            | Ended::SelfTrade { remaining }
            | Ended::Rests { remaining, .. } => remaining,
        };
        assert_eq!(filled + remaining, whole, "{id} at its end");
        if !matches!(ended, Ended::Rests { .. }) {
            self.open.remove(&id);
        }
    }

    fn check(&mut self, book: &Book<Tag>) {
        self.open.retain(|_, (whole, filled)| filled < whole);
        assert_eq!(self.open.len(), book.len());
        for (id, (whole, filled)) in &self.open {
            let order = book.order(book.find(*id).expect("a living order can be found"));
            assert_eq!((order.qty(), order.cum_qty()), (*whole, *filled));
        }
    }
}

struct Bench {
    grid: Grid,
    desk: Desk,
    twin: Twin,
    lives: Lives,
    known: Vec<OrderId>,
}

impl Bench {
    fn run(grid: Grid, steps: &[Step]) {
        let mut bench = Self {
            grid,
            desk: Desk::default(),
            twin: Twin::default(),
            lives: Lives::default(),
            known: vec![OrderId(u64::MAX)],
        };
        for (at, step) in steps.iter().enumerate() {
            match *step {
                Step::Place { account, side, distance, qty, terms } => {
                    bench.place(account, side, grid.price(side, distance, at), qty, terms);
                }
                Step::Cancel { pick } => bench.cancel(bench.pick(pick)),
                Step::Amend { pick, distance, qty, same_price, terms } => {
                    bench.amend(bench.pick(pick), (distance, at, same_price), qty, terms);
                }
            }
            bench.compare();
        }
    }

    fn pick(&self, pick: usize) -> OrderId {
        // Mostly the young, and now and then one that is long gone.
        let back = pick % self.known.len().min(40);
        self.known[self.known.len() - 1 - back]
    }

    fn place(&mut self, account: u32, side: Side, price: Ticks, qty: Lots, terms: Terms) {
        let id = self.desk.book.next_order_id();
        let account = AccountId(account);
        let taker = TwinOrder { id, account, side, price, remaining: qty, cum_qty: 0 };
        self.known.push(id);
        let (mut met, mut expected) = (Vec::new(), Vec::new());
        let ended = self.desk.place(taker, terms, &mut met);
        assert_eq!(ended, self.twin.place(taker, terms, &mut |met| expected.push(met)));
        assert_eq!(met, expected);
        self.lives.open.insert(id, (qty, 0));
        self.lives.meet(id, &met);
        self.lives.end(id, ended);
    }

    fn cancel(&mut self, id: OrderId) {
        let cancelled = self.desk.cancel(id);
        assert_eq!(cancelled, self.twin.cancel(id));
        if let Some((order, _)) = cancelled {
            self.lives.end(id, Ended::Expired { remaining: order.remaining });
        }
    }

    fn amend(&mut self, id: OrderId, to: (u64, usize, bool), qty: Lots, terms: Terms) {
        let Some(old) = self.twin.find(id).copied() else {
            assert_eq!(self.desk.book.find(id), None);
            return;
        };
        let (distance, at, same_price) = to;
        let price = if same_price { old.price } else { self.grid.price(old.side, distance, at) };
        let (mut met, mut expected) = (Vec::new(), Vec::new());
        let amended = self.desk.amend(id, price, qty, terms, &mut met);
        let twin = self.twin.amend(id, price, qty, terms, &mut |met| expected.push(met));
        assert_eq!(amended, twin);
        assert_eq!(met, expected);
        let life = self.lives.open.get_mut(&id).expect("it lived");
        match amended.expect("it was found") {
            Amended::Cancelled { .. } => {
                self.lives.end(id, Ended::Expired { remaining: old.remaining });
            }
            Amended::Reduced { .. } => life.0 = qty,
            Amended::Requeued { ended, .. } => {
                life.0 = qty;
                self.lives.meet(id, &met);
                self.lives.end(id, ended);
            }
        }
    }

    fn compare(&mut self) {
        let book = &self.desk.book;
        assert_eq!(book.audit(), Ok(()));
        assert_eq!(book.len(), self.twin.len());
        for side in [Side::Buy, Side::Sell] {
            let twin: Vec<_> = self.twin.levels(side).collect();
            assert_eq!(book.best(side), twin.first().map(|(price, _)| *price));
            let levels = book.levels(side).map(|level| level.price);
            assert!(levels.eq(twin.iter().map(|(price, _)| *price)), "levels of {side:?}");
            let queues = twin.iter().flat_map(|(_, queue)| queue.iter());
            let twins = queues.map(|o| (o.id, o.account, o.price, o.remaining, o.cum_qty));
            let makers = book
                .makers(side)
                .map(|(_, o)| (o.id(), o.account(), o.price(), o.remaining(), o.cum_qty()));
            assert!(makers.eq(twins), "priority on {side:?}");
        }
        self.lives.check(&self.desk.book);
    }
}

/// Cases and steps of each, short unless the long form is asked for.
fn size() -> (u32, usize) {
    if std::env::var_os("EXCHANGE_FULL").is_some() { (4_000, 1_500) } else { (160, 400) }
}

#[test]
fn book_and_twin_agree_after_every_step() {
    let (cases, steps) = size();
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    proptest!(config, |((grid, steps) in case(steps))| Bench::run(grid, &steps));
}

#[test]
fn levels_anywhere_come_in_order() {
    let mut book = Book::<()>::default();
    let prices: Vec<Ticks> = (0..=40)
        .flat_map(|bit| [(1i64 << bit) - 1, 1 << bit])
        .chain((0..3_000).map(|i| 500_000 + i * 37))
        .collect();
    for price in &prices {
        let id = book.next_order_id();
        book.rest(resting(id, Side::Buy, *price, 1));
        assert_eq!(book.audit(), Ok(()));
    }
    let mut expected = prices.clone();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    expected.dedup();
    assert!(book.levels(Side::Buy).map(|level| level.price).eq(expected));
    while let Some(slot) = book.maker(Side::Buy, 0) {
        book.remove(slot);
    }
    assert_eq!(book.audit(), Ok(()));
    assert!(book.is_empty());
}

#[test]
fn old_orders_are_found_after_many_younger_ones() {
    let mut book = Book::<()>::default();
    let mut old = Vec::new();
    for round in 0..200_000u64 {
        let id = book.next_order_id();
        let (slot, _) = book.rest(resting(id, Side::Sell, 1_000 + (round % 50) as Ticks, 5));
        if round % 997 == 0 {
            old.push((id, slot));
        } else {
            book.remove(slot);
        }
    }
    assert_eq!(book.audit(), Ok(()));
    for (id, slot) in old {
        assert_eq!(book.find(id), Some(slot));
        book.remove(slot);
        assert_eq!(book.find(id), None);
    }
    assert_eq!(book.audit(), Ok(()));
}

#[test]
#[should_panic(expected = "holds no order")]
fn a_slot_of_nobody_is_refused() {
    let mut book = Book::<()>::default();
    let (slot, _) = book.rest(resting(OrderId(1), Side::Buy, 10, 1));
    book.remove(slot);
    book.remove(slot);
}

fn resting(id: OrderId, side: Side, price: Ticks, remaining: Lots) -> Resting<()> {
    Resting { id, account: AccountId(1), side, price, remaining, cum_qty: 0, data: () }
}
