//! How a body becomes bytes: one macro and one checked read for commands, events and messages.

use zerocopy::{Immutable, KnownLayout, TryFromBytes};

use crate::DecodeError;

/// Declares a `repr(C)` struct without implicit padding whose bytes are its encoding.
macro_rules! layout {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            zerocopy::TryFromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
            zerocopy::KnownLayout,
        )]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),+ }
    };
}
pub(crate) use layout;

/// Reads bytes that are exactly one `T`.
pub(crate) fn read<T: TryFromBytes + KnownLayout + Immutable>(
    bytes: &[u8],
) -> Result<T, DecodeError> {
    match bytes.len().cmp(&size_of::<T>()) {
        core::cmp::Ordering::Less => Err(DecodeError::Truncated),
        core::cmp::Ordering::Greater => Err(DecodeError::Oversized),
        core::cmp::Ordering::Equal => {
            T::try_read_from_bytes(bytes).map_err(|_| DecodeError::Invalid)
        }
    }
}
