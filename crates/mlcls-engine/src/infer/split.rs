//! How the output of a convolution is cut into parts: tiles for one thread, or shares for several.

use std::ops::Range;

use crate::border::{tile_lines, tile_rows};
use crate::kernels::gemm::panel_width;
use crate::kernels::simd::Isa;

/// Maps with fewer pixels are shared by output channels, since their rows are too few for every thread.
const FEW_PIXELS: usize = 96;

/// Rows and columns (pixels and channels) of every part.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    pixels: usize,
    cout: usize,
    rows: usize,
    cols: usize,
}

impl Split {
    /// For a product of `pixels` rows in lines of `line`, each row with `pixel` elements of input and output, and with `cout`
    /// columns, shared by `spread` threads. Where the rows are `in_place` every part may read all of them.
    pub fn new(
        isa: Isa,
        spread: usize,
        pixels: usize,
        line: usize,
        pixel: usize,
        cout: usize,
        in_place: bool,
    ) -> Self {
        let unit = if line == 1 { 12 } else { line };
        let tile = if line == 1 { tile_rows(pixel) } else { tile_lines(pixel, line) * line };
        // As even as can be: a short last tile reads all weights for few rows.
        let even = |rows: usize, parts: usize| rows.div_ceil(parts).next_multiple_of(unit).min(rows);
        let (rows, cols) = match spread {
            1 => (even(pixels, pixels.div_ceil(tile)), cout),
            _ if in_place && pixels < FEW_PIXELS => {
                (pixels, cout.div_ceil(spread).next_multiple_of(panel_width(isa)).min(cout))
            }
            _ => (even(pixels, pixels.div_ceil(tile).next_multiple_of(spread)), cout),
        };
        Self { pixels, cout, rows, cols }
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.pixels.div_ceil(self.rows) * self.cout.div_ceil(self.cols)
    }

    /// Rows and columns of one part.
    pub fn part(&self, part: usize) -> (Range<usize>, Range<usize>) {
        let across = self.cout.div_ceil(self.cols);
        let (row, col) = (part / across * self.rows, part % across * self.cols);
        (row..(row + self.rows).min(self.pixels), col..(col + self.cols).min(self.cout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_every_element_once() {
        for isa in Isa::available() {
            for (pixels, line, k, cout) in
                [(49, 1, 160, 961), (196, 1, 40, 24), (1, 1, 960, 1280), (12_544, 112, 12, 16), (7, 1, 3, 5)]
            {
                for spread in [1, 2, 3, 7] {
                    for in_place in [false, true] {
                        let split = Split::new(isa, spread, pixels, line, k + cout, cout, in_place);
                        let mut seen = vec![0u8; pixels * cout];
                        for part in 0..split.parts() {
                            let (rows, cols) = split.part(part);
                            assert_eq!((cols.start % panel_width(isa), rows.start % line), (0, 0));
                            rows.for_each(|r| cols.clone().for_each(|c| seen[r * cout + c] += 1));
                        }
                        assert!(seen.iter().all(|&n| n == 1), "{pixels} {k} {cout} {spread}");
                    }
                }
            }
        }
    }
}
