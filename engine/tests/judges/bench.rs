//! A bench to put an engine on: it makes frames, keeps the log and collects the events.

use std::collections::BTreeSet;

use engine::{Capacity, Engine, Sink};
use protocol::{
    AccountId, Command, Envelope, Event, EventBody, FrameHeader, Name, Reject, SessionId, ShardId,
    SymbolId,
    command::{Genesis, Grant, Hold, IndexPrice, IndexPrices, Open, Release, SetMarginMode},
    event::{Outcome, RecallIssued},
    instrument::{Bracket, Brackets, SymbolSpec},
    limits::{BRACKETS_MAX, COMMAND_BYTES_MAX, INDEX_PRICES_MAX},
    order::{HoldFor, MarginMode, ModeChange, PositionMode, SessionKind, Side, SymbolState},
};

pub const CAPACITY: Capacity = Capacity { accounts: 64, orders: 1_024 };
/// Units of pending work that an engine does before a command.
pub const WORK_PER_TURN: usize = 16;
pub const START_US: u64 = 1_700_000_000_000_000;
const SECRET: [u8; 16] = *b"a judge's secret";

pub type Frame = (FrameHeader, Vec<u8>);

/// Keeps events as the output ring would: kind and bytes.
#[derive(Default)]
pub struct Collected(pub Vec<(u16, Vec<u8>)>);

impl Sink for Collected {
    fn emit<E: EventBody>(&mut self, event: &E) {
        self.0.push((E::KIND as u16, event.as_bytes().to_vec()));
    }
}

impl Collected {
    pub fn events(&self) -> Vec<Event> {
        let decode = |(kind, body): &(u16, Vec<u8>)| Event::decode(*kind, body).unwrap();
        self.0.iter().map(decode).collect()
    }
}

pub struct Bench {
    pub engine: Engine,
    pub seq: u64,
    pub ts: u64,
    pub log: Vec<Frame>,
    /// A gateway's session and a Kafka stream's: id and last number.
    pub sessions: [(u64, u64); 2],
    /// Messages of the other end of a link, by peer.
    pub links: [u64; 4],
    /// The owners of symbols 1 and 2's orders, by id from 1.
    pub owners: [Vec<AccountId>; 2],
    /// The same of their conditional orders.
    pub algo_owners: [Vec<AccountId>; 2],
    pub sides: [Vec<Side>; 2],
    pub trades: usize,
    pub work_per_turn: usize,
    /// Accounts in hedge mode, and those that are held.
    pub hedged: BTreeSet<u32>,
    pub held: BTreeSet<u32>,
    /// Margin calls of a shard, by number.
    pub calls: Vec<(AccountId, u64)>,
    /// Whose position was closed last, and on which symbol.
    pub closed: Option<(AccountId, SymbolId)>,
    /// How often an account has chosen another margin while work waited.
    pub switched: usize,
    /// Money is worth so many times less than on most shards.
    pub unit: i64,
    /// What a shard has given back by itself.
    pub returned: Vec<(AccountId, i64)>,
    /// What a ledger has asked shards to hold: the shard, the account, and what for.
    pub holds: Vec<(ShardId, AccountId, u64)>,
    /// What a ledger has recalled.
    pub recalls: Vec<RecallIssued>,
}

/// The last event of a frame.
pub fn outcome(events: &[Event]) -> Outcome {
    match events.last() {
        Some(Event::Outcome(outcome)) => *outcome,
        other => panic!("an outcome is the last event, not {other:?}"),
    }
}

impl Bench {
    /// An engine that knows its shard, with two sessions open.
    pub fn new(shard: u8) -> Self {
        Self::of_shard(shard, WORK_PER_TURN)
    }

    fn of_shard(shard: u8, work_per_turn: usize) -> Self {
        let mut bench = Self {
            engine: Engine::new(CAPACITY).with_work_per_turn(work_per_turn),
            seq: 0,
            ts: START_US,
            log: Vec::new(),
            sessions: [(0, 0); 2],
            links: [0; 4],
            owners: [Vec::new(), Vec::new()],
            algo_owners: [Vec::new(), Vec::new()],
            sides: [Vec::new(), Vec::new()],
            trades: 0,
            work_per_turn,
            hedged: BTreeSet::new(),
            held: BTreeSet::new(),
            calls: Vec::new(),
            closed: None,
            switched: 0,
            unit: 1,
            returned: Vec::new(),
            holds: Vec::new(),
            recalls: Vec::new(),
        };
        bench.raw(&Command::Genesis(Genesis {
            cluster: 7,
            secret: SECRET,
            shard: ShardId(shard),
            shards: 4,
            _pad: [0; 6],
        }));
        for (at, kind) in [SessionKind::Gateway, SessionKind::Kafka].into_iter().enumerate() {
            let name = Name::new("judge").unwrap();
            bench.raw(&Command::Open(Open { nonce: 1, kind, _pad: [0; 7], name }));
            bench.sessions[at].0 = bench.seq;
        }
        bench
    }

    /// A trading shard with two symbols, priced, and money for some accounts.
    pub fn trading(grants: &[(u32, i64)]) -> Self {
        Self::trading_with_work(grants, WORK_PER_TURN)
    }

    /// As [`Self::trading`], with another bound of pending work.
    pub fn trading_with_work(grants: &[(u32, i64)], most: usize) -> Self {
        let mut bench = Self::of_shard(1, most);
        for symbol in [1, 2] {
            bench.ok(&Command::ListSymbol(spec(symbol)));
            bench.ok(&Command::SetBrackets(brackets(symbol)));
        }
        bench.ok(&index(1, 100));
        bench.ok(&index(2, 100));
        for (account, amount) in grants {
            bench.grant(*account, *amount);
        }
        bench
    }

    /// A bench with a copy of the engine, without its log.
    pub fn fork(&self) -> Self {
        let engine = Engine::load(CAPACITY, &self.engine.save()).unwrap();
        Self {
            engine: engine.with_work_per_turn(self.work_per_turn),
            log: Vec::new(),
            owners: self.owners.clone(),
            algo_owners: self.algo_owners.clone(),
            sides: self.sides.clone(),
            hedged: self.hedged.clone(),
            held: self.held.clone(),
            calls: self.calls.clone(),
            returned: self.returned.clone(),
            holds: self.holds.clone(),
            recalls: self.recalls.clone(),
            ..*self
        }
    }

    /// As [`Self::trading_with_work`], with lots ten million times as dear, as much more money, and
    /// one bracket on the first symbol: more than 10 of its lots are a large position.
    pub fn large(grants: &[(u32, i64)], most: usize) -> Self {
        let mut bench = Self::of_shard(1, most);
        let dear = 10_000_000;
        bench.unit = 2 * dear;
        for symbol in [1, 2] {
            let mult = spec(symbol).mult * dear;
            bench.ok(&Command::ListSymbol(SymbolSpec { lot_e8: mult, mult, ..spec(symbol) }));
            let mut table = brackets(symbol);
            for row in &mut table.rows[..3] {
                (row.floor, row.cap) = (row.floor * dear, row.cap * dear);
            }
            if symbol == 1 {
                let only = Bracket { floor: 0, ..table.rows[2] };
                table.count = 1;
                table.rows = [Bracket::default(); BRACKETS_MAX];
                table.rows[0] = only;
            }
            bench.ok(&Command::SetBrackets(table));
            bench.ok(&index(symbol, 100));
        }
        for (account, amount) in grants {
            bench.grant(*account, *amount * bench.unit);
        }
        bench
    }

    /// Makes the symbols of some accounts isolated: account n's first and second by bits 2n and
    /// 2n + 1.
    pub fn isolate(&mut self, bits: u16) {
        for bit in (2..12).filter(|bit| bits & 1 << bit != 0) {
            let (account, symbol) = (AccountId(bit / 2), SymbolId(1 + bit as u16 % 2));
            let mode = MarginMode::Isolated;
            self.ok(&Command::SetMarginMode(SetMarginMode { account, symbol, mode, _pad: 0 }));
        }
    }

    /// Gives some accounts two legs a symbol: account n by bit n.
    pub fn hedge(&mut self, bits: u16) {
        for bit in (1..6).filter(|bit| bits & 1 << bit != 0) {
            self.set_mode(bit, ModeChange::Hedge);
        }
    }

    /// What the ledger says of an account that has nothing open.
    pub fn set_mode(&mut self, account: u32, mode: ModeChange) -> Vec<Event> {
        let (account, link_seq) = (AccountId(account), self.links[0] + 1);
        self.raw(&Command::Hold(Hold {
            link_seq,
            change: 5,
            account,
            purpose: HoldFor::Mode,
            _pad: [0; 3],
        }));
        // each answer tells how far the link has come
        let link_seq = self.links[0] + 1;
        self.raw(&Command::Release(Release { link_seq, account, mode, _pad: [0; 3] }))
    }

    /// A trading shard whose first symbol's lots are worth so much that its book can have impact
    /// prices, funded hourly, and money for some accounts.
    pub fn funded(grants: &[(u32, i64)]) -> Self {
        let mut bench = Self::new(1);
        let mult = 1_000_000_007;
        let (lot_e8, funding_interval_hours) = (mult, 1);
        let spec =
            SymbolSpec { lot_e8, mult, funding_interval_hours, price_max: 10_000, ..spec(1) };
        bench.ok(&Command::ListSymbol(spec));
        let mut table = brackets(1);
        for row in &mut table.rows[..3] {
            (row.floor, row.cap) = (row.floor * 1_000_000, row.cap * 1_000_000);
        }
        bench.ok(&Command::SetBrackets(table));
        bench.ok(&index(1, 1_000));
        for (account, amount) in grants {
            bench.grant(*account, *amount);
        }
        bench
    }

    pub fn grant(&mut self, account: u32, amount: i64) -> Vec<Event> {
        self.links[0] += 1;
        let (link_seq, account) = (self.links[0], AccountId(account));
        self.raw(&Command::Grant(Grant { link_seq, account, _pad: 0, amount, call: 0 }))
    }

    /// When the engine has work to do, other than the fundings that come by the hour.
    pub fn wake_at(&self) -> Option<u64> {
        self.engine.wake_at().filter(|at| !at.is_multiple_of(3_600_000_000))
    }

    /// The engine has work left to do in the next frame.
    pub fn works(&self) -> bool {
        self.engine.wake_at() == Some(self.ts)
    }

    /// Sends a command in the gateway's session.
    pub fn send(&mut self, command: &Command) -> Vec<Event> {
        self.send_as(0, false, command)
    }

    /// As [`Self::send`], and it must succeed.
    pub fn ok(&mut self, command: &Command) -> Vec<Event> {
        let events = self.send(command);
        let outcome = outcome(&events);
        assert_eq!(outcome.reject, Reject::None, "{command:?}");
        events
    }

    /// As [`Self::send`], and it must be refused; with nothing but the outcome.
    pub fn refused(&mut self, command: &Command, reject: Reject) {
        let events = self.send(command);
        assert_eq!(outcome(&events).reject, reject, "{command:?}");
        assert_eq!(events.len(), 1, "{command:?}");
    }

    pub fn send_as(&mut self, session: usize, last_try: bool, command: &Command) -> Vec<Event> {
        let envelope = self.envelope(session, last_try);
        let events = self.apply(envelope, command);
        let short = outcome(&events).reject == Reject::NeedMargin;
        if !(session == 1 && short) {
            self.sessions[session].1 = envelope.number;
        }
        events
    }

    pub fn envelope(&self, session: usize, last_try: bool) -> Envelope {
        let (id, prev) = self.sessions[session];
        Envelope {
            session: SessionId(id),
            prev,
            number: prev + 1,
            expires_at: 0,
            last_try: last_try.into(),
            _pad: 0,
        }
    }

    /// Sends a command of the cluster itself.
    pub fn raw(&mut self, command: &Command) -> Vec<Event> {
        self.apply(Envelope::default(), command)
    }

    pub fn apply(&mut self, envelope: Envelope, command: &Command) -> Vec<Event> {
        let works = self.works();
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&envelope, &mut payload);
        let events = self.apply_bytes(command.kind() as u16, &payload[..len]).events();
        for event in &events {
            let switches = matches!(event, Event::SettingsChanged(_))
                && matches!(command, Command::SetMarginMode(_));
            self.switched += usize::from(works && switches);
            if let Event::Trade(trade) = event {
                self.trades += 1;
                let flat = [trade.taker, trade.maker].into_iter().find(|fill| fill.position == 0);
                self.closed = flat.map(|fill| (fill.account, trade.symbol)).or(self.closed);
            }
            if let Event::OrderAccepted(order) = event {
                self.owners[usize::from(order.symbol.0 - 1)].push(order.account);
                self.sides[usize::from(order.symbol.0 - 1)].push(order.side);
            }
            if let Event::PositionModeChanged(change) = event {
                let note = |set: &mut BTreeSet<u32>, is: bool| match is {
                    true => set.insert(change.account.0),
                    false => set.remove(&change.account.0),
                };
                note(&mut self.hedged, change.mode == PositionMode::Hedge);
                note(&mut self.held, change.held);
            }
            if let Event::LinkApplied(applied) = event {
                self.links[usize::from(applied.peer.0)] = applied.link_seq;
            }
            if let Event::HoldIssued(hold) = event {
                self.holds.push((hold.to, hold.account, hold.change));
            }
            if let Event::RecallIssued(recall) = event {
                self.recalls.push(*recall);
            }
            if let Event::ReturnIssued(back) = event
                && back.lend == 0
            {
                self.returned.push((back.account, back.amount));
            }
            if let Event::MarginCallIssued(call) = event {
                self.calls.push((call.account, call.link_seq));
            }
            if let Event::AlgoAccepted(algo) = event {
                self.algo_owners[usize::from(algo.terms.symbol.0 - 1)].push(algo.terms.account);
            }
        }
        events
    }

    pub fn apply_bytes(&mut self, kind: u16, payload: &[u8]) -> Collected {
        self.seq += 1;
        self.ts += 1;
        let header = FrameHeader {
            seq: self.seq,
            ts: self.ts,
            epoch: 1,
            kind,
            flags: 0,
            len: payload.len() as u32,
            _pad: 0,
        };
        let mut collected = Collected::default();
        self.engine.apply(&header, payload, &mut collected);
        self.log.push((header, payload.to_vec()));
        collected
    }
}

pub fn spec(symbol: u16) -> SymbolSpec {
    SymbolSpec {
        symbol: SymbolId(symbol),
        shard: ShardId(1),
        state: SymbolState::Trading,
        price_decimals: 0,
        qty_decimals: 8,
        default_leverage: 20,
        funding_interval_hours: if symbol == 1 { 8 } else { 1 },
        name: Name::new(if symbol == 1 { "ONEUSDT" } else { "TWOUSDT" }).unwrap(),
        base: Name::new("BASE").unwrap(),
        quote: Name::new("USDT").unwrap(),
        tick_e8: 100_000_000,
        lot_e8: if symbol == 1 { 1_000 } else { 7 },
        mult: if symbol == 1 { 1_000 } else { 7 },
        price_min: 1,
        price_max: 1_000,
        qty_min: 1,
        qty_max: 200,
        market_qty_max: 100,
        notional_min: 1_000,
        band_up: 115_000_000,
        band_down: 85_000_000,
        market_bound: 5_000_000,
        trigger_protect: 5_000_000,
        liquidation_fee: 1_000_000,
        maker_fee: if symbol == 1 { 20_000 } else { -10_000 },
        taker_fee: 50_000,
        listed_at: START_US,
    }
}

/// Caps within reach of small orders, so that leverage binds.
pub fn brackets(symbol: u16) -> Brackets {
    let mult = spec(symbol).mult;
    let rows = [
        (0, 1_000 * mult, 400_000, 125),
        (1_000 * mult, 4_000 * mult, 1_000_000, 50),
        (4_000 * mult, 40_000 * mult, 4_000_000, 20),
    ];
    let mut table = Brackets {
        symbol: SymbolId(symbol),
        count: 3,
        _pad: 0,
        rows: [Bracket::default(); BRACKETS_MAX],
    };
    for (row, (floor, cap, maintenance, max_leverage)) in table.rows.iter_mut().zip(rows) {
        *row = Bracket { floor, cap, maintenance, max_leverage };
    }
    table
}

pub fn index(symbol: u16, ticks: i64) -> Command {
    let blank = IndexPrice { symbol: SymbolId::NONE, _pad: [0; 6], price_e8: 0 };
    let mut rows = [blank; INDEX_PRICES_MAX];
    rows[0] = IndexPrice { symbol: SymbolId(symbol), price_e8: ticks * 100_000_000, ..blank };
    Command::IndexPrices(IndexPrices { count: 1, _pad: [0; 6], rows })
}
