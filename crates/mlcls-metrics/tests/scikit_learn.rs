//! Every number against scikit-learn (`xtask/reference/metrics.py`): ties, unknowns, labels without positives.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::collections::BTreeMap;

use mlcls_metrics::{Definition, Scores, Ties, evaluate, mean_ap};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    labels: usize,
    threshold: f32,
    scores: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
    ap: BTreeMap<String, Vec<Option<f64>>>,
    mean_ap: BTreeMap<String, Option<f64>>,
    ap_row_order: Vec<Option<f64>>,
    cp: f64,
    cr: f64,
    cf1: f64,
    macro_f1: f64,
    op: f64,
    or: f64,
    of1: f64,
    hamming_loss: f64,
    subset_accuracy: f64,
    accuracy_mlc: f64,
}

#[track_caller]
fn assert_close(found: impl Into<Option<f64>>, expected: impl Into<Option<f64>>, what: &str) {
    match (found.into(), expected.into()) {
        (Some(found), Some(expected)) => {
            assert!((found - expected).abs() < 1e-12, "{what}: found {found}, expected {expected}");
        }
        (found, expected) => assert_eq!(found, expected, "{what}"),
    }
}

#[test]
fn equal_to_scikit_learn() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    for case in cases {
        let scores = Scores::new(&case.scores, &case.targets, &case.mask, case.labels).unwrap();
        let report = evaluate(&scores, case.threshold);
        for definition in Definition::ALL {
            let what = format!("{}, definition {definition}", case.name);
            let expected = &case.ap[definition.name()];
            let found = mean_ap(&scores, definition, Ties::Together);
            assert_eq!(found.per_label.len(), expected.len());
            for (found, expected) in found.per_label.iter().zip(expected) {
                assert_close(*found, *expected, &what);
            }
            assert_close(found.mean, case.mean_ap[definition.name()], &what);
            assert_eq!(found.left_out, expected.iter().filter(|ap| ap.is_none()).count(), "{what}");
            assert_eq!(report.mean_ap(definition), found.mean, "{what}");
            assert_eq!(report.labels_without_positives, found.left_out, "{what}");
        }
        let row_order = mean_ap(&scores, Definition::D, Ties::RowOrder);
        for (found, expected) in row_order.per_label.iter().zip(&case.ap_row_order) {
            assert_close(*found, *expected, &format!("{}, row order", case.name));
        }
        let found = report.at_threshold;
        for (what, found, expected) in [
            ("CP", Some(found.cp), case.cp),
            ("CR", Some(found.cr), case.cr),
            ("CF1", Some(found.cf1), case.cf1),
            ("macro-F1", Some(found.macro_f1), case.macro_f1),
            ("OP", Some(found.op), case.op),
            ("OR", Some(found.or), case.or),
            ("OF1", Some(found.of1), case.of1),
            ("Hamming loss", found.hamming_loss, case.hamming_loss),
            ("subset accuracy", found.subset_accuracy, case.subset_accuracy),
            ("accuracy-mlc", found.accuracy_mlc, case.accuracy_mlc),
        ] {
            assert_close(found, expected, &format!("{}, {what}", case.name));
        }
    }
}
