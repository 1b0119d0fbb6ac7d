//! Commands to an engine: whatever is in a log, each frame ends with its outcome, nothing panics,
//! and the same log says the same again.
//!
//! ```text
//!   input:  who and how much work a frame does | record | record | …
//!   record: kind | flags | length, 16 bits | payload
//! ```
//!
//! A random envelope is never the session's next, so flags say to leave it as it is; otherwise
//! session and numbers are made right before the frame is applied.

use std::collections::HashMap;

use engine::{Capacity, Engine, Sink};
use protocol::{
    AccountId, AlgoId, ClientId, Command, CommandKind, Envelope, Event, EventBody, FrameHeader,
    Name, OrderId, Reject, SessionId, ShardId, SymbolId,
    command::{
        Amend, Cancel, CancelAlgo, CancelAll, Countdown, Deposit, ENVELOPE_BYTES, Genesis, Grant,
        Lend, Open, Place, PlaceAlgo, Recall, SetLeverage, Tick,
    },
    event::Outcome,
    limits::{CASH_MAX, COMMAND_BYTES_MAX},
    order::{
        AlgoType, OrderType, PositionSide, PriceMatch, SelfTradePrevention, SessionKind, Side,
        TimeInForce, WorkingType,
    },
};
use zerocopy::IntoBytes;

use crate::venue::{brackets, index, spec};

/// Bits of the first byte.
const LEDGER: u8 = 1;
/// Bits of a record's flags; three more say how far time goes on.
const AS_IS: u8 = 1;
const LAST_TRY: u8 = 2;
const RECORDS_MAX: usize = 400;
const CAPACITY: Capacity = Capacity { accounts: 16, orders: 64 };
const START_US: u64 = 1_700_000_000_000_000;
const ACCOUNTS: u32 = 4;

/// A log, after a beginning that is always the same.
pub fn run(bytes: &[u8]) {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let mut log = Log::begin(*first);
    for _ in 0..RECORDS_MAX {
        let Some((kind, flags, payload, behind)) = split(rest) else { break };
        log.play(kind, flags, payload);
        rest = behind;
    }
    log.replay();
}

fn split(bytes: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let ([kind, flags, low, high], rest) = bytes.split_first_chunk()?;
    let len = usize::from(u16::from_le_bytes([*low, *high])).min(COMMAND_BYTES_MAX);
    let (payload, behind) = rest.split_at(len.min(rest.len()));
    Some((*kind, *flags, payload, behind))
}

/// Keeps what one frame says, checked one by one.
#[derive(Default)]
struct Said {
    bytes: Vec<u8>,
    last: Option<Outcome>,
}

impl Sink for Said {
    fn emit<E: EventBody>(&mut self, event: &E) {
        assert!(self.last.is_none(), "nothing follows an outcome");
        let body = event.as_bytes();
        let decoded = Event::decode(E::KIND as u16, body).expect("an event can be read");
        if let Event::Outcome(outcome) = decoded {
            self.last = Some(outcome);
        }
        self.bytes.extend(body);
    }
}

struct Log {
    engine: Engine,
    work: usize,
    frames: Vec<(FrameHeader, Vec<u8>)>,
    said: Vec<u8>,
    ts: u64,
    session: SessionId,
    number: u64,
    /// What a shard was granted less what it was asked for: the ledger never has more than that.
    granted: HashMap<u32, i64>,
}

impl Log {
    fn begin(first: u8) -> Self {
        let work = 1 + usize::from(first >> 1 & 63);
        let mut log = Self {
            engine: Engine::new(CAPACITY).with_work_per_turn(work),
            work,
            frames: Vec::new(),
            said: Vec::new(),
            ts: START_US,
            session: SessionId::NONE,
            number: 0,
            granted: HashMap::new(),
        };
        let shard = ShardId(u8::from(first & LEDGER == 0));
        let secret = *b"a fuzzer's words";
        log.own(&Command::Genesis(Genesis { cluster: 7, secret, shard, shards: 3, _pad: [0; 6] }));
        let name = Name::new("fuzz").unwrap_or_default();
        let (nonce, kind, _pad) = (1, SessionKind::Gateway, [0; 7]);
        log.own(&Command::Open(Open { nonce, kind, _pad, name }));
        log.session = SessionId(log.frames.len() as u64);
        if shard == ShardId::LEDGER {
            return log;
        }
        for symbol in [1, 2] {
            log.own(&Command::ListSymbol(spec(symbol)));
            log.own(&Command::SetBrackets(brackets(symbol)));
        }
        log.own(&index([1_000, 1_000]));
        for account in 1..=ACCOUNTS {
            let (link_seq, account, amount) = (account.into(), AccountId(account), 50_000_000_000);
            log.own(&Command::Grant(Grant { link_seq, account, _pad: 0, amount, call: 0 }));
        }
        log
    }

    /// A command of the beginning, which is taken.
    fn own(&mut self, command: &Command) {
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&Envelope::default(), &mut payload);
        let kind = command.kind() as u16;
        let outcome = self.play(kind as u8, 0, &payload[..len]);
        assert_eq!(outcome.reject, Reject::None, "{command:?}");
    }

    fn play(&mut self, kind: u8, flags: u8, payload: &[u8]) -> Outcome {
        let mut payload = payload.to_vec();
        if flags & AS_IS == 0 {
            self.address(flags, &mut payload);
        }
        self.bound_money(kind.into(), &mut payload);
        self.ts += 1 << (4 * (flags >> 2 & 7));
        let header = FrameHeader {
            seq: self.frames.len() as u64 + 1,
            ts: self.ts,
            epoch: 1,
            kind: kind.into(),
            flags: 0,
            len: payload.len() as u32,
            _pad: 0,
        };
        let mut said = Said::default();
        self.engine.apply(&header, &payload, &mut said);
        let outcome = said.last.expect("a frame ends with its outcome");
        self.said.extend(said.bytes);
        self.count(&outcome);
        self.frames.push((header, payload));
        outcome
    }

    /// Makes it the session's next command.
    fn address(&self, flags: u8, payload: &mut [u8]) {
        let Some(head) = payload.get_mut(..ENVELOPE_BYTES) else { return };
        let envelope = Envelope {
            session: self.session,
            prev: self.number,
            number: self.number + 1,
            last_try: u32::from(flags & LAST_TRY != 0),
            ..Envelope::default()
        };
        head.copy_from_slice(envelope.as_bytes());
    }

    /// Keeps the ledger's word: what it grants an account, over all time, is money that exists.
    fn bound_money(&mut self, kind: u16, payload: &mut [u8]) {
        let Ok((envelope, Command::Grant(grant))) = Command::decode(kind, payload) else { return };
        let granted = self.granted.entry(grant.account.0).or_default();
        let amount = grant.amount.min(CASH_MAX / 4 - *granted);
        *granted += amount.max(0);
        let mut bounded = [0; COMMAND_BYTES_MAX];
        let len = Command::Grant(Grant { amount, ..grant }).encode(&envelope, &mut bounded);
        payload.copy_from_slice(&bounded[..len]);
    }

    fn count(&mut self, outcome: &Outcome) {
        if outcome.session != self.session {
            return;
        }
        match outcome.reject {
            Reject::SessionGap => self.number = u64::try_from(outcome.amount).unwrap_or(0),
            Reject::SessionUnknown | Reject::Duplicate => {}
            _ => self.number = outcome.number,
        }
    }

    /// The same frames to another engine.
    fn replay(&self) {
        let mut engine = Engine::new(CAPACITY).with_work_per_turn(self.work);
        let mut again = Vec::new();
        for (header, payload) in &self.frames {
            let mut said = Said::default();
            engine.apply(header, payload, &mut said);
            again.extend(said.bytes);
        }
        assert_eq!(again, self.said, "a log says the same again");
        assert_eq!(engine.state_hash(), self.engine.state_hash());
    }
}

/// Two logs: a shard's trades with conditions and a countdown, and a ledger's loans.
pub fn seeds() -> Vec<Vec<u8>> {
    let shard = samples().into_iter().filter(|command| is_for_shard(command.kind()));
    let trades = shard.chain(std::iter::repeat_n(Command::Place(limit(2, Side::Sell, 1_000)), 3));
    let moves = [index([960, 1_040]), Command::Tick(Tick { _reserved: 0 })];
    let ledger = samples().into_iter().filter(|command| !is_for_shard(command.kind()));
    vec![
        log(64, trades.chain(moves)),
        log(2, samples().into_iter()),
        log(LEDGER, ledger),
        log(LEDGER, samples().into_iter()),
    ]
}

const fn is_for_shard(kind: CommandKind) -> bool {
    !matches!(kind, CommandKind::Deposit | CommandKind::Lend | CommandKind::Return)
}

fn log(first: u8, commands: impl Iterator<Item = Command>) -> Vec<u8> {
    let mut bytes = vec![first];
    for command in commands {
        let mut payload = [0; COMMAND_BYTES_MAX];
        let len = command.encode(&Envelope::default(), &mut payload);
        bytes.extend([command.kind() as u8, 0]);
        bytes.extend((len as u16).to_le_bytes());
        bytes.extend(&payload[..len]);
    }
    bytes
}

/// A command of each kind. Those that are not written out are zeros but for the account.
pub(crate) fn samples() -> Vec<Command> {
    let mut samples = written_out();
    for kind in CommandKind::ALL {
        if !samples.iter().any(|known| known.kind() == *kind) {
            samples.push(blank(*kind));
        }
    }
    samples
}

/// The shortest payload that can be read as this kind, zeros or ones.
fn blank(kind: CommandKind) -> Command {
    let lens = (ENVELOPE_BYTES..=COMMAND_BYTES_MAX).step_by(8);
    let payloads = lens.flat_map(|len| [vec![0; len], vec![1; len]]);
    payloads
        .filter_map(|payload| Command::decode(kind as u16, &payload).ok())
        .map(|(_, command)| command)
        .next()
        .unwrap_or_else(|| panic!("{kind:?} wants a sample that is written out"))
}

fn written_out() -> Vec<Command> {
    let (account, symbol) = (AccountId(1), SymbolId(1));
    let all = CancelAll { account, symbol, _pad: [0; 2] };
    let client_id: ClientId = Name::new("mine").unwrap_or_default();
    let (_pad, _pad2) = ([0; 2], [0; 4]);
    vec![
        Command::Place(limit(1, Side::Buy, 1_000)),
        Command::Place(limit(2, Side::Sell, 1_000)),
        Command::Place(Place {
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Ioc,
            price: 0,
            ..limit(3, Side::Sell, 0)
        }),
        Command::TestPlace(limit(1, Side::Sell, 1_001)),
        Command::Place(Place { client_id, ..limit(1, Side::Buy, 990) }),
        Command::Amend(Amend {
            account,
            symbol,
            side: Side::Buy,
            price_match: PriceMatch::None,
            order: OrderId::NONE,
            price: 991,
            qty: 700,
            client_id,
            reduce_only: false,
            _pad: [0; 3],
        }),
        Command::PlaceAlgo(stop(1, AlgoType::StopMarket, 970)),
        Command::PlaceAlgo(stop(1, AlgoType::TrailingStopMarket, 0)),
        Command::PlaceAlgo(stop(2, AlgoType::Stop, 965)),
        Command::SetLeverage(SetLeverage { account, symbol, leverage: 50, _pad: 0 }),
        Command::Countdown(Countdown { account, symbol, _pad, after: 1_000_000 }),
        Command::Cancel(Cancel { account, symbol, _pad, order: OrderId(4), client_id, _pad2 }),
        Command::CancelAlgo(CancelAlgo {
            account,
            symbol,
            _pad,
            algo: AlgoId::new(symbol, 2),
            client_id: ClientId::EMPTY,
            _pad2,
        }),
        Command::CancelAll(all),
        Command::CancelAllAlgos(all),
        Command::ListSymbol(spec(1)),
        Command::SetBrackets(brackets(2)),
        index([1_010, 990]),
        Command::Deposit(Deposit { account, _pad: 0, transfer: 1, amount: 1_000_000 }),
        Command::Lend(Lend { account, shard: ShardId(1), _pad: [0; 3], amount: 500_000 }),
        Command::Grant(Grant { link_seq: 5, account, _pad: 0, amount: 1_000_000, call: 0 }),
        Command::Recall(Recall {
            link_seq: 6,
            account,
            urgent: true,
            _pad: [0; 3],
            amount: 9_000,
            lend: 3,
        }),
    ]
}

fn limit(account: u32, side: Side, price: i64) -> Place {
    Place {
        account: AccountId(account),
        symbol: SymbolId(1),
        side,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side: PositionSide::Both,
        reduce_only: false,
        _pad: [0; 3],
        price,
        qty: 500,
        good_till: 0,
        client_id: ClientId::EMPTY,
        _pad2: [0; 4],
    }
}

/// Sells once the mark has fallen.
fn stop(account: u32, algo_type: AlgoType, trigger_price: i64) -> PlaceAlgo {
    let trails = algo_type == AlgoType::TrailingStopMarket;
    PlaceAlgo {
        account: AccountId(account),
        symbol: SymbolId(1),
        side: Side::Sell,
        algo_type,
        time_in_force: TimeInForce::Gtc,
        self_trade: SelfTradePrevention::ExpireMaker,
        price_match: PriceMatch::None,
        position_side: PositionSide::Both,
        working_type: WorkingType::Mark,
        reduce_only: false,
        close_position: false,
        price_protect: false,
        price: if algo_type == AlgoType::Stop { 960 } else { 0 },
        qty: 300,
        trigger_price,
        activate_price: 0,
        callback: if trails { 1_000_000 } else { 0 },
        good_till: 0,
        client_id: ClientId::EMPTY,
        _pad: [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seed_gets_far() {
        let seed = &seeds()[0];
        let mut log = Log::begin(seed[0]);
        let (mut rest, mut taken) = (&seed[1..], 0);
        while let Some((kind, flags, payload, behind)) = split(rest) {
            taken += usize::from(log.play(kind, flags, payload).reject == Reject::None);
            rest = behind;
        }
        assert!(taken > 15, "only {taken} commands are taken");
    }
}
