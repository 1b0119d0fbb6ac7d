//! The links between the ledger and the trading shards: messages that move money, from one
//! shard's log into another's.
//!
//! What has to be said stands in the shard's own events, so it is committed before it leaves. It
//! is sent until the other end says that it has applied it; applied twice it counts once, because
//! each link counts its messages.
//!
//! ```text
//!   own events                                              the peer's ingress
//!   GrantIssued  ─▶ ┌────┬────┬────┬────┐ ── Grant, … ─▶
//!   RecallIssued    │ n  │n+1 │n+2 │    │
//!   ReturnIssued    └────┴────┴────┴────┘ ◀─ LinkAck, as own event LinkAcked: dropped up to there
//!   LinkApplied  ─▶ one number             ── LinkAck ───▶
//! ```

use std::collections::VecDeque;

use protocol::{
    Command, Envelope, Event, ShardId,
    command::{Debt, Grant, Held, Hold, LinkAck, MarginCall, Recall, Release, Return},
    event,
    event::{DebtIssued, HeldIssued, HoldIssued, MarginCallIssued, ReleaseIssued},
    limits::{COMMAND_BYTES_MAX, SHARDS_MAX},
    wire::{self, Message, MessageKind},
};
use replication::MonotonicNs;
use transport::{Offer, Publication};

use crate::{
    clock::Now,
    silence::{LinkWord, Silence},
};

/// So long without an answer, and what is not acknowledged is sent again.
pub const RESEND_AFTER_NS: u64 = 200_000_000;

/// All links of one shard.
pub struct Links {
    own: ShardId,
    cluster: u64,
    links: [Link; SHARDS_MAX],
    message: Box<Message>,
}

/// The way to one other shard.
#[derive(Default)]
struct Link {
    publication: Option<Box<dyn Publication>>,
    /// Not acknowledged yet, in the order of their numbers.
    waiting: VecDeque<Waiting>,
    /// The first of `waiting` that is to be sent (again).
    cursor: usize,
    /// When something was sent last, or acknowledged.
    moved: MonotonicNs,
    /// What this shard has applied of the peer's and not said yet.
    to_acknowledge: Option<u64>,
    silence: Silence,
}

#[derive(Clone, Copy)]
struct Waiting {
    link_seq: u64,
    command: Command,
}

impl Links {
    pub fn new(own: ShardId, cluster: u64) -> Self {
        let links = std::array::from_fn(|_| Link::default());
        Self { own, cluster, links, message: Box::default() }
    }

    /// Looks at a frame's events, which are the node's own.
    pub fn watch(&mut self, mut events: &[u8]) {
        while !events.is_empty() {
            let (_, event, rest) = match event::decode_next(events) {
                Ok(next) => next,
                Err(error) => panic!("own events are whole: {error}"),
            };
            self.event(&event);
            events = rest;
        }
    }

    /// Adds a message that has to reach a peer: the next one, or one that a start found
    /// unacknowledged.
    pub fn push(&mut self, peer: ShardId, link_seq: u64, command: Command) {
        if let Some(link) = self.link(peer) {
            link.waiting.push_back(Waiting { link_seq, command });
        }
    }

    /// The peer has (again) an address: whatever it has not acknowledged goes there.
    pub fn meet(&mut self, peer: ShardId, publication: Box<dyn Publication>) {
        if let Some(link) = self.link(peer) {
            link.publication = Some(publication);
            link.cursor = 0;
        }
    }

    /// Sends what is due; `lost` hears of peers that no longer have an address. Returns the
    /// messages sent.
    pub fn poll(&mut self, now: &Now, mut lost: impl FnMut(ShardId)) -> usize {
        let Self { own, cluster, links, message } = self;
        let mut sent = 0;
        for (peer, link) in links.iter_mut().enumerate() {
            let had_address = link.publication.is_some();
            sent += link.poll(now, *own, *cluster, message);
            if had_address && link.publication.is_none() {
                lost(ShardId(peer as u8));
            }
        }
        sent
    }

    /// Whether this shard hears of the ledger, of which it awaits an answer or not; the ledger has no
    /// link to itself.
    pub fn ledger(&mut self, awaits: bool, now: &Now) -> LinkWord {
        if self.own == ShardId::LEDGER {
            return LinkWord::None;
        }
        let link = &mut self.links[usize::from(ShardId::LEDGER.0)];
        let owes = awaits || link.publication.is_none() || !link.waiting.is_empty();
        link.silence.look(owes, now)
    }

    /// Takes one event.
    fn event(&mut self, event: &Event) {
        match event {
            Event::GrantIssued(grant) => {
                let command = Command::Grant(Grant {
                    link_seq: grant.link_seq,
                    account: grant.account,
                    _pad: 0,
                    amount: grant.amount,
                    call: grant.call,
                });
                self.push(grant.to, grant.link_seq, command);
            }
            Event::RecallIssued(recall) => {
                let command = Command::Recall(Recall {
                    link_seq: recall.link_seq,
                    account: recall.account,
                    urgent: recall.urgent,
                    _pad: [0; 3],
                    amount: recall.amount,
                    lend: recall.lend,
                });
                self.push(recall.to, recall.link_seq, command);
            }
            Event::ReturnIssued(returned) => {
                let command = Command::Return(Return {
                    link_seq: returned.link_seq,
                    account: returned.account,
                    from: self.own,
                    _pad: [0; 3],
                    amount: returned.amount,
                    lend: returned.lend,
                });
                self.push(ShardId::LEDGER, returned.link_seq, command);
            }
            Event::HoldIssued(hold) => {
                let &HoldIssued { link_seq, change, account, to, purpose, .. } = hold;
                let body = Hold { link_seq, change, account, purpose, _pad: [0; 3] };
                self.push(to, link_seq, Command::Hold(body));
            }
            Event::ReleaseIssued(release) => {
                let &ReleaseIssued { link_seq, account, to, mode, .. } = release;
                let command = Command::Release(Release { link_seq, account, mode, _pad: [0; 3] });
                self.push(to, link_seq, command);
            }
            Event::HeldIssued(held) => {
                let &HeldIssued { link_seq, change, account, state, spare, .. } = held;
                let (from, _pad) = (self.own, [0; 2]);
                let body = Held { link_seq, change, account, from, state, _pad, spare };
                self.push(ShardId::LEDGER, link_seq, Command::Held(body));
            }
            Event::MarginCallIssued(call) => {
                let &MarginCallIssued { link_seq, account, kind, amount, .. } = call;
                let (from, _pad) = (self.own, [0; 2]);
                let body = MarginCall { link_seq, account, from, kind, _pad, amount };
                self.push(ShardId::LEDGER, link_seq, Command::MarginCall(body));
            }
            Event::DebtIssued(debt) => {
                let &DebtIssued { link_seq, account, amount, .. } = debt;
                let (from, _pad) = (self.own, [0; 3]);
                let body = Debt { link_seq, account, from, _pad, amount };
                self.push(ShardId::LEDGER, link_seq, Command::Debt(body));
            }
            Event::LinkApplied(applied) => {
                if let Some(link) = self.link(applied.peer) {
                    link.to_acknowledge = link.to_acknowledge.max(Some(applied.link_seq));
                }
            }
            Event::LinkAcked(acked) => {
                if let Some(link) = self.link(acked.peer) {
                    link.acknowledged(acked.link_seq);
                }
            }
            Event::Outcome(_)
            | Event::SessionOpened(_)
            | Event::OrderAccepted(_)
            | Event::Trade(_)
            | Event::OrderAmended(_)
            | Event::OrderClosed(_)
            | Event::AlgoAccepted(_)
            | Event::AlgoChanged(_)
            | Event::CountdownSet(_)
            | Event::Level(_)
            | Event::Reserved(_)
            | Event::SettingsChanged(_)
            | Event::FeesChanged(_)
            | Event::MarginMoved(_)
            | Event::Funding(_)
            | Event::FundingPaid(_)
            | Event::FundingEnded(_)
            | Event::LiquidationFeePaid(_)
            | Event::PositionSettled(_)
            | Event::SymbolListed(_)
            | Event::BracketsSet(_)
            | Event::SymbolStateChanged(_)
            | Event::Mark(_)
            | Event::CashChanged(_)
            | Event::LendSettled(_)
            | Event::PositionModeChanged(_)
            | Event::PositionModeSettled(_)
            | Event::WithdrawalSettled(_) => {}
        }
    }

    /// `None` for a shard that no cluster has; the engine names none.
    fn link(&mut self, peer: ShardId) -> Option<&mut Link> {
        self.links.get_mut(usize::from(peer.0))
    }
}

impl Link {
    fn acknowledged(&mut self, link_seq: u64) {
        while self.waiting.front().is_some_and(|waiting| waiting.link_seq <= link_seq) {
            self.waiting.pop_front();
            self.silence.heard();
            self.cursor = self.cursor.saturating_sub(1);
        }
    }

    fn poll(&mut self, now: &Now, own: ShardId, cluster: u64, message: &mut Message) -> usize {
        if self.waiting.is_empty() && self.to_acknowledge.is_none() {
            return 0;
        }
        let Some(publication) = &mut self.publication else { return 0 };
        if self.cursor > 0 && now.since(self.moved) >= RESEND_AFTER_NS {
            self.cursor = 0;
        }
        let mut sent = 0;
        while self.cursor < self.waiting.len() || self.to_acknowledge.is_some() {
            wire::begin(message, cluster, MessageKind::Submit);
            if let Some(link_seq) = self.to_acknowledge {
                let ack = LinkAck { peer: own, _pad: [0; 7], link_seq };
                push(message, &Command::LinkAck(ack));
            }
            let end = fill(message, &self.waiting, self.cursor);
            match publication.offer(message.as_bytes()) {
                Offer::Sent => {
                    sent += 1;
                    self.cursor = end;
                    self.to_acknowledge = None;
                    self.moved = now.monotonic;
                }
                Offer::BackPressured | Offer::NotConnected => break,
                Offer::Closed | Offer::TooLong => {
                    // Whether the peer or the whole transport is gone, the clerk finds out.
                    self.publication = None;
                    break;
                }
            }
        }
        sent
    }
}

/// Adds what waits from `cursor` on, as far as it fits; returns where it ended.
fn fill(message: &mut Message, waiting: &VecDeque<Waiting>, cursor: usize) -> usize {
    let fitting = waiting.iter().skip(cursor).take_while(|next| push(message, &next.command));
    cursor + fitting.count()
}

fn push(message: &mut Message, command: &Command) -> bool {
    let mut payload = [0; COMMAND_BYTES_MAX];
    let len = command.encode(&Envelope::default(), &mut payload);
    message.push_command(command.kind() as u16, &payload[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::silence::SILENT_AFTER_NS;
    use protocol::{
        AccountId, CommandKind,
        event::{GrantIssued, LinkAcked, LinkApplied},
        order::CallKind,
    };

    use transport::{StreamId, Subscription, Transport, local::LocalNetwork};

    const PEER: ShardId = ShardId(2);
    const CLUSTER: u64 = 5;

    struct Rig {
        network: LocalNetwork,
        links: Links,
    }

    fn rig() -> Rig {
        Rig { network: LocalNetwork::new(), links: Links::new(ShardId::LEDGER, CLUSTER) }
    }

    impl Rig {
        fn peer(&mut self, incarnation: u64) -> Box<dyn Subscription> {
            let mut transport = self.network.transport();
            let stream = StreamId(100 + incarnation as i32);
            let subscription = transport.subscription("local", stream).unwrap();
            let publication = transport.publication("local", stream).unwrap();
            self.links.meet(PEER, publication);
            subscription
        }

        fn issue(&mut self, link_seq: u64) {
            self.links.event(&Event::GrantIssued(GrantIssued {
                link_seq,
                account: AccountId(1),
                to: PEER,
                _pad: [0; 3],
                amount: 10,
                call: 0,
            }));
        }

        fn poll_at(&mut self, ns: u64) {
            let now = Now { monotonic: MonotonicNs(ns), wall_ns: 0 };
            self.links.poll(&now, |peer| panic!("{peer} is not lost"));
        }
    }

    fn received(subscription: &mut Box<dyn Subscription>) -> Vec<(CommandKind, u64)> {
        let mut all = Vec::new();
        let mut each = |message: &[u8]| {
            let (kind, body) = wire::open(message, CLUSTER).unwrap();
            assert_eq!(kind, MessageKind::Submit);
            for command in wire::commands(body) {
                let (kind, payload) = command.unwrap();
                let (envelope, command) = Command::decode(kind, payload).unwrap();
                assert!(envelope.session.is_none() && command.kind().is_link());
                all.push(match command {
                    Command::Grant(grant) => (CommandKind::Grant, grant.link_seq),
                    Command::LinkAck(ack) => (CommandKind::LinkAck, ack.link_seq),
                    other => panic!("{other:?}"),
                });
            }
        };
        subscription.poll(&mut each, usize::MAX);
        all
    }

    /// Its acknowledgement says nothing of whether it will live to answer.
    #[test]
    fn a_ledger_that_owes_an_answer_is_missed() {
        let mut links = Links::new(ShardId(1), CLUSTER);
        let mut transport = LocalNetwork::new().transport();
        let publication = transport.publication("local", StreamId(7)).unwrap();
        links.meet(ShardId::LEDGER, publication);
        let at = |ns| Now { monotonic: MonotonicNs(ns), wall_ns: 0 };
        let (peer, account, kind) = (ShardId::LEDGER, AccountId(1), CallKind::Need);
        let call = MarginCallIssued { link_seq: 1, account, kind, _pad: [0; 3], amount: 9 };
        links.event(&Event::MarginCallIssued(call));
        assert_eq!(links.ledger(true, &at(0)), LinkWord::Up);
        links.event(&Event::LinkAcked(LinkAcked { peer, _pad: [0; 7], link_seq: 1 }));
        assert_eq!(links.ledger(true, &at(1)), LinkWord::Up);
        assert_eq!(links.ledger(true, &at(SILENT_AFTER_NS)), LinkWord::Up);
        assert_eq!(links.ledger(true, &at(1 + SILENT_AFTER_NS)), LinkWord::Down);
        assert_eq!(links.ledger(false, &at(2 + SILENT_AFTER_NS)), LinkWord::Up);
    }

    #[test]
    fn grants_go_out_once_and_again_when_nobody_answers() {
        let mut rig = rig();
        rig.issue(1);
        rig.poll_at(0);
        let mut peer = rig.peer(1);
        rig.issue(2);
        rig.poll_at(1);
        let both = [(CommandKind::Grant, 1), (CommandKind::Grant, 2)];
        assert_eq!(received(&mut peer), both);
        rig.poll_at(RESEND_AFTER_NS);
        assert!(received(&mut peer).is_empty());
        rig.poll_at(1 + RESEND_AFTER_NS);
        assert_eq!(received(&mut peer), both);
    }

    #[test]
    fn an_acknowledged_grant_is_forgotten() {
        let mut rig = rig();
        let mut peer = rig.peer(1);
        for link_seq in 1..=3 {
            rig.issue(link_seq);
        }
        rig.poll_at(0);
        assert_eq!(received(&mut peer).len(), 3);
        let acked = LinkAcked { peer: PEER, _pad: [0; 7], link_seq: 2 };
        rig.links.event(&Event::LinkAcked(acked));
        rig.issue(4);
        rig.poll_at(1);
        assert_eq!(received(&mut peer), [(CommandKind::Grant, 4)]);
        rig.poll_at(1 + RESEND_AFTER_NS);
        assert_eq!(received(&mut peer), [(CommandKind::Grant, 3), (CommandKind::Grant, 4)]);
    }

    #[test]
    fn a_peer_that_starts_anew_gets_everything_again() {
        let mut rig = rig();
        let mut peer = rig.peer(1);
        rig.issue(1);
        rig.poll_at(0);
        assert_eq!(received(&mut peer).len(), 1);
        let mut reborn = rig.peer(2);
        rig.poll_at(1);
        assert_eq!(received(&mut reborn), [(CommandKind::Grant, 1)]);
    }

    #[test]
    fn what_was_applied_is_acknowledged_once_for_all() {
        let mut rig = rig();
        let mut peer = rig.peer(1);
        for link_seq in [4, 5, 6] {
            let applied = LinkApplied { peer: PEER, _pad: [0; 7], link_seq };
            rig.links.event(&Event::LinkApplied(applied));
        }
        rig.poll_at(0);
        assert_eq!(received(&mut peer), [(CommandKind::LinkAck, 6)]);
        rig.poll_at(RESEND_AFTER_NS * 2);
        assert!(received(&mut peer).is_empty());
    }
}
