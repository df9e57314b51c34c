//! Chroma at half resolution brought to that of the picture.

use super::plane::Plane;

/// In which directions chroma is interpolated, as libjpeg's "fancy" way does: a stored sample lies between two of
/// the picture, and each of those takes three quarters of the nearest and a quarter of the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upsample {
    pub horizontal: bool,
    pub vertical: bool,
}

impl Upsample {
    /// Row `y` of the picture into `out`, which may be a sample longer than it. The roundings of neighbours differ,
    /// as in libjpeg, so that errors do not add up.
    #[inline(always)]
    pub(super) fn row(self, plane: &Plane, y: usize, sums: &mut Vec<u16>, out: &mut [u8]) {
        if !self.vertical {
            let row = plane.row(y);
            if self.horizontal {
                pad(sums, row.iter().map(|&sample| u16::from(sample)));
                widen::<2>(sums, 1, 2, out);
            } else {
                out[..row.len()].copy_from_slice(row);
            }
            return;
        }
        let near = plane.row(y / 2);
        let (far, rounding) = if y.is_multiple_of(2) {
            (plane.row((y / 2).saturating_sub(1)), 1)
        } else {
            (plane.row(y / 2 + 1), 2)
        };
        let blend = near.iter().zip(far).map(|(&near, &far)| 3 * u16::from(near) + u16::from(far));
        if self.horizontal {
            pad(sums, blend);
            widen::<4>(sums, 8, 7, out);
        } else {
            out.iter_mut().zip(blend).for_each(|(out, sum)| *out = ((sum + rounding) >> 2) as u8);
        }
    }
}

/// The values, with the first and the last one twice.
#[inline(always)]
fn pad(sums: &mut Vec<u16>, values: impl ExactSizeIterator<Item = u16>) {
    sums.clear();
    sums.push(0);
    sums.extend(values);
    sums[0] = sums[1];
    sums.extend_from_within(sums.len() - 1..);
}

/// Two samples for each value between the padding.
#[inline(always)]
fn widen<const BITS: u32>(sums: &[u16], left: u16, right: u16, out: &mut [u8]) {
    let around = sums.iter().zip(&sums[1..]).zip(&sums[2..]);
    for (out, ((before, here), after)) in out.as_chunks_mut::<2>().0.iter_mut().zip(around) {
        *out = [((3 * here + before + left) >> BITS) as u8, ((3 * here + after + right) >> BITS) as u8];
    }
}
