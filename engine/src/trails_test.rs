//! Groups beside the obvious: each stop with its own extreme, gone through at each price.

use alloc::{vec, vec::Vec};

use proptest::{collection::vec as many, prelude::*};
use protocol::{AccountId, OrderId, RATE_ONE, Rate, Ticks, order::Side};

use crate::{
    book::{Book, Resting, Slot},
    trails::{NodeAt, Trails},
};

#[derive(Clone, Copy, Debug)]
struct Stop {
    side: Side,
    callback: Rate,
    extreme: Ticks,
    node: NodeAt,
    slot: Slot,
}

impl Stop {
    fn fires(&self, price: Ticks) -> bool {
        let moved = i128::from((price - self.extreme) * self.side.sign());
        moved * i128::from(RATE_ONE) >= i128::from(self.extreme) * i128::from(self.callback)
    }

    fn follow(&mut self, price: Ticks) {
        self.extreme = match self.side {
            Side::Sell => self.extreme.max(price),
            Side::Buy => self.extreme.min(price),
        };
    }
}

/// Slots to tell stops apart by.
fn slots(count: u64) -> Vec<Slot> {
    let mut book = Book::<()>::with_capacity(0);
    let rest = |id| {
        let (id, account, side) = (OrderId(id), AccountId(1), Side::Buy);
        book.rest(Resting { id, account, side, price: 1, remaining: 1, cum_qty: 0, data: () }).0
    };
    (1..=count).map(rest).collect()
}

/// Side, callback, extreme and slot of all, in some order of their own.
fn told(trails: &Trails) -> Vec<(u8, Rate, Ticks, Slot)> {
    let groups = trails.groups().into_iter().flat_map(|(side, callback, extreme, members)| {
        members.into_iter().map(move |slot| (side as u8, callback, extreme, slot))
    });
    let mut all: Vec<_> = groups.collect();
    all.sort_unstable();
    all
}

proptest! {
    #[test]
    fn groups_are_what_each_stop_by_itself_would_be(
        acts in many((0u8..8, 0usize..64, 900i64..1_100), 1..200),
    ) {
        let mut free = slots(200);
        let (mut trails, mut stops, mut price) = (Trails::default(), vec![], 1_000);
        for (act, pick, to) in acts {
            match act {
                0..=2 => {
                    let side = if pick % 2 == 0 { Side::Sell } else { Side::Buy };
                    let callback = [100_000, 2_000_000, 10_000_000][pick % 3];
                    let slot = free.pop().unwrap();
                    let node = trails.join(side, callback, price, slot);
                    stops.push(Stop { side, callback, extreme: price, node, slot });
                }
                3 if !stops.is_empty() => {
                    let gone: Stop = stops.swap_remove(pick % stops.len());
                    trails.leave(gone.node);
                }
                _ => {
                    // mostly small steps, sometimes while nothing may fire
                    price = if pick < 8 { to } else { price + (to - 1_000) / 10 };
                    let may_fire = act != 7;
                    let mut fired = vec![];
                    trails.follow(price, may_fire, |slot| fired.push(slot));
                    let (mut due, left): (Vec<Stop>, Vec<Stop>) =
                        stops.into_iter().partition(|stop| may_fire && stop.fires(price));
                    stops = left;
                    stops.iter_mut().for_each(|stop| stop.follow(price));
                    due.sort_unstable_by_key(|stop| stop.slot);
                    fired.sort_unstable();
                    prop_assert_eq!(fired, due.iter().map(|stop| stop.slot).collect::<Vec<_>>());
                }
            }
            let mut expected: Vec<_> = stops
                .iter()
                .map(|stop| (stop.side as u8, stop.callback, stop.extreme, stop.slot))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(told(&trails), expected);
        }
    }
}
