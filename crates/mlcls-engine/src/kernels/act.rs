//! Activations and their derivatives on vectors.

use super::simd::Simd;
use crate::graph::Activation;

/// `2^f` for `f` in [-0.5, 0.5]: the polynomial of degree 5 whose largest relative error, 8e-8, is least (Remez).
const EXP2: [f32; 6] = [1.000_000_1, 0.693_146_94, 0.240_221_2, 0.055_507_13, 0.009_675_541, 0.001_327_647_2];

/// `1 / (1 + exp(-x))`, absolute error below 2e-7.
///
/// # Safety
/// As every [`Simd`] method.
#[inline(always)]
pub unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only.
    unsafe {
        // exp(-x) = 2^t = 2^n 2^f; held where 2^n is a normal number and the sum can be inverted. The product is made twice,
        // the second time exactly, so that f keeps its low bits.
        let x = S::min(S::max(x, S::splat(-86.0)), S::splat(87.0));
        let log = S::splat(-std::f32::consts::LOG2_E);
        let n = S::round(S::mul(x, log));
        let f = S::fma(x, log, S::sub(S::splat(0.0), n));
        let mut p = S::splat(EXP2[5]);
        for c in EXP2[..5].iter().rev() {
            p = S::fma(p, f, S::splat(*c));
        }
        S::reciprocal(S::add(S::splat(1.0), S::scale_exp2(p, n)))
    }
}

/// An activation chosen at compile time, so that inner loops have no branch.
pub trait Act: Copy {
    /// The value.
    ///
    /// # Safety
    /// As every [`Simd`] method.
    unsafe fn value<S: Simd>(x: S::V) -> S::V;
    /// The value and the derivative.
    ///
    /// # Safety
    /// As every [`Simd`] method.
    unsafe fn both<S: Simd>(x: S::V) -> (S::V, S::V);
}

macro_rules! act {
    ($name:ident, |$x:ident| $value:expr, $both:expr) => {
        #[derive(Clone, Copy)]
        pub struct $name;
        impl Act for $name {
            #[inline(always)]
            unsafe fn value<S: Simd>($x: S::V) -> S::V {
                // SAFETY: arithmetic only; the identity has none.
                #[allow(unused_unsafe)]
                unsafe {
                    $value
                }
            }
            #[inline(always)]
            unsafe fn both<S: Simd>($x: S::V) -> (S::V, S::V) {
                // SAFETY: arithmetic only.
                unsafe { $both }
            }
        }
    };
}

#[inline(always)]
unsafe fn relu6<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only.
    unsafe { S::min(S::max(x, S::splat(0.0)), S::splat(6.0)) }
}

/// 1 where `x >= t`, else 0.
#[inline(always)]
unsafe fn at_least<S: Simd>(x: S::V, t: f32) -> S::V {
    // SAFETY: arithmetic only.
    unsafe { S::sub(S::splat(1.0), S::positive(S::sub(S::splat(t), x))) }
}

act!(Identity, |x| x, (x, S::splat(1.0)));
act!(Relu, |x| S::max(x, S::splat(0.0)), (S::max(x, S::splat(0.0)), S::positive(x)));
act!(Relu6, |x| relu6::<S>(x), {
    (relu6::<S>(x), S::mul(S::positive(x), S::positive(S::sub(S::splat(6.0), x))))
});
act!(
    HardSwish,
    |x| {
        let gate = relu6::<S>(S::add(x, S::splat(3.0)));
        S::mul(S::mul(x, gate), S::splat(1.0 / 6.0))
    },
    {
        let gate = relu6::<S>(S::add(x, S::splat(3.0)));
        let value = S::mul(S::mul(x, gate), S::splat(1.0 / 6.0));
        let high = at_least::<S>(x, 3.0);
        let inside = S::sub(S::positive(S::add(x, S::splat(3.0))), high);
        let slope = S::fma(x, S::splat(1.0 / 3.0), S::splat(0.5));
        (value, S::fma(inside, slope, high))
    }
);
act!(Silu, |x| S::mul(x, sigmoid::<S>(x)), {
    let s = sigmoid::<S>(x);
    let v = S::mul(x, s);
    // s + x s (1 - s)
    (v, S::fma(v, S::sub(S::splat(1.0), s), s))
});
act!(Sigmoid, |x| sigmoid::<S>(x), {
    let s = sigmoid::<S>(x);
    (s, S::mul(s, S::sub(S::splat(1.0), s)))
});
act!(HardSigmoid, |x| S::mul(relu6::<S>(S::add(x, S::splat(3.0))), S::splat(1.0 / 6.0)), {
    let v = S::mul(relu6::<S>(S::add(x, S::splat(3.0))), S::splat(1.0 / 6.0));
    let inside = S::mul(S::positive(S::add(x, S::splat(3.0))), S::positive(S::sub(S::splat(3.0), x)));
    (v, S::mul(inside, S::splat(1.0 / 6.0)))
});

/// Evaluates the body with `$A` the type that stands for `$act`.
macro_rules! with_act {
    ($act:expr, |$A:ident| $body:expr) => {
        match $act {
            $crate::graph::Activation::Identity => {
                type $A = $crate::kernels::act::Identity;
                $body
            }
            $crate::graph::Activation::Relu => {
                type $A = $crate::kernels::act::Relu;
                $body
            }
            $crate::graph::Activation::Relu6 => {
                type $A = $crate::kernels::act::Relu6;
                $body
            }
            $crate::graph::Activation::HardSwish => {
                type $A = $crate::kernels::act::HardSwish;
                $body
            }
            $crate::graph::Activation::Silu => {
                type $A = $crate::kernels::act::Silu;
                $body
            }
            $crate::graph::Activation::Sigmoid => {
                type $A = $crate::kernels::act::Sigmoid;
                $body
            }
            $crate::graph::Activation::HardSigmoid => {
                type $A = $crate::kernels::act::HardSigmoid;
                $body
            }
        }
    };
}
pub(crate) use with_act;

/// Value and derivative of one number, for the small layers.
pub fn scalar(act: Activation, x: f32) -> (f32, f32) {
    use super::simd::Scalar;
    unsafe fn both<S: Simd<V = f32>, A: Act>(x: f32) -> (f32, f32) {
        // SAFETY: arithmetic only.
        unsafe { A::both::<S>(x) }
    }
    // SAFETY: the scalar set needs no processor feature.
    unsafe { with_act!(act, |A| both::<Scalar, A>(x)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_derivatives_match_double_precision() {
        type Formula = fn(f64) -> f64;
        let formulas: [(Activation, Formula); 7] = [
            (Activation::Identity, |x| x),
            (Activation::Relu, |x| x.max(0.0)),
            (Activation::Relu6, |x| x.clamp(0.0, 6.0)),
            (Activation::HardSwish, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
            (Activation::Silu, |x| x / (1.0 + (-x).exp())),
            (Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            (Activation::HardSigmoid, |x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
        ];
        for (act, f) in formulas {
            for i in -2000..2000 {
                // Off the corners, where the derivative is not defined.
                let x = i as f32 * 0.01 + 0.0037;
                let (v, d) = scalar(act, x);
                let h = 1e-5;
                let slope = (f(f64::from(x) + h) - f(f64::from(x) - h)) / (2.0 * h);
                assert!((f64::from(v) - f(f64::from(x))).abs() < 2e-6, "{act:?} at {x}: {v}");
                assert!((f64::from(d) - slope).abs() < 2e-6, "{act:?}' at {x}: {d} and {slope}");
            }
        }
    }

    #[test]
    fn every_instruction_set_agrees_to_a_millionth() {
        use crate::kernels::rows::{Load, activate};
        use crate::kernels::simd::Isa;
        let x: Vec<f32> = (-30_000..30_000).map(|i| i as f32 * 0.001 + 0.000_37).collect();
        let (one, zero) = (vec![1.0; x.len()], vec![0.0; x.len()]);
        for act in [Activation::Silu, Activation::Sigmoid, Activation::HardSwish, Activation::HardSigmoid] {
            let view = Load { scale: one.as_ptr(), shift: zero.as_ptr(), act, gate: std::ptr::null() };
            for isa in Isa::available() {
                let mut got = vec![f32::NAN; x.len()];
                // SAFETY: one row of as many channels as all vectors have.
                unsafe { activate(isa, got.as_mut_ptr(), x.as_ptr(), 1, x.len(), &view) };
                for (x, got) in x.iter().zip(&got) {
                    let x = f64::from(*x);
                    let want = match act {
                        Activation::Silu => x / (1.0 + (-x).exp()),
                        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
                        _ => (x + 3.0).clamp(0.0, 6.0) / 6.0,
                    };
                    let error = (f64::from(*got) - want).abs() / want.abs().max(1.0);
                    assert!(error < 1e-6, "{isa:?} {act:?} at {x}: {got}, expected {want}");
                }
            }
        }
    }

    #[test]
    fn activations_stay_finite_far_out() {
        for act in [Activation::Silu, Activation::Sigmoid, Activation::HardSwish] {
            for x in [-1e30, -1e4, -88.0, 88.0, 1e4] {
                let (v, d) = scalar(act, x);
                assert!(v.is_finite() && d.is_finite(), "{act:?} at {x}: {v} {d}");
            }
        }
    }
}
