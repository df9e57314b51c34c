//! What a file says about itself beside its graph.

use mlcls_models::{Model, Normalization};
use serde::Serialize;

use super::proto::StringStringEntryProto;
use super::{Options, Output};
use crate::error::{Error, Result};

/// Value of the entry `mlcls_format_version`; raised when an older reader of our entries could misread a newer file.
const FORMAT_VERSION: u32 = 1;

/// What is known of a model beside its graph and weights; it becomes the file's text entries (`metadata_props`).
///
/// OpenVINO's Model API reads those that begin with `model_info`; they are written where the output is logits, as it
/// applies the sigmoid itself. The others are for everybody:
///
/// | key | example |
/// |---|---|
/// | `model_info model_type`, `model_info task_type` | `Classification`, `classification` |
/// | `model_info labels` | `cat traffic_light`: blanks in names become `_` |
/// | `model_info multilabel`, `model_info hierarchical` | `True`, `False` |
/// | `model_info confidence_threshold` | `0.5` |
/// | `model_info output_raw_scores` | `True` |
/// | `mlcls_format_version` | `1` |
/// | `mlcls_model`, `mlcls_head`, `mlcls_head_scale` | `efficientnet_b0`, `cosine`, `7` |
/// | `mlcls_labels` | `["cat","traffic light"]`, in the order of the logits |
/// | `mlcls_preprocessing` | `{"color":"RGB","range":[0,255],"size":[224,224],"resize":"bilinear","mean":[..],"std":[..]}`; mean and std, in units of 0 to 1, are applied in the graph |
/// | `mlcls_threshold`, `mlcls_thresholds` | `0.5`; `[0.4,0.6]`, one per label, only when chosen |
/// | `mlcls_checkpoint` | BLAKE3 of the tensors that it was made from, where known |
/// | `mlcls_int8` | how a file was quantised and which layers stayed in float, only where [`int8`](crate::int8) did so |
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// Label names in the order of the logits.
    pub labels: Vec<String>,
    /// Score from which a label counts as predicted.
    pub threshold: f32,
    /// The same for each label, where they were chosen one by one.
    pub thresholds: Option<Vec<f32>>,
    /// Slope and offset of each label where scores were calibrated. The file gives out `slope * logit + offset`, so that its scores
    /// are the calibrated ones, which thresholds belong to.
    pub calibration: Option<Vec<[f32; 2]>>,
    /// How images are brought to the input size, for example `bilinear`.
    pub resize: String,
    /// Hash of the checkpoint.
    pub checkpoint: Option<String>,
}

/// What is done to an image before the network sees it.
#[derive(Serialize)]
struct Preprocessing<'a> {
    color: &'static str,
    range: [u8; 2],
    size: [usize; 2],
    resize: &'a str,
    #[serde(flatten)]
    normalization: Normalization,
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| unreachable!("plain data with text keys: {e}"))
}

impl Card {
    /// The entries of a file.
    pub(super) fn entries(&self, model: &Model, options: &Options) -> Result<Vec<StringStringEntryProto>> {
        let expected = model.classes();
        let counts = [
            ("label names", Some(self.labels.len())),
            ("thresholds", self.thresholds.as_ref().map(Vec::len)),
            ("lines of a calibration", self.calibration.as_ref().map(Vec::len)),
        ];
        for (what, count) in counts {
            if let Some(found) = count.filter(|&n| n != expected) {
                return Err(Error::Labels { what, expected, found });
            }
        }
        let mut entries = vec![];
        let mut text = |key: &str, value: String| {
            entries.push(StringStringEntryProto { key: key.to_owned(), value });
        };
        if options.output == Output::Logits {
            let labels: Vec<String> =
                self.labels.iter().map(|l| l.split_whitespace().collect::<Vec<_>>().join("_")).collect();
            text("model_info model_type", "Classification".to_owned());
            text("model_info task_type", "classification".to_owned());
            text("model_info labels", labels.join(" "));
            text("model_info multilabel", "True".to_owned());
            text("model_info hierarchical", "False".to_owned());
            text("model_info confidence_threshold", self.threshold.to_string());
            text("model_info output_raw_scores", "True".to_owned());
        }
        let preprocessing = Preprocessing {
            color: "RGB",
            range: [0, 255],
            size: [model.size(); 2],
            resize: &self.resize,
            normalization: model.preprocessing,
        };
        text("mlcls_format_version", FORMAT_VERSION.to_string());
        text("mlcls_model", model.name.to_owned());
        text("mlcls_head", model.head.to_string());
        text("mlcls_head_scale", model.scale.to_string());
        text("mlcls_labels", json(&self.labels));
        text("mlcls_preprocessing", json(&preprocessing));
        text("mlcls_threshold", self.threshold.to_string());
        if let Some(thresholds) = &self.thresholds {
            text("mlcls_thresholds", json(thresholds));
        }
        if let Some(hash) = &self.checkpoint {
            text("mlcls_checkpoint", hash.clone());
        }
        Ok(entries)
    }
}
