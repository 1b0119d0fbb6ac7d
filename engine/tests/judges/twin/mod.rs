//! The naive twin: the same rules written the obvious way, sharing no code with the engine.
//!
//! It recounts every sum from the orders, finds makers by scanning, and foresees a match by
//! playing it on a copy of everything. Slow, and plain enough to be read as the rules.

mod algos;
mod calls;
mod checks;
mod funding;
mod guard;
mod ledger;
mod liquidation;
mod margin;
mod market;
mod modes;
mod need;
mod orders;
mod settings;
mod settling;
mod shard;
mod sweep;
mod withdrawals;

use std::collections::BTreeMap;

use protocol::{
    Command, CommandKind, Event, FrameHeader, Name, OrderId, Reject, SessionId,
    event::{Outcome, SessionOpened},
    limits::{SESSIONS_MAX, SHARDS_MAX},
    order::SessionKind,
};

use ledger::Ledger;
use shard::Shard;

/// Done (about an order, or none), or refused with an amount.
type Answer = Result<u64, (Reject, i64)>;

fn no<T>(reject: Reject) -> Result<T, (Reject, i64)> {
    Err((reject, 0))
}

/// One command and what surrounds it.
#[derive(Clone, Copy)]
struct Context {
    seq: u64,
    now: u64,
    session: u64,
    number: u64,
    last_try: bool,
}

struct Session {
    kind: SessionKind,
    name: Name<32>,
    number: u64,
    used: u64,
}

enum Role {
    Unborn,
    Ledger(Ledger),
    Shard(Box<Shard>),
}

pub struct Twin {
    sessions: BTreeMap<u64, Session>,
    role: Role,
    work_per_turn: usize,
}

impl Twin {
    pub fn new() -> Self {
        Self { sessions: BTreeMap::new(), role: Role::Unborn, work_per_turn: 16 }
    }

    pub fn with_work_per_turn(work_per_turn: usize) -> Self {
        Self { work_per_turn, ..Self::new() }
    }

    pub fn apply(&mut self, header: &FrameHeader, payload: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        if let Role::Shard(shard) = &mut self.role {
            shard.begin_frame(header.ts, self.work_per_turn);
        }
        let (mut session, mut number) = (0, 0);
        let answer = match Command::decode(header.kind, payload) {
            Err(_) => no(Reject::Malformed),
            Ok((envelope, command)) => {
                let context = Context {
                    seq: header.seq,
                    now: header.ts,
                    session: envelope.session.0,
                    number: envelope.number,
                    last_try: envelope.last_try != 0,
                };
                match command.kind() {
                    CommandKind::Genesis | CommandKind::Open => {
                        self.begin(&context, &command, &mut events)
                    }
                    CommandKind::Tick
                    | CommandKind::LinkState
                    | CommandKind::Grant
                    | CommandKind::Recall
                    | CommandKind::Return
                    | CommandKind::Hold
                    | CommandKind::Release
                    | CommandKind::Held
                    | CommandKind::MarginCall
                    | CommandKind::Debt
                    | CommandKind::LinkAck => self.carry_out(&context, &command, &mut events),
                    _ => {
                        (session, number) = (context.session, context.number);
                        let late = envelope.expires_at != 0 && header.ts > envelope.expires_at;
                        self.in_session(&context, envelope.prev, late, &command, &mut events)
                    }
                }
            }
        };
        if let Role::Shard(shard) = &mut self.role {
            // of a frame that was refused before its shard saw it
            events.append(&mut shard.take_events());
            shard.close_frame();
        }
        let (order, reject, amount) = match answer {
            Ok(order) => (order, Reject::None, 0),
            Err((reject, amount)) => (0, reject, amount),
        };
        events.push(Event::Outcome(Outcome {
            session: SessionId(session),
            number,
            order: OrderId(order),
            amount,
            reject,
            command: header.kind,
            _pad: 0,
        }));
        events
    }

    fn in_session(
        &mut self,
        context: &Context,
        prev: u64,
        late: bool,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Answer {
        let Some(session) = self.sessions.get(&context.session) else {
            return no(Reject::SessionUnknown);
        };
        if context.number <= session.number {
            return no(Reject::Duplicate);
        }
        if prev != session.number {
            return Err((Reject::SessionGap, session.number as i64));
        }
        let kafka = session.kind == SessionKind::Kafka;
        let answer =
            if late { no(Reject::Expired) } else { self.carry_out(context, command, events) };
        let short = matches!(answer, Err((Reject::NeedMargin, _)));
        if !(kafka && short) {
            let session = self.sessions.get_mut(&context.session).unwrap();
            session.number = context.number;
            session.used = context.seq;
        }
        answer
    }

    fn carry_out(
        &mut self,
        context: &Context,
        command: &Command,
        events: &mut Vec<Event>,
    ) -> Answer {
        match &mut self.role {
            Role::Unborn => no(Reject::WrongShard),
            Role::Ledger(ledger) => ledger.apply(context, command, events),
            Role::Shard(shard) => shard.apply(context, command, events),
        }
    }

    fn begin(&mut self, context: &Context, command: &Command, events: &mut Vec<Event>) -> Answer {
        let born = !matches!(self.role, Role::Unborn);
        match command {
            Command::Genesis(_) if born => return no(Reject::Unsupported),
            Command::Genesis(genesis) => {
                if genesis.shard.0 >= genesis.shards || usize::from(genesis.shards) > SHARDS_MAX {
                    return no(Reject::Malformed);
                }
                self.role = match genesis.shard.0 {
                    0 => Role::Ledger(Ledger::new(genesis.shards)),
                    shard => Role::Shard(Box::new(Shard::new(shard))),
                };
            }
            Command::Open(_) if !born => return no(Reject::WrongShard),
            Command::Open(open) => {
                let mut same = self.sessions.iter().filter(|(_, session)| {
                    session.kind == SessionKind::Kafka
                        && open.kind == SessionKind::Kafka
                        && session.name == open.name
                });
                let id = same.next().map_or(context.seq, |(id, _)| *id);
                if id == context.seq && self.sessions.len() == SESSIONS_MAX {
                    let victim = self
                        .sessions
                        .iter()
                        .filter(|(_, session)| session.kind != SessionKind::Kafka)
                        .min_by_key(|(_, s)| (s.kind != SessionKind::Gateway, s.used))
                        .map(|(id, _)| *id);
                    let Some(victim) = victim else { return no(Reject::ShardFull) };
                    self.sessions.remove(&victim);
                }
                let (kind, name) = (open.kind, open.name);
                let fresh = Session { kind, name, number: 0, used: 0 };
                self.sessions.entry(id).or_insert(fresh).used = context.seq;
                events.push(Event::SessionOpened(SessionOpened {
                    session: SessionId(id),
                    nonce: open.nonce,
                    kind,
                    _pad: [0; 7],
                    name,
                }));
            }
            _ => unreachable!("only these two begin anything"),
        }
        Ok(0)
    }
}
