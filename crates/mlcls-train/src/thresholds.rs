//! A threshold for each label of a checkpoint, chosen on a split.

use mlcls_data::Dataset;
use mlcls_metrics::{
    AtThreshold, ChosenThreshold, LabelReport, ThresholdOptions, at_threshold, choose_thresholds,
    cross_fit_thresholds, evaluate,
};
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::score_split;

/// Thresholds that were chosen on a split, and what they are worth.
#[derive(Clone, Debug, Serialize)]
pub struct ThresholdReport {
    /// The split that chose them.
    pub split: String,
    /// Its images.
    pub images: usize,
    /// Label names, in the order of the two lists below.
    pub labels: Vec<String>,
    /// The threshold of each label.
    pub chosen: Vec<ChosenThreshold>,
    /// Each label on the split with its threshold.
    pub per_label: Vec<LabelReport>,
    /// One threshold for all labels: the checkpoint's own.
    pub threshold: f32,
    /// Decisions on the split with that one.
    pub before: AtThreshold,
    /// Decisions on the split with the chosen ones. They flatter, since the same images chose them.
    pub after: AtThreshold,
    /// What choosing is worth on images that had no say: see [`cross_fit_thresholds`].
    pub cross_fitted: AtThreshold,
}

impl ThresholdReport {
    /// The thresholds in the order of the labels, for
    /// [`CheckpointInfo::thresholds`](crate::CheckpointInfo::thresholds).
    pub fn values(&self) -> Vec<f32> {
        self.chosen.iter().map(|chosen| chosen.threshold).collect()
    }
}

/// Chooses a threshold for each label of a checkpoint on a split of a data set with the same labels (in any order). That split
/// should be one that was not trained on.
///
/// # Errors
/// The split does not exist or shows no label at all, the labels differ, or images cannot be read (all of a batch are
/// listed).
pub fn checkpoint_thresholds(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    split: &str,
    batch_size: usize,
    options: &ThresholdOptions,
) -> Result<ThresholdReport> {
    let info = &checkpoint.info;
    let scored = score_split(checkpoint, dataset, split, batch_size, Device::Cpu)?;
    let scores = scored.view(&scored.scores, info.labels.len())?;
    let chosen = choose_thresholds(&scores, options);
    let values: Vec<f32> = chosen.iter().map(|chosen| chosen.threshold).collect();
    if values.iter().any(|threshold| !threshold.is_finite()) {
        let reason =
            format!("no image of `{split}` has a label, so there is nothing to choose thresholds by");
        return Err(Error::NoData { root: dataset.root.clone(), reason });
    }
    let after = evaluate(&scores, values.as_slice());
    Ok(ThresholdReport {
        split: split.to_owned(),
        images: scores.images(),
        labels: info.labels.clone(),
        chosen,
        per_label: after.per_label,
        threshold: info.threshold,
        before: at_threshold(&scores, info.threshold),
        after: after.at_threshold,
        cross_fitted: cross_fit_thresholds(&scores, options),
    })
}

#[cfg(test)]
mod tests {
    use mlcls_data::LabelState;

    use super::*;
    use crate::evaluate::{EvalOptions, evaluate_checkpoint};
    use crate::testing;

    #[test]
    fn chosen_thresholds_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut dataset = testing::dataset(folder.path(), 2, 24);
        let mut checkpoint = testing::checkpoint();
        let options = ThresholdOptions { least_positives: 1, ..Default::default() };
        let report = checkpoint_thresholds(&checkpoint, &dataset, "val", 5, &options).unwrap();
        assert_eq!((report.images, report.labels.len(), report.chosen.len()), (24, 3, 3));
        assert!(report.after.macro_f1 >= report.before.macro_f1 && report.after.macro_f1 > 0.0);

        checkpoint.info.thresholds = Some(report.values());
        let evaluate = |threshold| {
            let options = EvalOptions { batch_size: 7, threshold, ..Default::default() };
            evaluate_checkpoint(&checkpoint, &dataset, "val", &options).unwrap()
        };
        let own = evaluate(None);
        assert_eq!((own.report.at_threshold, own.thresholds), (report.after, Some(report.values())));
        let forced = evaluate(Some(report.threshold));
        assert_eq!((forced.report.at_threshold, forced.thresholds), (report.before, None));

        for item in dataset.splits.iter_mut().flat_map(|split| &mut split.items) {
            item.states.fill(LabelState::Absent);
        }
        let error = checkpoint_thresholds(&checkpoint, &dataset, "val", 5, &options).unwrap_err();
        assert!(error.to_string().contains("no image of `val` has a label"), "{error}");
    }
}
