//! Sweeps by example: what an account has not used for ten seconds goes back to the ledger, but
//! for what its positions and orders need, and a fifth of that.

use protocol::{
    AccountId, Command, Event, ShardId,
    command::{Hold, LinkState, Release, Tick},
    limits::SWEEP_AFTER_US,
    order::{CashReason, HoldFor, ModeChange, Side},
};

use crate::{
    bench::{Bench, WORK_PER_TURN, index},
    lending::{Cluster, deposit, lend},
    trading::limit,
    triggers::tick,
};

const ALICE: u32 = 1;
const BOB: u32 = 2;

pub fn link(up: bool) -> Command {
    Command::LinkState(LinkState { peer: ShardId::LEDGER, up, _pad: [0; 6] })
}

/// A shard whose ledger answers, and what alice and bob have there.
fn shard(alice: i64, bob: i64) -> Bench {
    let mut bench = Bench::trading(&[(ALICE, alice), (BOB, bob)]);
    bench.raw(&link(true));
    bench
}

/// What comes back with the next frame, of whom.
fn swept(bench: &mut Bench) -> Vec<(u32, i64)> {
    let back = |event: &Event| match event {
        Event::ReturnIssued(back) if back.lend == 0 => Some((back.account.0, back.amount)),
        _ => None,
    };
    tick(bench).iter().filter_map(back).collect()
}

#[test]
fn what_rests_goes_back() {
    let mut bench = shard(40_000, 7_000);
    // a lot at 100 and 20×: a margin of 5,000 and a fee of 50, and a fifth of that
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 100, 1)));
    bench.ts += SWEEP_AFTER_US - 20;
    assert_eq!(swept(&mut bench), []);
    bench.ts += 20;
    assert_eq!(swept(&mut bench), [(ALICE, 40_000 - 6_060), (BOB, 7_000)]);
    bench.ts += SWEEP_AFTER_US;
    assert_eq!(swept(&mut bench), [], "once");
}

#[test]
fn who_is_at_work_keeps_it() {
    let mut bench = shard(40_000, 90_000);
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 100, 1)));
    bench.ts += SWEEP_AFTER_US / 2;
    // a fill is a use for both sides
    bench.ok(&Command::Place(limit(BOB, Side::Sell, 100, 1)));
    bench.ts += SWEEP_AFTER_US / 2;
    assert_eq!(swept(&mut bench), []);
    bench.ts += SWEEP_AFTER_US / 2;
    // 20 and 50 of fees are paid
    let both = [(ALICE, 40_000 - 20 - 6_000), (BOB, 90_000 - 50 - 6_000)];
    assert_eq!(swept(&mut bench), both);
}

/// As out of the wallet itself, no profit goes that is not realised.
#[test]
fn profit_stays() {
    let mut bench = shard(40_000, 90_000);
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 100, 4)));
    bench.ok(&Command::Place(limit(BOB, Side::Sell, 100, 4)));
    bench.ok(&index(1, 110));
    bench.ts += SWEEP_AFTER_US;
    // ceil(1.2 · 440,000 / 20); bob has lost 40,000
    let both = [(ALICE, 40_000 - 80 - 26_400), (BOB, 90_000 - 200 - 40_000 - 26_400)];
    assert_eq!(swept(&mut bench), both);
}

/// There must be somebody to give it to: a shard gives nothing away blindly.
#[test]
fn nothing_goes_to_a_ledger_that_is_away() {
    let mut bench = Bench::trading(&[(ALICE, 40_000)]);
    bench.ts += SWEEP_AFTER_US;
    assert_eq!(swept(&mut bench), [], "nobody has said that it is there");
    bench.raw(&link(false));
    assert_eq!(swept(&mut bench), []);
    bench.raw(&link(true));
    assert_eq!(swept(&mut bench), [(ALICE, 40_000)]);
}

/// What a hold has counted stays until it is over.
#[test]
fn who_is_held_keeps_it() {
    let mut bench = shard(40_000, 7_000);
    let (account, _pad) = (AccountId(ALICE), [0; 3]);
    let (link_seq, purpose) = (bench.links[0] + 1, HoldFor::Withdrawal);
    bench.raw(&Command::Hold(Hold { link_seq, change: 5, account, purpose, _pad }));
    bench.ts += SWEEP_AFTER_US;
    assert_eq!(swept(&mut bench), [(BOB, 7_000)]);
    let (link_seq, mode) = (bench.links[0] + 1, ModeChange::Keep);
    bench.raw(&Command::Release(Release { link_seq, account, mode, _pad }));
    bench.ts += SWEEP_AFTER_US;
    assert_eq!(swept(&mut bench), [(ALICE, 40_000)]);
}

/// However many rest at once, a frame looks at some of them.
#[test]
fn many_go_home_in_slices() {
    let all = 2 * WORK_PER_TURN as u32 + 6;
    let grants: Vec<_> = (1..=all).map(|account| (account, 1_000)).collect();
    let mut bench = Bench::trading(&grants);
    bench.raw(&link(true));
    assert_eq!(bench.wake_at(), None, "nobody hurries for it");
    bench.ts += SWEEP_AFTER_US;
    for expected in [WORK_PER_TURN, WORK_PER_TURN, 6, 0] {
        let part = swept(&mut bench);
        assert_eq!(part.len(), expected);
        assert_eq!(bench.wake_at().is_some(), expected == WORK_PER_TURN, "the rest is due at once");
    }
}

/// Swept money is free: what another shard lacks is there without asking anybody.
#[test]
fn what_went_home_is_lent_at_once() {
    let mut cluster = Cluster::new();
    cluster.send(0, &deposit(ALICE, 1, 100_000));
    cluster.send(0, &lend(ALICE, 1, 100_000));
    cluster.drain();
    cluster.send(1, &link(true));
    cluster.nodes[1].ts += SWEEP_AFTER_US;
    cluster.send(1, &Command::Tick(Tick { _reserved: 0 }));
    // it comes twice, and counts once
    cluster.deliver(1, 0, false);
    cluster.deliver(1, 0, true);
    assert_eq!((cluster.cash[&(1, ALICE)], cluster.cash[&(0, ALICE)]), (0, 100_000));
    let events = cluster.send(0, &lend(ALICE, 2, 90_000));
    let granted = |event: &Event| match event {
        Event::CashChanged(change) if change.reason == CashReason::GrantIssued => {
            Some(-change.delta)
        }
        _ => None,
    };
    assert_eq!(events.iter().find_map(granted), Some(90_000));
    cluster.drain();
    assert_eq!(cluster.booked(), cluster.deposited);
}
