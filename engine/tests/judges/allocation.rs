//! Once warm, applying a command allocates nothing: counted, not believed.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use engine::{Engine, Sink};
use protocol::{
    Command, Envelope, EventBody, FrameHeader, SessionId, SymbolId,
    command::{Amend, CancelAll, PlaceAlgo},
    limits::COMMAND_BYTES_MAX,
    order::{AlgoType, PriceMatch, Side, TimeInForce},
};

use crate::{
    bench::{Bench, Frame, index},
    trading::limit,
    triggers::stop,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: forwards to the system's allocator; the count is a thread's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Discard(u64);

impl Sink for Discard {
    fn emit<E: EventBody>(&mut self, _: &E) {
        self.0 += 1;
    }
}

/// Frames of one session from here on: places, takes, amends, cancels, marks.
fn frames(bench: &Bench, count: u64) -> Vec<Frame> {
    let (session, last) = bench.sessions[0];
    let mut draw = 12_345u64;
    let mut below = |n: u64| {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draw >> 33) % n
    };
    let frame = |n: u64| {
        let account = 1 + below(20) as u32;
        let side = if below(2) == 0 { Side::Buy } else { Side::Sell };
        let price = 100 + below(15) as i64 - 7;
        let mut order = limit(account, side, price, 1 + below(9) as i64);
        order.client_id = protocol::Name::new(&format!("client-{}", below(5_000))).unwrap();
        let command = match below(24) {
            20 => Command::PlaceAlgo(PlaceAlgo {
                algo_type: AlgoType::TrailingStopMarket,
                callback: 1_000_000 * (1 + below(5) as i64),
                client_id: order.client_id,
                ..stop(account, side, 0, order.qty)
            }),
            21..=22 => Command::PlaceAlgo(PlaceAlgo {
                client_id: order.client_id,
                trigger_price: price + side.sign(),
                ..stop(account, side, price, order.qty)
            }),
            23 => Command::CancelAllAlgos(CancelAll {
                account: order.account,
                symbol: order.symbol,
                _pad: [0; 2],
            }),
            0 => Command::CancelAll(CancelAll {
                account: order.account,
                symbol: order.symbol,
                _pad: [0; 2],
            }),
            1 => index(1, 100 + below(3) as i64 - 1),
            2..=5 => Command::Amend(Amend {
                account: order.account,
                symbol: SymbolId(1),
                side,
                price_match: PriceMatch::None,
                order: protocol::OrderId::NONE,
                price,
                qty: order.qty,
                client_id: order.client_id,
                reduce_only: false,
                _pad: [0; 3],
            }),
            6 => {
                order.time_in_force = TimeInForce::Fok;
                Command::Place(order)
            }
            7 => {
                order.reduce_only = true;
                Command::Place(order)
            }
            _ => Command::Place(order),
        };
        let envelope = Envelope {
            session: SessionId(session),
            prev: last + n,
            number: last + n + 1,
            ..Envelope::default()
        };
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&envelope, &mut payload);
        let header = FrameHeader {
            seq: bench.seq + n + 1,
            ts: bench.ts + n,
            epoch: 1,
            kind: command.kind() as u16,
            flags: 0,
            len: len as u32,
            _pad: 0,
        };
        (header, payload[..len].to_vec())
    };
    (0..count).map(frame).collect()
}

fn apply_all(engine: &mut Engine, frames: &[Frame], sink: &mut Discard) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    for (header, payload) in frames {
        engine.apply(header, payload, sink);
    }
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn a_warm_engine_allocates_nothing() {
    let grants: Vec<_> = (1..=20).map(|account| (account, 40_000_000)).collect();
    let mut bench = Bench::trading(&grants);
    let frames = frames(&bench, 60_000);
    let (warm, measured) = frames.split_at(20_000);
    let mut sink = Discard(0);
    apply_all(&mut bench.engine, warm, &mut sink);
    assert_eq!(apply_all(&mut bench.engine, measured, &mut sink), 0);
    assert!(sink.0 > 100_000, "{} events: the flow has to trade", sink.0);
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(Box::new(before)));
    assert_eq!(ALLOCATIONS.with(Cell::get), before + 1);
}
