//! Puts the fragments of messages that were longer than a packet together again.
//!
//! aeron-rs has an assembler, but it borrows its handler for its own lifetime and keeps a buffer
//! for every session it ever saw. This one lends each message out as it is completed.

use std::collections::HashMap;

use aeron_rs::concurrent::logbuffer::frame_descriptor::{BEGIN_FRAG, END_FRAG};

/// Aeron sends no longer message; a longer one is a sender's fault and is dropped.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Messages of which the end has not been seen, by the session of their publication.
#[derive(Default)]
pub struct Reassembly {
    begun: HashMap<i32, Vec<u8>>,
    whole: Vec<u8>,
    spare: Vec<u8>,
}

impl Reassembly {
    /// Takes the next fragment of a session; returns the message that it completes.
    ///
    /// A subscriber that joins in the middle of a message sees fragments without a beginning:
    /// they are passed over.
    pub fn accept<'a>(
        &'a mut self,
        session: i32,
        flags: u8,
        fragment: &'a [u8],
    ) -> Option<&'a [u8]> {
        let begins = flags & BEGIN_FRAG != 0;
        let ends = flags & END_FRAG != 0;
        if begins && ends {
            return Some(fragment);
        }
        if begins {
            let spare = &mut self.spare;
            let message = self.begun.entry(session).or_insert_with(|| std::mem::take(spare));
            message.clear();
            message.extend_from_slice(fragment);
            return None;
        }
        let message = self.begun.get_mut(&session)?;
        if message.len() + fragment.len() > MESSAGE_BYTES_MAX {
            self.begun.remove(&session);
            return None;
        }
        message.extend_from_slice(fragment);
        if !ends {
            return None;
        }
        let whole = self.begun.remove(&session)?;
        self.spare = std::mem::replace(&mut self.whole, whole);
        Some(&self.whole)
    }

    /// How many messages have begun.
    pub fn pending(&self) -> usize {
        self.begun.len()
    }

    /// Forgets the messages that will never end, because their session is gone.
    pub fn retain(&mut self, lives: impl Fn(i32) -> bool) {
        self.begun.retain(|session, _| lives(*session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: u8 = BEGIN_FRAG | END_FRAG;
    const MIDDLE: u8 = 0;

    fn accept(reassembly: &mut Reassembly, session: i32, flags: u8, bytes: &[u8]) -> Vec<u8> {
        reassembly.accept(session, flags, bytes).map(<[u8]>::to_vec).unwrap_or_default()
    }

    #[test]
    fn sessions_interleave_without_mixing() {
        let mut it = Reassembly::default();
        assert_eq!(accept(&mut it, 1, BEGIN_FRAG, b"ab"), b"");
        assert_eq!(accept(&mut it, 2, BEGIN_FRAG, b"uv"), b"");
        assert_eq!(accept(&mut it, 3, WHOLE, b"alone"), b"alone");
        assert_eq!(accept(&mut it, 1, MIDDLE, b"cd"), b"");
        assert_eq!(accept(&mut it, 2, END_FRAG, b"w"), b"uvw");
        assert_eq!(accept(&mut it, 1, END_FRAG, b"e"), b"abcde");
        assert_eq!(it.pending(), 0);
    }

    #[test]
    fn a_message_without_its_beginning_is_passed_over() {
        let mut it = Reassembly::default();
        assert_eq!(accept(&mut it, 1, MIDDLE, b"x"), b"");
        assert_eq!(accept(&mut it, 1, END_FRAG, b"y"), b"");
        assert_eq!(accept(&mut it, 1, BEGIN_FRAG, b"a"), b"");
        assert_eq!(accept(&mut it, 1, END_FRAG, b"b"), b"ab");
    }

    #[test]
    fn a_new_beginning_replaces_what_was_never_ended() {
        let mut it = Reassembly::default();
        assert_eq!(accept(&mut it, 1, BEGIN_FRAG, b"old"), b"");
        assert_eq!(accept(&mut it, 1, BEGIN_FRAG, b"new"), b"");
        assert_eq!(accept(&mut it, 1, END_FRAG, b"er"), b"newer");
        assert_eq!(accept(&mut it, 2, BEGIN_FRAG, b"dead"), b"");
        it.retain(|session| session != 2);
        assert_eq!(it.pending(), 0);
        assert_eq!(accept(&mut it, 2, END_FRAG, b"!"), b"");
    }

    #[test]
    fn a_message_beyond_the_limit_is_dropped() {
        let mut it = Reassembly::default();
        let half = vec![0u8; MESSAGE_BYTES_MAX / 2];
        assert_eq!(accept(&mut it, 1, BEGIN_FRAG, &half), b"");
        assert_eq!(accept(&mut it, 1, MIDDLE, &half), b"");
        assert_eq!(accept(&mut it, 1, END_FRAG, b"1"), b"");
        assert_eq!(it.pending(), 0);
    }
}
