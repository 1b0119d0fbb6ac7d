//! Trailing stops that follow a price: those with one callback and one extreme are one group.
//!
//! A sell's extreme is the highest price since its activation, a buy's the lowest. A new extreme
//! is new for all that have a lesser one, and these become one group by joining their rings: so a
//! trade's cost is the groups that go together, never their members. On a track (one side, one
//! callback) extremes fall from front to back for sells and rise for buys; the front fires first,
//! the back is extended first. Between the prices that would do either to any track, nothing is
//! looked at.

use alloc::{collections::VecDeque, vec::Vec};

use protocol::{RATE_ONE, Rate, Ticks, order::Side};

use crate::book::Slot;

/// A place in the table of rings; 0 is none.
pub(crate) type NodeAt = u32;

/// A member of a ring or, without a slot, the head of one.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    prev: NodeAt,
    /// On the list of free nodes: the next free one.
    next: NodeAt,
    slot: Slot,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    extreme: Ticks,
    /// The head of its ring.
    head: NodeAt,
}

/// The groups of one side and callback, the one that fires first in front.
#[derive(Debug)]
struct Track {
    side: Side,
    callback: Rate,
    groups: VecDeque<Group>,
}

#[derive(Debug)]
pub(crate) struct Trails {
    tracks: Vec<Track>,
    rings: Rings,
    /// Prices from here down, and from here up, change something.
    low: Ticks,
    high: Ticks,
}

impl Default for Trails {
    fn default() -> Self {
        Self { tracks: Vec::new(), rings: Rings::default(), low: Ticks::MIN, high: Ticks::MAX }
    }
}

impl Trails {
    /// Lets a stop follow from this price on, which is the one that all have followed to.
    pub fn join(&mut self, side: Side, callback: Rate, price: Ticks, slot: Slot) -> NodeAt {
        let alike = |track: &Track| track.is_of(side, callback);
        let at = self.tracks.iter().position(alike).unwrap_or_else(|| {
            self.tracks.push(Track { side, callback, groups: VecDeque::new() });
            self.tracks.len() - 1
        });
        let groups = &mut self.tracks[at].groups;
        let head = match groups.back() {
            Some(back) if back.extreme == price => back.head,
            back => {
                let ahead = back.is_none_or(|back| !is_beyond(side, price, back.extreme));
                assert!(ahead, "a group has not followed to {price}");
                let head = self.rings.head();
                groups.push_back(Group { extreme: price, head });
                head
            }
        };
        let node = self.rings.add(head, slot);
        self.find_quiet();
        node
    }

    /// Takes a stop that follows out.
    pub fn leave(&mut self, node: NodeAt) {
        self.rings.remove(node);
    }

    /// Follows to a price: tells what it fires, if it may, and moves the extremes of the others.
    pub fn follow(&mut self, price: Ticks, may_fire: bool, mut fired: impl FnMut(Slot)) {
        if self.low < price && price < self.high {
            return;
        }
        let rings = &mut self.rings;
        for track in &mut self.tracks {
            let (side, callback) = (track.side, track.callback);
            while may_fire
                && let Some(front) =
                    track.groups.pop_front_if(|front| fires(side, callback, front.extreme, price))
            {
                while let Some(node) = rings.first(front.head) {
                    fired(rings.slot(node));
                    rings.remove(node);
                }
                rings.free(front.head);
            }
            let mut joined: Option<NodeAt> = None;
            while let Some(back) =
                track.groups.pop_back_if(|back| !is_beyond(side, back.extreme, price))
            {
                if let Some(joined) = joined {
                    rings.join(back.head, joined);
                }
                joined = Some(back.head);
            }
            match joined {
                Some(head) if rings.first(head).is_none() => rings.free(head),
                Some(head) => track.groups.push_back(Group { extreme: price, head }),
                None => {}
            }
        }
        self.find_quiet();
    }

    /// A stop that has followed to this price can join those that have: no group is behind it.
    pub fn may_join(&self, side: Side, callback: Rate, price: Ticks) -> bool {
        let mut alike = self.tracks.iter().filter(|track| track.is_of(side, callback));
        let back = alike.next().and_then(|track| track.groups.back());
        back.is_none_or(|back| !is_beyond(side, price, back.extreme))
    }

    /// Each group's side, callback, extreme and members, by side and callback, the one that fires
    /// first in front. Which track came first, and which groups are empty, says nothing.
    pub fn groups(&self) -> Vec<(Side, Rate, Ticks, Vec<Slot>)> {
        let mut tracks: Vec<&Track> = self.tracks.iter().collect();
        tracks.sort_by_key(|track| (track.side as u8, track.callback));
        let groups = tracks.into_iter().flat_map(|track| {
            track.groups.iter().map(|group| {
                let members = self.rings.members(group.head).collect();
                (track.side, track.callback, group.extreme, members)
            })
        });
        groups.filter(|(.., members): &(_, _, _, Vec<Slot>)| !members.is_empty()).collect()
    }

    fn find_quiet(&mut self) {
        (self.low, self.high) = (Ticks::MIN, Ticks::MAX);
        for track in &self.tracks {
            let (Some(front), Some(back)) = (track.groups.front(), track.groups.back()) else {
                continue;
            };
            let fire = fire_price(track.side, track.callback, front.extreme);
            let (low, high) = match track.side {
                Side::Sell => (fire, back.extreme + 1),
                Side::Buy => (back.extreme - 1, fire),
            };
            (self.low, self.high) = (self.low.max(low), self.high.min(high));
        }
    }
}

impl Track {
    fn is_of(&self, side: Side, callback: Rate) -> bool {
        (self.side, self.callback) == (side, callback)
    }
}

/// `price` is a further extreme than `than`.
const fn is_beyond(side: Side, price: Ticks, than: Ticks) -> bool {
    match side {
        Side::Sell => price > than,
        Side::Buy => price < than,
    }
}

/// A sell fires at `extreme * (1 - callback)` and below, a buy at `extreme * (1 + callback)` and
/// above; nothing is rounded.
fn fires(side: Side, callback: Rate, extreme: Ticks, price: Ticks) -> bool {
    let scaled = i128::from(price) * i128::from(RATE_ONE);
    match side {
        Side::Sell => scaled <= i128::from(extreme) * i128::from(RATE_ONE - callback),
        Side::Buy => scaled >= i128::from(extreme) * i128::from(RATE_ONE + callback),
    }
}

/// The first tick that fires.
fn fire_price(side: Side, callback: Rate, extreme: Ticks) -> Ticks {
    let (one, extreme) = (i128::from(RATE_ONE), i128::from(extreme));
    // both are near `extreme`, so they fit
    match side {
        Side::Sell => (extreme * (one - i128::from(callback))).div_euclid(one) as Ticks,
        Side::Buy => {
            let scaled = extreme * (one + i128::from(callback));
            (scaled + one - 1).div_euclid(one) as Ticks
        }
    }
}

/// Rings of members, each with a head, in one table.
#[derive(Debug)]
struct Rings {
    nodes: Vec<Node>,
    free: NodeAt,
}

impl Default for Rings {
    fn default() -> Self {
        Self { nodes: alloc::vec![Node::default()], free: 0 }
    }
}

impl Rings {
    /// A new ring without members.
    fn head(&mut self) -> NodeAt {
        let node = self.take(Slot::NONE);
        (self.nodes[node as usize].prev, self.nodes[node as usize].next) = (node, node);
        node
    }

    fn add(&mut self, head: NodeAt, slot: Slot) -> NodeAt {
        let node = self.take(slot);
        let last = self.nodes[head as usize].prev;
        self.link(last, node);
        self.link(node, head);
        node
    }

    fn remove(&mut self, node: NodeAt) {
        let Node { prev, next, slot } = self.nodes[node as usize];
        assert!(!slot.is_none(), "a head is freed, not removed");
        self.link(prev, next);
        self.free(node);
    }

    fn first(&self, head: NodeAt) -> Option<NodeAt> {
        let next = self.nodes[head as usize].next;
        (next != head).then_some(next)
    }

    fn slot(&self, node: NodeAt) -> Slot {
        self.nodes[node as usize].slot
    }

    /// Moves the members of `from` behind those of `into`; `from` is gone.
    fn join(&mut self, into: NodeAt, from: NodeAt) {
        if let Some(first) = self.first(from) {
            let (last, tail) = (self.nodes[from as usize].prev, self.nodes[into as usize].prev);
            self.link(tail, first);
            self.link(last, into);
        }
        self.free(from);
    }

    fn members(&self, head: NodeAt) -> impl Iterator<Item = Slot> + '_ {
        core::iter::successors(self.first(head), |node| Some(self.nodes[*node as usize].next))
            .take_while(move |node| *node != head)
            .map(|node| self.slot(node))
    }

    fn link(&mut self, prev: NodeAt, next: NodeAt) {
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
    }

    fn take(&mut self, slot: Slot) -> NodeAt {
        if self.free == 0 {
            self.nodes.push(Node { slot, ..Node::default() });
            return self.nodes.len() as NodeAt - 1;
        }
        let node = self.free;
        self.free = self.nodes[node as usize].next;
        self.nodes[node as usize].slot = slot;
        node
    }

    fn free(&mut self, node: NodeAt) {
        self.nodes[node as usize].next = self.free;
        self.free = node;
    }
}
