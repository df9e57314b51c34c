//! Backbones as files of weights that timm loads.

use std::collections::BTreeMap;
use std::path::Path;

use mlcls_engine::Weights;
use mlcls_models::{Model, NamedTensor, write_tensors};

use crate::error::{Result, check_weights};

/// A backbone in a file; made by [`save`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Tensors in it.
    pub tensors: usize,
    /// Values in them.
    pub values: usize,
    /// The Python expression that makes the model which the file fits; see [`create_model`].
    pub create: String,
}

/// Writes the backbone of a model, its head left out, as safetensors under timm's names, for
///
/// ```python
/// model = timm.create_model("efficientnet_b0", num_classes=0)      # or what `create_model` says
/// model.load_state_dict(safetensors.torch.load_file(path), strict=True)
/// ```
///
/// The same model gives the same bytes. The count of batches that PyTorch keeps with each batch-norm is not in the file:
/// `load_state_dict` starts it at 0 where it is missing, and nothing but a momentum of `None` reads it. Text entries:
///
/// | key | example |
/// |---|---|
/// | `format` | `pt`, as PyTorch's own files say |
/// | `mlcls_model` | `efficientnet_b0` |
/// | `mlcls_preprocessing` | `{"size":[224,224],"resize":"bilinear","mean":[..],"std":[..]}`; pixels are fed as `(x / 255 - mean) / std`, RGB |
/// | `mlcls_checkpoint` | BLAKE3 of the tensors of the checkpoint, where known |
///
/// # Errors
/// Weights of another model, or a file that cannot be written; one that was there before is then untouched.
///
/// ```
/// use mlcls_engine::Weights;
/// use mlcls_export::timm;
/// use mlcls_models::{ModelOptions, WeightFile, build};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("backbone.safetensors");
/// let model = build("mobilenet_v3_large", &ModelOptions { size: 32, ..Default::default() })?;
/// let weights = Weights::init(&model.graph, 7);
/// let saved = timm::save(&path, &model, &weights, "bilinear", None)?;
/// assert_eq!(saved.create, "timm.create_model('mobilenetv3_large_100', features_only=True, out_indices=(-1,))");
/// assert_eq!(WeightFile::open(&path)?.metadata()["mlcls_model"], "mobilenetv3_large_100");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save(
    path: &Path,
    model: &Model,
    weights: &Weights,
    resize: &str,
    checkpoint: Option<&str>,
) -> Result<Saved> {
    check_weights(model, weights)?;
    let tensors: Vec<NamedTensor<'_>> =
        weights.tensors(&model.graph).filter(|(name, ..)| !name.starts_with("head.")).collect();
    let preprocessing = serde_json::json!({
        "size": [model.size(), model.size()],
        "resize": resize,
        "mean": model.preprocessing.mean,
        "std": model.preprocessing.std,
    });
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("mlcls_model".to_owned(), model.name.to_owned()),
        ("mlcls_preprocessing".to_owned(), preprocessing.to_string()),
    ]);
    if let Some(hash) = checkpoint {
        metadata.insert("mlcls_checkpoint".to_owned(), hash.to_owned());
    }
    write_tensors(path, &tensors, &metadata)?;
    Ok(Saved {
        tensors: tensors.len(),
        values: tensors.iter().map(|(.., values)| values.len()).sum(),
        create: create_model(model),
    })
}

/// The Python expression for the timm model that has exactly the backbone's tensors, so that a strict load succeeds.
///
/// With `num_classes=0` an EfficientNet gives the pooled features themselves. timm's MobileNetV3 keeps a layer `conv_head`
/// behind the pooling even then, which our backbone, as OTX's, ends before; its `features_only` form is the network without it
/// and gives a list with the last map, whose mean over height and width are the features. DINOv2 gives tokens, and resamples its
/// positions to the size of the images.
pub fn create_model(model: &Model) -> String {
    let options = match Kind::of(model) {
        Kind::EndsWithConvHead => "num_classes=0",
        Kind::EndsBeforeIt => "features_only=True, out_indices=(-1,)",
        Kind::Transformer => "num_classes=0, dynamic_img_size=True",
    };
    format!("timm.create_model('{}', {options})", model.name)
}

/// The Python expression for the pooled features `[n, d]` of normalised images `x` in a `model` of [`create_model`].
pub fn features(model: &Model) -> &'static str {
    match Kind::of(model) {
        Kind::EndsWithConvHead => "model(x)",
        Kind::EndsBeforeIt => "model(x)[-1].mean((2, 3))",
        Kind::Transformer => "torch.cat([(t := model.forward_features(x))[:, 0], t[:, 1:].mean(1)], 1)",
    }
}

/// How timm's model of the same name ends.
enum Kind {
    /// Its `conv_head` is part of our backbone, before the pooling.
    EndsWithConvHead,
    /// Our backbone ends before its `conv_head`.
    EndsBeforeIt,
    /// In a class token and one for each patch.
    Transformer,
}

impl Kind {
    fn of(model: &Model) -> Self {
        let has = |start: &str| model.graph.params().iter().any(|p| p.name.starts_with(start));
        match (has("cls_token"), has("conv_head.")) {
            (true, _) => Self::Transformer,
            (_, true) => Self::EndsWithConvHead,
            _ => Self::EndsBeforeIt,
        }
    }
}
