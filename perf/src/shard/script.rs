//! What a shard is told in a measurement: how it is set up, then a flow as clients would send it.

use protocol::{
    AccountId, ClientId, Command, Envelope, Name, SessionId, ShardId, SymbolId,
    command::{Amend, Cancel, Grant, IndexPrice, IndexPrices, Open, Place},
    instrument::{Bracket, Brackets, SymbolSpec},
    limits::{BRACKETS_MAX, INDEX_PRICES_MAX, NOTIONAL_MAX, QTY_MAX},
    order::{
        OrderType, PositionSide, PriceMatch, SelfTradePrevention, SessionKind, SymbolState,
        TimeInForce,
    },
};

use crate::flow::{self, Flow, Op};

pub const SHARD: ShardId = ShardId(1);
pub const SHARDS: u8 = 2;
const SYMBOL: SymbolId = SymbolId(1);
/// 0.1 and 0.001, as Bitcoin has them.
const TICK_E8: i64 = 10_000_000;
const LOT_E8: i64 = 100_000;
const MULT: i64 = 10_000;
const INDEX_E8: i64 = 500_000 * TICK_E8;
const LEVERAGE: u8 = 20;
/// So much that margin never binds: it is worked out for each order all the same.
const CASH: i64 = 10_000_000_000_000_000;

/// Whether orders carry an id of their client's, which the engine has to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIds {
    None,
    Each,
}

/// The commands of a run in their order, made one by one.
pub struct Script<'a> {
    flow: &'a Flow,
    setup: Vec<Command>,
    /// Each order's whole quantity, which an amend has to name, by the order's id.
    whole: Vec<u32>,
    client_ids: ClientIds,
    session: SessionId,
    number: u64,
}

impl<'a> Script<'a> {
    pub fn new(flow: &'a Flow, client_ids: ClientIds) -> Self {
        let whole = vec![0; flow.commands.len() + 1];
        let setup = setup();
        Self { flow, setup, whole, client_ids, session: SessionId::NONE, number: 0 }
    }

    /// Opens the session that everything else is said in; its id is known once it has a place.
    pub fn open(&self) -> Command {
        Command::Open(Open {
            nonce: 1,
            kind: SessionKind::Gateway,
            _pad: [0; 7],
            name: Name::new("perf").unwrap_or_default(),
        })
    }

    pub fn opened(&mut self, session: SessionId) {
        self.session = session;
    }

    /// Commands before the flow.
    pub fn setup_len(&self) -> usize {
        self.setup.len()
    }

    /// The command at a place; each has to be asked for once, in order.
    #[inline]
    pub fn command(&mut self, at: usize) -> (Envelope, Command) {
        let command = match self.setup.get(at) {
            Some(command) => *command,
            None => self.of_the_flow(at - self.setup.len()),
        };
        if command.kind().is_link() {
            return (Envelope::default(), command);
        }
        (self.next_envelope(), command)
    }

    /// The index price, once more.
    pub fn index(&mut self) -> (Envelope, Command) {
        (self.next_envelope(), index())
    }

    fn next_envelope(&mut self) -> Envelope {
        let prev = self.number;
        self.number += 1;
        Envelope { session: self.session, prev, number: self.number, ..Envelope::default() }
    }

    #[inline]
    fn of_the_flow(&mut self, at: usize) -> Command {
        let flow::Command { id, price, qty, account, side, op } = self.flow.commands[at];
        match op {
            Op::Place | Op::Take => {
                self.whole[id.0 as usize] = qty as u32;
                let time_in_force =
                    if op == Op::Place { TimeInForce::Gtc } else { TimeInForce::Ioc };
                Command::Place(Place {
                    account,
                    symbol: SYMBOL,
                    side,
                    order_type: OrderType::Limit,
                    time_in_force,
                    self_trade: SelfTradePrevention::ExpireMaker,
                    price_match: PriceMatch::None,
                    position_side: PositionSide::Both,
                    reduce_only: false,
                    _pad: [0; 3],
                    price,
                    qty,
                    good_till: 0,
                    client_id: self.client_id(id.0),
                    _pad2: [0; 4],
                })
            }
            Op::Cancel => Command::Cancel(Cancel {
                account,
                symbol: SYMBOL,
                _pad: [0; 2],
                order: id,
                client_id: ClientId::EMPTY,
                _pad2: [0; 4],
            }),
            Op::Move => Command::Amend(Amend {
                account,
                symbol: SYMBOL,
                side,
                price_match: PriceMatch::None,
                order: id,
                price,
                qty: self.whole[id.0 as usize].into(),
                client_id: ClientId::EMPTY,
                reduce_only: false,
                _pad: [0; 3],
            }),
        }
    }

    fn client_id(&self, order: u64) -> ClientId {
        const LEN: usize = 20;
        if self.client_ids == ClientIds::None {
            return ClientId::EMPTY;
        }
        let mut text = *b"x-perf00000000000000";
        let mut rest = order;
        for digit in text[LEN - 12..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let text = std::str::from_utf8(&text).unwrap_or_default();
        ClientId::new(text).unwrap_or_default()
    }
}

/// One instrument with an index price, and funds for every account of the flow.
fn setup() -> Vec<Command> {
    let mut rows = [Bracket::default(); BRACKETS_MAX];
    rows[0] = Bracket { floor: 0, cap: NOTIONAL_MAX, maintenance: 400_000, max_leverage: 125 };
    let brackets = Brackets { symbol: SYMBOL, count: 1, _pad: 0, rows };
    let grants = (1..=u64::from(flow::ACCOUNTS)).map(|link_seq| {
        Command::Grant(Grant {
            link_seq,
            account: AccountId(link_seq as u32),
            _pad: 0,
            amount: CASH,
            call: 0,
        })
    });
    let listing = [Command::ListSymbol(instrument()), Command::SetBrackets(brackets), index()];
    listing.into_iter().chain(grants).collect()
}

fn index() -> Command {
    let no_price = IndexPrice { symbol: SymbolId::NONE, _pad: [0; 6], price_e8: 0 };
    let mut prices = IndexPrices { count: 1, _pad: [0; 6], rows: [no_price; INDEX_PRICES_MAX] };
    prices.rows[0] = IndexPrice { symbol: SYMBOL, price_e8: INDEX_E8, ..no_price };
    Command::IndexPrices(prices)
}

fn instrument() -> SymbolSpec {
    SymbolSpec {
        symbol: SYMBOL,
        shard: SHARD,
        state: SymbolState::Trading,
        price_decimals: 1,
        qty_decimals: 3,
        default_leverage: LEVERAGE,
        funding_interval_hours: 8,
        name: Name::new("BTCUSDT").unwrap_or_default(),
        base: Name::new("BTC").unwrap_or_default(),
        quote: Name::new("USDT").unwrap_or_default(),
        tick_e8: TICK_E8,
        lot_e8: LOT_E8,
        mult: MULT,
        price_min: 1,
        price_max: 10_000_000,
        qty_min: 1,
        qty_max: QTY_MAX,
        market_qty_max: QTY_MAX,
        notional_min: 1,
        band_up: 110_000_000,
        band_down: 90_000_000,
        market_bound: 5_000_000,
        trigger_protect: 5_000_000,
        liquidation_fee: 1_250_000,
        maker_fee: 20_000,
        taker_fee: 40_000,
        listed_at: 0,
    }
}
