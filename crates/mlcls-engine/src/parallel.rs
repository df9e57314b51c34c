//! Splitting work into parts that depend on the batch alone, so that results never depend on the number of threads.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use crate::aligned::Aligned;

/// Parts that a batch of `n` images is split into.
pub fn part_count(n: usize) -> usize {
    n.min((n / 4).max(8))
}

/// The images of one part.
pub fn part(n: usize, parts: usize, p: usize) -> Range<usize> {
    p * n / parts..(p + 1) * n / parts
}

/// Runs `f` on one of the pool's threads, so that the parallel loops inside start and end without putting the caller's thread
/// to sleep and waking it each time.
pub fn in_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

/// Runs `f` for every part on the threads of rayon's pool, taken dynamically one by one.
pub fn for_each(parts: usize, f: impl Fn(usize) + Sync + Send) {
    (0..parts).into_par_iter().with_max_len(1).for_each(f);
}

/// Runs `f` for consecutive ranges of at most `step` of `0..len`.
pub fn for_ranges(len: usize, step: usize, f: impl Fn(Range<usize>) + Sync + Send) {
    for_each(len.div_ceil(step), |i| f(i * step..len.min((i + 1) * step)));
}

thread_local! {
    static FREE: RefCell<Vec<Aligned>> = const { RefCell::new(Vec::new()) };
}

/// Memory that a thread borrows from its own store while it works on a part; after the first step the store holds all that
/// is ever needed, so that steps take none from the system.
#[derive(Debug)]
pub struct Scratch {
    memory: Aligned,
    len: usize,
}

impl Scratch {
    /// `len` elements of any value.
    pub fn take(len: usize) -> Self {
        let mut memory = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        if memory.len() < len {
            memory = Aligned::zeros(len);
        }
        Self { memory, len }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        FREE.with_borrow_mut(|free| free.push(memory));
    }
}

impl std::ops::Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[..self.len]
    }
}

impl std::ops::DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.len]
    }
}

/// A pointer that several threads may hold; each touches its own part of what is behind it.
#[derive(Clone, Copy, Debug)]
pub struct Shared<T>(*mut T);

// SAFETY: sending the address is harmless; the plan gives every thread its own range behind it.
unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(p: *mut T) -> Self {
        Self(p)
    }

    /// The address itself; a method, so that closures capture the whole wrapper.
    pub fn get(self) -> *mut T {
        self.0
    }

    /// Address of element `i`.
    pub fn at(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}
