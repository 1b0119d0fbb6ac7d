//! Bounds of the engine that nobody else must know.

use protocol::{
    limits::{
        ACCOUNTS_MAX, ALGOS_MAX, EVENTS_PER_COMMAND_MAX, FILLS_MAX, OPEN_ORDERS_MAX,
        PENDING_LENDS_MAX, SHARDS_MAX, SYMBOLS_MAX,
    },
    order::PositionSide,
};

/// Amendments that one order may see.
pub const AMENDS_MAX: u32 = 10_000;
/// What a ledger holds in all, in units of 1e-8, so that no wallet can outgrow an i64.
pub const DEPOSITS_MAX: i128 = 1 << 62;
/// A GTD order lives at least this long.
pub const GOOD_TILL_MIN_US: u64 = 600_000_000;
/// The last date a GTD order may name.
pub const GOOD_TILL_MAX_US: u64 = 253_402_300_799_000_000;
/// Lends that one tick of the ledger settles.
pub const LENDS_PER_TICK_MAX: usize = 1_024;
/// Changes of position modes that one tick of the ledger ends.
pub const MODES_PER_TICK_MAX: usize = 64;
/// Withdrawals that one tick of the ledger gives up.
pub const WITHDRAWALS_PER_TICK_MAX: usize = 64;
/// Conditional orders that may wait on one shard.
pub const ALGOS_SHARD_MAX: usize = 1_000_000;
/// Units of pending work that a frame does before its command; long ones count for several.
pub const WORK_PER_TURN_MAX: usize = 16;
/// No further unit is begun in a frame that has made more events than these.
pub const WORK_EVENTS_MAX: usize = 1_024;
/// Events that one unit of pending work may make.
pub const UNIT_EVENTS_MAX: usize = 3_072;
/// For an urgent recall no further holding's orders are closed in a frame that has made more
/// events than these.
pub const RECALL_EVENTS_MAX: usize = EVENTS_PER_COMMAND_MAX - UNIT_EVENTS_MAX;
/// A symbol whose index is as old as this only lets positions be reduced.
pub const INDEX_STALE_US: u64 = 10_000_000;
/// Seconds whose middle of the book makes the average basis.
pub const BASIS_SAMPLES: usize = 30;
/// Seconds between two samples of a symbol's premium.
pub const PREMIUM_PERIOD_S: u64 = 5;
/// Levels of a book that an impact price may need; a book as thin as that has none.
pub const IMPACT_LEVELS_MAX: usize = 200;
/// Account ids that one unit of pending work looks at for funding to be booked.
pub const FUNDING_SLICE: u32 = 64;
/// Account ids that one unit of pending work looks at to end what they have on a symbol.
pub const SETTLING_SLICE: u32 = 64;
/// What all long positions of a symbol may be worth when it is settled, in units of 1e-8, so that
/// nobody's cash can outgrow an i64.
pub const SETTLED_VALUE_MAX: i128 = 1 << 62;
/// Account ids that one unit of pending work looks at for a counterparty.
pub const ADL_SLICE: u32 = 64;
/// Legs that it ranks among these, for which it goes through all that their accounts hold; the
/// last account's other leg may come on top.
pub const ADL_RANKED_MAX: usize = 8;
/// Units of [`WORK_PER_TURN_MAX`] that it counts for: many searches share two slices a frame.
pub const ADL_SLICE_WEIGHT: usize = WORK_PER_TURN_MAX / 2;
/// Events that may follow the last step of a match: clipped reduce-only orders of maker and taker
/// with their levels and the ends of the conditional orders they stem from, what becomes of the
/// taker, and the outcome.
pub const EVENTS_RESERVE: usize = 6 * OPEN_ORDERS_MAX as usize + 16;

// Pending funding that is booked before a command: of each leg that the account may have.
const BOOKED_BEFORE: usize = SYMBOLS_MAX * PositionSide::ALL.len();
// A step of a match makes at most a funding that is booked, a trade or a close, the end of a
// conditional order, a level and a reservation.
const MATCH_EVENTS: usize = BOOKED_BEFORE + 5 * FILLS_MAX as usize + EVENTS_RESERVE;
const _: () = assert!(MATCH_EVENTS <= EVENTS_PER_COMMAND_MAX);
const _: () = assert!(FUNDING_SLICE as usize * PositionSide::ALL.len() <= UNIT_EVENTS_MAX);
// The end of a search for a counterparty: fundings of both and of the fund, and a trade.
const SOUGHT_EVENTS: usize = 2 * BOOKED_BEFORE + SYMBOLS_MAX + EVENTS_RESERVE + 4;
const _: () = assert!(SOUGHT_EVENTS <= UNIT_EVENTS_MAX);
// A tick: of each symbol its state and its mark.
const _: () = assert!(2 * SYMBOLS_MAX < UNIT_EVENTS_MAX);
// Cancelling all of an account's orders: a close, the end of a conditional order and a level each;
// and all that wait for their conditions.
pub const CANCEL_ALL_EVENTS: usize = 3 * OPEN_ORDERS_MAX as usize + ALGOS_MAX as usize + 2;
const _: () = assert!(CANCEL_ALL_EVENTS <= UNIT_EVENTS_MAX);
// Of each leg that is settled: a funding that is booked, an order and its fill. Then the state.
const _: () = assert!(3 * SETTLING_SLICE as usize * PositionSide::ALL.len() < UNIT_EVENTS_MAX);
const _: () = assert!(EVENTS_RESERVE < UNIT_EVENTS_MAX);
// After the work there is room for any command but the longest match, which is cut.
const _: () = assert!(
    WORK_EVENTS_MAX + UNIT_EVENTS_MAX + BOOKED_BEFORE + EVENTS_RESERVE + CANCEL_ALL_EVENTS
        <= EVENTS_PER_COMMAND_MAX
);
// A settled lend: cash, grant, answer. An ended change: a release to each shard, the mode and the
// answer. A withdrawal that is given up: the same without a mode.
const _: () = assert!(
    3 * LENDS_PER_TICK_MAX + (SHARDS_MAX + 2) * (MODES_PER_TICK_MAX + WITHDRAWALS_PER_TICK_MAX)
        < EVENTS_PER_COMMAND_MAX
);
const _: () = assert!(LENDS_PER_TICK_MAX <= PENDING_LENDS_MAX);
const _: () = assert!(ACCOUNTS_MAX < u32::MAX as usize);
