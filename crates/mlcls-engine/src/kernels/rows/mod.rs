//! Passes over rows of channels: what a consumer does on loading a value, and what a producer does after storing one.
//!
//! A value in a training plan is the raw output `y` of a convolution; the batch-norm, activation and gate that follow are
//! applied by whoever reads it: `a = act(y * scale + shift) * gate`. Backward, `d` is the gradient of `a` (or of
//! `z = y * scale + shift` once [`finish`] has multiplied the slope in), and the gradient of `y` is again made on loading.
//! All functions work on `rows` rows of `c` contiguous channels.
//!
//! Each pass takes a block of some vectors of channels down all rows, so that what belongs to a channel (its scale, its sums)
//! stays in registers while every row's share is read as one piece.

mod backward;
mod forward;
mod pixels;
mod sums;

pub use backward::{GATED_SUMS, LoadGrad, finish, finish_gated, gradient};
pub use forward::{Apply, Load, activate, apply, axpy, pool};
pub use pixels::normalise_pixels;
pub use sums::{column_sums, mean, moments};

use super::simd::Simd;

/// Calls the body for each vector of channels with its offset and its number of real lanes.
macro_rules! channels {
    ($s:ident, $c:expr, |$at:ident, $lanes:ident| $body:block) => {{
        let mut $at = 0;
        while $at < $c {
            let $lanes = $s::LANES.min($c - $at);
            $body
            $at += $s::LANES;
        }
    }};
}

/// Calls `$f::<$s, [..], N>(at, lanes, (..))` for each block of channels: of `$most` vectors while there are so many, then of
/// 2, then of 1, of which the last may have fewer `lanes`.
macro_rules! blocks {
    ($s:ident, $most:literal, $c:expr, $f:ident, [$($g:ident),*], ($($arg:expr),*)) => {{
        let mut at = 0;
        while at + $most * $s::LANES <= $c {
            $f::<$s, $($g,)* $most>(at, $s::LANES, $($arg),*);
            at += $most * $s::LANES;
        }
        while at + 2 * $s::LANES <= $c {
            $f::<$s, $($g,)* 2>(at, $s::LANES, $($arg),*);
            at += 2 * $s::LANES;
        }
        while at < $c {
            $f::<$s, $($g,)* 1>(at, $s::LANES.min($c - at), $($arg),*);
            at += $s::LANES;
        }
    }};
}

/// Loads a whole vector, or its first lanes at the end of the channels.
macro_rules! load {
    ($s:ident, $p:expr, $lanes:ident) => {
        if $lanes == $s::LANES { $s::load($p) } else { $s::load_first($p, $lanes) }
    };
}

/// Stores a whole vector, or its first lanes at the end of the channels.
macro_rules! store {
    ($s:ident, $p:expr, $v:expr, $lanes:ident) => {
        if $lanes == $s::LANES { $s::store($p, $v) } else { $s::store_first($p, $v, $lanes) }
    };
}
pub(crate) use {blocks, channels, load, store};

/// Loads a block of `N` vectors, of which only a single one may be cut to its first `lanes`.
///
/// # Safety
/// `p` must hold the block.
#[inline(always)]
unsafe fn load_block<S: Simd, const N: usize>(p: *const f32, lanes: usize) -> [S::V; N] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut block = [S::splat(0.0); N];
        for (j, v) in block.iter_mut().enumerate() {
            let at = p.add(j * S::LANES);
            *v = if N > 1 { S::load(at) } else { load!(S, at, lanes) };
        }
        block
    }
}

/// Stores one vector of a block; see [`load_block`].
///
/// # Safety
/// `p` must hold the vector's real lanes.
#[inline(always)]
unsafe fn store_one<S: Simd, const N: usize>(p: *mut f32, v: S::V, lanes: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if N > 1 {
            S::store(p, v);
        } else {
            store!(S, p, v, lanes);
        }
    }
}

/// Adds the first lanes of a vector to double-precision sums.
#[inline(always)]
unsafe fn add_wide<S: Simd>(to: *mut f64, v: S::V, lanes: usize) {
    // SAFETY: 16 lanes is the widest vector; `to` holds `lanes` elements by the caller's contract.
    unsafe {
        let mut part = [0f32; 16];
        S::store(part.as_mut_ptr(), v);
        for (i, x) in part[..lanes].iter().enumerate() {
            *to.add(i) += f64::from(*x);
        }
    }
}
