//! The naive book beside a generator, and the list of who rests in it.

use engine::book::twin::{Amended, Ended, Met, Terms, Twin, TwinOrder};
use protocol::{
    AccountId, OrderId, Ticks,
    order::{SelfTradePrevention, Side, TimeInForce},
};

use super::{Command, Op, Sums};

/// Accounts a flow's orders belong to: so many that buy, and as many that sell.
const OWNERS_A_SIDE: u64 = 500;
/// Accounts of a flow, numbered from 1.
pub const ACCOUNTS: u32 = 2 * OWNERS_A_SIDE as u32;

/// Whose order this is. Buyers and sellers are different accounts, so that every match compares
/// owners and no two are the same: self-trade prevention would change the golden sums.
fn owner(id: OrderId, side: Side) -> AccountId {
    /// Spreads consecutive ids over the accounts.
    const STRIDE: u64 = 167;
    let of_side = (id.0 * STRIDE) % OWNERS_A_SIDE;
    AccountId(1 + 2 * of_side as u32 + side as u32)
}

/// A book that a generator looks into while it makes commands.
#[derive(Debug)]
pub struct Mirror {
    twin: Twin,
    /// Ids that rest, in ascending order.
    live: Vec<OrderId>,
    resting: [usize; 2],
    last_trade: Ticks,
    next_id: u64,
    commands: Vec<Command>,
}

impl Mirror {
    pub fn new(first_price: Ticks, commands: usize) -> Self {
        Self {
            twin: Twin::default(),
            live: Vec::new(),
            resting: [0; 2],
            last_trade: first_price,
            next_id: 0,
            commands: Vec::with_capacity(commands),
        }
    }

    pub fn resting(&self, side: Side) -> usize {
        self.resting[side as usize]
    }

    /// Ids that rest, the oldest first.
    pub fn live(&self) -> &[OrderId] {
        &self.live
    }

    /// The order at a place of [`Self::live`].
    pub fn victim(&self, at: usize) -> TwinOrder {
        *self.twin.find(self.live[at]).expect("what is on the list of living orders rests")
    }

    pub fn last_trade(&self) -> Ticks {
        self.last_trade
    }

    /// A new order.
    pub fn enter(&mut self, op: Op, side: Side, price: Ticks, qty: i64) {
        self.next_id += 1;
        let id = OrderId(self.next_id);
        self.apply(Command { id, price, qty, account: owner(id, side), side, op });
    }

    pub fn cancel(&mut self, victim: TwinOrder) {
        self.apply(command(victim, Op::Cancel, victim.price));
    }

    pub fn shift(&mut self, victim: TwinOrder, price: Ticks) {
        self.apply(command(victim, Op::Move, price));
    }

    pub fn into_commands(self) -> Vec<Command> {
        self.commands
    }

    fn apply(&mut self, command: Command) {
        let mut filled = Vec::new();
        let rests = apply(&mut self.twin, &command, &mut |met| filled.push(met));
        for met in filled {
            let Met::Filled { maker, price, .. } = met else { continue };
            self.last_trade = price;
            if self.twin.find(maker).is_none() {
                self.delist(maker, command.side.opposite());
            }
        }
        let listed = self.live.binary_search(&command.id);
        match (listed, rests) {
            (Err(at), true) => {
                self.live.insert(at, command.id);
                self.resting[command.side as usize] += 1;
            }
            (Ok(_), false) => self.delist(command.id, command.side),
            (Ok(_), true) | (Err(_), false) => {}
        }
        self.commands.push(command);
    }

    fn delist(&mut self, id: OrderId, side: Side) {
        let at = self.live.binary_search(&id).expect("who leaves the book was on the list");
        self.live.remove(at);
        self.resting[side as usize] -= 1;
    }
}

fn command(victim: TwinOrder, op: Op, price: Ticks) -> Command {
    let TwinOrder { id, account, side, remaining, .. } = victim;
    Command { id, price, qty: remaining, account, side, op }
}

/// Applies one command to the twin; whether its order rests after it.
pub fn apply(twin: &mut Twin, command: &Command, met: &mut impl FnMut(Met)) -> bool {
    let terms =
        |time_in_force| Terms { time_in_force, self_trade: SelfTradePrevention::ExpireMaker };
    let Command { id, price, qty, account, side, op } = *command;
    let taker = TwinOrder { id, account, side, price, remaining: qty, cum_qty: 0 };
    let ended = match op {
        Op::Place => twin.place(taker, terms(TimeInForce::Gtc), met),
        Op::Take => twin.place(taker, terms(TimeInForce::Ioc), met),
        Op::Cancel => {
            twin.cancel(id);
            return false;
        }
        Op::Move => {
            let whole = twin.find(id).map_or(qty, |order| order.cum_qty + order.remaining);
            match twin.amend(id, price, whole, terms(TimeInForce::Gtc), met) {
                Some(Amended::Requeued { ended, .. }) => ended,
                Some(Amended::Reduced { .. }) => return true,
                Some(Amended::Cancelled { .. }) | None => return false,
            }
        }
    };
    matches!(ended, Ended::Rests { .. })
}

/// Applies one command to the twin and adds up its trades.
pub fn apply_to_twin(twin: &mut Twin, command: &Command, sums: &mut Sums) {
    apply(twin, command, &mut |met| match met {
        Met::Filled { price, qty, .. } => sums.trade(price, qty),
        Met::Expired { .. } => {}
    });
}
