//! The samples of one component, a band at a time.

use std::ops::Range;

/// Rows that the band before leaves behind, for interpolation across the border.
const KEPT: usize = 2;

/// A band of samples: the rows of one row of MCUs, and the last rows of the band before.
#[derive(Debug)]
pub(super) struct Plane {
    samples: Vec<u8>,
    stride: usize,
    /// Rows of a band.
    rows: usize,
    /// The picture's row that the band begins with.
    first: usize,
    /// The samples of a row that are wanted.
    columns: Range<usize>,
    /// Rows of the picture: what is behind them is padding.
    height: usize,
}

impl Plane {
    /// Bands of `rows` rows for a picture of `height` rows of which `columns` are wanted, with room for `padded` samples
    /// per row and for the 8 that a block may write over the border.
    pub(super) fn new(columns: Range<usize>, height: usize, padded: usize, rows: usize) -> Self {
        let stride = padded + 8;
        Self { samples: vec![0; (KEPT + rows) * stride], stride, rows, first: 0, columns, height }
    }

    /// The stride, and the band from sample `x` of row `y` of it on.
    #[inline(always)]
    pub(super) fn at(&mut self, x: usize, y: usize) -> (usize, &mut [u8]) {
        (self.stride, &mut self.samples[(KEPT + y) * self.stride + x..])
    }

    /// The picture's row behind the band.
    pub(super) fn end(&self) -> usize {
        self.first + self.rows
    }

    /// What is wanted of row `y` of the picture, which must be in the band or one of the two rows before it. Behind the last row of
    /// the picture comes the last row again.
    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let y = KEPT + y.min(self.height - 1) - self.first;
        &self.samples[y * self.stride..][self.columns.clone()]
    }

    /// Goes on to the next band.
    pub(super) fn advance(&mut self) {
        self.samples.copy_within(self.rows * self.stride.., 0);
        self.first += self.rows;
    }
}
