//! `mlcls optimize`: the file, what is said of it, and what cannot be done.

use std::fs;

use crate::util::{demo, mlcls};

fn optimize(more: &[&str]) -> crate::util::Done {
    let (best, data) = (demo().best(), demo().data());
    mlcls(["optimize", &best, &data, "--calibration-images", "16"].iter().chain(more))
}

#[test]
fn a_checkpoint_becomes_a_quarter_and_keeps_its_map() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("small.onnx").display().to_string();
    let done = optimize(&["--out", &out, "--python", "none", "--json"]).ok();
    let said: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let number = |key: &str| said[key].as_f64().unwrap_or_else(|| panic!("no {key} in {said}"));
    assert_eq!(number("bytes_int8"), fs::metadata(&out).unwrap().len() as f64);
    assert_eq!(number("calibration_images"), 16.0);
    assert!(number("bytes_int8") < 0.3 * number("bytes_float"), "{said}");
    assert!(number("map_int8") >= number("map_float") - 1.0, "{said}");
    assert!(said["float"].as_array().unwrap().len() < 8, "{said}");
    assert!(said["speeds"].is_null() && said["speeds_not_measured"] == "--python none", "{said}");
    let bytes = fs::read(&out).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(has("mlcls_int8") && has("QuantizeLinear") && has("mlcls_labels"));

    let again = dir.path().join("again.onnx").display().to_string();
    optimize(&["--out", &again, "--python", "none"]).ok();
    assert!(bytes == fs::read(&again).unwrap(), "the same checkpoint must give the same bytes");
}

#[test]
fn speed_is_told_where_python_has_a_runtime_and_else_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("small.onnx").display().to_string();
    let text = optimize(&["--out", &out, "--python", "no-such-python"]).ok().stdout;
    assert!(text.contains("speed   not measured: no-such-python does not start"), "{text}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let python = dir.path().join("python");
        let speeds = r#"[{"runtime":"OpenVINO","version":"1.2.3","batch":16,"float":100,"int8":250}]"#;
        fs::write(&python, format!("#!/bin/sh\necho '{speeds}'\n")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let text = optimize(&["--out", &out, "--python", &python.display().to_string()]).ok().stdout;
        let line =
            text.lines().find(|line| line.contains("OpenVINO 1.2.3")).unwrap_or_else(|| panic!("{text}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[2..], ["16", "100.0", "250.0", "2.50"], "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (more, expected) in [
        (["--split", "vla"], "did you mean `val`?"),
        (["--calibration-split", "trian"], "did you mean `train`?"),
        (["--max-drop", "101"], "expected points of mAP, a number from 0 to 100"),
        (["--ranges", "kl"], "possible values: minmax, percentile, mse"),
    ] {
        let done = optimize(&more);
        assert!(done.code != Some(0) && done.stderr.contains(expected), "{more:?}: {}", done.stderr);
    }
}
