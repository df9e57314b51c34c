//! The order in which a file has the coefficients of a block.

/// A zigzag over the block; behind it, a place that is nobody's.
const ORDER: [u8; 256] = {
    let mut order = [64; 256];
    let (mut x, mut y) = (0, 0);
    let mut k = 0;
    while k < 64 {
        order[k] = 8 * y + x;
        // Diagonals, up and down in turns; at the border, along it.
        (x, y) = match ((x + y) % 2, x, y) {
            (0, 7, _) => (7, y + 1),
            (0, _, 0) => (x + 1, 0),
            (0, _, _) => (x + 1, y - 1),
            (_, _, 7) => (x + 1, 7),
            (_, 0, _) => (0, y + 1),
            (_, _, _) => (x - 1, y + 1),
        };
        k += 1;
    }
    order
};

/// Where coefficient `k` of a file goes, in rows of rising frequency; 64 for a `k` from 64 to 255.
#[inline(always)]
pub(super) fn place(k: usize) -> usize {
    usize::from(ORDER[k & 255])
}
