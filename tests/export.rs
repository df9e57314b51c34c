//! `mlcls export`: the file, what is said about it, and what cannot be exported.

use std::fs;

use crate::util::{demo, mlcls};

#[test]
fn a_checkpoint_becomes_a_file_and_its_inputs_and_outputs_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.onnx").display().to_string();
    let run = demo().root.join("run").display().to_string();
    let text = mlcls(["export", &run, "--to", "onnx", "--out", &out]).ok().stdout;
    let bytes = fs::read(&out).unwrap();
    assert!(text.starts_with(&format!("{out}\n")), "{text}");
    for part in [
        "nonlinear head, 6 labels",
        "ONNX opset 14",
        "image: float32 [batch, 3, ",
        "RGB from 0 to 255, resized (bilinear)",
        "logits: float32 [batch, 6], score = sigmoid(logit)",
        &format!("{:.1} MB", bytes.len() as f64 / 1e6),
        "onnxruntime",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    // Labels, and the hash by which the checkpoint itself finds damage.
    let checkpoint = fs::read(demo().best()).unwrap();
    let header = String::from_utf8_lossy(&checkpoint[..8192]);
    let hash = header.split("\"blake3\":\"").nth(1).unwrap().split('"').next().unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(has("mlcls_labels") && has("\"star\"") && has(hash) && has("model_info labels"));

    let again = dir.path().join("again.onnx").display().to_string();
    mlcls(["export", &demo().best(), "--out", &again]).ok();
    assert!(bytes == fs::read(&again).unwrap(), "the same checkpoint must give the same bytes");
}

#[test]
fn the_options_change_inputs_and_outputs() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = dir.path().join("mine.safetensors");
    fs::copy(demo().best(), &checkpoint).unwrap();
    let checkpoint = checkpoint.display().to_string();
    let options = ["--input", "uint8-nhwc", "--output", "probabilities", "--dump-features"];
    let text = mlcls(["export", &checkpoint].iter().chain(&options)).ok().stdout;
    for part in [
        "image: uint8 [batch, ",
        "probabilities: float32 [batch, 6]\n",
        "feature_vector: float32 [batch, 960]",
        "saliency_map: uint8 [batch, 6, ",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    assert!(dir.path().join("mine.onnx").is_file(), "it lies beside the checkpoint");
}

#[test]
fn what_is_no_checkpoint_and_what_cannot_be_written_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("notes.safetensors");
    fs::write(&text, "no weights").unwrap();
    let done = mlcls(["export", &text.display().to_string()]);
    assert!(done.code == Some(1) && done.stderr.contains("not a whole safetensors file"), "{done:?}");
    let out = dir.path().join("absent/model.onnx").display().to_string();
    let done = mlcls(["export", &demo().best(), "--out", &out]);
    assert!(done.code == Some(1) && done.stderr.contains(&format!("cannot write {out}")), "{done:?}");
    let done = mlcls(["export", &demo().best(), "--to", "onx"]);
    assert!(done.code == Some(2) && done.stderr.contains("onnx"), "{done:?}");
}
