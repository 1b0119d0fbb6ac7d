//! Frames in their order, with those that come next in sight.

use core::iter::Fuse;

use crate::shard::ahead::LOOK_AHEAD;

/// Gives frames one by one and knows some of those behind: before a frame is applied the engine is
/// shown [`Self::coming`], by [`crate::Engine::look_ahead`].
#[derive(Debug)]
pub struct InSight<I: Iterator> {
    frames: Fuse<I>,
    /// Those in sight, round and round.
    coming: [Option<I::Item>; LOOK_AHEAD],
    /// The next one of them.
    next: usize,
}

impl<I: Iterator<Item: Copy>> InSight<I> {
    pub fn new(frames: impl IntoIterator<IntoIter = I>) -> Self {
        let mut frames = frames.into_iter().fuse();
        Self { coming: core::array::from_fn(|_| frames.next()), frames, next: 0 }
    }

    /// The frames behind the last one that was given, and how far away each is.
    #[inline]
    pub fn coming(&self) -> impl Iterator<Item = (usize, &I::Item)> {
        let (behind, first) = self.coming.split_at(self.next);
        (1..).zip(first.iter().chain(behind).flatten())
    }
}

impl<I: Iterator<Item: Copy>> Iterator for InSight<I> {
    type Item = I::Item;

    #[inline]
    fn next(&mut self) -> Option<I::Item> {
        let next = core::mem::replace(&mut self.coming[self.next], self.frames.next());
        self.next = (self.next + 1) % LOOK_AHEAD;
        next
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_frame_comes_once_and_in_sight_of_those_behind() {
        for frames in 0..4 * LOOK_AHEAD {
            let mut all = InSight::new(0..frames);
            let mut given = Vec::new();
            while let Some(frame) = all.next() {
                given.push(frame);
                let behind = (1..).zip(frame + 1..frames).take(LOOK_AHEAD);
                let seen = all.coming().map(|(away, frame)| (away, *frame));
                assert!(seen.eq(behind), "after {frame} of {frames}");
            }
            assert_eq!(given, (0..frames).collect::<Vec<_>>());
        }
    }
}
