//! All metrics of a checkpoint on a split.

use std::sync::Arc;

use mlcls_data::{Dataset, Item, Loader, LoaderOptions, Split};
use mlcls_metrics::{Report, Scores, Threshold};
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::score::Scored;

/// The choices of [`evaluate_checkpoint`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvalOptions {
    /// Images per batch.
    pub batch_size: usize,
    /// Score from which a label counts as predicted, the same for all; the checkpoint's own when `None`.
    pub threshold: Option<f32>,
    /// Where the network runs.
    pub device: Device,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self { batch_size: 64, threshold: None, device: Device::Cpu }
    }
}

/// What a checkpoint is worth on a split.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The split.
    pub split: String,
    /// Label names, in the order of `report.per_label`.
    pub labels: Vec<String>,
    /// Loss per image and known label.
    pub loss: Option<f64>,
    /// All metrics, as fractions from 0 to 1.
    pub report: Report,
    /// Score from which a label counted as predicted, where no other was chosen for it.
    pub threshold: f32,
    /// The same for each label, where they were chosen one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<f32>>,
    /// Where the network ran, and in which numbers, for example `cuda bf16`.
    pub device: String,
    /// Seconds that the images took, decoding included.
    pub seconds: f64,
    /// Scores of each image, `[images, labels]` row by row in the order of the split; not part of the JSON.
    #[serde(skip)]
    pub scores: Vec<f32>,
    /// The answers to them, 1 where a label is present; not part of the JSON.
    #[serde(skip)]
    pub targets: Vec<f32>,
    /// 1 where the answer is known; not part of the JSON.
    #[serde(skip)]
    pub mask: Vec<f32>,
}

impl Evaluation {
    fn of(scored: Scored, checkpoint: &Checkpoint, split: &str, options: &EvalOptions) -> Result<Self> {
        let info = &checkpoint.info;
        let threshold = options.threshold.unwrap_or(info.threshold);
        let thresholds = info.thresholds.clone().filter(|_| options.threshold.is_none());
        let used = thresholds.as_deref().map_or(threshold.into(), Threshold::PerLabel);
        Ok(Self {
            split: split.to_owned(),
            labels: info.labels.clone(),
            loss: scored.loss.mean(),
            report: scored.report(info.labels.len(), used)?,
            threshold,
            thresholds,
            device: options.device.to_string(),
            seconds: scored.seconds,
            scores: scored.scores,
            targets: scored.targets,
            mask: scored.mask,
        })
    }

    /// Scores and answers as metrics take them.
    ///
    /// # Errors
    /// A score is not a number.
    pub fn view(&self) -> Result<Scores<'_>> {
        Ok(Scores::new(&self.scores, &self.targets, &self.mask, self.labels.len())?)
    }

    /// The thresholds that were used.
    pub fn used(&self) -> Threshold<'_> {
        self.thresholds.as_deref().map_or(self.threshold.into(), Threshold::PerLabel)
    }
}

/// Evaluates a checkpoint on one split of a data set with the same labels (in any order).
///
/// # Errors
/// The split does not exist, the labels differ, or images cannot be read (all of a batch are listed).
pub fn evaluate_checkpoint(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    split: &str,
    options: &EvalOptions,
) -> Result<Evaluation> {
    let scored = score_split(checkpoint, dataset, split, options.batch_size, options.device)?;
    Evaluation::of(scored, checkpoint, split, options)
}

/// Evaluates another form of a checkpoint's network, for example a quantised one: `forward` gives the logits `[n, classes]` of `n`
/// uint8 images `[n, h, w, 3]`, as the network was trained to give them.
///
/// # Errors
/// As [`evaluate_checkpoint`], and those of `forward`.
pub fn evaluate_with<E: From<Error>>(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    split: &str,
    options: &EvalOptions,
    forward: impl FnMut(&[u8], usize) -> Result<Vec<f32>, E>,
) -> Result<Evaluation, E> {
    let info = &checkpoint.info;
    let loader = loader(checkpoint, dataset, split, options.batch_size)?;
    let scored = Scored::by(forward, &loader, &info.loss, &info.calibration)?;
    Ok(Evaluation::of(scored, checkpoint, split, options)?)
}

/// Evaluates a checkpoint by logits `[N, C]` that are known already, for example from its head alone: with the answers to them, as
/// in a [`Batch`](mlcls_data::Batch), and the seconds that they took.
///
/// # Errors
/// Arrays of different lengths, or logits that are not numbers.
pub fn evaluate_logits(
    checkpoint: &Checkpoint,
    split: &str,
    options: &EvalOptions,
    logits: Vec<f32>,
    (targets, mask): (&[f32], &[f32]),
    seconds: f64,
) -> Result<Evaluation> {
    let info = &checkpoint.info;
    let mut scored = Scored {
        scores: info.calibration.scores(&logits, info.labels.len()),
        logits,
        targets: targets.to_vec(),
        mask: mask.to_vec(),
        seconds,
        ..Scored::default()
    };
    scored.loss.add(info.loss.value(&scored.logits, targets, mask)?);
    Evaluation::of(scored, checkpoint, split, options)
}

/// Scores of a checkpoint on one split of a data set, labels in the order of the checkpoint.
pub(crate) fn score_split(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    split: &str,
    batch: usize,
    device: Device,
) -> Result<Scored> {
    let info = &checkpoint.info;
    let loader = loader(checkpoint, dataset, split, batch)?;
    let graph = &checkpoint.model.graph;
    Scored::of(graph, &checkpoint.weights, device, &loader, &info.loss, &info.calibration, || Ok(()))
}

/// The images of a split as a checkpoint takes them.
fn loader(checkpoint: &Checkpoint, dataset: &Dataset, split: &str, batch: usize) -> Result<Loader> {
    let info = &checkpoint.info;
    let items = items_in_order(&info.labels, dataset, dataset.require_split(split)?)?;
    let (size, resize) = (info.image_size as u32, info.resize);
    Ok(Loader::new(items, LoaderOptions { size, batch, resize, ..LoaderOptions::default() }))
}

/// The items of a split with their states in the order of a checkpoint's labels.
fn items_in_order(labels: &[String], dataset: &Dataset, split: &Split) -> Result<Arc<[Item]>> {
    let missing = |of: &[String], from: &[String]| -> Vec<String> {
        from.iter().filter(|l| !of.contains(l)).map(|l| format!("`{l}`")).collect()
    };
    let (absent, new) = (missing(&dataset.labels, labels), missing(labels, &dataset.labels));
    if !absent.is_empty() || !new.is_empty() {
        let mut differences = vec![];
        if !absent.is_empty() {
            differences.push(format!("it lacks {}", absent.join(", ")));
        }
        if !new.is_empty() {
            differences.push(format!("the checkpoint does not know {}", new.join(", ")));
        }
        let reason = format!("its labels are not those of the checkpoint: {}", differences.join("; "));
        return Err(Error::NoData { root: dataset.root.clone(), reason });
    }
    let places: Vec<usize> =
        labels.iter().filter_map(|l| dataset.labels.iter().position(|d| d == l)).collect();
    let reorder = |item: &Item| Item {
        states: places.iter().map(|&place| item.states[place]).collect(),
        ..item.clone()
    };
    Ok(split.items.iter().map(reorder).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_order_of_labels_and_the_batch_size_do_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = testing::dataset(folder.path(), 2, 9);
        let checkpoint = testing::checkpoint();
        let evaluate = |dataset: &Dataset, batch_size| {
            let options = EvalOptions { batch_size, threshold: Some(0.4), ..Default::default() };
            evaluate_checkpoint(&checkpoint, dataset, "val", &options).unwrap()
        };
        let expected = evaluate(&dataset, 9);
        assert_eq!((expected.report.images, expected.scores.len()), (9, 27));
        assert_eq!(evaluate(&dataset, 4).scores, expected.scores);

        let mut turned = dataset;
        turned.labels.reverse();
        turned.splits.iter_mut().flat_map(|s| &mut s.items).for_each(|i| i.states.reverse());
        let found = evaluate(&turned, 9);
        assert_eq!((found.report, found.loss), (expected.report, expected.loss));
    }

    #[test]
    fn other_labels_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut dataset = testing::dataset(folder.path(), 2, 2);
        dataset.labels[1] = "lime".to_owned();
        let error = evaluate_checkpoint(&testing::checkpoint(), &dataset, "val", &EvalOptions::default())
            .unwrap_err();
        let message = error.to_string();
        assert!(message.contains("it lacks `green`; the checkpoint does not know `lime`"), "{message}");
        let error = evaluate_checkpoint(&testing::checkpoint(), &dataset, "vla", &EvalOptions::default())
            .unwrap_err();
        assert!(error.to_string().contains("did you mean `val`?"), "{error}");
    }
}
