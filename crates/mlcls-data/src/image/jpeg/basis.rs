//! The cosines of the inverse transform, as integers, and how the two passes round.

use std::f64::consts::{PI, SQRT_2};
use std::sync::LazyLock;

/// `BASIS[k][x]`: the share of coefficient `k` in sample `x`, times 2^13 and the square root of 8 (as in libjpeg, so that the
/// mean has 2^13). Samples behind the last one are zero.
pub(super) type Basis = [[i16; 8]; 8];

/// Bits of fraction in a basis.
const BITS: i32 = 13;

/// Bits of fraction between the two passes.
const BETWEEN: i32 = 2;

/// What a pass adds before it shifts by [`DOWN_SHIFT`] or [`ACROSS_SHIFT`]: a half, and 128, as samples are stored
/// around zero.
pub(super) const DOWN_HALF: i32 = 1 << (DOWN_SHIFT - 1);
pub(super) const DOWN_SHIFT: i32 = BITS - BETWEEN;
pub(super) const ACROSS_HALF: i32 = (1 << (ACROSS_SHIFT - 1)) + (128 << ACROSS_SHIFT);
pub(super) const ACROSS_SHIFT: i32 = BITS + BETWEEN + 3;

/// The transform of 8 samples. libjpeg's accurate integer method ("islow") has 13-bit constants whose sums are
/// these numbers, so that each pass gives its results to the bit.
static FULL: Basis = [
    [8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192],
    [11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363],
    [10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703],
    [9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633],
    [8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192],
    [6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437],
    [4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433],
    [2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260],
];

/// The transforms to fewer samples, 1 to 7, that take the lowest coefficients alone.
static REDUCED: LazyLock<[Basis; 7]> = LazyLock::new(|| std::array::from_fn(|i| reduced(i + 1)));

fn reduced(samples: usize) -> Basis {
    let share = |k: usize, x: usize| {
        let angle = (2 * x + 1) as f64 * k as f64 * PI / (2 * samples) as f64;
        let size = if k == 0 { 1.0 } else { SQRT_2 * angle.cos() };
        (size * f64::from(1 << BITS)).round() as i16
    };
    std::array::from_fn(|k| std::array::from_fn(|x| if k < samples && x < samples { share(k, x) } else { 0 }))
}

/// The transform of 8 coefficients to `samples` samples, 1 to 8.
pub(super) fn basis(samples: usize) -> &'static Basis {
    REDUCED.get(samples - 1).unwrap_or(&FULL)
}
