//! Checkpoint files: what is written is read, and what is not ours is refused with a reason.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlcls_engine::Weights;
use mlcls_loss::{Asl, Loss};
use mlcls_metrics::Calibration;
use mlcls_models::{Head, Model, ModelOptions, Normalization, build, save_weights};
use mlcls_train::{Checkpoint, CheckpointInfo, MetricValue, WeightsKind};

fn model() -> Model {
    let normalization = Some(Normalization::UNIT);
    let options = ModelOptions { classes: 2, size: 32, scale: 5.0, normalization, ..Default::default() };
    build("efficientnet_lite0", &options).unwrap()
}

fn info(model: &Model) -> CheckpointInfo {
    CheckpointInfo {
        resize: mlcls_data::Resize::Antialias,
        threshold: 0.4,
        thresholds: Some(vec![0.25, 0.75]),
        epoch: 7,
        weights: WeightsKind::Ema,
        metric: Some(MetricValue {
            name: "mAP".to_owned(),
            value: 81.23456789012345,
            definition: "D: not interpolated".to_owned(),
            split: "val".to_owned(),
        }),
        // Digits and an `e` only: must not be read as a number.
        data_fingerprint: "12e34567".to_owned(),
        ..CheckpointInfo::new(
            model,
            vec!["cat".to_owned(), "čáp, \"1\"".to_owned()],
            Loss::Asl(Asl::default()),
        )
    }
}

fn refusal(path: &Path) -> String {
    Checkpoint::load(path).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let model = model();
    let weights = Weights::init(&model.graph, 5);
    Checkpoint::save(&path, &model, &weights, &info(&model)).unwrap();
    let found = Checkpoint::load(&path).unwrap();
    assert_eq!(found.info, info(&model));
    assert_eq!(found.weights, weights);
    assert_eq!(found.model, model);
    assert_eq!((found.model.head, found.model.scale), (Head::Cosine, 5.0));

    let metadata = mlcls_models::WeightFile::open(&path).unwrap().metadata().clone();
    assert_eq!((metadata["threshold"].as_str(), metadata["resize"].as_str()), ("0.4", "antialias"));
    assert_eq!(metadata["mean"], "[0.0,0.0,0.0]");

    let again = dir.path().join("b.safetensors");
    Checkpoint::save(&again, &found.model, &found.weights, &found.info).unwrap();
    assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "the same content is the same bytes");
}

/// An older program would take its scores for others, so it must refuse the file.
#[test]
fn a_calibrated_checkpoint_is_of_a_later_version() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let model = model();
    let weights = Weights::init(&model.graph, 5);
    let version = |calibration: Calibration| {
        let info = CheckpointInfo { calibration, ..info(&model) };
        Checkpoint::save(&path, &model, &weights, &info).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap().info, info);
        mlcls_models::WeightFile::open(&path).unwrap().metadata()["format_version"].clone()
    };
    assert_eq!(version(Calibration::None), "1");
    assert_eq!(version(Calibration::Temperature(0.4)), "2");
    assert_eq!(version(Calibration::Platt(vec![[1.25, -0.5], [0.75, 0.1]])), "2");
}

#[test]
fn cut_empty_and_foreign_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let model = model();
    Checkpoint::save(&path, &model, &Weights::init(&model.graph, 5), &info(&model)).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let message = refusal(&path);
        assert!(message.contains("not a whole safetensors file"), "{cut} bytes: {message}");
    }
    fs::write(&path, b"PK\x03\x04 this is a zip, as torch.save writes it").unwrap();
    assert!(refusal(&path).contains("not a whole safetensors file"));
    let absent = refusal(&dir.path().join("none.safetensors"));
    assert!(absent.contains("none.safetensors") && absent.contains("cannot"), "{absent}");
}

#[test]
fn metadata_that_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.safetensors");
    let model = model();
    let weights = Weights::init(&model.graph, 5);
    Checkpoint::save(&path, &model, &weights, &info(&model)).unwrap();
    let metadata = mlcls_models::WeightFile::open(&path).unwrap().metadata().clone();
    let with = |change: &dyn Fn(&mut BTreeMap<String, String>)| {
        let mut metadata = metadata.clone();
        change(&mut metadata);
        save_weights(&path, &model.graph, &weights, &metadata).unwrap();
        refusal(&path)
    };
    let set = |key: &'static str, value: &'static str| {
        with(&move |m| drop(m.insert(key.to_owned(), value.to_owned())))
    };

    let weights_only = with(&|m| m.clear());
    assert!(weights_only.contains("not a checkpoint of mlcls") && weights_only.contains("model.pretrained"));
    assert!(set("format", "pt").contains("not a checkpoint of mlcls: its metadata has `format` pt"));
    let newer = set("format_version", "3");
    assert!(newer.contains("format version 3, written by mlcls"), "{newer}");
    let lines = set("calibration", r#"{"platt":[[1.0,0.0]]}"#);
    assert!(lines.contains("a calibration of 1 labels for 2; expected one line each"), "{lines}");
    assert!(with(&|m| drop(m.remove("labels"))).contains("its metadata lacks `labels`"));
    assert!(set("labels", "cat").contains("its metadata `labels` cannot be read"));
    assert!(set("thresholds", "[0.5]").contains("1 thresholds for 2 labels"));
    assert!(set("model", "efficientnet_lite1").contains("did you mean"));
    let one_label = with(&|m| {
        m.remove("thresholds");
        m.insert("labels".to_owned(), r#"["one"]"#.to_owned());
    });
    assert!(one_label.contains("head.weight: expected shape [1, 1280], found [2, 1280]"), "{one_label}");
    assert!(set("image_size", "-3").contains("`image_size`"));
    assert!(set("mean", "[0.5,0.5]").contains("`mean`"));
}
