//! The intervals of candles, from one minute to a calendar month, and where each begins.
//!
//! Weeks begin on Monday and months on their first day, in UTC, as the charts of traders expect;
//! every other interval counts from the epoch.

/// Milliseconds of a minute: the finest candle, from which all others are made.
pub const MINUTE_MS: i64 = 60_000;
pub const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The length of one candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interval {
    Minute1,
    Minute3,
    Minute5,
    Minute15,
    Minute30,
    Hour1,
    Hour2,
    Hour4,
    Hour6,
    Hour8,
    Hour12,
    Day1,
    Day3,
    Week1,
    Month1,
}

impl Interval {
    pub const COUNT: usize = 15;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Minute1,
        Self::Minute3,
        Self::Minute5,
        Self::Minute15,
        Self::Minute30,
        Self::Hour1,
        Self::Hour2,
        Self::Hour4,
        Self::Hour6,
        Self::Hour8,
        Self::Hour12,
        Self::Day1,
        Self::Day3,
        Self::Week1,
        Self::Month1,
    ];

    /// The name clients use; a minute is `1m`, a month `1M`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute1 => "1m",
            Self::Minute3 => "3m",
            Self::Minute5 => "5m",
            Self::Minute15 => "15m",
            Self::Minute30 => "30m",
            Self::Hour1 => "1h",
            Self::Hour2 => "2h",
            Self::Hour4 => "4h",
            Self::Hour6 => "6h",
            Self::Hour8 => "8h",
            Self::Hour12 => "12h",
            Self::Day1 => "1d",
            Self::Day3 => "3d",
            Self::Week1 => "1w",
            Self::Month1 => "1M",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interval| interval.name() == name)
    }

    /// The interval stored under this number.
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub const fn index(self) -> usize {
        self as usize
    }

    /// When the candle that holds `time_ms` begins.
    pub fn open_of(self, time_ms: i64) -> i64 {
        match self.shape() {
            Shape::Fixed { len_ms, offset_ms } => {
                (time_ms - offset_ms).div_euclid(len_ms) * len_ms + offset_ms
            }
            Shape::Month => month_start_ms(month_of(time_ms)),
        }
    }

    /// When the candle `count` places after the one that begins at `open_ms` begins.
    pub fn step(self, open_ms: i64, count: i64) -> i64 {
        match self.shape() {
            Shape::Fixed { len_ms, .. } => open_ms.saturating_add(len_ms.saturating_mul(count)),
            Shape::Month => month_start_ms(month_of(open_ms) + count),
        }
    }

    /// The last millisecond of the candle that begins at `open_ms`.
    pub fn close_of(self, open_ms: i64) -> i64 {
        self.step(open_ms, 1) - 1
    }

    fn shape(self) -> Shape {
        /// The first Monday after the epoch, which was a Thursday.
        const MONDAY_MS: i64 = 4 * DAY_MS;
        let minutes = match self {
            Self::Minute1 => 1,
            Self::Minute3 => 3,
            Self::Minute5 => 5,
            Self::Minute15 => 15,
            Self::Minute30 => 30,
            Self::Hour1 => 60,
            Self::Hour2 => 120,
            Self::Hour4 => 240,
            Self::Hour6 => 360,
            Self::Hour8 => 480,
            Self::Hour12 => 720,
            Self::Day1 => 1_440,
            Self::Day3 => 3 * 1_440,
            Self::Week1 => {
                return Shape::Fixed { len_ms: 7 * DAY_MS, offset_ms: MONDAY_MS };
            }
            Self::Month1 => return Shape::Month,
        };
        Shape::Fixed { len_ms: minutes * MINUTE_MS, offset_ms: 0 }
    }
}

enum Shape {
    Fixed { len_ms: i64, offset_ms: i64 },
    Month,
}

/// Days of 400 years of the Gregorian calendar, which then repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 1 March of the year 0, where eras begin, to the epoch.
const EPOCH_DAY: i64 = 719_468;

/// The calendar month that holds a time, counted from January of the year 0.
fn month_of(time_ms: i64) -> i64 {
    let day = time_ms.div_euclid(DAY_MS) + EPOCH_DAY;
    let era = day.div_euclid(ERA_DAYS);
    let of_era = day.rem_euclid(ERA_DAYS);
    // years of an era, without the leap days that have passed
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // from March on, so that a leap day ends a year: 153 days are five months
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year) * 12 + from_march + 2
}

fn month_start_ms(month: i64) -> i64 {
    let from_march = (month - 2).rem_euclid(12);
    let march_year = (month - 2).div_euclid(12);
    let era = march_year.div_euclid(400);
    let year = march_year.rem_euclid(400);
    let of_era = 365 * year + year / 4 - year / 100 + (153 * from_march + 2) / 5;
    (era * ERA_DAYS + of_era - EPOCH_DAY) * DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_back() {
        for interval in Interval::ALL {
            assert_eq!(Interval::parse(interval.name()), Some(interval));
            assert_eq!(Interval::from_index(interval.index()), Some(interval));
        }
        for name in ["", "1s", "2m", "1y", "1D", "m"] {
            assert_eq!(Interval::parse(name), None, "{name}");
        }
    }

    #[test]
    fn months_and_weeks_follow_the_calendar() {
        // 2024-02-29T12:00Z, a leap day and a Thursday
        let time = 1_709_208_000_000;
        assert_eq!(Interval::Month1.open_of(time), 1_706_745_600_000); // 2024-02-01
        assert_eq!(Interval::Month1.close_of(1_706_745_600_000), 1_709_251_199_999);
        assert_eq!(Interval::Week1.open_of(time), 1_708_905_600_000); // Monday 2024-02-26
        assert_eq!(Interval::Month1.step(1_706_745_600_000, -12), 1_675_209_600_000); // 2023-02-01
        assert_eq!(Interval::Month1.open_of(0), 0);
    }

    proptest! {
        #[test]
        fn a_candle_holds_its_times(
            time in 0i64..4_133_404_800_000,
            at in 0usize..Interval::COUNT,
        ) {
            let interval = Interval::ALL[at];
            let open = interval.open_of(time);
            prop_assert!(open <= time && time <= interval.close_of(open));
            prop_assert_eq!(interval.open_of(open), open);
            prop_assert_eq!(interval.open_of(interval.close_of(open)), open);
            prop_assert_eq!(interval.step(interval.step(open, 7), -7), open);
            prop_assert_eq!(interval.open_of(interval.step(open, 1)), interval.step(open, 1));
        }
    }
}
