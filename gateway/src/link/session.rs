//! One shard's command session: numbers, what is under way, and sending again until the outcome
//! is seen.
//!
//! The shard applies number n only directly after n-1, so whatever a lossy stream does to the
//! messages, each command is applied once and in order. The session in turn never forgets a
//! command that it has sent before it saw its outcome, also when its client has long been told
//! that the outcome is unknown. `T` is what the owner wants back with the outcome.

use std::{collections::VecDeque, time::Duration};

use protocol::{
    Command, Envelope, Micros, Name, Reject, SessionId,
    command::Open,
    event::{EventHeader, Outcome, SessionOpened},
    limits::COMMAND_BYTES_MAX,
    order::SessionKind,
    wire::Message,
};

use super::OUTSTANDING_MAX;

/// How long nothing of what was sent may come back before it is sent again; doubled each time.
pub const RESEND_AFTER: Duration = Duration::from_millis(500);
pub const RESEND_AFTER_MAX: Duration = Duration::from_secs(8);
/// How long an Open may take before it is sent again.
pub const REOPEN_AFTER: Duration = Duration::from_secs(2);

/// A command that waits to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub command: Command,
    pub expires_at: Micros,
    pub last_try: bool,
    /// When the owner no longer waits.
    pub deadline: Duration,
}

/// What became of a request, for its owner.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most are outcomes, and a box would cost more")]
pub enum Settled<T> {
    /// The shard has answered.
    Outcome { owner: T, request: Request, number: u64, outcome: Outcome, header: EventHeader },
    /// It was sent and the deadline has passed, or the session is lost.
    Unknown { owner: T },
    /// It was never sent and the deadline has passed.
    Unsent { owner: T },
}

pub struct Session<T> {
    kind: SessionKind,
    name: Name<32>,
    state: State,
    last_number: u64,
    /// Sent at least once; dense numbers up to `last_number`.
    outstanding: VecDeque<Sent<T>>,
    /// The first of `outstanding` that is to be sent (again).
    cursor: usize,
    queue: VecDeque<(T, Request)>,
    /// When something came back last, or went out while nothing was under way.
    moved: Duration,
    resend_after: Duration,
    /// The number whose gap has been answered by going back.
    gap: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Opening { nonce: u64, sent: Option<Duration> },
    Open(SessionId),
}

struct Sent<T> {
    /// `None`: it has been told that the outcome is unknown.
    owner: Option<T>,
    request: Request,
    number: u64,
}

/// What a filled message holds, to be confirmed with [`Session::sent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    Nothing,
    Open,
    Commands(usize),
}

impl<T> Session<T> {
    pub fn new(kind: SessionKind, name: Name<32>) -> Self {
        Self {
            kind,
            name,
            state: State::Closed,
            last_number: 0,
            outstanding: VecDeque::new(),
            cursor: 0,
            queue: VecDeque::new(),
            moved: Duration::ZERO,
            resend_after: RESEND_AFTER,
            gap: None,
        }
    }

    pub fn push(&mut self, owner: T, request: Request) {
        self.queue.push_back((owner, request));
    }

    /// Commands without an outcome, sent or not.
    pub fn len(&self) -> usize {
        self.outstanding.len() + self.queue.len()
    }

    /// Whose command a number is, while its outcome is awaited.
    pub fn owner_of(&self, number: u64) -> Option<&T> {
        let first = self.outstanding.front()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        self.outstanding.get(at)?.owner.as_ref()
    }

    pub fn id(&self) -> Option<SessionId> {
        match self.state {
            State::Open(id) => Some(id),
            State::Closed | State::Opening { .. } => None,
        }
    }

    /// There is a new ingress: it may have seen nothing of what the old one was sent.
    pub fn reconnected(&mut self, now: Duration) {
        self.cursor = 0;
        self.gap = None;
        self.moved = now;
        self.resend_after = RESEND_AFTER;
        if let State::Opening { sent, .. } = &mut self.state {
            *sent = None;
        }
    }

    /// Writes what is to be sent next into `message`, behind what is there.
    pub fn fill(&mut self, now: Duration, message: &mut Message) -> Filled {
        match self.state {
            State::Closed => {
                self.state = State::Opening { nonce: rand::random(), sent: None };
                self.fill(now, message)
            }
            State::Opening { nonce, sent } => {
                let due = sent.is_none_or(|at| now.saturating_sub(at) >= REOPEN_AFTER);
                if due && self.write_open(nonce, message) { Filled::Open } else { Filled::Nothing }
            }
            State::Open(id) => self.fill_commands(id, message),
        }
    }

    /// The filled message is on its way.
    pub fn sent(&mut self, filled: Filled, now: Duration) {
        match filled {
            Filled::Nothing => {}
            Filled::Open => {
                if let State::Opening { sent, .. } = &mut self.state {
                    *sent = Some(now);
                }
            }
            Filled::Commands(count) => {
                if self.cursor == 0 {
                    self.moved = now;
                }
                self.cursor += count;
            }
        }
    }

    /// Looks at the clock: sends again what has been silent for too long, and gives up waiting
    /// (never sending) where a deadline has passed.
    pub fn tick(&mut self, now: Duration, out: &mut Vec<Settled<T>>) {
        let silent = now.saturating_sub(self.moved) >= self.resend_after;
        if silent && self.cursor > 0 && !self.outstanding.is_empty() {
            self.cursor = 0;
            self.gap = None;
            self.moved = now;
            self.resend_after = (self.resend_after * 2).min(RESEND_AFTER_MAX);
        }
        for sent in &mut self.outstanding {
            if sent.request.deadline <= now {
                out.extend(sent.owner.take().map(|owner| Settled::Unknown { owner }));
            }
        }
        while self.queue.front().is_some_and(|(_, request)| request.deadline <= now) {
            out.extend(self.queue.pop_front().map(|(owner, _)| Settled::Unsent { owner }));
        }
    }

    /// Takes a SessionOpened of the shard.
    pub fn opened(&mut self, event: &SessionOpened, now: Duration) {
        if matches!(self.state, State::Opening { nonce, .. } if nonce == event.nonce) {
            self.state = State::Open(event.session);
            self.last_number = 0;
            self.cursor = 0;
            self.moved = now;
            self.resend_after = RESEND_AFTER;
        }
    }

    /// Takes an Outcome of the shard, of this session or any other.
    pub fn outcome(
        &mut self,
        header: &EventHeader,
        outcome: &Outcome,
        now: Duration,
        out: &mut Vec<Settled<T>>,
    ) {
        if self.id() != Some(outcome.session) {
            return;
        }
        match outcome.reject {
            Reject::SessionUnknown => self.lost(out),
            Reject::SessionGap => self.go_back(outcome, now, out),
            // It stands earlier in the same events, where it was taken.
            Reject::Duplicate => {}
            _ => self.settle(header, outcome, now, out),
        }
    }

    fn settle(
        &mut self,
        header: &EventHeader,
        outcome: &Outcome,
        now: Duration,
        out: &mut Vec<Settled<T>>,
    ) {
        let Some(first) = self.outstanding.front() else { return };
        if first.number != outcome.number {
            tracing::error!(
                session = %outcome.session, expected = first.number, number = outcome.number,
                "an outcome came out of turn"
            );
            return;
        }
        self.moved = now;
        self.resend_after = RESEND_AFTER;
        self.gap = None;
        self.cursor = self.cursor.saturating_sub(1);
        let Some(Sent { owner, request, number }) = self.outstanding.pop_front() else { return };
        if let Some(owner) = owner {
            let (outcome, header) = (*outcome, *header);
            out.push(Settled::Outcome { owner, request, number, outcome, header });
        }
    }

    /// Something before `outcome.number` did not arrive: sends again from there.
    fn go_back(&mut self, outcome: &Outcome, now: Duration, out: &mut Vec<Settled<T>>) {
        let last = outcome.amount as u64;
        if self.gap == Some(last) {
            return;
        }
        let first = self.last_number + 1 - self.outstanding.len() as u64;
        if last + 1 < first || last > self.last_number {
            tracing::error!(session = %outcome.session, last, first, "the shard counts otherwise");
            self.lost(out);
            return;
        }
        // What the shard has applied already has its outcome on the way; it is not sent again.
        self.cursor = (last + 1 - first) as usize;
        self.gap = Some(last);
        self.moved = now;
    }

    /// The shard has forgotten the session: nobody knows what became of what was under way.
    fn lost(&mut self, out: &mut Vec<Settled<T>>) {
        tracing::warn!(under_way = self.outstanding.len(), "the session is lost, opening another");
        let owners = self.outstanding.drain(..).filter_map(|sent| sent.owner);
        out.extend(owners.map(|owner| Settled::Unknown { owner }));
        self.cursor = 0;
        self.gap = None;
        self.state = State::Closed;
    }

    fn write_open(&self, nonce: u64, message: &mut Message) -> bool {
        let open = Open { nonce, kind: self.kind, _pad: [0; 7], name: self.name };
        write(&Command::Open(open), &Envelope::default(), message)
    }

    fn fill_commands(&mut self, id: SessionId, message: &mut Message) -> Filled {
        let mut count = 0;
        loop {
            let at = self.cursor + count;
            if at == self.outstanding.len() && !self.number_next() {
                break;
            }
            let sent = &self.outstanding[at];
            let envelope = Envelope {
                session: id,
                prev: sent.number - 1,
                number: sent.number,
                expires_at: sent.request.expires_at,
                last_try: u32::from(sent.request.last_try),
                _pad: 0,
            };
            if !write(&sent.request.command, &envelope, message) {
                break;
            }
            count += 1;
        }
        if count == 0 { Filled::Nothing } else { Filled::Commands(count) }
    }

    /// Gives the next in the queue its number; false when there is none or too much is under way.
    fn number_next(&mut self) -> bool {
        if self.outstanding.len() >= OUTSTANDING_MAX {
            return false;
        }
        let Some((owner, request)) = self.queue.pop_front() else { return false };
        self.last_number += 1;
        self.outstanding.push_back(Sent { owner: Some(owner), request, number: self.last_number });
        true
    }
}

fn write(command: &Command, envelope: &Envelope, message: &mut Message) -> bool {
    let mut payload = [0; COMMAND_BYTES_MAX];
    let len = command.encode(envelope, &mut payload);
    message.push_command(command.kind() as u16, &payload[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{AccountId, SymbolId, command::CancelAll, wire};

    const ID: SessionId = SessionId(77);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn request(account: u32) -> Request {
        let command = Command::CancelAll(CancelAll {
            account: AccountId(account),
            symbol: SymbolId(1),
            _pad: [0; 2],
        });
        Request { command, expires_at: 0, last_try: false, deadline: at(5_000) }
    }

    /// What a message holds: (number, account) each.
    fn sent(message: &Message) -> Vec<(u64, u32)> {
        wire::commands(message.as_bytes())
            .map(|one| {
                let (kind, payload) = one.unwrap();
                let (envelope, command) = Command::decode(kind, payload).unwrap();
                assert_eq!(envelope.prev + 1, envelope.number);
                match command {
                    Command::CancelAll(body) => (envelope.number, body.account.0),
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }

    fn flush(session: &mut Session<u32>, now: Duration) -> Vec<(u64, u32)> {
        let mut message = Message::default();
        let filled = session.fill(now, &mut message);
        session.sent(filled, now);
        sent(&message)
    }

    fn open(count: u32) -> Session<u32> {
        let mut session = Session::new(SessionKind::Gateway, Name::EMPTY);
        let mut message = Message::default();
        assert_eq!(session.fill(at(0), &mut message), Filled::Open);
        session.sent(Filled::Open, at(0));
        let State::Opening { nonce, .. } = session.state else { panic!("it is opening") };
        session.opened(&opened(nonce + 1), at(1));
        assert_eq!(session.id(), None);
        session.opened(&opened(nonce), at(1));
        assert_eq!(session.id(), Some(ID));
        (1..=count).for_each(|account| session.push(account, request(account)));
        session
    }

    fn opened(nonce: u64) -> SessionOpened {
        SessionOpened {
            session: ID,
            nonce,
            kind: SessionKind::Gateway,
            _pad: [0; 7],
            name: Name::EMPTY,
        }
    }

    fn answer(
        session: &mut Session<u32>,
        number: u64,
        reject: Reject,
        amount: i64,
        now: Duration,
    ) -> Vec<Settled<u32>> {
        let outcome = Outcome {
            session: ID,
            number,
            order: protocol::OrderId::NONE,
            amount,
            reject,
            command: 0,
            _pad: 0,
        };
        let mut out = Vec::new();
        session.outcome(&EventHeader::default(), &outcome, now, &mut out);
        out
    }

    fn owner(settled: &[Settled<u32>]) -> u32 {
        match settled {
            [Settled::Outcome { owner, .. }] => *owner,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_open_is_repeated_with_its_nonce_until_it_is_answered() {
        let mut session = Session::<u32>::new(SessionKind::Gateway, Name::EMPTY);
        let mut message = Message::default();
        assert_eq!(session.fill(at(0), &mut message), Filled::Open);
        session.sent(Filled::Open, at(0));
        let first = message.as_bytes().to_vec();
        assert_eq!(session.fill(at(1_999), &mut Message::default()), Filled::Nothing);
        let mut again = Message::default();
        assert_eq!(session.fill(at(2_000), &mut again), Filled::Open);
        assert_eq!(again.as_bytes(), first);
    }

    #[test]
    fn outcomes_come_back_in_order_to_their_owners() {
        let mut session = open(3);
        assert_eq!(flush(&mut session, at(1)), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(flush(&mut session, at(1)), []);
        for number in 1..=3 {
            let settled = answer(&mut session, number, Reject::None, 0, at(2));
            assert_eq!(u64::from(owner(&settled)), number);
        }
        assert_eq!(session.len(), 0);
    }

    #[test]
    fn silence_sends_all_again_and_a_doubled_outcome_is_not_taken_twice() {
        let mut session = open(2);
        flush(&mut session, at(1));
        let mut out = Vec::new();
        session.tick(at(400), &mut out);
        assert_eq!(flush(&mut session, at(400)), []);
        session.tick(at(501), &mut out);
        assert_eq!(flush(&mut session, at(501)), [(1, 1), (2, 2)]);
        assert_eq!(owner(&answer(&mut session, 1, Reject::None, 0, at(502))), 1);
        assert!(answer(&mut session, 1, Reject::Duplicate, 0, at(503)).is_empty());
        assert_eq!(owner(&answer(&mut session, 2, Reject::None, 0, at(504))), 2);
        assert!(answer(&mut session, 2, Reject::Duplicate, 0, at(505)).is_empty());
        assert!(out.is_empty());
    }

    #[test]
    fn a_gap_goes_back_once_to_where_the_shard_is() {
        let mut session = open(4);
        flush(&mut session, at(1));
        assert_eq!(owner(&answer(&mut session, 1, Reject::None, 0, at(2))), 1);
        // 2 was lost, so 3 and 4 are gaps, and 2 to 4 go out again, once
        assert!(answer(&mut session, 3, Reject::SessionGap, 1, at(2)).is_empty());
        assert!(answer(&mut session, 4, Reject::SessionGap, 1, at(2)).is_empty());
        assert_eq!(flush(&mut session, at(2)), [(2, 2), (3, 3), (4, 4)]);
        for number in 2..=4 {
            let settled = answer(&mut session, number, Reject::None, 0, at(3));
            assert_eq!(u64::from(owner(&settled)), number);
        }
    }

    #[test]
    fn a_deadline_answers_the_client_and_not_the_shard() {
        let mut session = open(1);
        flush(&mut session, at(1));
        session.push(2, Request { deadline: at(5_000), ..request(2) });
        let mut out = Vec::new();
        session.tick(at(5_000), &mut out);
        assert!(
            matches!(out[..], [Settled::Unknown { owner: 1 }, Settled::Unsent { owner: 2 }]),
            "{out:?}"
        );
        assert_eq!(flush(&mut session, at(5_000)), [(1, 1)]);
        assert!(answer(&mut session, 1, Reject::None, 0, at(5_001)).is_empty());
        assert_eq!(session.len(), 0);
    }

    #[test]
    fn a_forgotten_session_is_opened_anew_and_renumbers_nothing_that_was_sent() {
        let mut session = open(2);
        flush(&mut session, at(1));
        session.push(3, request(3));
        let out = answer(&mut session, 1, Reject::SessionUnknown, 0, at(2));
        assert!(
            matches!(out[..], [Settled::Unknown { owner: 1 }, Settled::Unknown { owner: 2 }]),
            "{out:?}"
        );
        let mut message = Message::default();
        assert_eq!(session.fill(at(2), &mut message), Filled::Open);
        let State::Opening { nonce, .. } = session.state else { panic!("it is opening") };
        session.opened(&opened(nonce), at(3));
        assert_eq!(flush(&mut session, at(3)), [(1, 3)]);
    }

    #[test]
    fn a_new_ingress_is_sent_everything_that_is_under_way() {
        let mut session = open(2);
        flush(&mut session, at(1));
        session.reconnected(at(10));
        assert_eq!(flush(&mut session, at(10)), [(1, 1), (2, 2)]);
    }

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let mut session = open(OUTSTANDING_MAX as u32 + 10);
        let mut total = 0;
        loop {
            let count = flush(&mut session, at(1)).len();
            if count == 0 {
                break;
            }
            total += count;
        }
        assert_eq!(total, OUTSTANDING_MAX);
    }
}
