//! Backbones for timm: what is in a file, and that it starts a model of ours again.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::fs;

use mlcls_engine::Weights;
use mlcls_export::timm;
use mlcls_models::{ModelOptions, WeightFile, build, templates};

#[test]
fn a_backbone_has_no_head_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backbone.safetensors");
    for template in templates().unwrap().iter().filter(|t| t.name != "dinov2_base") {
        let options = ModelOptions { classes: 3, size: 28, ..Default::default() };
        let model = build(template.name, &options).unwrap();
        let weights = Weights::init(&model.graph, 1);
        let saved = timm::save(&path, &model, &weights, "antialias", Some("abc")).unwrap();

        let file = WeightFile::open(&path).unwrap();
        let mut other = Weights::init(&model.graph, 2);
        let loaded = file.backbone(&model, &mut other).unwrap();
        assert_eq!((loaded.loaded, loaded.skipped), (saved.tensors, vec![]), "{}", model.name);
        for (name, _, values) in weights.tensors(&model.graph).filter(|(name, ..)| !name.starts_with("head."))
        {
            let (_, back) = other.tensor_mut(&model.graph, name).unwrap();
            assert_eq!(back, values, "{name}");
        }
        let entries = file.metadata();
        assert_eq!((entries["format"].as_str(), entries["mlcls_model"].as_str()), ("pt", model.name));
        assert_eq!(entries["mlcls_checkpoint"], "abc");
        let preprocessing: serde_json::Value = serde_json::from_str(&entries["mlcls_preprocessing"]).unwrap();
        assert_eq!((&preprocessing["size"][0], &preprocessing["resize"]), (&28.into(), &"antialias".into()));

        let bytes = fs::read(&path).unwrap();
        timm::save(&path, &model, &weights, "antialias", Some("abc")).unwrap();
        assert!(bytes == fs::read(&path).unwrap(), "the same model must give the same bytes");
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backbone.safetensors");
    let [one, two] = [1, 2].map(|classes| {
        build("efficientnet_lite0", &ModelOptions { classes, size: 32, ..Default::default() }).unwrap()
    });
    let error = timm::save(&path, &one, &Weights::init(&two.graph, 0), "bilinear", None).unwrap_err();
    assert!(error.to_string().contains("parameters: tf_efficientnet_lite0 has"), "{error}");
    assert!(!path.exists());
}
