//! A state that is told to the log when it changes, and never every tick.

/// A state that changes back and forth is told at most this often.
pub const PAUSE_MS: i64 = 10_000;

/// The last state that was told.
#[derive(Clone, Copy, Debug)]
pub struct Announced<T> {
    state: T,
    at_ms: Option<i64>,
}

impl<T: Copy + PartialEq> Announced<T> {
    /// Begins with a state that needs no telling.
    pub fn new(state: T) -> Self {
        Self { state, at_ms: None }
    }

    /// Whether `state` is to be told now. What is held back is news again after [`PAUSE_MS`],
    /// if it is still so.
    pub fn is_news(&mut self, state: T, now_ms: i64) -> bool {
        let paused = self.at_ms.is_some_and(|at_ms| now_ms - at_ms < PAUSE_MS);
        if state == self.state || paused {
            return false;
        }
        *self = Self { state, at_ms: Some(now_ms) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_what_flickers_now_and_then() {
        let mut good = Announced::new(true);
        assert!(!good.is_news(true, 0));
        assert!(good.is_news(false, 1));
        assert!(!good.is_news(false, 2));
        let told = (0..60_000).filter(|i| good.is_news(i % 2 == 0, 3 + i)).count();
        assert_eq!(told, 5);
        assert!(!good.is_news(false, 60_003) && good.is_news(false, 61_000));
    }
}
