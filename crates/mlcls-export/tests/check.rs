//! Files run in tract: those that are the model, and one that is not.
#![cfg(feature = "check")]
#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_engine::Weights;
use mlcls_export::onnx::check::{TOLERANCE, check};
use mlcls_export::onnx::{Card, InputFormat, Options, Output, export, save};
use mlcls_models::{Model, ModelOptions, build, templates};

const SIZE: usize = 64;

fn model(name: &str) -> (Model, Weights, Card) {
    let model = build(name, &ModelOptions { classes: 3, size: SIZE, ..Default::default() }).unwrap();
    let weights = Weights::init(&model.graph, 3);
    let card = Card {
        labels: ["a", "b", "c"].map(str::to_owned).into(),
        threshold: 0.5,
        thresholds: None,
        calibration: Some(vec![[0.5, 0.1], [1.0, 0.0], [2.0, -1.0]]),
        resize: "bilinear".to_owned(),
        checkpoint: None,
    };
    (model, weights, card)
}

fn noise(images: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..images * SIZE * SIZE * 3).map(next).collect()
}

#[test]
fn every_model_is_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    // What candle runs is not written as ONNX.
    let trained = templates().unwrap().into_iter().filter(|t| t.learning_rate.is_some());
    for (i, template) in trained.enumerate() {
        let (model, weights, card) = model(template.name);
        let options = Options {
            input: [InputFormat::FloatNchw, InputFormat::ByteNchw, InputFormat::ByteNhwc][i % 3],
            output: [Output::Logits, Output::Probabilities][i % 2],
            features: i % 2 == 0,
        };
        save(&path, &export(&model, &weights, &card, &options).unwrap()).unwrap();
        let found = check(&path, &model, &weights, &card, &options, &noise(2)).unwrap();
        assert_eq!(found.len(), if options.features { 3 } else { 1 }, "{found:?}");
        assert!(
            found[0].difference.is_some() && found.iter().all(|c| c.is_good()),
            "{}: {found:?}",
            model.name
        );
    }
}

#[test]
fn another_model_is_found_out_and_a_damaged_file_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let (model, weights, card) = model("efficientnet_lite0");
    let options = Options::default();
    save(&path, &export(&model, &weights, &card, &options).unwrap()).unwrap();
    let mut other = weights.clone();
    other.params.iter_mut().for_each(|w| *w *= 1.01);
    let found = check(&path, &model, &other, &card, &options, &noise(1)).unwrap();
    assert!(found[0].difference.unwrap() > TOLERANCE && !found[0].is_good(), "{found:?}");

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = check(&path, &model, &weights, &card, &options, &noise(1)).unwrap_err().to_string();
    assert!(error.contains("tract cannot run") && error.contains("model.onnx"), "{error}");
}
