//! Candles of every interval from one stream of samples.
//!
//! A sample touches only the minute that is filling. A minute that ends is folded into the candle
//! of each longer interval, so that a trade costs one fold and memory holds [`BARS_MAX`] candles
//! an interval. Minutes without a sample are not stored: a reader gets a flat candle at the
//! last close for them.

use std::collections::VecDeque;

use super::interval::Interval;

/// Candles kept of one interval.
pub const BARS_MAX: usize = 1_500;

/// One candle, or one sample: a candle of a single value.
pub trait Bar: Copy {
    /// When it begins, in milliseconds.
    fn open_ms(&self) -> i64;
    /// The same values in a candle that begins at `open_ms`.
    fn at(self, open_ms: i64) -> Self;
    /// Takes in what came later.
    fn fold(&mut self, later: &Self);
    /// A candle in which nothing happened after this one.
    fn flat(&self, open_ms: i64) -> Self;
}

/// The candles of every interval.
#[derive(Clone, Debug)]
pub struct Series<B> {
    /// The minute that is filling.
    minute: Option<B>,
    /// By [`Interval::index`]; none holds the minute that is filling.
    past: [VecDeque<B>; Interval::COUNT],
}

impl<B> Default for Series<B> {
    fn default() -> Self {
        Self { minute: None, past: std::array::from_fn(|_| VecDeque::new()) }
    }
}

/// Which candles a reader wants; times are inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    pub limit: usize,
}

impl Window {
    /// Where the first and the last candle begin that it asks for.
    pub fn span(&self, interval: Interval, now_ms: i64) -> (i64, i64) {
        let end_ms = interval.open_of(self.to_ms.map_or(now_ms, |to| to.min(now_ms)));
        let start_ms = match self.from_ms {
            Some(from) if interval.open_of(from) == from => from,
            Some(from) => interval.step(interval.open_of(from), 1),
            None => interval.step(end_ms, 1 - self.rows()),
        };
        (start_ms, end_ms)
    }

    fn rows(&self) -> i64 {
        i64::try_from(self.limit.min(BARS_MAX)).expect("a small number")
    }
}

impl<B: Bar> Series<B> {
    /// A series of one interval only, from candles of the past, oldest first.
    pub fn of_past(interval: Interval, bars: impl IntoIterator<Item = B>) -> Self {
        let mut series = Self::default();
        bars.into_iter().for_each(|bar| series.restore(interval, bar));
        series
    }

    /// Takes a sample at a time; true when it began a new minute, so that longer candles changed.
    pub fn push(&mut self, time_ms: i64, sample: B) -> bool {
        let open_ms = Interval::Minute1.open_of(time_ms);
        match &mut self.minute {
            // a clock that went back would open a minute twice: its samples count for this one
            Some(minute) if open_ms <= minute.open_ms() => {
                minute.fold(&sample);
                return false;
            }
            Some(minute) => {
                let ended = *minute;
                self.roll(ended);
            }
            None => {}
        }
        self.minute = Some(sample.at(open_ms));
        true
    }

    /// The candle that was last changed in this interval, as it is now.
    pub fn last(&self, interval: Interval) -> Option<B> {
        let past = self.past[interval.index()].back().copied();
        let Some(minute) = self.minute else { return past };
        let open_ms = interval.open_of(minute.open_ms());
        match past {
            Some(mut bar) if bar.open_ms() == open_ms => {
                bar.fold(&minute);
                Some(bar)
            }
            Some(_) | None => Some(minute.at(open_ms)),
        }
    }

    /// Where the candles in memory begin, once there were more than it holds.
    pub fn cut_at(&self, interval: Interval) -> Option<i64> {
        let past = &self.past[interval.index()];
        past.front().filter(|_| past.len() == BARS_MAX).map(Bar::open_ms)
    }

    /// The minutes that are kept, oldest first, with the one that is filling.
    pub fn minutes(&self) -> impl DoubleEndedIterator<Item = &B> {
        self.past[Interval::Minute1.index()].iter().chain(self.minute.iter())
    }

    /// Candles without gaps up to the one that holds `now_ms`, oldest first.
    ///
    /// With a `from_ms` the first of them, otherwise the last. Nothing before the first sample.
    pub fn read(&self, interval: Interval, window: Window, now_ms: i64) -> Vec<B> {
        let past = &self.past[interval.index()];
        let last = self.last(interval);
        let Some(first_ms) = past.front().or(last.as_ref()).map(Bar::open_ms) else {
            return Vec::new();
        };
        let (start_ms, end_ms) = window.span(interval, now_ms);
        let (start_ms, limit) = (start_ms.max(first_ms), window.rows());

        let mut stored = past.partition_point(|bar| bar.open_ms() < start_ms);
        let mut before = stored.checked_sub(1).map(|at| past[at]);
        let mut bars = Vec::new();
        let mut open_ms = start_ms;
        while open_ms <= end_ms && (bars.len() as i64) < limit {
            let bar = match (past.get(stored), last, before) {
                (_, Some(bar), _) if bar.open_ms() == open_ms => bar,
                (Some(bar), _, _) if bar.open_ms() == open_ms => *bar,
                (_, Some(bar), _) if bar.open_ms() < open_ms => bar.flat(open_ms),
                (_, _, Some(bar)) => bar.flat(open_ms),
                // the first candle is a stored one, and the grid does not begin before it
                (_, _, None) => break,
            };
            stored += usize::from(past.get(stored).is_some_and(|bar| bar.open_ms() == open_ms));
            before = Some(bar);
            bars.push(bar);
            open_ms = interval.step(open_ms, 1);
        }
        bars
    }

    /// What a store has to write after a push that began a new minute: the ended candles.
    pub fn rolled(&self) -> impl Iterator<Item = (Interval, B)> {
        Interval::ALL
            .into_iter()
            .filter_map(|interval| Some((interval, *self.past[interval.index()].back()?)))
    }

    /// The minute that is filling.
    pub fn filling(&self) -> Option<B> {
        self.minute
    }

    /// Puts back the minute that was filling.
    pub fn restore_filling(&mut self, bar: B) {
        self.minute = Some(bar);
    }

    /// Puts back a stored candle; candles of an interval come oldest first.
    pub fn restore(&mut self, interval: Interval, bar: B) {
        let past = &mut self.past[interval.index()];
        if past.back().is_none_or(|last| last.open_ms() < bar.open_ms()) {
            keep(past, bar);
        }
    }

    fn roll(&mut self, minute: B) {
        for interval in Interval::ALL {
            let past = &mut self.past[interval.index()];
            let open_ms = interval.open_of(minute.open_ms());
            match past.back_mut() {
                Some(bar) if bar.open_ms() == open_ms => bar.fold(&minute),
                Some(_) | None => keep(past, minute.at(open_ms)),
            }
        }
    }
}

fn keep<B>(past: &mut VecDeque<B>, bar: B) {
    if past.len() == BARS_MAX {
        past.pop_front();
    }
    past.push_back(bar);
}

/// A candle of trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeBar {
    pub open_ms: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// Lots, and their value in units of 1e-8.
    pub volume: i64,
    pub quote: i128,
    /// The part in which the taker bought.
    pub taker_volume: i64,
    pub taker_quote: i128,
    pub count: i64,
    pub first_id: u64,
    pub last_id: u64,
}

impl Bar for TradeBar {
    fn open_ms(&self) -> i64 {
        self.open_ms
    }

    fn at(self, open_ms: i64) -> Self {
        Self { open_ms, ..self }
    }

    fn fold(&mut self, later: &Self) {
        if self.count == 0 {
            (self.open, self.high, self.low) = (later.open, later.high, later.low);
            self.first_id = later.first_id;
        }
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume = self.volume.saturating_add(later.volume);
        self.quote += later.quote;
        self.taker_volume = self.taker_volume.saturating_add(later.taker_volume);
        self.taker_quote += later.taker_quote;
        self.count += later.count;
        self.last_id = later.last_id;
    }

    fn flat(&self, open_ms: i64) -> Self {
        let price = self.close;
        Self {
            open_ms,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: 0,
            quote: 0,
            taker_volume: 0,
            taker_quote: 0,
            count: 0,
            first_id: self.last_id,
            last_id: self.last_id,
        }
    }
}

/// A candle of a value that is only observed: a mark, an index, a premium, an open interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueBar {
    pub open_ms: i64,
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// Observations.
    pub count: i64,
}

impl ValueBar {
    pub const fn sample(value: i64) -> Self {
        Self { open_ms: 0, open: value, high: value, low: value, close: value, count: 1 }
    }
}

impl Bar for ValueBar {
    fn open_ms(&self) -> i64 {
        self.open_ms
    }

    fn at(self, open_ms: i64) -> Self {
        Self { open_ms, ..self }
    }

    fn fold(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.count += later.count;
    }

    fn flat(&self, open_ms: i64) -> Self {
        Self { open_ms, count: 0, ..Self::sample(self.close) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::views::market::interval::MINUTE_MS;

    fn trade(id: u64, price: i64, qty: i64) -> TradeBar {
        let quote = i128::from(price * qty);
        TradeBar {
            open_ms: 0,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: qty,
            quote,
            taker_volume: if id.is_multiple_of(2) { qty } else { 0 },
            taker_quote: if id.is_multiple_of(2) { quote } else { 0 },
            count: 1,
            first_id: id,
            last_id: id,
        }
    }

    /// The candle of one interval, straight from the trades in it.
    fn slow_bar(interval: Interval, open_ms: i64, trades: &[(i64, TradeBar)]) -> Option<TradeBar> {
        let mut inside =
            trades.iter().filter(|(time, _)| interval.open_of(*time) == open_ms).map(|t| t.1);
        let mut bar = inside.next()?.at(open_ms);
        for next in inside {
            bar.high = bar.high.max(next.high);
            bar.low = bar.low.min(next.low);
            bar.close = next.close;
            bar.volume += next.volume;
            bar.quote += next.quote;
            bar.taker_volume += next.taker_volume;
            bar.taker_quote += next.taker_quote;
            bar.count += 1;
            bar.last_id = next.last_id;
        }
        Some(bar)
    }

    proptest! {
        #[test]
        fn candles_equal_a_recount(
            steps in prop::collection::vec((0i64..400_000, 1i64..50, 1i64..9), 1..120),
            at in 0usize..Interval::COUNT,
            limit in 1usize..40,
        ) {
            let interval = Interval::ALL[at];
            let mut time = 1_709_000_000_000;
            let mut series = Series::default();
            let mut trades = Vec::new();
            for (id, (wait, price, qty)) in (1..).zip(steps) {
                time += wait;
                series.push(time, trade(id, price, qty));
                trades.push((time, trade(id, price, qty)));
            }
            let now = time + 3 * MINUTE_MS;
            let all = Window { from_ms: None, to_ms: None, limit };
            let bars = series.read(interval, all, now);
            prop_assert_eq!(bars.last().map(|bar| bar.open_ms), Some(interval.open_of(now)));
            for pair in bars.windows(2) {
                prop_assert_eq!(interval.step(pair[0].open_ms, 1), pair[1].open_ms);
                prop_assert!(pair[1].count > 0 || pair[1].close == pair[0].close);
            }
            for bar in &bars {
                match slow_bar(interval, bar.open_ms, &trades) {
                    Some(slow) => prop_assert_eq!(*bar, slow),
                    None => prop_assert_eq!((bar.count, bar.volume, bar.quote), (0, 0, 0)),
                }
            }
            let from = Window { from_ms: Some(trades[0].0 - 1), to_ms: Some(now), limit };
            let first = series.read(interval, from, now);
            prop_assert!(first.len() <= limit);
            prop_assert!(first.iter().all(|bar| bar.open_ms >= trades[0].0 - 1));
        }

        #[test]
        fn a_restored_series_goes_on_alike(
            steps in prop::collection::vec((0i64..200_000, 1i64..50, 1i64..9), 2..80),
            cut in 1usize..79,
        ) {
            let cut = cut.min(steps.len() - 1);
            let mut time = 1_709_000_000_000;
            let mut live = Series::default();
            let mut stored = std::collections::BTreeMap::new();
            let mut minute = Vec::new();
            let mut restored = Series::default();
            for (id, (wait, price, qty)) in (1u64..).zip(&steps) {
                time += wait;
                if id as usize == cut + 1 {
                    for ((interval, _), bar) in &stored {
                        restored.restore(*interval, *bar);
                    }
                    for (time, bar) in &minute {
                        restored.push(*time, *bar);
                    }
                }
                let bar = trade(id, *price, *qty);
                if live.push(time, bar) {
                    stored.extend(live.rolled().map(|(i, b)| ((i, b.open_ms), b)));
                    minute.clear();
                }
                minute.push((time, bar));
                if id as usize > cut {
                    restored.push(time, bar);
                }
            }
            let all = Window { from_ms: None, to_ms: None, limit: BARS_MAX };
            for interval in Interval::ALL {
                prop_assert_eq!(
                    restored.read(interval, all, time),
                    live.read(interval, all, time)
                );
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut series = Series::default();
        for minute in 0..BARS_MAX as i64 + 500 {
            series.push(minute * MINUTE_MS, ValueBar::sample(minute));
        }
        assert_eq!(series.minutes().count(), BARS_MAX + 1);
        let all = Window { from_ms: Some(0), to_ms: None, limit: usize::MAX };
        assert_eq!(series.read(Interval::Minute1, all, i64::MAX / 2).len(), BARS_MAX);
    }
}
