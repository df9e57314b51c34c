//! Calibration against scikit-learn, SciPy and NumPy (`xtask/reference/calibration.py`), and the laws that it obeys.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_metrics::{Calibration, Scores, calibration_error, log_loss, reliability};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    bins: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    labels: usize,
    logits: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    platt: Vec<[f32; 2]>,
    pooled: [f32; 2],
    temperature: f32,
    error: f64,
    loss: f64,
}

#[track_caller]
fn assert_lines(found: &Calibration, expected: &[[f32; 2]], name: &str) {
    let Calibration::Platt(found) = found else { panic!("{name}: {found:?}") };
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        // scikit-learn's minimiser stops at a gradient of 1e-6 or so.
        assert!((found - expected).abs() < 2e-3, "{name}: found {found}, expected {expected}");
    }
}

#[test]
fn equal_to_scikit_learn() {
    let reference: Reference = serde_json::from_str(include_str!("fixtures/calibration.json")).unwrap();
    for case in reference.cases {
        let logits = Scores::new(&case.logits, &case.targets, &case.mask, case.labels).unwrap();
        assert_lines(&Calibration::fit_platt(&logits, 1), &case.platt, &case.name);
        let pooled = vec![case.pooled; case.labels];
        assert_lines(&Calibration::fit_platt(&logits, usize::MAX), &pooled, &case.name);
        let Calibration::Temperature(found) = Calibration::fit_temperature(&logits) else { panic!() };
        assert!((found / case.temperature - 1.0).abs() < 1e-4, "{}: {found}", case.name);

        let plain = Calibration::None.scores(&case.logits, case.labels);
        let plain = Scores::new(&plain, &case.targets, &case.mask, case.labels).unwrap();
        let error = calibration_error(&reliability(&plain, reference.bins)).unwrap();
        assert!((error - case.error).abs() < 1e-6, "{}: {error}", case.name);
        assert!((log_loss(&plain).unwrap() - case.loss).abs() < 1e-6, "{}", case.name);
    }
}

#[test]
fn hopeless_input_is_left_as_it_is() {
    let fit = |logits: &[f32], targets: &[f32], mask: &[f32]| {
        let logits = Scores::new(logits, targets, mask, 1).unwrap();
        (Calibration::fit_temperature(&logits), Calibration::fit_platt(&logits, 1))
    };
    assert_eq!(fit(&[1.0, 2.0], &[0.0, 1.0], &[0.0; 2]), (Calibration::None, Calibration::None));
    // Scores that are higher where the label is absent.
    assert_eq!(fit(&[3.0, 2.0, 1.0, 0.0], &[0.0, 0.0, 1.0, 1.0], &[1.0; 4]).1, Calibration::None);
    // Perfect ones: the temperature ends at its bound, Platt's prior keeps the slope finite.
    let (temperature, platt) = fit(&[3.0, 2.0, -1.0, -2.0], &[1.0, 1.0, 0.0, 0.0], &[1.0; 4]);
    assert!(matches!(temperature, Calibration::Temperature(t) if (t - 0.01).abs() < 1e-6));
    assert!(matches!(&platt, Calibration::Platt(lines) if lines[0][0].is_finite() && lines[0][0] > 0.0));
    // Infinite logits are scored, but say nothing about the line.
    let (_, with) = fit(&[f32::INFINITY, 3.0, 2.0, -1.0, -2.0], &[0.0, 1.0, 1.0, 0.0, 0.0], &[1.0; 5]);
    assert_eq!(with, platt);
    assert_eq!(with.score(0, f32::NEG_INFINITY), 0.0);
}

proptest! {
    #[test]
    fn thresholds_can_be_taken_along(logit in -8.0..8.0_f32, slope in 0.1..4.0_f32, offset in -2.0..2.0_f32) {
        for calibration in [
            Calibration::None,
            Calibration::Temperature(1.0 / slope),
            Calibration::Platt(vec![[slope, offset]]),
        ] {
            let score = calibration.score(0, logit);
            prop_assume!(score > 1e-3 && score < 1.0 - 1e-3);
            prop_assert!((calibration.logit(0, score) - logit).abs() < 1e-2 / slope.min(1.0));
        }
    }

    /// Where the truth is drawn with the probability that a line gives, the fitted scores are closer to it than the plain.
    #[test]
    fn what_is_fitted_is_calibrated(seed: u64, slope in 0.3..0.6_f32, offset in 1.0..2.0_f32) {
        let mut state = seed | 1;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        let logits: Vec<f32> = (0..2000).map(|_| 8.0 * uniform() - 5.0).collect();
        let targets: Vec<f32> = logits
            .iter()
            .map(|&logit| f32::from(uniform() < Calibration::Platt(vec![[slope, offset]]).score(0, logit)))
            .collect();
        let mask = vec![1.0; logits.len()];
        let fitted = Calibration::fit_platt(&Scores::new(&logits, &targets, &mask, 1).unwrap(), 1);
        let error = |calibration: &Calibration| {
            let scores = calibration.scores(&logits, 1);
            calibration_error(&reliability(&Scores::new(&scores, &targets, &mask, 1).unwrap(), 15)).unwrap()
        };
        prop_assert!(error(&fitted) < 0.05 && error(&Calibration::None) > 2.0 * error(&fitted));
    }
}
