//! A client for tests: finds the node, sends commands and follows its events.

use std::time::{Duration, Instant};

use protocol::{
    AccountId, Cash, Command, Envelope, Event, Name, SessionId,
    command::{Deposit, Open},
    event::{self, EventHeader},
    limits::COMMAND_BYTES_MAX,
    order::SessionKind,
    wire::{self, Follow, Hello, Message, MessageKind},
};
use transport::{
    Offer, Publication, StreamId, Subscription, Transport,
    local::{LocalNetwork, LocalTransport},
};
use zerocopy::IntoBytes;

use crate::outgoing::Place;

pub const CLUSTER: u64 = 77;
pub const CHANNEL: &str = "local";
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    transport: LocalTransport,
    discovery: Box<dyn Subscription>,
    inbox: Box<dyn Subscription>,
    stream: StreamId,
    number: u64,
    /// The node's start that is talked to.
    pub hello: Option<Hello>,
    ingress: Option<Box<dyn Publication>>,
    followed: Option<Instant>,
    pub next: Place,
    pub events: Vec<(EventHeader, Event)>,
    rewind: bool,
}

impl Client {
    pub fn new(network: &LocalNetwork, from: Place) -> Self {
        let mut transport = network.transport();
        let stream = StreamId::fresh();
        Self {
            discovery: transport.subscription(CHANNEL, StreamId::DISCOVERY).unwrap(),
            inbox: transport.subscription(CHANNEL, stream).unwrap(),
            transport,
            stream,
            number: rand::random(),
            hello: None,
            ingress: None,
            followed: None,
            next: from,
            events: Vec::new(),
            rewind: false,
        }
    }

    /// Hears hellos; a new start of the node gets a new publication.
    pub fn look(&mut self) {
        let mut latest = self.hello;
        let mut each = |message: &[u8]| {
            if let Ok((MessageKind::Hello, body)) = wire::open(message, CLUSTER) {
                let hello: Hello = wire::body(body).unwrap();
                if latest.is_none_or(|known| hello.incarnation > known.incarnation) {
                    latest = Some(hello);
                }
            }
        };
        self.discovery.poll(&mut each, usize::MAX);
        if latest.map(|hello| hello.incarnation) != self.hello.map(|hello| hello.incarnation) {
            let hello = latest.unwrap();
            let channel = hello.ingress_channel.as_str().to_owned();
            let stream = StreamId(hello.ingress_stream);
            self.ingress = Some(self.transport.publication(&channel, stream).unwrap());
            self.followed = None;
        }
        self.hello = latest;
    }

    /// Hears, follows and takes what came; a gap makes it ask to go back.
    pub fn turn(&mut self) {
        self.look();
        let (mut next, mut gap) = (self.next, false);
        let events = &mut self.events;
        let mut each = |message: &[u8]| {
            let (kind, body) = wire::open(message, CLUSTER).unwrap();
            assert_eq!(kind, MessageKind::Events);
            let (_, mut rest) = wire::events(body).unwrap();
            while !rest.is_empty() {
                let (header, event, behind) = event::decode_next(rest).unwrap();
                rest = behind;
                let place = Place { seq: header.seq, index: header.index };
                gap |= place > next;
                if place != next {
                    continue;
                }
                next = match event {
                    Event::Outcome(_) => Place::start(header.seq + 1),
                    _ => Place { index: header.index + 1, ..place },
                };
                events.push((header, event));
            }
        };
        self.inbox.poll(&mut each, usize::MAX);
        self.next = next;
        self.rewind |= gap;
        let due = self.followed.is_none_or(|at| at.elapsed() >= Duration::from_millis(100));
        if due && self.ingress.is_some() {
            self.follow();
        }
    }

    fn follow(&mut self) {
        let follow = Follow {
            follower: self.number,
            seq: self.next.seq,
            index: self.next.index,
            rewind: u32::from(std::mem::take(&mut self.rewind)),
            stream: self.stream.0,
            _pad: 0,
            channel: Name::new(CHANNEL).unwrap(),
        };
        let mut message = Message::default();
        wire::begin(&mut message, CLUSTER, MessageKind::Follow);
        message.push(follow.as_bytes());
        if self.send(message.as_bytes()) {
            self.followed = Some(Instant::now());
        }
    }

    pub fn rewind_to(&mut self, place: Place) {
        self.events.retain(|(header, _)| (Place { seq: header.seq, index: header.index }) < place);
        (self.next, self.rewind, self.followed) = (place, true, None);
    }

    /// Sends bytes to the ingress as they are.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.ingress.as_mut().is_some_and(|ingress| ingress.offer(bytes) == Offer::Sent)
    }

    pub fn submit(&mut self, commands: &[(Envelope, Command)]) -> bool {
        let mut message = Message::default();
        wire::begin(&mut message, CLUSTER, MessageKind::Submit);
        for (envelope, command) in commands {
            let mut payload = [0; COMMAND_BYTES_MAX];
            let len = command.encode(envelope, &mut payload);
            assert!(message.push_command(command.kind() as u16, &payload[..len]));
        }
        self.send(message.as_bytes())
    }

    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "{what}: waited in vain at {:?}", self.next);
            self.turn();
            std::thread::yield_now();
        }
    }

    /// Opens a session and waits for its id.
    pub fn open(&mut self) -> SessionId {
        let nonce = rand::random();
        let open = Command::Open(Open {
            nonce,
            kind: SessionKind::Gateway,
            _pad: [0; 7],
            name: Name::new("test").unwrap(),
        });
        self.until("open", |client| client.submit(&[(Envelope::default(), open)]));
        let mut session = SessionId::NONE;
        self.until("opened", |client| {
            let opened = client.events.iter().find_map(|(_, event)| match event {
                Event::SessionOpened(opened) if opened.nonce == nonce => Some(opened.session),
                _ => None,
            });
            session = opened.unwrap_or(SessionId::NONE);
            opened.is_some()
        });
        session
    }
}

/// The number-th command of a session: a deposit whose transfer number is its own.
pub fn deposit(session: SessionId, number: u64, amount: Cash) -> (Envelope, Command) {
    let envelope = Envelope { session, prev: number - 1, number, ..Envelope::default() };
    let deposit = Deposit { account: AccountId(1), _pad: 0, transfer: number, amount };
    (envelope, Command::Deposit(deposit))
}
