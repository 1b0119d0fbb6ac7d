//! Deleveraging while a funding round is open: who is first in rank is first, whether or not what
//! he pays or gets has been booked.

use protocol::{Command, Event, command::Tick, limits::MARGIN_CALL_GRACE_US, order::Side};

use crate::{
    bench::{Bench, index},
    liquidation::traded,
    trading::limit,
    twin::Twin,
};

const HOUR: u64 = 3_600_000_000;
const ALICE: u32 = 5;
/// Who has sold her a lot each, by what is behind it: the less that is, the sooner it goes. They
/// are booked, and looked at, in different slices.
const SELLERS: [(u32, i64); 3] = [(20, 0), (140, 6_000_000), (100, 40_000_000_000)];
const TICK: Command = Command::Tick(Tick { _reserved: 0 });

/// Alice is long 3 at 1,000 and has nothing left at 945; the fund has been asked, and has nothing.
/// An hour ends soon, and each short is to get 12,500,000 or so: more than the first two differ by.
fn lost() -> Bench {
    let mut grants = vec![(ALICE, 160_000_000_000)];
    grants.extend(SELLERS.map(|(id, more)| (id, 100_000_000_000 + more)));
    let mut bench = Bench::funded(&grants);
    for (seller, _) in SELLERS {
        bench.ok(&Command::Place(limit(seller, Side::Sell, 1_000, 1)));
    }
    bench.ok(&Command::Place(limit(ALICE, Side::Buy, 1_000, 3)));
    for _ in 0..6 {
        bench.ts += 1_000_000;
        bench.ok(&index(1, 1_000));
        bench.raw(&TICK);
    }
    bench.ts += HOUR - bench.ts % HOUR - 9_000_000;
    bench.ok(&index(1, 945));
    for _ in 0..4 {
        (0..20).for_each(|_| _ = bench.raw(&TICK));
        bench.ts += MARGIN_CALL_GRACE_US;
    }
    bench
}

/// The search begins some frames before the hour or after it.
#[test]
fn who_is_first_in_rank_is_first_in_every_slice_of_a_funding() {
    let mut open = 0;
    for before in 0..9 {
        let mut bench = lost();
        let hour = bench.ts + HOUR - bench.ts % HOUR;
        bench.ts = hour - 1 - before;
        let mut said = bench.ok(&index(1, 946));
        (0..40).for_each(|_| said.extend(bench.raw(&TICK)));
        let counterparties: Vec<_> = traded(&said).iter().map(|trade| trade.3).collect();
        assert_eq!(counterparties, SELLERS.map(|(id, _)| id), "{before} frames before the hour");
        let at = |is: fn(&Event) -> bool| said.iter().position(is);
        let begun = at(|event| matches!(event, Event::Funding(_))).unwrap();
        let ended = at(|event| matches!(event, Event::FundingEnded(_))).unwrap();
        let first = at(|event| matches!(event, Event::Trade(_))).unwrap();
        open += usize::from(begun < first && first < ended);
        let paid = said.iter().filter_map(|event| match event {
            Event::FundingPaid(paid) => Some(paid.account),
            _ => None,
        });
        let mut paid: Vec<_> = paid.collect();
        paid.sort_unstable();
        assert!(paid.is_sorted_by(|a, b| a < b), "each pays once: {paid:?}");
        let mut twin = Twin::new();
        let frames = bench.log.iter().map(|(header, payload)| twin.apply(header, payload));
        let told: Vec<_> = frames.flatten().collect();
        assert!(told.ends_with(&said), "the twin says the same");
    }
    assert!(open > 0, "no search met an open round");
}
