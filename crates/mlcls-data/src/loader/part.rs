//! Sharing work evenly.

use std::ops::Range;

/// One of several parts of about equal size, in which processes share the images of a batch or of a split.
///
/// ```
/// use mlcls_data::Part;
///
/// let parts = [0, 1, 2].map(|index| Part { index, of: 3 }.range(8));
/// assert_eq!(parts, [0..2, 2..5, 5..8]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are, at least 1.
    pub of: usize,
}

impl Part {
    /// The only one.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// The part's share of `len` things. The shares of all parts follow each other, and differ by one at most.
    pub fn range(self, len: usize) -> Range<usize> {
        len * self.index / self.of..len * (self.index + 1) / self.of
    }
}
