//! Activations and their derivatives on vectors.

use super::simd::Simd;
use crate::graph::Activation;

/// `2^f` for `f` in [0, 1]: the polynomial of degree 5 whose largest relative error, 7.5e-8, is least.
const EXP2: [f32; 6] =
    [0.999_999_94, 0.693_153_1, 0.240_153_61, 0.055_826_317, 0.008_989_34, 0.001_877_576_7];

/// `1 / (1 + exp(-x))`, absolute error below 3e-7.
///
/// # Safety
/// As every [`Simd`] method.
#[inline(always)]
pub unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic only.
    unsafe {
        // exp(-x) = 2^t = 2^floor(t) 2^f, held where the sum can be inverted. Far down it is tiny and 1 wins, far up the error
        // of the rounded t is one of a tiny result.
        let t = S::min(S::mul(x, S::splat(-std::f32::consts::LOG2_E)), S::splat(125.0));
        let f = S::fraction(t);
        let mut p = S::splat(EXP2[5]);
        for c in EXP2[..5].iter().rev() {
            p = S::fma(p, f, S::splat(*c));
        }
        S::reciprocal(S::add(S::splat(1.0), S::scale_exp2(p, t)))
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
