//! A trained head and its backbone as a checkpoint like any other.

use mlcls_data::Dataset;
use mlcls_engine::HeadPlan;
use mlcls_train::{Checkpoint, CheckpointInfo, MetricValue};

use crate::backbone::Backbone;
use crate::error::Result;
use crate::features::Features;
use crate::head::{CrossValidation, Fitted, ProbeHead};

/// Rows that go through a head at once.
const ROWS: usize = 256;

/// The checkpoint of a head on a backbone; `found` is what it says about its worth.
///
/// # Errors
/// The data set has no labels.
pub fn checkpoint(
    backbone: &Backbone,
    head: ProbeHead,
    fitted: &Fitted,
    dataset: &Dataset,
    found: &CrossValidation,
) -> Result<Checkpoint> {
    let (model, mut weights) = backbone.classifier(dataset.labels.len(), head.head())?;
    for (name, values) in [("head.weight", Some(&fitted.weight)), ("head.bias", fitted.bias.as_ref())] {
        if let (Some(values), Some((_, to))) = (values, weights.tensor_mut(&model.graph, name)) {
            to.copy_from_slice(values);
        }
    }
    let best = found.tried.iter().find(|tried| tried.strength == found.strength).and_then(|t| t.map);
    let metric = best.map(|map| MetricValue {
        name: "mAP".to_owned(),
        value: 100.0 * map,
        definition: "D".to_owned(),
        split: format!("train, cross-validated in {} folds", found.folds),
    });
    let info = CheckpointInfo {
        resize: backbone.resize(),
        data_fingerprint: dataset.fingerprint(),
        metric,
        ..CheckpointInfo::new(&model, dataset.labels.clone(), head.loss())
    };
    Ok(Checkpoint { info, model, weights })
}

/// Logits `[N, C]` of a checkpoint for features of its backbone, to the bit those that it gives for the images.
///
/// # Errors
/// The features are not of its width.
pub fn logits(checkpoint: &Checkpoint, features: &Features) -> Result<Vec<f32>> {
    let mut head = HeadPlan::new(&checkpoint.model.graph, &checkpoint.weights, ROWS)?;
    let mut logits = Vec::with_capacity(features.targets.len());
    for rows in features.rows.chunks(ROWS * features.width.max(1)) {
        logits.extend_from_slice(head.run(rows, rows.len() / features.width)?);
    }
    Ok(logits)
}
