//! Sources that fall silent, go wild and come back: what index is left, and what is told of it.

use super::{
    announced::PAUSE_MS,
    board::{Board, Change, Quote, SourceId, Standing},
    config::{HttpSource, Plan},
};

const MAX_AGE_MS: i64 = 5_000;

fn board(weights: &[u32], sources_min: usize) -> Board {
    let source = |(place, weight): (usize, &u32)| HttpSource {
        name: place.to_string(),
        url: "http://127.0.0.1/".into(),
        weight: *weight,
        poll_ms: 1_000,
        timeout_ms: 1_000,
        max_age_ms: MAX_AGE_MS as u64,
        symbols: [("BTCUSDT".to_owned(), "XBT".to_owned())].into(),
    };
    let http = weights.iter().enumerate().map(source).collect();
    Board::new(&Plan { sources_min, seed: 0, bases: Default::default(), http })
}

fn say(board: &mut Board, at_ms: i64, prices: &[(usize, i64)]) {
    for (source, price_e8) in prices {
        board.note(SourceId(*source), "BTCUSDT", Quote { price_e8: *price_e8, at_ms });
    }
}

fn index(board: &mut Board, now_ms: i64) -> Option<i64> {
    board.indices(now_ms).0.first().map(|(_, price_e8)| *price_e8)
}

fn source(place: usize, standing: Standing) -> Change {
    Change::Source { source: SourceId(place), symbol: "BTCUSDT".into(), standing }
}

fn symbol(is_there: bool, live: usize) -> Change {
    Change::Index { symbol: "BTCUSDT".into(), is_there, live }
}

#[test]
fn a_stale_source_is_dropped_and_comes_back() {
    let mut board = board(&[1, 1, 2], 1);
    assert_eq!(board.indices(0), (vec![], vec![]));
    say(&mut board, 0, &[(0, 1_000), (1, 1_010), (2, 1_020)]);
    assert_eq!(index(&mut board, 0), Some(1_012)); // 1012.5
    say(&mut board, 4_000, &[(0, 1_000), (1, 1_010)]);
    assert_eq!(index(&mut board, MAX_AGE_MS), Some(1_012));
    assert_eq!(index(&mut board, MAX_AGE_MS + 1), Some(1_005));
    say(&mut board, 6_000, &[(2, 1_010)]);
    assert_eq!(index(&mut board, 6_000), Some(1_007)); // 1007.5
}

#[test]
fn with_too_few_alive_there_is_no_index() {
    let mut board = board(&[1, 1], 2);
    say(&mut board, 0, &[(0, 1_000)]);
    assert_eq!(index(&mut board, 0), None);
    say(&mut board, 3_000, &[(1, 1_000)]);
    assert_eq!(index(&mut board, 3_000), Some(1_000));
    assert_eq!(index(&mut board, MAX_AGE_MS + 1), None);
}

#[test]
fn what_was_said_earlier_does_not_replace_what_was_said_later() {
    let mut board = board(&[1], 1);
    say(&mut board, 2_000, &[(0, 2_000)]);
    say(&mut board, 1_000, &[(0, 1_000)]);
    assert_eq!(index(&mut board, 2_000), Some(2_000));
}

#[test]
fn each_change_is_told_once() {
    let mut board = board(&[1, 1, 1], 2);
    let mut told = Vec::new();
    for now_ms in (0..80_000).step_by(500) {
        let third = if (20_000..40_000).contains(&now_ms) { 1_100 } else { 1_001 };
        say(&mut board, now_ms, &[(0, 1_000)]);
        if now_ms < 50_000 {
            say(&mut board, now_ms, &[(1, 1_000)]);
        }
        if now_ms < 60_000 {
            say(&mut board, now_ms, &[(2, third)]);
        }
        told.extend(board.indices(now_ms).1.into_iter().map(|change| (now_ms, change)));
    }
    let expected = [
        (0, source(0, Standing::Live)),
        (0, source(1, Standing::Live)),
        (0, source(2, Standing::Live)),
        (0, symbol(true, 3)),
        (20_000, source(2, Standing::Wild)),
        (40_000, source(2, Standing::Live)),
        (55_000, source(1, Standing::Stale)),
        (65_000, source(2, Standing::Stale)),
        (65_000, symbol(false, 1)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_source_at_the_border_does_not_fill_the_log() {
    let mut board = board(&[1, 1, 1], 1);
    let mut told = 0;
    for now_ms in (0..10 * PAUSE_MS).step_by(500) {
        let third = if now_ms % 1_000 == 0 { 1_050 } else { 1_051 };
        say(&mut board, now_ms, &[(0, 1_000), (1, 1_000), (2, third)]);
        told += board.indices(now_ms).1.len();
    }
    assert!((5..=15).contains(&told), "{told}");
}
