//! Withdrawals by example: money leaves what no shard needs, once, and never on credit.

use protocol::{
    AccountId, Command, Event, Reject,
    command::{Place, Tick, Withdraw},
    event::WithdrawalSettled,
    limits::{EARMARK_US, WITHDRAW_WAIT_US},
    order::{HoldState, Side},
};

use crate::{
    bench::{index, outcome},
    lending::{Cluster, deposit, lend},
    trading::limit,
};

const ALICE: u32 = 1;
const BOB: u32 = 2;
const TICK: Command = Command::Tick(Tick { _reserved: 0 });

pub fn withdraw(account: u32, transfer: u64, amount: i64) -> Command {
    Command::Withdraw(Withdraw { account: AccountId(account), _pad: 0, transfer, amount })
}

pub fn settled(events: &[Event]) -> Option<WithdrawalSettled> {
    events.iter().find_map(|event| match event {
        Event::WithdrawalSettled(settled) => Some(*settled),
        _ => None,
    })
}

impl Cluster {
    /// Asks for a withdrawal and delivers everything; why it was refused, or none.
    fn withdraw(&mut self, account: u32, transfer: u64, amount: i64) -> Reject {
        let events = self.send(0, &withdraw(account, transfer, amount));
        assert_eq!(outcome(&events).reject, Reject::None);
        if let Some(settled) = settled(&events) {
            return settled.reject;
        }
        loop {
            let from = (0..3).find(|at| self.nodes[*at].engine.outbox().next().is_some());
            let from = from.expect("a withdrawal is settled before all is quiet");
            if let Some(settled) = settled(&self.deliver(from, 0, true)) {
                self.drain();
                return settled.reject;
            }
        }
    }

    /// 100,000 for alice, of which shard 1 has 40,000 and shard 2 the given amount.
    fn spread(on_two: i64) -> Self {
        let mut cluster = Self::new();
        cluster.send(0, &deposit(ALICE, 1, 100_000));
        cluster.send(0, &lend(ALICE, 1, 40_000));
        if on_two > 0 {
            cluster.send(0, &lend(ALICE, 2, on_two));
        }
        cluster.drain();
        for node in &mut cluster.nodes {
            node.ts += EARMARK_US;
        }
        cluster
    }

    fn free(&self, account: u32) -> i64 {
        self.cash[&(0, account)]
    }
}

#[test]
fn what_was_never_lent_leaves_at_once() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(ALICE, 1, 1_000));
    let paid = settled(&cluster.send(0, &withdraw(ALICE, 1, 400))).unwrap();
    assert_eq!((paid.reject, paid.amount, paid.transfer), (Reject::None, 400, 1));
    assert_eq!((cluster.free(ALICE), cluster.booked()), (600, 600));
    assert_eq!(cluster.nodes[0].engine.wake_at(), None);
}

#[test]
fn a_withdrawal_counts_once() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(ALICE, 9, 1_000));
    let ledger = &mut cluster.nodes[0];
    ledger.refused(&withdraw(BOB, 1, 1), Reject::UnknownAccount);
    ledger.refused(&withdraw(ALICE, 5, 0), Reject::AmountInvalid);
    // one that was refused does not use its number up
    let refused = settled(&ledger.ok(&withdraw(ALICE, 5, 1_001))).unwrap();
    assert_eq!(refused.reject, Reject::WithdrawalTooLarge);
    let paid = settled(&ledger.ok(&withdraw(ALICE, 5, 1_000))).unwrap();
    assert_eq!(paid.reject, Reject::None);
    ledger.refused(&withdraw(ALICE, 5, 1_000), Reject::TransferDuplicate);
    ledger.refused(&withdraw(ALICE, 4, 1), Reject::TransferDuplicate);
}

/// Free 40,000, shard 1 has 40,000 and shard 2 has 20,000.
#[test]
fn what_is_lacking_is_recalled() {
    let mut cluster = Cluster::spread(20_000);
    assert_eq!(cluster.withdraw(ALICE, 1, 70_000), Reject::None);
    assert_eq!((cluster.free(ALICE), cluster.booked()), (0, 30_000));
    assert_eq!((cluster.cash[&(1, ALICE)], cluster.cash[&(2, ALICE)]), (10_000, 20_000));
    // and nothing is held any more
    cluster.nodes[1].ok(&Command::Place(limit(ALICE, Side::Buy, 100, 1)));
}

#[test]
fn what_orders_hold_back_stays() {
    let mut cluster = Cluster::spread(0);
    // 1 lot at 100 and 20×: a margin of 5,000 and a fee of 50
    cluster.send(1, &Command::Place(limit(ALICE, Side::Buy, 100, 1)));
    assert_eq!(cluster.withdraw(ALICE, 1, 94_951), Reject::WithdrawalTooLarge);
    assert_eq!((cluster.free(ALICE), cluster.booked()), (60_000, 100_000));
    assert_eq!(cluster.withdraw(ALICE, 1, 94_950), Reject::None);
    assert_eq!(cluster.cash[&(1, ALICE)], 5_050);
}

/// Bob's gain on shard 1 is not realised: it serves as margin, and stays in.
#[test]
fn a_profit_that_is_not_realised_stays() {
    let mut cluster = Cluster::spread(0);
    cluster.send(0, &deposit(BOB, 1, 50_000));
    cluster.send(0, &lend(BOB, 1, 50_000));
    cluster.drain();
    cluster.send(1, &Command::Place(limit(BOB, Side::Buy, 100, 4)));
    cluster.send(1, &Command::Place(limit(ALICE, Side::Sell, 100, 4)));
    cluster.send(1, &index(1, 105));
    let cash = cluster.cash[&(1, BOB)];
    // ceil(4 · 105,000 / 20)
    let most = cash - 21_000;
    assert_eq!(cluster.withdraw(BOB, 1, most + 1), Reject::WithdrawalTooLarge);
    assert_eq!(cluster.withdraw(BOB, 1, most), Reject::None);
    // a lend takes the profit too: it stays in the wallet
    cluster.nodes[1].ts += EARMARK_US;
    let events = cluster.send(0, &lend(BOB, 2, 20_000));
    assert_eq!(outcome(&events).reject, Reject::None);
    cluster.drain();
    assert_eq!((cluster.cash[&(1, BOB)], cluster.cash[&(2, BOB)]), (1_000, 20_000));
}

/// Alice lacks margin on shard 1: so much stays in, wherever it is.
#[test]
fn margin_that_is_lacking_on_one_shard_keeps_money_on_the_others() {
    let mut cluster = Cluster::spread(0);
    cluster.send(0, &deposit(BOB, 1, 90_000));
    cluster.send(0, &lend(BOB, 1, 90_000));
    cluster.drain();
    cluster.send(1, &Command::Place(limit(BOB, Side::Buy, 100, 7)));
    cluster.send(1, &Command::Place(limit(ALICE, Side::Sell, 100, 7)));
    cluster.send(1, &index(1, 104));
    let cash = cluster.cash[&(1, ALICE)];
    let spare = cash - 7 * 4_000 - 7 * 104_000 / 20;
    assert!(spare < 0);
    assert_eq!(cluster.withdraw(ALICE, 1, 60_000 + spare + 1), Reject::WithdrawalTooLarge);
    assert_eq!(cluster.withdraw(ALICE, 1, 60_000 + spare), Reject::None);
    assert_eq!(cluster.free(ALICE), -spare);
}

#[test]
fn a_held_account_takes_no_orders_and_gets_no_lends() {
    let mut cluster = Cluster::spread(0);
    let resting = cluster.send(1, &Command::Place(limit(ALICE, Side::Buy, 99, 1)));
    cluster.send(0, &withdraw(ALICE, 1, 70_000));
    let again = cluster.send(0, &withdraw(ALICE, 1, 70_000));
    assert_eq!(outcome(&again).reject, Reject::AccountHeld);
    let granted = cluster.send(0, &lend(ALICE, 2, 1)).iter().find_map(|event| match event {
        Event::LendSettled(settled) => Some(settled.granted),
        _ => None,
    });
    assert_eq!(granted, Some(0));
    let held = cluster.deliver(0, 0, true);
    let said = held.iter().find_map(|event| match event {
        Event::HeldIssued(held) => Some((held.state, held.spare)),
        _ => None,
    });
    assert_eq!(said, Some((HoldState::HasOrders, 40_000 - 4_950 - 50)));
    let order = limit(ALICE, Side::Buy, 100, 1);
    cluster.nodes[1].refused(&Command::Place(order), Reject::AccountHeld);
    cluster.nodes[1].refused(&Command::TestPlace(order), Reject::AccountHeld);
    // others trade on, and what rests may be cancelled
    let other = Place { account: AccountId(BOB), ..order };
    cluster.nodes[1].refused(&Command::Place(other), Reject::NeedMargin);
    let all = protocol::command::CancelAll {
        account: AccountId(ALICE),
        symbol: order.symbol,
        _pad: [0; 2],
    };
    cluster.nodes[1].ok(&Command::CancelAll(all));
    assert!(resting.iter().any(|event| matches!(event, Event::OrderAccepted(_))));
    cluster.drain();
    assert_eq!(cluster.free(ALICE), 0);
    cluster.nodes[1].refused(&Command::Place(Place { qty: 10, ..order }), Reject::NeedMargin);
}

/// Shard 1 is away: after a second the money stays in, and what comes late changes nothing.
#[test]
fn a_shard_that_is_silent_ends_the_withdrawal() {
    let mut cluster = Cluster::spread(0);
    cluster.send(0, &withdraw(ALICE, 1, 10));
    assert!(settled(&cluster.send(0, &TICK)).is_none());
    cluster.nodes[0].ts += WITHDRAW_WAIT_US;
    let refused = settled(&cluster.send(0, &TICK)).unwrap();
    assert_eq!(refused.reject, Reject::WithdrawalTimeout);
    cluster.drain();
    assert_eq!((cluster.free(ALICE), cluster.booked()), (60_000, 100_000));
    cluster.nodes[1].ok(&Command::Place(limit(ALICE, Side::Buy, 100, 1)));
    assert_eq!(cluster.withdraw(ALICE, 1, 10), Reject::None);
}
