//! The book allocates nothing once it is warm: counted, while its market wanders over many
//! windows, orders lie far away, old ids are lapped and levels come and go.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use engine::book::{Book, Resting};
use protocol::{AccountId, OrderId, Ticks, limits::PRICE_MAX, order::Side};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Orders that rest at a time.
const ORDERS: usize = 2_000;
const COMMANDS: usize = 200_000;
/// Until windows and tables have grown as far as this market makes them.
const WARM_COMMANDS: usize = 10 * COMMANDS;

/// A xorshift generator: a fixed stream, so that the test is the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

struct Market {
    book: Book<u64>,
    draw: Draw,
    live: Vec<OrderId>,
    middle: Ticks,
    drift: Ticks,
    trades: u64,
}

impl Market {
    fn step(&mut self) {
        // Up and down over a million ticks: many windows wide.
        self.middle += self.drift;
        if !(1_000_000..=2_000_000).contains(&self.middle) {
            self.drift = -self.drift;
        }
        if self.live.len() < ORDERS {
            self.place();
            return;
        }
        match self.draw.below(10) {
            0..4 if self.live.len() < ORDERS + ORDERS / 8 => self.place(),
            0..8 => self.cancel(),
            _ => self.shift(),
        }
    }

    fn place(&mut self) {
        let side = self.side();
        let price = self.price(side);
        let qty = 1 + self.draw.below(50) as i64;
        let left = self.take(side, price, qty);
        let id = self.book.next_order_id();
        if left > 0 {
            let (account, cum_qty, data) = (AccountId(1), qty - left, id.0);
            let order = Resting { id, account, side, price, remaining: left, cum_qty, data };
            self.book.rest(order);
            self.live.push(id);
        }
    }

    /// Cancels an order; one that was filled is only struck off the list.
    fn cancel(&mut self) {
        let at = self.draw.below(self.live.len() as u64) as usize;
        if let Some(slot) = self.book.find(self.live.swap_remove(at)) {
            self.book.remove(slot);
        }
    }

    fn shift(&mut self) {
        let at = self.draw.below(self.live.len() as u64) as usize;
        let Some(slot) = self.book.find(self.live[at]) else { return };
        let order = self.book.lift(slot).order;
        let (side, qty, filled) = (order.side(), order.remaining(), order.cum_qty());
        let price = self.price(side);
        let left = self.take(side, price, qty);
        if left > 0 {
            self.book.rest_lifted(slot, price, left, filled + qty - left);
        } else {
            self.book.drop_lifted(slot);
        }
    }

    fn take(&mut self, side: Side, limit: Ticks, mut qty: i64) -> i64 {
        while qty > 0
            && let Some(slot) = self.book.maker(side.opposite(), limit)
        {
            let lots = qty.min(self.book.order(slot).remaining());
            self.book.fill(slot, lots);
            qty -= lots;
            self.trades += 1;
        }
        qty
    }

    fn side(&mut self) -> Side {
        if self.draw.below(2) == 0 { Side::Buy } else { Side::Sell }
    }

    fn price(&mut self, side: Side) -> Ticks {
        let reach = [20, 500, 20_000, PRICE_MAX as u64][self.draw.below(4) as usize];
        let away = self.draw.below(reach) as i64 - 3;
        (self.middle - side.sign() * away).clamp(0, PRICE_MAX)
    }
}

#[test]
fn a_warm_book_allocates_nothing() {
    let mut market = Market {
        book: Book::with_capacity(2 * ORDERS),
        draw: Draw(0x0BAD_5EED_CAFE_F00D),
        live: Vec::with_capacity(2 * ORDERS),
        middle: 1_500_000,
        drift: 20,
        trades: 0,
    };
    let cold = ALLOCATIONS.with(Cell::get);
    (0..WARM_COMMANDS).for_each(|_| market.step());
    let warm = ALLOCATIONS.with(Cell::get);
    assert!(warm > cold, "the counter counts");
    let trades = market.trades;
    (0..COMMANDS).for_each(|_| market.step());
    assert_eq!(ALLOCATIONS.with(Cell::get) - warm, 0);
    assert!(market.trades > trades + COMMANDS as u64 / 20, "a market that trades");
    assert_eq!(market.book.audit(), Ok(()));
}
