//! Aeron behind the traits of this crate.
