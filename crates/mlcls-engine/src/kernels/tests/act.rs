//! Activations, densely and far out.

use super::ACTIVATIONS;
use super::exact::slope;
use crate::graph::Activation;
use crate::kernels::act::scalar;
use crate::kernels::rows::{Load, activate};
use crate::kernels::simd::Isa;
use crate::reference::act;

#[test]
fn values_and_derivatives_match_double_precision() {
    for a in ACTIVATIONS {
        for i in -2000..2000 {
            // Off the corners, where the derivative is not defined.
            let x = i as f32 * 0.01 + 0.0037;
            let ((v, d), x) = (scalar(a, x), f64::from(x));
            assert!((f64::from(v) - act(a, x)).abs() < 2e-6, "{a:?} at {x}: {v}");
            assert!((f64::from(d) - slope(a, x)).abs() < 2e-6, "{a:?}' at {x}: {d} and {}", slope(a, x));
        }
    }
}

#[test]
fn every_instruction_set_agrees_to_a_millionth() {
    let x: Vec<f32> = (-30_000..30_000).map(|i| i as f32 * 0.001 + 0.000_37).collect();
    let (one, zero) = (vec![1.0; x.len()], vec![0.0; x.len()]);
    for a in ACTIVATIONS {
        let view = Load { scale: one.as_ptr(), shift: zero.as_ptr(), act: a, gate: std::ptr::null() };
        for isa in Isa::available() {
            let mut got = vec![f32::NAN; x.len()];
            // SAFETY: one row of as many channels as all vectors have.
            unsafe { activate(isa, got.as_mut_ptr(), x.as_ptr(), 1, x.len(), &view) };
            for (x, got) in x.iter().zip(&got) {
                let want = act(a, f64::from(*x));
                let error = (f64::from(*got) - want).abs() / want.abs().max(1.0);
                assert!(error < 1e-6, "{isa:?} {a:?} at {x}: {got}, expected {want}");
            }
        }
    }
}

#[test]
fn activations_stay_finite_far_out() {
    for a in [Activation::Silu, Activation::Sigmoid, Activation::HardSwish] {
        for x in [-1e30, -1e4, -88.0, 88.0, 1e4] {
            let (v, d) = scalar(a, x);
            assert!(v.is_finite() && d.is_finite(), "{a:?} at {x}: {v} {d}");
        }
    }
}
