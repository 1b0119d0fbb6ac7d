//! Random flows of money: what a ledger is asked, and what ledger and shards say to each other.

use protocol::{
    AccountId, Command, ShardId, SymbolId,
    command::{
        Debt, Deposit, Grant, Held, Hold, Lend, LinkAck, LinkState, MarginCall, Recall, Release,
        Return, SetPositionMode, Tick, Withdraw,
    },
    event::RecallIssued,
    order::{CallKind, HoldFor, HoldState, ModeChange, PositionMode},
};

use crate::{
    bench::Bench,
    flow::{Act, Draw, Step, cluster, misplaced},
};

/// The ledger's next command.
pub fn ledger_act(bench: &mut Bench, step: &Step) -> Act {
    let mut draw = Draw(step.iter());
    let choice = draw.below(100);
    // sometimes the insurance fund
    let account = AccountId(u32::from(draw.below(9)).div_ceil(2));
    let shard = ShardId(draw.below(5) as u8);
    let amount = i64::from(draw.below(120)) * 10 - 20;
    let command = match choice {
        0..=19 => {
            let transfer = u64::from(draw.below(40));
            Command::Deposit(Deposit { account, _pad: 0, transfer, amount })
        }
        20..=44 => Command::Lend(Lend { account, shard, _pad: [0; 3], amount }),
        45..=51 => {
            let transfer = bench.seq.saturating_sub(draw.below(40).into());
            Command::Withdraw(Withdraw { account, _pad: 0, transfer, amount })
        }
        52..=59 if !bench.recalls.is_empty() => return cluster(give(bench, &mut draw)),
        52..=79 => return cluster(answer(bench, &mut draw, (account, shard, amount))),
        80..=86 => {
            let link_seq = u64::from(draw.below(12));
            return cluster(Command::LinkAck(LinkAck { peer: shard, _pad: [0; 7], link_seq }));
        }
        87..=89 => {
            let mode = draw.one_of(PositionMode::ALL);
            Command::SetPositionMode(SetPositionMode { account, mode, _pad: [0; 3] })
        }
        90..=93 => {
            bench.ts += u64::from(draw.below(4)) * 100_000;
            return cluster(Command::Tick(Tick { _reserved: 0 }));
        }
        _ => return misplaced(bench, &mut draw, account, SymbolId(1)),
    };
    Act::Command { envelope: bench.envelope(usize::from(draw.below(8) == 0), false), command }
}

/// What a shard says to the ledger, mostly about what it was asked of late.
fn answer(bench: &mut Bench, draw: &mut Draw, random: (AccountId, ShardId, i64)) -> Command {
    let (mut account, mut from, amount) = random;
    let (kind, back) = (draw.below(7), usize::from(draw.below(8)));
    let asked = bench.holds.iter().rev().nth(back).filter(|_| kind > 1);
    let mut about = bench.seq.saturating_sub(draw.below(12).into());
    if let Some((shard, whose, hold)) = asked {
        (from, account, about) = (*shard, *whose, *hold);
    }
    let link_seq = next_of(&mut bench.links[usize::from(from.0 % 4)], draw);
    if kind == 6 {
        let amount = (amount / 4).max(-1);
        return Command::Debt(Debt { link_seq, account, from, _pad: [0; 3], amount });
    }
    if asked.is_some() && kind > 2 {
        let [clean, orders, position] =
            [HoldState::Clean, HoldState::HasOrders, HoldState::HasPosition];
        let state = draw.one_of(&[clean, clean, clean, position, position, orders]);
        let (_pad, spare) = ([0; 2], amount - 300);
        return Command::Held(Held { link_seq, change: about, account, from, state, _pad, spare });
    }
    if kind == 1 {
        let amount = amount.max(-1);
        let (kind, _pad) = (draw.one_of(CallKind::ALL), [0; 2]);
        return Command::MarginCall(MarginCall { link_seq, account, from, kind, _pad, amount });
    }
    let (_pad, amount, lend) = ([0; 3], amount.max(-1), about);
    Command::Return(Return { link_seq, account, from, _pad, amount, lend })
}

/// What a shard gives of what it was asked for, mostly all of it; or what its account owes it.
fn give(bench: &mut Bench, draw: &mut Draw) -> Command {
    let back = usize::from(draw.below(4)).min(bench.recalls.len() - 1);
    let RecallIssued { to: from, account, amount, lend, .. } =
        bench.recalls[bench.recalls.len() - 1 - back];
    let link_seq = next_of(&mut bench.links[usize::from(from.0)], draw);
    let _pad = [0; 3];
    match draw.below(6) {
        0 | 1 => Command::Debt(Debt { link_seq, account, from, _pad, amount: amount / 2 + 1 }),
        2 => Command::Return(Return { link_seq, account, from, _pad, amount: amount / 2, lend }),
        _ => Command::Return(Return { link_seq, account, from, _pad, amount, lend }),
    }
}

/// Lends what a shard has given back by itself: it is wanted there again.
pub fn lend_again(bench: &mut Bench, draw: &mut Draw) -> Option<Act> {
    let (account, amount) = bench.returned.pop()?;
    let link_seq = next_of(&mut bench.links[0], draw);
    Some(cluster(Command::Grant(Grant { link_seq, account, _pad: 0, amount, call: 0 })))
}

/// What the ledger says to a trading shard.
pub fn shard_act(bench: &mut Bench, draw: &mut Draw, account: AccountId) -> Act {
    let amount = i64::from(draw.below(200)) * 100;
    let choice = draw.below(6);
    let held = bench.held.iter().next().copied().filter(|_| choice.is_multiple_of(2));
    if let Some(held) = held {
        let (account, mode) = (AccountId(held), draw.one_of(ModeChange::ALL));
        let link_seq = next_of(&mut bench.links[0], draw);
        return cluster(Command::Release(Release { link_seq, account, mode, _pad: [0; 3] }));
    }
    if amount % 500 == 0 {
        let link_seq = next_of(&mut bench.links[0], draw);
        let purpose = HoldFor::ALL[usize::from(amount % 3_300 == 0)];
        let hold = Hold { link_seq, change: 55, account, purpose, _pad: [0; 3] };
        return cluster(Command::Hold(hold));
    }
    if let (0 | 1, Some((account, call))) = (choice, bench.calls.last().copied()) {
        let call = if draw.below(8) == 0 { call - 1 } else { call };
        let amount = if choice == 0 { 0 } else { amount.max(1) };
        let link_seq = next_of(&mut bench.links[0], draw);
        return cluster(Command::Grant(Grant { link_seq, account, _pad: 0, amount, call }));
    }
    if choice == 4 && draw.below(3) == 0 {
        let (peer, up) = (ShardId(u8::from(draw.below(20) == 0)), draw.below(2) == 0);
        return cluster(Command::LinkState(LinkState { peer, up, _pad: [0; 6] }));
    }
    if choice == 5 {
        let link_seq = u64::from(draw.below(8));
        return cluster(Command::LinkAck(LinkAck { peer: ShardId(0), _pad: [0; 7], link_seq }));
    }
    let grants = choice < 3;
    if grants && amount == 0 {
        return cluster(Command::Tick(Tick { _reserved: 0 }));
    }
    let link_seq = next_of(&mut bench.links[0], draw);
    cluster(match grants {
        true => Command::Grant(Grant { link_seq, account, _pad: 0, amount, call: 0 }),
        false => Command::Recall(Recall {
            link_seq,
            account,
            urgent: draw.below(3) == 0,
            _pad: [0; 3],
            amount,
            lend: 77,
        }),
    })
}

/// Mostly the next number of a link, sometimes an old one or one too far.
fn next_of(last: &mut u64, draw: &mut Draw) -> u64 {
    match draw.below(10) {
        0 => *last,
        1 => *last + 2,
        _ => {
            *last += 1;
            *last
        }
    }
}
