//! `mlcls thresholds` and `mlcls calibrate`: what they keep in a checkpoint, predict and eval use.

use std::fs;

use serde_json::Value;

use crate::util::{demo, mlcls};

/// A copy of the demo's checkpoint that a test may change.
fn checkpoint() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    fs::copy(demo().best(), &path).unwrap();
    (folder, path.display().to_string())
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&mlcls(args).ok().stdout).unwrap()
}

/// Labels and scores of each image of the test split.
fn predictions(checkpoint: &str) -> Vec<(Value, Value)> {
    let images = format!("{}/images/test", demo().data());
    let stdout = mlcls(["predict", checkpoint, &images, "--json"]).ok().stdout;
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (row["labels"].clone(), row["scores"].clone())
    };
    stdout.lines().map(row).collect()
}

#[test]
fn thresholds_are_kept_and_used_by_eval_and_predict() {
    let (_folder, checkpoint) = checkpoint();
    let data = demo().data();
    let before = predictions(&checkpoint);
    let dry = json(&["thresholds", &checkpoint, &data, "--least-positives", "1", "--json", "--dry-run"]);
    assert_eq!(predictions(&checkpoint), before, "a dry run changes nothing");
    let report = json(&["thresholds", &checkpoint, &data, "--least-positives", "1", "--json"]);
    assert_eq!(report, dry);
    let f1 = |at: &str| report[at]["macro_f1"].as_f64().unwrap();
    assert!(f1("after") >= f1("before") && f1("after") >= f1("cross_fitted"), "{report}");

    let evaluation = json(&["eval", &checkpoint, &data, "--split", "val", "--json"]);
    assert_eq!(evaluation["report"]["at_threshold"], report["after"]);
    let forced = json(&["eval", &checkpoint, &data, "--split", "val", "--threshold", "0.5", "--json"]);
    assert_eq!(forced["report"]["at_threshold"], report["before"]);

    let thresholds: Vec<f64> =
        report["chosen"].as_array().unwrap().iter().map(|c| c["threshold"].as_f64().unwrap()).collect();
    for (labels, scores) in predictions(&checkpoint) {
        for (name, threshold) in report["labels"].as_array().unwrap().iter().zip(&thresholds) {
            let predicted = labels.as_array().unwrap().contains(name);
            assert_eq!(predicted, scores[name.as_str().unwrap()].as_f64().unwrap() >= *threshold, "{name}");
        }
    }
    let text = mlcls(["thresholds", &checkpoint, &data, "--precision", "0.9", "--dry-run"]).ok().stdout;
    assert!(text.contains("images without a say") && !text.contains("kept in"), "{text}");
}

#[test]
fn a_calibration_moves_scores_and_thresholds_together() {
    let (folder, checkpoint) = checkpoint();
    let data = demo().data();
    let before = predictions(&checkpoint);
    let out = folder.path().join("calibrated.safetensors").display().to_string();
    for method in ["platt", "temperature"] {
        let text = mlcls(["calibrate", &checkpoint, &data, "--method", method, "--out", &out]).ok().stdout;
        assert!(text.contains("images without a say") && text.contains(&format!("kept in {out}")), "{text}");
        let after = predictions(&out);
        assert_eq!(after.len(), before.len());
        for ((labels, scores), (old_labels, old_scores)) in after.iter().zip(&before) {
            let sorted = |labels: &Value| {
                let mut names: Vec<String> = serde_json::from_value(labels.clone()).unwrap();
                names.sort();
                names
            };
            assert_eq!(sorted(labels), sorted(old_labels), "{method}");
            assert_ne!(scores, old_scores, "{method}");
        }
    }
    assert_eq!(predictions(&checkpoint), before, "--out leaves the checkpoint as it is");
    mlcls(["export", &out]).ok();
    assert!(folder.path().join("calibrated.onnx").exists());
}
