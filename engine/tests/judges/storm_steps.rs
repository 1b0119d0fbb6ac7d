//! What happens in a storm, step by step.

use protocol::{
    Command,
    command::Tick,
    limits::{EARMARK_US, SWEEP_AFTER_US},
    order::{Side, SymbolState},
};

use crate::{
    bench::index,
    gates::Kind,
    lending::{deposit, lend},
    states::{settle, state},
    storm::{NODES, Storm},
    sweeps::link,
    trading::limit,
    triggers::stop,
    withdrawals::withdraw,
};

/// Copies under way from which on no more are sent.
const BUSY: usize = 16;

impl Storm {
    pub fn step(&mut self, transfer: u64) {
        let node = self.below(NODES);
        if self.is_quick || self.below(3) == 0 {
            self.commit(node);
        }
        if self.wire.len() < BUSY {
            self.offer(node);
        }
        match self.below(4) {
            0 | 1 => self.lead(transfer),
            2 => self.act(transfer),
            _ => {}
        }
        self.provoke();
        for _ in 0..self.below(6) {
            self.carry();
            self.provoke();
        }
    }

    /// One of the copies that are under way comes: mostly an early one.
    fn carry(&mut self) {
        let among = if self.below(4) > 0 { self.wire.len().min(4) } else { self.wire.len() };
        if among > 0 {
            let at = self.below(among);
            let (lost, doubled) = (self.below(6) == 0, self.below(4) == 0);
            self.deliver(at, lost, doubled);
        }
    }

    /// Does what leads to the kind that is in the eye.
    fn lead(&mut self, transfer: u64) {
        let (account, shard) = (1 + self.below(3) as u32, 1 + self.below(3));
        let amount = 5_000 + 1_000 * self.below(40) as i64;
        match self.eye {
            Kind::Lend | Kind::Recall | Kind::Return => {
                self.send(0, &lend(account, shard as u8, amount));
            }
            Kind::Sweep => {
                self.nodes[shard].ts += SWEEP_AFTER_US;
                self.send(shard, &Command::Tick(Tick { _reserved: 0 }));
            }
            Kind::WithdrawalRecall
            | Kind::WithdrawalReturn
            | Kind::Hold
            | Kind::Held
            | Kind::Release => {
                self.send(0, &withdraw(account, transfer, 3 * amount));
            }
            Kind::OrderCall => {
                let algo = stop(account, Side::Buy, 97 + self.below(7) as i64, 30);
                self.send(shard, &Command::PlaceAlgo(algo));
                self.deal(shard, account);
            }
            Kind::Answer
            | Kind::Refusal
            | Kind::NeedCall
            | Kind::UrgentRecall
            | Kind::UrgentReturn => self.press(shard, account),
            Kind::DebtCall | Kind::Debt => self.ruin(shard, account),
            Kind::FundCall | Kind::FundAnswer => match self.below(3) {
                0 => self.send(0, &deposit(0, transfer, amount)),
                _ => self.press(shard, account),
            },
            Kind::FundRecall | Kind::FundReturn => match self.below(8) {
                0 => self.send(0, &deposit(0, transfer, amount / 8)),
                _ => self.press(shard, account),
            },
        }
    }

    /// Brings an account nearer to need on a shard.
    fn press(&mut self, shard: usize, account: u32) {
        match self.below(4) {
            0 => self.send(0, &lend(account, (1 + shard % 3) as u8, 8_000)),
            1 => {
                self.send(shard, &index(1, 100));
                self.deal(shard, account);
            }
            2 => {
                let mark = 84 + 32 * self.below(2) as i64;
                self.send(shard, &index(1, mark));
            }
            _ => {
                self.nodes[shard].ts += EARMARK_US / 4;
                self.send(shard, &Command::Tick(Tick { _reserved: 0 }));
            }
        }
    }

    /// Lets an account lose more on a shard than it has there.
    fn ruin(&mut self, shard: usize, account: u32) {
        match self.below(3) {
            0 => self.send(0, &lend(account, (1 + shard % 3) as u8, 20_000)),
            1 => self.press(shard, account),
            _ => {
                let end = 86 + 28 * self.below(2) as i64;
                self.send(shard, &state(SymbolState::Trading));
                self.send(shard, &index(1, 100));
                self.deal(shard, account);
                self.send(shard, &settle(end));
            }
        }
    }

    fn act(&mut self, transfer: u64) {
        let (account, shard) = (1 + self.below(3) as u32, 1 + self.below(3));
        let amount = 100 + 100 * self.below(400) as i64;
        match self.below(16) {
            // sometimes the insurance fund
            0 => {
                let account = if amount < 4_000 { 0 } else { account };
                self.send(0, &deposit(account, transfer, amount));
            }
            1 => self.send(0, &lend(account, shard as u8, amount)),
            2 => self.send(0, &withdraw(account, transfer, amount)),
            3 | 4 => {
                let side = Side::ALL[self.below(2)];
                let (price, qty) = (97 + self.below(7) as i64, 1 + self.below(5) as i64);
                self.send(shard, &Command::Place(limit(account, side, price, qty)));
            }
            5 => {
                let node = self.below(NODES);
                self.nodes[node].ts += EARMARK_US / 4;
                self.send(node, &Command::Tick(Tick { _reserved: 0 }));
            }
            6 => {
                let node = self.below(NODES);
                self.kill(node);
            }
            7 | 8 => self.mark(shard),
            9 | 10 => self.deal(shard, account),
            // an end that some can't pay for, and a new beginning
            11 => match self.below(3) {
                0 => self.send(shard, &settle(86 + 28 * (transfer % 2) as i64)),
                _ => self.send(shard, &state(SymbolState::Trading)),
            },
            12 => {
                self.nodes[shard].ts += SWEEP_AFTER_US;
                self.send(shard, &Command::Tick(Tick { _reserved: 0 }));
                self.mark(shard);
            }
            13 => {
                let up = self.below(3) > 0;
                self.send(shard, &link(up));
            }
            14 => {
                let (trigger, qty) = (97 + self.below(7) as i64, 20 + self.below(20) as i64);
                self.send(shard, &Command::PlaceAlgo(stop(account, Side::Buy, trigger, qty)));
            }
            _ => self.strike(),
        }
    }

    /// Of what is open somewhere one thing is chosen, and a node that it concerns is killed.
    fn strike(&mut self) {
        let open: Vec<_> = (0..NODES).flat_map(|node| self.open_at(node)).collect();
        if open.is_empty() {
            return;
        }
        let (what, _) = open[self.below(open.len())];
        let nodes: Vec<_> = open.iter().filter(|(other, _)| *other == what).collect();
        let (_, node) = *nodes[self.below(nodes.len())];
        if self.below(2) == 0 {
            self.commit(node);
        }
        self.kill(node);
    }

    /// What is in the eye comes late once more, or a node dies just after it has sent or taken it.
    fn provoke(&mut self) {
        let choice = self.below(16);
        if choice == 0 && !self.late.is_empty() {
            let at = self.below(self.late.len());
            let (to, command) = self.late[at];
            return self.take(to, command);
        }
        let sent = self.hits_senders;
        let found = (0..NODES).find_map(|node| {
            let found = if sent { self.has_sent(node) } else { self.has_taken(node) };
            found.map(|(peer, place)| (node, peer, place))
        });
        let Some((node, peer, place)) = found.filter(|_| choice > 7) else { return };
        self.commit_before(node, |frame| match sent {
            true => frame.sent.get(&peer).is_some_and(|last| *last >= place),
            false => frame.taken.get(&peer).is_some_and(|taken| taken.count >= place),
        });
        let before = self.wire.len();
        self.offer(node);
        while self.wire.len() > before {
            self.deliver(before, false, false);
        }
        self.kill(node);
        if sent && self.below(2) == 0 {
            self.say_other(node, peer);
        }
    }

    /// A node has something else to say to a peer.
    fn say_other(&mut self, node: usize, peer: u8) {
        if node == 0 {
            let account = 1 + self.below(3) as u32;
            return self.send(node, &lend(account, peer, 700));
        }
        self.nodes[node].ts += SWEEP_AFTER_US;
        self.send(node, &link(true));
        self.send(node, &Command::Tick(Tick { _reserved: 0 }));
    }

    /// The first of what is in the eye that is to leave a node and is not durable: the peer, and
    /// its place in the stream.
    fn has_sent(&self, node: usize) -> Option<(u8, u64)> {
        let sent = &self.durable[node].sent;
        let mut outbox = self.nodes[node].engine.outbox();
        let found = outbox.find(|(to, link_seq, command)| {
            let durable = sent.get(&to.0).is_some_and(|last| link_seq <= last);
            !durable && self.kind_of(command) == Some(self.eye)
        });
        found.map(|(to, link_seq, _)| (to.0, link_seq))
    }

    /// The same of what a node has taken.
    fn has_taken(&self, node: usize) -> Option<(u8, u64)> {
        self.taken.range((node, 0)..=(node, u8::MAX)).find_map(|((_, peer), taken)| {
            let durable = self.durable[node].taken.get(peer).map_or(0, |taken| taken.count);
            let kind = |place| self.kinds.get(&(node, *peer, place));
            let place = (durable + 1..=taken.count).find(|place| kind(*place) == Some(&self.eye));
            place.map(|place| (*peer, place))
        })
    }

    /// An account and its neighbour trade with each other.
    fn deal(&mut self, shard: usize, account: u32) {
        let (price, qty) = (97 + self.below(7) as i64, 2 + self.below(4) as i64);
        self.send(shard, &Command::Place(limit(account, Side::Buy, price, qty)));
        self.send(shard, &Command::Place(limit(account % 3 + 1, Side::Sell, price, qty)));
    }

    /// Moves a mark, by as much as brings some into need.
    fn mark(&mut self, shard: usize) {
        let mark = 88 + self.below(25) as i64;
        self.send(shard, &index(1, mark));
    }
}
