//! Heads against scikit-learn, and what no head may do.

use mlcls_metrics::{Scores, Threshold, evaluate};

use super::*;

/// 24 images of 4 numbers, 2 labels, some answers unknown: `xtask/reference/probe.py fixture` has the same formulas.
fn features() -> Features {
    let number = |i: usize, j: usize| {
        let v = ((i * 37 + j * 101 + i * j * 13) % 97) as f32 / 48.5 - 1.0;
        v * [1.0, 5.0, 0.2, 1.0][j] + [0.0, 3.0, 0.0, -2.0][j]
    };
    let of_labels = |f: fn(usize, usize) -> bool| -> Vec<f32> {
        (0..48).map(|k| f32::from(u8::from(f(k / 2, k % 2)))).collect()
    };
    Features {
        rows: (0..96).map(|k| number(k / 4, k % 4)).collect(),
        width: 4,
        targets: of_labels(|i, c| (i * 7 + c * 5) % 3 == 0),
        mask: of_labels(|i, c| (i + c) % 6 != 5),
        cached: 0,
    }
}

#[test]
fn logistic_heads_are_those_of_scikit_learn() {
    // xtask/reference/probe.py fixture, scikit-learn 1.9.1: weights of label 0, its bias; the same of label 1.
    let expected = [
        (
            0.05,
            [
                -0.13627, 0.015976, 1.195489, -0.037372, -0.544337, 0.085952, 0.039983, 0.570591, 0.008085,
                -1.48735,
            ],
        ),
        (
            2.0,
            [
                -1.062682, 0.039473, 8.298145, -0.406537, -1.602229, 0.523062, 0.321468, 3.960871, 0.080052,
                -2.470709,
            ],
        ),
    ];
    for (strength, expected) in expected {
        let fitted = fit(&features(), ProbeHead::Logistic, strength).unwrap();
        let bias = fitted.bias.unwrap();
        let rows = fitted.weight.chunks_exact(4).zip(&bias).flat_map(|(w, b)| [w, &[*b]].concat());
        for (found, expected) in rows.zip(expected) {
            assert!(
                (found - expected).abs() < 2e-3 * expected.abs().max(1.0),
                "C {strength}: {found}, {expected}"
            );
        }
    }
}

#[test]
fn a_number_that_never_changes_has_no_say() {
    let mut features = features();
    features.rows.iter_mut().skip(1).step_by(4).for_each(|v| *v = 1234.5);
    let fitted = fit(&features, ProbeHead::Logistic, 1.0).unwrap();
    assert!(fitted.weight.iter().skip(1).step_by(4).all(|w| w.abs() < 1e-6), "{:?}", fitted.weight);
    assert!(fitted.logits(&features).unwrap().iter().all(|z| z.is_finite()));
}

#[test]
fn heads_separate_what_can_be_separated_and_say_nothing_new_of_noise() {
    // The first number says the first label, the last says nothing.
    let mut features = features();
    for (i, row) in features.rows.chunks_exact_mut(4).enumerate() {
        features.targets[2 * i + 1] = f32::from(u8::from(0x5a3_96c >> i & 1 == 1));
        row[0] = if features.targets[2 * i] == 1.0 { 1.0 } else { 0.1 };
    }
    for head in ProbeHead::ALL {
        let found = cross_validate(&features, head, 4, 0).unwrap();
        assert_eq!(found.logits.len(), 48);
        let scores = Scores::new(&found.logits, &features.targets, &features.mask, 2).unwrap();
        let report = evaluate(&scores, Threshold::from(0.0));
        // A cosine sees the numbers unscaled, and two of them are larger than the one that tells.
        let least = if head == ProbeHead::Logistic { 1.0 } else { 0.85 };
        assert!(report.per_label[0].ap >= Some(least), "{}: {:?}", head.name(), report.per_label[0].ap);
        assert!(report.per_label[1].ap < Some(0.9), "{}: held-out answers leak", head.name());
        let best = found.tried.iter().filter_map(|t| t.map).fold(0.0, f64::max);
        let chosen = found.tried.iter().find(|t| t.strength == found.strength).unwrap();
        assert_eq!(chosen.map, Some(best));
    }
}

#[test]
fn labels_with_one_answer_only_and_no_images_are_no_trouble() {
    let mut features = features();
    features.targets.iter_mut().step_by(2).for_each(|t| *t = 0.0);
    features.mask.iter_mut().skip(1).step_by(2).for_each(|m| *m = 0.0);
    for head in ProbeHead::ALL {
        let found = cross_validate(&features, head, 3, 0).unwrap();
        assert!(found.logits.iter().all(|z| z.is_finite()), "{}", head.name());
        assert!(found.tried.iter().all(|t| t.map.is_none()));
    }
    let none = Features { width: 4, ..Features::default() };
    let refused = cross_validate(&none, ProbeHead::Logistic, 5, 0).unwrap_err().to_string();
    assert!(refused.contains("0 images cannot train a head; at least 5"), "{refused}");
}
