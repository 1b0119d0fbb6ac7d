//! The engine: a shard as a pure function of its log.
#![no_std]

extern crate alloc;

pub mod book;
