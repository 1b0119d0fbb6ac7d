//! State read back from the bytes that a [`Digest`](crate::hash::Digest) kept.
//!
//! Whatever the bytes are, reading ends with a state or with an error: lengths are bounded by what
//! is left, and what a state could not hold is refused before it is built.

use protocol::{Event, EventKind, Name};

/// Why bytes give no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// Written by another version of the engine.
    Version { found: u32, ours: u32 },
    /// Cut short, too long, or with contents that no engine has.
    Damaged,
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Version { found, ours } => {
                write!(f, "the state is in version {found} of its form, this engine reads {ours}")
            }
            Self::Damaged => f.write_str("the state is damaged"),
        }
    }
}

impl core::error::Error for LoadError {}

/// Bytes that are read from front to back.
pub(crate) struct Saved<'a>(&'a [u8]);

/// What has a fixed number of bytes.
pub(crate) trait Fixed: Sized {
    fn take_from(saved: &mut Saved<'_>) -> Result<Self, LoadError>;
}

macro_rules! integers {
    ($($int:ty),+) => { $(
        impl Fixed for $int {
            fn take_from(saved: &mut Saved<'_>) -> Result<Self, LoadError> {
                let (bytes, rest) = saved.0.split_first_chunk().ok_or(LoadError::Damaged)?;
                saved.0 = rest;
                Ok(Self::from_le_bytes(*bytes))
            }
        }
    )+ };
}
integers!(u8, u16, u32, u64, u128, i64, i128);

impl<'a> Saved<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take<T: Fixed>(&mut self) -> Result<T, LoadError> {
        T::take_from(self)
    }

    pub fn flag(&mut self) -> Result<bool, LoadError> {
        match self.take()? {
            0u8 => Ok(false),
            1 => Ok(true),
            _ => Err(LoadError::Damaged),
        }
    }

    /// How many follow of what takes at least a byte each.
    pub fn len(&mut self) -> Result<usize, LoadError> {
        let len: u64 = self.take()?;
        sound(len <= self.0.len() as u64)?;
        Ok(len as usize)
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], LoadError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(LoadError::Damaged)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn name<const N: usize>(&mut self) -> Result<Name<N>, LoadError> {
        let len = self.len()?;
        Name::from_bytes(self.bytes(len)?).ok_or(LoadError::Damaged)
    }

    /// One of the words that a byte can stand for.
    pub fn word<T>(&mut self, of: impl Fn(u8) -> Option<T>) -> Result<T, LoadError> {
        of(self.take()?).ok_or(LoadError::Damaged)
    }

    /// What was told as the body of an event of a kind whose bodies are as long as a `T`.
    pub fn event<T>(&mut self, kind: EventKind) -> Result<Event, LoadError> {
        let body = self.bytes(size_of::<T>())?;
        Event::decode(kind as u16, body).map_err(|_| LoadError::Damaged)
    }
}

/// A check of what was read.
pub(crate) fn sound(holds: bool) -> Result<(), LoadError> {
    if holds { Ok(()) } else { Err(LoadError::Damaged) }
}
