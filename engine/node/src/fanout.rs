//! The live tail: the latest events in messages, offered to everybody who keeps up.
//!
//! ```text
//!   events ──▶ │ m₀ │ m₁ │ m₂ │ … │ mₙ │   a ring of sealed messages
//!                ▲         ▲         ▲
//!             falls out   slow      fast   one cursor a follower, nobody waits for another
//!                │
//!                └──▶ to the clerk, who reads the output journal until it has caught up
//! ```
//!
//! Messages are sealed at the end of each cycle, so a follower that the clerk has brought up to
//! there goes on exactly at a message's start.

use std::sync::{
    Arc,
    mpsc::{Receiver, SyncSender, TrySendError},
};

use protocol::{Seq, ShardId};
use transport::{Offer, Publication};

use crate::{
    outgoing::{EventsMessage, Identity, Place},
    progress::Progress,
};

/// Messages kept for followers that are a little behind: 4 MiB.
pub const MESSAGES_KEPT: usize = 128;

/// Follower number, drawn by itself at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FollowerId(pub u64);

/// From the clerk to the egress.
pub enum ToEgress {
    /// Goes on with a follower that has everything before `next`.
    Serve { follower: FollowerId, publication: Box<dyn Publication>, next: Place },
    /// Gives a follower back.
    Recall(FollowerId),
    /// It has fallen silent.
    Forget(FollowerId),
    /// Where a shard at a link's other end takes commands.
    Peer { shard: ShardId, publication: Box<dyn Publication> },
}

/// From the hot threads to the clerk.
pub enum ToClerk {
    Follow(protocol::wire::Follow),
    /// A follower that is no longer live; it has everything before `next`.
    Behind {
        follower: FollowerId,
        publication: Box<dyn Publication>,
        next: Place,
    },
    /// Its publication is closed.
    Gone(FollowerId),
    /// The publication to a peer is closed.
    PeerLost(ShardId),
}

/// Who is live, and what they are sent.
pub struct Fanout {
    recent: Recent,
    live: Vec<Live>,
    clerk: SyncSender<ToClerk>,
    /// What the clerk had no room for yet.
    unsent: Vec<ToClerk>,
    progress: Arc<Progress>,
}

struct Live {
    follower: FollowerId,
    publication: Box<dyn Publication>,
    /// Number of the message it is to be sent next.
    cursor: u64,
    next: Place,
}

/// What became of a follower's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Live,
    /// Too far behind for the kept messages.
    Behind,
    Closed,
}

impl Fanout {
    /// `emitted`: the last seq whose events are out already.
    pub fn new(
        identity: &Identity,
        emitted: Seq,
        clerk: SyncSender<ToClerk>,
        progress: Arc<Progress>,
    ) -> Self {
        let recent = Recent::new(identity, emitted);
        Self { recent, live: Vec::new(), clerk, unsent: Vec::new(), progress }
    }

    /// Adds the events of one frame.
    #[inline]
    pub fn push(&mut self, seq: Seq, events: &[u8]) {
        if self.progress.audience.get() == 0 {
            return self.recent.skip(seq);
        }
        let mut rest = events;
        while !rest.is_empty() {
            rest = &rest[self.recent.fill(rest)..];
            if !rest.is_empty() {
                self.recent.seal(seq - 1);
                self.offer();
            }
        }
        self.recent.end_frame(seq);
    }

    /// Seals what is open and sends what there is; returns the messages sent.
    pub fn flush(&mut self) -> usize {
        self.recent.seal(self.recent.seq);
        self.tell();
        self.offer()
    }

    /// Has something told to the clerk.
    pub fn report(&mut self, message: ToClerk) {
        self.unsent.push(message);
    }

    pub fn handle(&mut self, message: ToEgress) -> Option<ToEgress> {
        match message {
            ToEgress::Serve { follower, publication, next } => {
                self.serve(follower, publication, next);
            }
            ToEgress::Recall(follower) => {
                if let Some(live) = self.leave(follower) {
                    self.unsent.push(live.into_behind());
                }
            }
            ToEgress::Forget(follower) => drop(self.leave(follower)),
            peer @ ToEgress::Peer { .. } => return Some(peer),
        }
        None
    }

    fn serve(&mut self, follower: FollowerId, publication: Box<dyn Publication>, next: Place) {
        match self.recent.cursor_at(next) {
            Some(cursor) => self.live.push(Live { follower, publication, cursor, next }),
            None => self.unsent.push(ToClerk::Behind { follower, publication, next }),
        }
    }

    fn leave(&mut self, follower: FollowerId) -> Option<Live> {
        let at = self.live.iter().position(|live| live.follower == follower)?;
        Some(self.live.swap_remove(at))
    }

    fn offer(&mut self) -> usize {
        let (mut sent, mut at) = (0, 0);
        while at < self.live.len() {
            match self.live[at].turn(&self.recent, &mut sent) {
                Turn::Live => at += 1,
                Turn::Behind => {
                    let live = self.live.swap_remove(at);
                    self.unsent.push(live.into_behind());
                }
                Turn::Closed => {
                    let live = self.live.swap_remove(at);
                    self.unsent.push(ToClerk::Gone(live.follower));
                }
            }
        }
        sent
    }

    /// Hands the clerk what it has room for; the rest waits, nobody blocks.
    fn tell(&mut self) {
        while let Some(message) = self.unsent.pop() {
            match self.clerk.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    self.unsent.push(message);
                    break;
                }
                // The node is ending.
                Err(TrySendError::Disconnected(_)) => break,
            }
        }
    }
}

impl Live {
    fn turn(&mut self, recent: &Recent, sent: &mut usize) -> Turn {
        while self.cursor < recent.sealed {
            let Some(kept) = recent.get(self.cursor) else { return Turn::Behind };
            match self.publication.offer(kept.message.as_bytes()) {
                Offer::Sent => {
                    *sent += 1;
                    self.cursor += 1;
                    self.next = kept.after;
                }
                Offer::BackPressured | Offer::NotConnected => return Turn::Live,
                Offer::TooLong | Offer::Closed => return Turn::Closed,
            }
        }
        Turn::Live
    }

    fn into_behind(self) -> ToClerk {
        let Self { follower, publication, next, .. } = self;
        ToClerk::Behind { follower, publication, next }
    }
}

/// The last messages, in a ring.
struct Recent {
    ring: Box<[Kept]>,
    /// Messages sealed since the start; the next one gets this number.
    sealed: u64,
    /// The oldest number that follows on without a gap.
    base: u64,
    /// The last seq whose events are all in.
    seq: Seq,
}

struct Kept {
    message: EventsMessage,
    /// Where the message behind it begins.
    after: Place,
}

impl Recent {
    fn new(identity: &Identity, seq: Seq) -> Self {
        let kept = || Kept { message: EventsMessage::new(identity), after: Place::start(seq + 1) };
        let ring = (0..MESSAGES_KEPT).map(|_| kept()).collect();
        Self { ring, sealed: 0, base: 0, seq }
    }

    fn open(&mut self) -> &mut Kept {
        let at = (self.sealed % MESSAGES_KEPT as u64) as usize;
        &mut self.ring[at]
    }

    /// Nobody listens: what was kept is no longer the tail.
    #[inline]
    fn skip(&mut self, seq: Seq) {
        self.seq = seq;
        self.base = self.sealed;
        let open = self.open();
        if !open.message.is_empty() {
            open.message.clear();
        }
    }

    fn fill(&mut self, events: &[u8]) -> usize {
        let open = self.open();
        let taken = open.message.fill(events);
        open.after = match events.get(taken..) {
            Some(rest) if !rest.is_empty() => {
                let (header, _) = crate::outgoing::head(rest);
                Place { seq: header.seq, index: header.index }
            }
            _ => open.after,
        };
        taken
    }

    fn end_frame(&mut self, seq: Seq) {
        self.seq = seq;
        self.open().after = Place::start(seq + 1);
    }

    /// Closes the open message, if there is anything in it, and begins the next.
    fn seal(&mut self, committed: Seq) {
        let open = self.open();
        if open.message.is_empty() {
            return;
        }
        open.message.seal(committed);
        self.sealed += 1;
        self.open().message.clear();
    }

    /// A sealed message that is still there.
    fn get(&self, number: u64) -> Option<&Kept> {
        // The slot of the open message held the one that is a whole ring older.
        let oldest = (self.sealed + 1).saturating_sub(MESSAGES_KEPT as u64).max(self.base);
        (number >= oldest && number < self.sealed)
            .then(|| &self.ring[(number % MESSAGES_KEPT as u64) as usize])
    }

    /// The message that begins at a place, or the next one to be made.
    fn cursor_at(&self, next: Place) -> Option<u64> {
        if next == Place::start(self.seq + 1) {
            return Some(self.sealed);
        }
        let oldest = self.sealed.saturating_sub(MESSAGES_KEPT as u64);
        (oldest..self.sealed)
            .rev()
            .find(|number| self.get(*number).is_some_and(|kept| kept.message.first() == Some(next)))
    }
}

/// What the clerk has for the egress, in the order it was said.
pub fn drain(inbox: &Receiver<ToEgress>, mut each: impl FnMut(ToEgress)) -> usize {
    let mut count = 0;
    while let Ok(message) = inbox.try_recv() {
        each(message);
        count += 1;
    }
    count
}
