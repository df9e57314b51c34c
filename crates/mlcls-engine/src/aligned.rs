//! Memory that starts on a cache line: a vector that lies across two lines costs two loads.

use std::ops::{Deref, DerefMut};

/// Elements of a cache line.
const LINE: usize = 16;

/// A fixed number of elements, the first of them at the start of a cache line.
#[derive(Debug, Default)]
pub struct Aligned {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let memory = vec![0.0; len + LINE];
        let start = memory.as_ptr().align_offset(4 * LINE);
        Self { memory, start, len }
    }
}

impl Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..][..self.len]
    }
}
