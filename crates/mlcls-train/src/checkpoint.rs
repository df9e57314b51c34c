//! Checkpoints: weights that explain themselves.

use std::collections::BTreeMap;
use std::path::Path;

use mlcls_data::Resize;
use mlcls_engine::Weights;
use mlcls_loss::Loss;
use mlcls_metrics::Calibration;
use mlcls_models::{Head, Model, ModelOptions, Normalization, WeightFile, build, save_weights};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ema::WeightsKind;
use crate::error::{Error, Result};

/// Value of the metadata key `format`.
const FORMAT: &str = "mlcls-checkpoint";

/// Highest value of the metadata key `format_version` that is read. It is raised when an older program could misread a newer
/// file; what such a program would understand is still written as 1.
const FORMAT_VERSION: u32 = 2;

/// What a checkpoint says about itself.
///
/// In the file these are text entries of the safetensors metadata, lists and groups as JSON, readable by any safetensors
/// library:
///
/// | key | example |
/// |---|---|
/// | `format`, `format_version` | `mlcls-checkpoint`, `1`; `2` with a calibration |
/// | `mlcls_version` | `0.1.0` |
/// | `model` | `efficientnet_b0` |
/// | `labels` | `["cat","dog"]`, in the order of the logits |
/// | `image_size` | `224` |
/// | `mean`, `std` | `[0.485,0.456,0.406]`; pixels are fed as `(x / 255 - mean) / std`, RGB |
/// | `resize` | `bilinear` |
/// | `head`, `head_scale` | `cosine`, `7.0`; a score is `sigmoid(logit)`, unless calibrated |
/// | `calibration` | `{"temperature":1.4}` for `sigmoid(logit / 1.4)`, `{"platt":[[0.9,-0.2]]}` for `sigmoid(0.9 * logit - 0.2)`, a line per label; only when fitted |
/// | `loss` | `{"name":"aam","k":0.8,...}` |
/// | `threshold`, `thresholds` | `0.5`; `[0.4,0.6]`, one per label, only when chosen |
/// | `epoch` | `12`, from 1 |
/// | `weights` | `raw` or `ema` |
/// | `metric` | `{"name":"mAP","value":81.2,"definition":"D","split":"val"}`, only when validated |
/// | `data_fingerprint` | see [`Dataset::fingerprint`](mlcls_data::Dataset::fingerprint) |
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointInfo {
    /// Version of this library that wrote it.
    pub mlcls_version: String,
    /// timm's name of the backbone.
    pub model: String,
    /// Label names in the order of the logits.
    pub labels: Vec<String>,
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// What the pixels are normalised with.
    pub normalization: Normalization,
    /// How images are brought to the input size.
    pub resize: Resize,
    /// The head.
    pub head: Head,
    /// Factor on the cosine; logits contain it.
    pub head_scale: f32,
    /// What was minimised.
    pub loss: Loss,
    /// How a logit becomes a score.
    pub calibration: Calibration,
    /// Score from which a label counts as predicted.
    pub threshold: f32,
    /// The same for each label, where they were chosen one by one.
    pub thresholds: Option<Vec<f32>>,
    /// Epochs of training, whole or begun.
    pub epoch: usize,
    /// Whether these are the trained weights or their average.
    pub weights: WeightsKind,
    /// How good they were, and on what.
    pub metric: Option<MetricValue>,
    /// Fingerprint of the data set.
    pub data_fingerprint: String,
}

/// A metric with everything that one needs to compare it.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct MetricValue {
    /// Its name, for example `mAP`.
    pub name: String,
    /// Its value, per cent.
    pub value: f64,
    /// Which of the definitions of that name.
    pub definition: String,
    /// The split that it was measured on; for the best checkpoint, the split that chose it.
    pub split: String,
}

/// A checkpoint in memory: what it says about itself, its model and its weights.
///
/// ```
/// # use mlcls_train::{Checkpoint, CheckpointInfo, WeightsKind};
/// # use mlcls_models::{ModelOptions, build};
/// # use mlcls_engine::Weights;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("best.safetensors");
/// # let options = ModelOptions { classes: 2, size: 32, ..Default::default() };
/// # let model = build("efficientnet_lite0", &options)?;
/// # let weights = Weights::init(&model.graph, 0);
/// # let labels = vec!["cat".to_owned(), "dog".to_owned()];
/// # let info = CheckpointInfo::new(&model, labels, mlcls_loss::Loss::default());
/// Checkpoint::save(&path, &model, &weights, &info)?;
///
/// let checkpoint = Checkpoint::load(&path)?;
/// assert_eq!(checkpoint.info.labels, ["cat", "dog"]);
/// assert_eq!(checkpoint.weights, weights);
/// # Ok::<(), mlcls_train::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What it says about itself.
    pub info: CheckpointInfo,
    /// Its model.
    pub model: Model,
    /// Its weights.
    pub weights: Weights,
}

impl Checkpoint {
    /// Writes a checkpoint as one change; the same content gives the same bytes.
    ///
    /// # Errors
    /// The file cannot be written; one that was there before is untouched.
    pub fn save(path: &Path, model: &Model, weights: &Weights, info: &CheckpointInfo) -> Result<()> {
        Ok(save_weights(path, &model.graph, weights, &info.to_metadata())?)
    }

    /// Whether a weight file says that it is a checkpoint of ours.
    pub(crate) fn is_in(file: &WeightFile) -> bool {
        file.metadata().get("format").is_some_and(|f| f == FORMAT)
    }

    /// Reads a checkpoint and builds its model.
    ///
    /// # Errors
    /// The file is missing, truncated, no safetensors file, no checkpoint of ours, from a newer program, or its tensors do
    /// not fit its model.
    pub fn load(path: &Path) -> Result<Self> {
        let file = WeightFile::open(path)?;
        let info = CheckpointInfo::from_metadata(path, file.metadata())?;
        let options = ModelOptions {
            classes: info.labels.len(),
            size: info.image_size,
            head: Some(info.head),
            scale: info.head_scale,
            normalization: Some(info.normalization),
            ..ModelOptions::default()
        };
        let model = build(&info.model, &options)?;
        let weights = file.weights(&model.graph)?;
        Ok(Self { info, model, weights })
    }
}

impl CheckpointInfo {
    /// What is known before training; the rest are defaults to be filled in.
    pub fn new(model: &Model, labels: Vec<String>, loss: Loss) -> Self {
        Self {
            mlcls_version: env!("CARGO_PKG_VERSION").to_owned(),
            model: model.name.to_owned(),
            labels,
            image_size: model.size(),
            normalization: model.preprocessing,
            resize: Resize::default(),
            head: model.head,
            head_scale: model.scale,
            loss,
            calibration: Calibration::None,
            threshold: 0.5,
            thresholds: None,
            epoch: 0,
            weights: WeightsKind::Raw,
            metric: None,
            data_fingerprint: String::new(),
        }
    }

    /// What a weight file says about itself, if it is a checkpoint of ours.
    ///
    /// # Errors
    /// It is one, but of a newer program, or its entries are damaged.
    pub fn of(path: &Path, file: &WeightFile) -> Result<Option<Self>> {
        Checkpoint::is_in(file).then(|| Self::from_metadata(path, file.metadata())).transpose()
    }

    fn to_metadata(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut text = |key: &str, value: &str| map.insert(key.to_owned(), value.to_owned());
        text("format", FORMAT);
        text("mlcls_version", &self.mlcls_version);
        text("model", &self.model);
        text("head", self.head.name());
        text("weights", self.weights.name());
        text("data_fingerprint", &self.data_fingerprint);
        let calibrated = self.calibration != Calibration::None;
        text("format_version", if calibrated { "2" } else { "1" });
        if calibrated {
            text("calibration", &json(&self.calibration));
        }
        text("labels", &json(&self.labels));
        text("image_size", &json(&self.image_size));
        text("mean", &json(&self.normalization.mean));
        text("std", &json(&self.normalization.std));
        text("resize", json(&self.resize).trim_matches('"'));
        text("head_scale", &json(&self.head_scale));
        text("loss", &json(&self.loss));
        text("threshold", &json(&self.threshold));
        text("epoch", &json(&self.epoch));
        if let Some(thresholds) = &self.thresholds {
            text("thresholds", &json(thresholds));
        }
        if let Some(metric) = &self.metric {
            text("metric", &json(metric));
        }
        map
    }

    fn from_metadata(path: &Path, map: &BTreeMap<String, String>) -> Result<Self> {
        let entries = Entries { path, map };
        match entries.optional("format") {
            Some(FORMAT) => {}
            other => {
                let found = other.map_or_else(|| "no `format`".to_owned(), |f| format!("`format` {f}"));
                return Err(entries.fail(format!(
                    "a safetensors file, but not a checkpoint of mlcls: its metadata has {found}, expected \
                     {FORMAT}. Weights alone can start a run: pass the file as model.pretrained"
                )));
            }
        }
        let version: u32 = entries.json("format_version")?;
        if version > FORMAT_VERSION {
            let by = entries.optional("mlcls_version").unwrap_or("a later version");
            return Err(entries.fail(format!(
                "format version {version}, written by mlcls {by}; this program reads up to {FORMAT_VERSION}"
            )));
        }
        let labels: Vec<String> = entries.json("labels")?;
        let thresholds: Option<Vec<f32>> =
            map.contains_key("thresholds").then(|| entries.json("thresholds")).transpose()?;
        if let Some(t) = thresholds.as_ref().filter(|t| t.len() != labels.len()) {
            let reason = format!("{} thresholds for {} labels; expected one each", t.len(), labels.len());
            return Err(entries.fail(reason));
        }
        let calibration =
            if map.contains_key("calibration") { entries.json("calibration")? } else { Calibration::None };
        if let Calibration::Platt(lines) = &calibration
            && lines.len() != labels.len()
        {
            let (lines, labels) = (lines.len(), labels.len());
            let reason = format!("a calibration of {lines} labels for {labels}; expected one line each");
            return Err(entries.fail(reason));
        }
        Ok(Self {
            mlcls_version: entries.text("mlcls_version")?.to_owned(),
            model: entries.text("model")?.to_owned(),
            labels,
            image_size: entries.json("image_size")?,
            normalization: Normalization { mean: entries.json("mean")?, std: entries.json("std")? },
            resize: entries.json("resize")?,
            head: entries.json("head")?,
            head_scale: entries.json("head_scale")?,
            loss: entries.json("loss")?,
            calibration,
            threshold: entries.json("threshold")?,
            thresholds,
            epoch: entries.json("epoch")?,
            weights: entries.json("weights")?,
            metric: map.contains_key("metric").then(|| entries.json("metric")).transpose()?,
            data_fingerprint: entries.text("data_fingerprint")?.to_owned(),
        })
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| unreachable!("plain data with text keys: {e}"))
}

/// Metadata entries and the file that errors name.
struct Entries<'a> {
    path: &'a Path,
    map: &'a BTreeMap<String, String>,
}

impl<'a> Entries<'a> {
    fn fail(&self, reason: String) -> Error {
        Error::Checkpoint { path: self.path.to_owned(), reason }
    }

    fn optional(&self, key: &str) -> Option<&'a str> {
        self.map.get(key).map(String::as_str)
    }

    fn text(&self, key: &str) -> Result<&'a str> {
        self.optional(key).ok_or_else(|| self.fail(format!("its metadata lacks `{key}`")))
    }

    /// A value written as JSON, or as a bare word.
    fn json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let text = self.text(key)?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::from(text));
        serde_json::from_value(value)
            .map_err(|e| self.fail(format!("its metadata `{key}` cannot be read: {e}; found {text}")))
    }
}
