//! Bytes that are no command are refused and change nothing; bytes that are one never panic.

use engine::Engine;
use proptest::prelude::*;
use protocol::{
    AccountId, Command, CommandKind, Envelope, FrameHeader, Reject, SymbolId, command::CancelAll,
    limits::COMMAND_BYTES_MAX,
};

use crate::{
    bench::{Bench, CAPACITY, Collected, outcome},
    differential::cases,
    flow::{self, Step},
    twin::Twin,
};

/// A bench after some flow, so that there is a state to spoil.
fn lively(shard: u8) -> Bench {
    if shard == 0 {
        return Bench::new(0);
    }
    let mut bench = Bench::trading(&[(1, 100_000), (2, 100_000)]);
    let mut mark = [100; 2];
    for n in 0..60u16 {
        let step: Step = std::array::from_fn(|i| n.wrapping_mul(7_919) ^ (i as u16 * 4_801));
        let act = flow::trading_act(&mut bench, &step, &mut mark);
        let (envelope, command) = act.parts();
        let events = bench.apply(*envelope, command);
        flow::counted(&mut bench, &act, outcome(&events).reject);
    }
    bench
}

/// An engine that has applied the same log, but for the payload of its last frame.
fn hash_with_last(bench: &Bench, kind: u16, payload: &[u8]) -> u64 {
    let mut engine = Engine::new(CAPACITY);
    let last = bench.log.len() - 1;
    for (header, payload) in &bench.log[..last] {
        engine.apply(header, payload, &mut Collected::default());
    }
    let header = FrameHeader { kind, ..bench.log[last].0 };
    engine.apply(&header, payload, &mut Collected::default());
    engine.state_hash()
}

proptest! {
    #![proptest_config(cases(400, 40_000))]

    #[test]
    fn random_bytes_change_nothing(
        shard in 0u8..2, kind in 0u16..80, bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut bench = lively(shard);
        let events = bench.apply_bytes(kind, &bytes).events();
        if outcome(&events).reject == Reject::Malformed && events.len() == 1 {
            // an empty tick changes nothing either, so it stands for "nothing"
            let mut blank = [0; COMMAND_BYTES_MAX];
            let tick = Command::Tick(protocol::command::Tick { _reserved: 0 });
            let len = tick.encode(&Envelope::default(), &mut blank);
            let untouched = hash_with_last(&bench, CommandKind::Tick as u16, &blank[..len]);
            prop_assert_eq!(bench.engine.state_hash(), untouched);
        }
    }

    /// Each command with bytes of it overwritten, in its session's turn: no panic, and the twin
    /// agrees about every byte.
    #[test]
    fn mutated_commands_are_what_the_twin_says(
        shard in 0u8..2, kind in 0..CommandKind::ALL.len(), session in 0usize..2,
        edits in prop::collection::vec((48usize..COMMAND_BYTES_MAX, any::<u8>()), 0..24),
        words in prop::collection::vec((6usize..COMMAND_BYTES_MAX / 8, edge()), 0..4),
    ) {
        let mut bench = lively(shard);
        let mut twin = Twin::new();
        for (header, payload) in &bench.log {
            twin.apply(header, payload);
        }
        let kind = CommandKind::ALL[kind];
        let mut payload = [0; COMMAND_BYTES_MAX];
        let body = Command::CancelAll(CancelAll {
            account: AccountId(1),
            symbol: SymbolId(1),
            _pad: [0; 2],
        });
        body.encode(&bench.envelope(session, false), &mut payload);
        let fits = |len: &usize| Command::decode(kind as u16, &[0; COMMAND_BYTES_MAX][..*len]).is_ok();
        let len = (0..=COMMAND_BYTES_MAX).find(fits).unwrap();
        for (at, word) in words {
            payload[8 * at..8 * at + 8].copy_from_slice(&word.to_le_bytes());
        }
        for (at, byte) in edits {
            payload[at] = byte;
        }
        for _ in 0..2 {
            let said = bench.apply_bytes(kind as u16, &payload[..len]).events();
            let (header, payload) = bench.log.last().unwrap();
            prop_assert_eq!(said, twin.apply(header, payload));
        }
    }
}

/// Numbers at the edges of things.
fn edge() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(-1),
        (0u32..63).prop_map(|bit| 1 << bit),
        (0u32..63).prop_map(|bit| (1 << bit) - 1),
        0i64..300,
    ]
}
