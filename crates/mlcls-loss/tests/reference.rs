//! The losses against PyTorch autograd in float64 (`xtask/reference/loss.py`) and against published test vectors.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_loss::{Asl, Loss};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    elements: Vec<Elements>,
    batch: Vec<Batch>,
}

/// Single entries: one setting, one target, many logits.
#[derive(Deserialize)]
struct Elements {
    loss: Loss,
    target: f32,
    logits: Vec<f32>,
    values: Vec<f64>,
    grads: Vec<f64>,
}

#[derive(Deserialize)]
struct Batch {
    loss: Loss,
    labels: usize,
    logits: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    objective: f64,
    per_image: Vec<f64>,
    grad: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/loss.json")).unwrap()
}

fn value_and_slope(loss: &Loss, z: f32, target: f32) -> (f64, f64) {
    let mut slope = [f32::NAN];
    let value = loss.value_and_grad(&[z], &[target], &[1.0], &mut slope).unwrap();
    (value.objective, slope[0].into())
}

/// The absolute part is the rounding of the reference next to the corner of the shift, where `1 + tiny` loses digits.
#[track_caller]
fn assert_close(found: f64, expected: f64, relative: f64, what: &str) {
    let allowed = relative * expected.abs() + 1e-15;
    assert!((found - expected).abs() <= allowed, "{what}: found {found:e}, expected {expected:e}");
}

#[test]
fn elements_equal_pytorch() {
    for Elements { loss, target, logits, values, grads } in fixture().elements {
        for ((z, value), grad) in logits.into_iter().zip(values).zip(grads) {
            let (found_value, found_grad) = value_and_slope(&loss, z, target);
            let what = format!("{loss:?} at z = {z}, target {target}");
            assert_close(found_value, value, 1e-11, &what);
            assert_close(found_grad, grad, 1e-6, &what);
        }
    }
}

#[test]
fn batches_equal_pytorch() {
    for case in fixture().batch {
        let Batch { loss, labels, logits, targets, mask, .. } = &case;
        let mut dlogits = vec![f32::NAN; logits.len()];
        let value = loss.value_and_grad(logits, targets, mask, &mut dlogits).unwrap();
        let what = format!("{loss:?}");
        assert_close(value.objective, case.objective, 1e-11, &what);
        assert_eq!(value.known, mask.iter().filter(|&&known| known == 1.0).count());
        assert_eq!(loss.value(logits, targets, mask).unwrap(), value);
        for (found, expected) in dlogits.iter().zip(&case.grad) {
            assert_close((*found).into(), *expected, 1e-6, &what);
        }
        let per_image = loss.per_image(logits, targets, mask, *labels).unwrap();
        assert_eq!(per_image.len(), case.per_image.len());
        for (found, expected) in per_image.iter().zip(&case.per_image) {
            assert_close(*found, *expected, 1e-11, &what);
        }
    }
}

/// The asymmetric angular loss of OTX 1.6 by the cosine (scale 7), computed in double precision from its formulas:
/// cosine, loss of a present label, its derivative by the cosine, loss of an absent label, its derivative.
const AAM_BY_COSINE: [(f32, f64, f64, f64, f64); 7] = [
    (-1.0, 0.800104, -0.799271, 0.0, 0.0),
    (-0.5, 0.403400, -0.776550, 0.0, 0.0),
    (-0.3, 0.253202, -0.712723, 0.000190, 0.003438),
    (0.0, 0.079217, -0.400000, 0.008541, 0.075346),
    (0.2, 0.025191, -0.158253, 0.031974, 0.147008),
    (0.5, 0.003400, -0.023450, 0.070288, 0.084068),
    (1.0, 0.000104, -0.000729, 0.084999, 0.004115),
];

/// The asymmetric loss of OTX 1.6 by the logit, in the same columns.
#[allow(clippy::approx_constant)] // ln 2 to the six digits of the table
const ASL_BY_LOGIT: [(f32, f64, f64, f64, f64); 5] = [
    (-4.0, 4.018150, -0.982014, 0.0, 0.0),
    (-2.0, 2.126928, -0.880797, 0.000002, 0.000013),
    (0.0, 0.693147, -0.500000, 0.024515, 0.073117),
    (2.0, 0.126928, -0.119203, 0.846415, 0.723490),
    (4.0, 0.018150, -0.017986, 2.028576, 0.349807),
];

#[test]
fn published_vectors() {
    let cases =
        [(Loss::default(), 7.0, &AAM_BY_COSINE[..]), (Loss::Asl(Asl::default()), 1.0, &ASL_BY_LOGIT[..])];
    for (loss, scale, vectors) in cases {
        for &(x, present, present_slope, absent, absent_slope) in vectors {
            // d/dx = scale · d/dz for z = scale · x.
            let check = |target, value: f64, slope: f64| {
                let (found, found_slope) = value_and_slope(&loss, scale * x, target);
                assert!((found - value).abs() <= 6e-7, "{loss:?} at {x}: {found} is not {value}");
                let found_slope = f64::from(scale) * found_slope;
                assert!(
                    (found_slope - slope).abs() <= 6e-7,
                    "{loss:?} at {x}: slope {found_slope} is not {slope}"
                );
            };
            check(1.0, present, present_slope);
            check(0.0, absent, absent_slope);
        }
    }
}
