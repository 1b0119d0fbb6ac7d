//! Figures of many timings: medians, and what the clock itself takes.

use hdrhistogram::Histogram;

/// The median time between two readings of the clock with nothing between them.
pub fn clock_overhead_ns(clock: &quanta::Clock) -> u64 {
    const READINGS: usize = 100_000;
    let mut times = histogram();
    for _ in 0..READINGS {
        let start = clock.raw();
        let end = clock.raw();
        times.saturating_record(clock.delta_as_nanos(start, end));
    }
    times.value_at_quantile(0.5)
}

pub fn histogram() -> Histogram<u64> {
    const NS_MAX: u64 = 1_000_000_000;
    const DIGITS: u8 = 3;
    Histogram::new_with_bounds(1, NS_MAX, DIGITS).expect("the bounds are in order")
}

/// Sorts, and takes the middle.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
