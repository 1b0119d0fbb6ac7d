//! Prefetching: memory is asked for before it is needed, and nobody waits for it.
//!
//! In a crate of its own because the instruction takes a pointer, which the compiler can't call
//! safe, and the engine has no unsafe code.
#![no_std]

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Asks for the cache lines of a value. A hint: it changes nothing, and on processors without such
/// an instruction in stable Rust (all but x86-64) it does nothing.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    let first = core::ptr::from_ref(value).cast::<i8>();
    for line in 0..size_of::<T>().div_ceil(LINE) {
        ask_for(first.wrapping_add(line * LINE));
    }
}

/// As [`prefetch`], for the first two lines of a value.
#[inline(always)]
pub fn prefetch_front<T>(value: &T) {
    let first = core::ptr::from_ref(value).cast::<i8>();
    ask_for(first);
    ask_for(first.wrapping_add(LINE));
}

/// As [`prefetch`], for the line in which a value begins.
#[inline(always)]
pub fn prefetch_head<T>(value: &T) {
    ask_for(core::ptr::from_ref(value).cast());
}

#[inline(always)]
fn ask_for(line: *const i8) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        // SAFETY: the instruction reads nothing that a program could see and never faults, so any
        // address will do; those that come here lie in a value that is borrowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
