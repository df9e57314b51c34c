//! Stages that the same images go through together, and where their values lie.

use std::ops::Range;

use crate::arena::{Wish, place};
use crate::program::ValueId;

/// A run of stages.
#[derive(Debug)]
pub struct Segment {
    pub stages: Range<usize>,
    /// Per value: where it lies, in elements per image.
    pub offsets: Vec<usize>,
    /// Elements per image.
    pub len: usize,
}

/// A value that is copied for every image.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub value: ValueId,
    /// Elements per image.
    pub len: usize,
}

impl Segment {
    /// Places the values that are alive during some of the stages; a value that is never used has `from` at the end of time.
    pub fn new(wishes: &[Wish], stages: Range<usize>) -> Self {
        let alive = |w: &Wish| w.from < stages.end && w.to >= stages.start;
        let used: Vec<usize> = (0..wishes.len()).filter(|&i| alive(&wishes[i])).collect();
        let (placed, len) = place(&used.iter().map(|&i| wishes[i]).collect::<Vec<_>>());
        let mut offsets = vec![usize::MAX; wishes.len()];
        used.iter().zip(placed).for_each(|(&i, at)| offsets[i] = at);
        Self { stages, offsets, len }
    }
}
