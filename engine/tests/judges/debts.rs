//! Debts by example: what the insurance fund has advanced comes back out of whatever the account
//! gets, and nothing leaves before.

use protocol::{
    AccountId, Command, Event, Reject, ShardId,
    command::{Debt, MarginCall, Return, SetPositionMode},
    order::{CallKind, CashReason, PositionMode},
};

use crate::{
    bench::{Bench, outcome},
    lending::{deposit, lend},
    withdrawals::{settled, withdraw},
};

const FUND: u32 = AccountId::INSURANCE.0;
const ALICE: u32 = 1;

/// What shard 1 says next.
fn owes(ledger: &mut Bench, amount: i64) -> Vec<Event> {
    let link_seq = ledger.links[1] + 1;
    let (account, from, _pad) = (AccountId(ALICE), ShardId(1), [0; 3]);
    ledger.raw(&Command::Debt(Debt { link_seq, account, from, _pad, amount }))
}

fn gives_back(ledger: &mut Bench, account: u32, amount: i64) -> Vec<Event> {
    let (link_seq, account) = (ledger.links[1] + 1, AccountId(account));
    let (from, _pad, lend) = (ShardId(1), [0; 3], 0);
    ledger.raw(&Command::Return(Return { link_seq, account, from, _pad, amount, lend }))
}

/// Whose free cash became what by a repayment.
fn repaid(events: &[Event]) -> Vec<(u32, i64)> {
    let changes = events.iter().filter_map(|event| match event {
        Event::CashChanged(change) if change.reason == CashReason::Repayment => {
            Some((change.account.0, change.cash))
        }
        _ => None,
    });
    changes.collect()
}

/// Who is asked for how much.
fn asked(events: &[Event]) -> Vec<(ShardId, i64)> {
    let recalls = events.iter().filter_map(|event| match event {
        Event::RecallIssued(recall) => Some((recall.to, recall.amount)),
        _ => None,
    });
    recalls.collect()
}

#[test]
fn what_comes_in_repays_first() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(FUND, 1, 50_000));
    ledger.ok(&deposit(ALICE, 1, 1_000));
    ledger.ok(&lend(ALICE, 1, 1_000));
    owes(&mut ledger, 700);
    assert_eq!(repaid(&ledger.ok(&deposit(ALICE, 2, 300))), [(ALICE, 0), (FUND, 50_300)]);
    assert_eq!(repaid(&gives_back(&mut ledger, ALICE, 250)), [(ALICE, 0), (FUND, 50_550)]);
    assert_eq!(repaid(&ledger.ok(&deposit(ALICE, 3, 300))), [(ALICE, 150), (FUND, 50_700)]);
    assert_eq!(repaid(&ledger.ok(&deposit(ALICE, 4, 300))), [], "all is paid back");
}

#[test]
fn what_is_there_already_repays_too() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(ALICE, 1, 1_000));
    assert_eq!(repaid(&owes(&mut ledger, 400)), [(ALICE, 600), (FUND, 400)]);
}

/// Only what is free repays: of one whose free cash is negative nothing is taken.
#[test]
fn a_hole_is_filled_before_anything_is_repaid() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(ALICE, 1, 1_000));
    owes(&mut ledger, 1_500);
    assert_eq!(repaid(&owes(&mut ledger, 1)), []);
    assert_eq!(repaid(&ledger.ok(&deposit(ALICE, 2, 502))), [(ALICE, 1), (FUND, 1_501)]);
}

#[test]
fn a_debt_keeps_money_in() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(ALICE, 1, 1_000));
    ledger.ok(&lend(ALICE, 1, 1_000));
    ledger.ok(&deposit(ALICE, 2, 100));
    assert!(settled(&ledger.ok(&withdraw(ALICE, 1, 100))).is_none(), "shard 1 is asked");
    let events = owes(&mut ledger, 300);
    let refused = settled(&events).unwrap();
    assert_eq!((refused.reject, repaid(&events).len()), (Reject::WithdrawalTooLarge, 2));
    ledger.refused(&withdraw(ALICE, 1, 1), Reject::WithdrawalTooLarge);
    ledger.ok(&deposit(ALICE, 3, 200));
    assert!(settled(&ledger.ok(&withdraw(ALICE, 1, 1))).is_none(), "shard 1 is asked");
}

/// What comes back repays first, so that is asked for, too: else what is lent, or an account in need
/// gets, is less than there is.
#[test]
fn what_is_recalled_repays_too() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(ALICE, 1, 2_000));
    ledger.ok(&lend(ALICE, 1, 2_000));
    owes(&mut ledger, 700);
    let events = ledger.ok(&lend(ALICE, 2, 500));
    assert_eq!(asked(&events), [(ShardId(1), 1_200)]);
}

/// A debt that comes after the recall takes what was meant for a call: so whoever has given all that
/// he was asked for is asked again, and who has not is left alone.
#[test]
fn who_gave_all_is_asked_again_after_a_debt() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(ALICE, 1, 3_000));
    for shard in [1, 2] {
        ledger.ok(&lend(ALICE, shard, 1_000));
    }
    ledger.ok(&lend(ALICE, 3, 800));
    let (account, kind, from, link_seq) = (AccountId(ALICE), CallKind::Need, ShardId(3), 1);
    let call = MarginCall { link_seq, account, from, kind, _pad: [0; 2], amount: 600 };
    let events = ledger.raw(&Command::MarginCall(call));
    assert_eq!(asked(&events), [(ShardId(1), 400), (ShardId(2), 400)]);
    let lend = ledger.seq;
    let events = owes(&mut ledger, 500);
    assert_eq!(repaid(&events), [(ALICE, 0), (FUND, 200)], "and 300 are left");
    let mut gives = |from: u8, amount: i64| {
        ledger.links[usize::from(from)] += 1;
        let (link_seq, from) = (ledger.links[usize::from(from)], ShardId(from));
        ledger.raw(&Command::Return(Return { link_seq, account, from, _pad: [0; 3], amount, lend }))
    };
    assert_eq!(asked(&gives(2, 100)), [], "not all has come yet");
    assert_eq!(asked(&gives(1, 400)), [(ShardId(1), 400)], "of 500 there are 200 after the debt");
    let granted = |event: &Event| match event {
        Event::GrantIssued(grant) => Some((grant.to, grant.amount, grant.call)),
        _ => None,
    };
    assert_eq!(gives(1, 350).iter().find_map(granted), Some((ShardId(3), 550, 1)));
}

/// Two calls of one account could else take the same money from each other without end.
#[test]
fn nobody_is_asked_a_third_time() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(ALICE, 1, 3_000));
    ledger.ok(&lend(ALICE, 1, 2_000));
    ledger.ok(&lend(ALICE, 3, 1_000));
    let (account, kind, from, link_seq) = (AccountId(ALICE), CallKind::Need, ShardId(3), 1);
    let call = MarginCall { link_seq, account, from, kind, _pad: [0; 2], amount: 600 };
    assert_eq!(asked(&ledger.raw(&Command::MarginCall(call))), [(ShardId(1), 600)]);
    let lend = ledger.seq;
    let gives = |ledger: &mut Bench, amount: i64| {
        owes(ledger, 400);
        let (link_seq, from, _pad) = (ledger.links[1] + 1, ShardId(1), [0; 3]);
        ledger.raw(&Command::Return(Return { link_seq, account, from, _pad, amount, lend }))
    };
    assert_eq!(asked(&gives(&mut ledger, 600)), [(ShardId(1), 400)]);
    let events = gives(&mut ledger, 400);
    assert_eq!(asked(&events), [], "though it gave all");
    let granted = events.iter().find_map(|event| match event {
        Event::GrantIssued(grant) => Some((grant.amount, grant.call)),
        _ => None,
    });
    assert_eq!(granted, Some((200, 1)));
}

#[test]
fn a_debt_that_comes_twice_is_one() {
    let mut ledger = Bench::new(0);
    owes(&mut ledger, 300);
    ledger.links[1] = 0;
    assert_eq!(outcome(&owes(&mut ledger, 300)).reject, Reject::Duplicate);
    assert_eq!(repaid(&ledger.ok(&deposit(ALICE, 1, 900))), [(ALICE, 600), (FUND, 300)]);
}

/// From outside the fund gets money, and nothing else.
#[test]
fn the_fund_takes_deposits_alone() {
    let mut ledger = Bench::new(0);
    ledger.ok(&deposit(FUND, 1, 500));
    ledger.refused(&deposit(FUND, 1, 500), Reject::TransferDuplicate);
    ledger.refused(&lend(FUND, 1, 10), Reject::UnknownAccount);
    ledger.refused(&withdraw(FUND, 1, 10), Reject::UnknownAccount);
    let (account, mode, _pad) = (AccountId::INSURANCE, PositionMode::Hedge, [0; 3]);
    let set = Command::SetPositionMode(SetPositionMode { account, mode, _pad });
    ledger.refused(&set, Reject::UnknownAccount);
}

/// What it has earned on a shard, where nothing was ever granted to it, comes to its wallet.
#[test]
fn what_the_fund_earns_comes_home() {
    let mut ledger = Bench::new(0);
    let events = gives_back(&mut ledger, FUND, 70);
    assert_eq!(outcome(&events).reject, Reject::None);
    let cash = |event: &Event| match event {
        Event::CashChanged(change) => Some((change.account.0, change.cash, change.lent)),
        _ => None,
    };
    assert_eq!(events.iter().find_map(cash), Some((FUND, 70, -70)));
}
