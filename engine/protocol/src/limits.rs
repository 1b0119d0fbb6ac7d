//! Every bound of the system that more than one crate must agree on, once, by name.

/// Bytes of a command's payload: envelope and body.
pub const COMMAND_BYTES_MAX: usize = 384;
/// Bytes of one event's body.
pub const EVENT_BYTES_MAX: usize = 256;
/// Bytes of one message between processes (a batch of commands or of events).
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// Trades (and expired makers) that one command may cause.
pub const FILLS_MAX: u32 = 1_024;
/// Events that one command may cause; the output ring must have this many free before a take.
pub const EVENTS_PER_COMMAND_MAX: usize = 8_192;
/// Open orders an account may have on one symbol.
pub const OPEN_ORDERS_MAX: u32 = 200;
/// Conditional orders that an account may have waiting on one shard.
pub const ALGOS_MAX: u32 = 200;
/// Callback rates that a trailing stop may have: from 0.1 % to 10 % in steps of 0.1 %.
pub const CALLBACK_MIN: i64 = 100_000;
pub const CALLBACK_MAX: i64 = 10_000_000;
pub const CALLBACK_STEP: i64 = 100_000;
/// Symbols a shard can list.
pub const SYMBOLS_MAX: usize = 256;
/// Accounts a shard can hold.
pub const ACCOUNTS_MAX: usize = 4_000_000;
/// Resting orders a shard can hold.
pub const ORDERS_MAX: usize = 8_000_000;
/// Shards of a cluster, the ledger included.
pub const SHARDS_MAX: usize = 16;
/// Command sessions a shard remembers; the least recently used goes.
pub const SESSIONS_MAX: usize = 1_024;
/// Leverage brackets of a symbol.
pub const BRACKETS_MAX: usize = 10;
/// Index prices in one command.
pub const INDEX_PRICES_MAX: usize = 16;
/// Highest leverage a bracket may allow.
pub const LEVERAGE_MAX: u8 = 125;

/// Highest price in ticks.
pub const PRICE_MAX: i64 = 1 << 40;
/// Highest quantity of one order in lots.
pub const QTY_MAX: i64 = 1 << 40;
/// Highest position of one account, and open interest of a symbol, in lots.
pub const POSITION_MAX: i64 = 1 << 44;
/// Highest value of an order or a position in units of 1e-8, so that entry values fit an i64.
pub const NOTIONAL_MAX: i64 = 1 << 60;
/// Highest amount of one deposit, and of an account's wallet, in units of 1e-8.
pub const CASH_MAX: i64 = 1 << 60;

/// How long the ledger waits for recalled collateral before it answers a Lend, in log time.
pub const RECALL_WAIT_US: u64 = 250_000;
/// An account is in need of a margin call below so many times its maintenance margin: a fraction.
pub const CALL_LINE: (i128, i128) = (23, 20);
/// The call asks for what lifts it to so many times that.
pub const CALL_TARGET: (i128, i128) = (3, 2);
/// How long the ledger waits for what it has recalled for a margin call: the answer is to come
/// inside the call's grace.
pub const CALL_RECALL_WAIT_US: u64 = 150_000;
/// A ledger that comes to the end of that wait so much too late was away, and could not hear what
/// it has waited for: it waits anew.
pub const CALL_LATE_US: u64 = 5_000;
/// An urgent recall leaves so many times the maintenance margin: a fraction.
pub const CALL_KEEP: (i128, i128) = (6, 5);
/// How long a shard's margin call stays open without an answer, in log time.
pub const MARGIN_CALL_GRACE_US: u64 = 250_000;
/// The same while the shard hears nothing of the ledger.
pub const MARGIN_CALL_GRACE_DOWN_US: u64 = 2_000_000;
const _: () = assert!(CALL_RECALL_WAIT_US < MARGIN_CALL_GRACE_US);
/// Below such a part of its maintenance margin an account's positions are taken over or
/// deleveraged, without an order to the book.
pub const LIQUIDATION_TAKEOVER: (i128, i128) = (2, 3);
/// A position worth more than this (100,000 units of the asset) is closed in parts.
pub const LIQUIDATION_LARGE: i128 = 100_000 * 100_000_000;
/// Of which there are so many, one at each mark.
pub const LIQUIDATION_PARTS: i64 = 4;
/// What an account has not used for so long in log time, its shard gives back by itself.
pub const SWEEP_AFTER_US: u64 = 10_000_000;
/// But so many times its initial margin: a fraction.
pub const SWEEP_KEEP: (i128, i128) = (6, 5);
/// How long a grant stays reserved for the order it was made for, in log time.
pub const EARMARK_US: u64 = 1_000_000;
/// Lend requests waiting for recalled collateral at once.
pub const PENDING_LENDS_MAX: usize = 4_096;
/// How long shards may take to say whether a position mode can change, in log time.
pub const MODE_WAIT_US: u64 = 1_000_000;
/// Changes of position modes that wait for shards at once.
pub const PENDING_MODES_MAX: usize = 1_024;
/// How long a withdrawal waits for the shards' answers and money, in log time.
pub const WITHDRAW_WAIT_US: u64 = 1_000_000;
/// Withdrawals that wait for shards at once.
pub const PENDING_WITHDRAWALS_MAX: usize = 1_024;
/// Unacknowledged messages of one link between the ledger and a shard.
pub const LINK_WINDOW_MAX: usize = 65_536;
