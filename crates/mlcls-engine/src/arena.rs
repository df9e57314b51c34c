//! Memory of a plan: one block, taken once, with places given out by lifetime.

use std::alloc::{Layout, alloc, dealloc};

use crate::error::{Error, Result};

/// Bytes of a huge page; the block starts on one, so that the system can back it with few of them.
const HUGE: usize = 2 << 20;

/// One zeroed block of `f32`, addressed by offset.
#[derive(Debug)]
pub struct Arena {
    base: *mut f32,
    len: usize,
}

// SAFETY: the block is owned, and plain numbers may move between threads; who may touch which part is decided by the plan.
unsafe impl Send for Arena {}
unsafe impl Sync for Arena {}

impl Arena {
    /// A block of `len` elements.
    pub fn new(len: usize) -> Result<Self> {
        let layout = Self::layout(len)?;
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc(layout) }.cast::<f32>();
        if base.is_null() {
            return Err(Error::OutOfMemory { bytes: layout.size() });
        }
        #[cfg(target_os = "linux")]
        // SAFETY: the range is the block just allocated; the advice changes no content and may be refused.
        unsafe {
            libc::madvise(base.cast(), layout.size(), libc::MADV_HUGEPAGE);
        }
        // Every page is touched here, once, rather than in the first step.
        // SAFETY: the range is the block just allocated; all-zero bits are a valid `f32`.
        unsafe { base.write_bytes(0, layout.size() / 4) };
        Ok(Self { base, len })
    }

    fn layout(len: usize) -> Result<Layout> {
        let bytes = len.max(1).saturating_mul(4);
        let bytes = bytes.checked_next_multiple_of(HUGE).unwrap_or(usize::MAX);
        Layout::from_size_align(bytes, HUGE).map_err(|_| Error::OutOfMemory { bytes })
    }

    /// Address of an element.
    pub fn at(&self, offset: usize) -> *mut f32 {
        assert!(offset <= self.len, "offset {offset} of {}", self.len);
        // SAFETY: inside the block, or one past its end.
        unsafe { self.base.add(offset) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Ok(layout) = Self::layout(self.len) {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.base.cast(), layout) }
        }
    }
}

/// A wish for memory: `len` elements from time `from` to time `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    pub len: usize,
    pub from: usize,
    pub to: usize,
}

/// Gives each wish an offset so that wishes alive at the same time never overlap; returns the offsets and the length of
/// the block. Largest first, each at the lowest free place; every offset is a multiple of 16 elements (a cache line).
pub fn place(wishes: &[Wish]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(wishes[i].len), i));
    let mut offsets = vec![0; wishes.len()];
    let mut placed: Vec<usize> = vec![];
    let mut total = 0;
    for i in order {
        let wish = wishes[i];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| wishes[j].from <= wish.to && wish.from <= wishes[j].to)
            .map(|&j| (offsets[j], offsets[j] + wishes[j].len.next_multiple_of(16)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + wish.len <= from {
                break;
            }
            at = at.max(to);
        }
        offsets[i] = at;
        total = total.max(at + wish.len.next_multiple_of(16));
        placed.push(i);
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn living_wishes_never_overlap(
            raw in proptest::collection::vec((1usize..5000, 0usize..40, 0usize..40), 1..60)
        ) {
            let wishes: Vec<Wish> =
                raw.iter().map(|&(len, a, b)| Wish { len, from: a.min(b), to: a.max(b) }).collect();
            let (offsets, total) = place(&wishes);
            for (i, a) in wishes.iter().enumerate() {
                prop_assert_eq!(offsets[i] % 16, 0);
                prop_assert!(offsets[i] + a.len <= total);
                for (j, b) in wishes.iter().enumerate().skip(i + 1) {
                    let together = a.from <= b.to && b.from <= a.to;
                    let apart = offsets[i] + a.len <= offsets[j] || offsets[j] + b.len <= offsets[i];
                    prop_assert!(!together || apart, "{:?} {:?}", a, b);
                }
            }
        }
    }

    #[test]
    fn a_block_that_no_system_has_is_refused() {
        assert!(matches!(Arena::new(usize::MAX / 8), Err(Error::OutOfMemory { .. })));
    }
}
