//! The coefficients of one block.

use super::bits::Bits;
use super::header::Component;
use super::huffman::END_OF_BLOCK;
use super::zigzag::place;

/// 64 coefficients in rows of rising frequency, not yet multiplied with the quantisation, then a place for what is
/// nobody's.
pub(super) type Coefficients = [i16; 72];

/// Reads a block: `mean` is the first coefficient of the block before and becomes that of this one. The
/// coefficients are zero before. Gives the place of the last one that is not zero, in the order of the file; `None`
/// for data that are no block.
#[inline(always)]
pub(super) fn read(
    bits: &mut Bits,
    component: &Component,
    mean: &mut i32,
    coefficients: &mut Coefficients,
) -> Option<usize> {
    let mut k = first(bits, component, mean);
    coefficients[0] = *mean as i16;
    if k < 64 {
        k = next(bits, component, k, coefficients);
    }
    while k < 64 {
        // A refill is enough for two codes and their values, of 26 bits at most.
        bits.refill();
        k = next(bits, component, k, coefficients);
        if k < 64 {
            k = next(bits, component, k, coefficients);
        }
    }
    last(k)
}

/// Reads a block and keeps nothing of it but its mean. As [`read`] in all else.
#[inline(always)]
pub(super) fn skip(bits: &mut Bits, component: &Component, mean: &mut i32) -> Option<()> {
    let mut k = first(bits, component, mean);
    while k < 64 {
        bits.refill();
        for _ in 0..2 {
            let code = component.ac.find(bits.peek());
            bits.consume(code.total);
            k += 1 + usize::from(code.skip);
            if k >= 64 {
                break;
            }
        }
    }
    last(k).map(drop)
}

/// Reads the mean, and gives the place after it.
#[inline(always)]
fn first(bits: &mut Bits, component: &Component, mean: &mut i32) -> usize {
    bits.refill();
    let code = component.dc.find(bits.peek());
    *mean = mean.wrapping_add(code.value(bits.peek()));
    bits.consume(code.total);
    1 + usize::from(code.skip)
}

/// From the place behind a block to that of its last coefficient.
#[inline(always)]
fn last(k: usize) -> Option<usize> {
    match k {
        64 => Some(63),
        _ => k.checked_sub(1 + usize::from(END_OF_BLOCK) + 1),
    }
}

/// Reads the next coefficient, at `k` or behind it, and gives the place after it.
#[inline(always)]
fn next(bits: &mut Bits, component: &Component, k: usize, coefficients: &mut Coefficients) -> usize {
    let code = component.ac.find(bits.peek());
    let k = k + usize::from(code.skip);
    coefficients[place(k)] = code.value(bits.peek()) as i16;
    bits.consume(code.total);
    k + 1
}
