//! Suspected label errors beside cleanlab (`xtask/reference/label_errors.py`), and laws of theirs and of the curve.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_metrics::{
    Definition, Scores, Ties, average_precision, precision_recall_curve, suspected_label_errors,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    labels: usize,
    scores: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    suspects: Vec<Vec<usize>>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/label_errors.json")).unwrap()
}

#[test]
fn the_suspects_are_cleanlabs() {
    let f = fixture();
    let scores = Scores::new(&f.scores, &f.targets, &f.mask, f.labels).unwrap();
    let found = suspected_label_errors(&scores);
    for (label, expected) in f.suspects.iter().enumerate() {
        let mut images: Vec<usize> = found.iter().filter(|s| s.label == label).map(|s| s.image).collect();
        images.sort_unstable();
        assert_eq!(images, *expected, "label {label}");
    }
    assert!(f.suspects.iter().map(Vec::len).sum::<usize>() > 20, "a fixture with something to find");
    assert!(found.is_sorted_by(|a, b| a.doubt >= b.doubt));
    for s in found {
        let place = s.image * f.labels + s.label;
        assert_eq!((s.score, s.given), (f.scores[place], f.targets[place] == 1.0));
        assert!(f.mask[place] == 1.0 && (0.0..=1.0).contains(&s.doubt), "{s:?}");
    }
}

#[test]
fn a_label_with_one_answer_is_above_suspicion() {
    let scores = Scores::new(&[0.9, 0.1, 0.5, 0.2], &[1.0, 1.0, 0.0, 0.0], &[1.0, 1.0, 0.0, 0.0], 1).unwrap();
    assert_eq!(suspected_label_errors(&scores), []);
    assert_eq!(suspected_label_errors(&Scores::new(&[], &[], &[], 2).unwrap()), []);
}

#[test]
fn the_area_under_the_curve_is_the_average_precision() {
    let f = fixture();
    let scores = Scores::new(&f.scores, &f.targets, &f.mask, f.labels).unwrap();
    for label in 0..f.labels {
        let curve = precision_recall_curve(&scores, label);
        let before = std::iter::once(0.0).chain(curve.iter().map(|p| p.recall));
        let area: f64 = curve.iter().zip(before).map(|(p, before)| p.precision * (p.recall - before)).sum();
        let expected = average_precision(&scores, label, Definition::D, Ties::Together).unwrap();
        assert!((area - expected).abs() < 1e-12, "label {label}: {area}, expected {expected}");
        assert_eq!(curve.last().map(|p| p.recall), Some(1.0));
        assert!(curve.is_sorted_by(|a, b| a.threshold > b.threshold && a.recall <= b.recall));
    }
}
