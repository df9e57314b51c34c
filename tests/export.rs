//! `mlcls export`: the file, what is said about it, and what cannot be exported.

use std::fs;

use crate::util::{demo, mlcls, short_training};

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
fn a_backbone_for_timm_starts_another_run() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("backbone.safetensors").display().to_string();
    let text = mlcls(["export", &demo().best(), "--to", "safetensors", "--out", &out]).ok().stdout;
    for part in [
        "mobilenetv3_large_100, without its head",
        "resized (bilinear), x = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]",
        "model = timm.create_model('mobilenetv3_large_100', features_only=True, out_indices=(-1,))",
        &format!("load_file('{out}'), strict=True"),
        "features = model.eval()(x)[-1].mean((2, 3))",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let more = ["--pretrained", &out, "--epochs", "1", "--limit", "8"];
    // The last of a flag counts.
    let words = short_training(&dir.path().join("run"), &[]);
    let words: Vec<String> = words.into_iter().filter(|w| w != "--pretrained" && w != "none").collect();
    let text = mlcls(words.iter().map(String::as_str).chain(more)).ok().stdout;
    assert!(text.contains("backbone, ") && text.contains("the head starts at random"), "{text}");
}

#[cfg(feature = "check")]
#[test]
fn a_file_is_checked_in_another_engine() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.onnx").display().to_string();
    let run = |more: &[&str]| {
        let fixed = ["export", &demo().best(), "--out", &out, "--check", &demo().image(0), &demo().image(1)];
        mlcls(fixed.iter().chain(more))
    };
    for (input, output) in
        [("float-nchw", "logits"), ("uint8-nchw", "probabilities"), ("uint8-nhwc", "logits")]
    {
        let text = run(&["--input", input, "--output", output]).ok().stdout;
        assert!(text.contains("checked in tract, on 2 images"), "{text}");
        assert!(text.contains(&format!("  {output}: largest difference ")), "{text}");
    }
    let said: serde_json::Value =
        serde_json::from_str(&run(&["--json", "--dump-features"]).ok().stdout).unwrap();
    let outputs = said["check"]["outputs"].as_array().unwrap();
    assert_eq!((said["check"]["images"].as_u64(), outputs.len()), (Some(2), 3));
    for output in outputs {
        let difference = output["largest_difference"].as_f64();
        // The map is computed; there is nothing to compare it with yet.
        assert_eq!(difference.is_some(), output["name"] != "saliency_map", "{output}");
        assert!(difference.is_none_or(|d| d < 1e-4), "{output}");
    }
    let done = mlcls(["export", &demo().best(), "--out", &out, "--check", &demo().best()]);
    assert!(done.code == Some(1) && done.stderr.contains("is not a JPEG, PNG"), "{done:?}");
}

#[cfg(not(feature = "check"))]
#[test]
fn without_the_engine_a_check_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.onnx").display().to_string();
    let done = mlcls(["export", &demo().best(), "--out", &out, "--check", &demo().image(0)]);
    assert!(done.code == Some(1) && done.stderr.contains("--features check"), "{done:?}");
}

#[test]
fn json_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let json = |to: &str| -> serde_json::Value {
        let out = dir.path().join(to).display().to_string();
        let done = mlcls(["export", &demo().best(), "--to", to, "--out", &out, "--json"]).ok();
        let said: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!((&said["format"], &said["path"]), (&to.into(), &out.as_str().into()));
        assert_eq!(said["bytes"], fs::metadata(&out).unwrap().len());
        said
    };
    let onnx = json("onnx");
    assert_eq!((onnx["opset"].as_u64(), onnx["labels"].as_array().unwrap().len()), (Some(14), 6));
    assert_eq!(onnx["outputs"][0]["name"], "logits");
    assert_eq!(onnx["outputs"][0]["type"], "float32 [batch, 6]");
    let backbone = json("safetensors");
    assert_eq!((backbone["feature_width"].as_u64(), &backbone["resize"]), (Some(960), &"bilinear".into()));
    assert!(backbone["timm"]["create"].as_str().unwrap().starts_with("timm.create_model('mobilenetv3_"));
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
    let done = mlcls(["export", &demo().best(), "--to", "safetensors", "--output", "logits"]);
    assert!(done.code == Some(1) && done.stderr.contains("--output is for ONNX files"), "{done:?}");
    let done = mlcls(["export", &demo().best(), "--to", "safetensors", "--out", &demo().best()]);
    assert!(done.code == Some(1) && done.stderr.contains("is the checkpoint itself"), "{done:?}");
    let done = mlcls(["export", &demo().best(), "--to", "onx"]);
    assert!(done.code == Some(2) && done.stderr.contains("onnx"), "{done:?}");
}
