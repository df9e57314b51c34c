//! Scores that are probabilities: a calibration of a checkpoint, fitted on a split.

use mlcls_data::Dataset;
use mlcls_metrics::{
    Bin, Calibration, Scores, calibration_error, cross_fit_calibration, log_loss, reliability,
};
use serde::Serialize;

use crate::checkpoint::{Checkpoint, CheckpointInfo};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::score_split;

/// How a checkpoint is calibrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationMethod {
    /// A slope and an offset for each label.
    Platt,
    /// One temperature for all.
    Temperature,
}

/// Positives and negatives that a label needs for a line of its own.
const LEAST_POSITIVES: usize = 10;

/// Parts in cross-fitting.
const FOLDS: usize = 5;

/// Bins of a reliability diagram, as most papers take them.
const BINS: usize = 15;

/// How far scores are from probabilities.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// Expected calibration error, 15 bins: see [`calibration_error`].
    pub ece: f64,
    /// See [`log_loss`].
    pub log_loss: f64,
    /// The diagram.
    pub bins: Vec<Bin>,
}

impl Reliability {
    /// `None` where nothing is known.
    fn of(scores: &Scores<'_>) -> Option<Self> {
        let bins = reliability(scores, BINS);
        Some(Self { ece: calibration_error(&bins)?, log_loss: log_loss(scores)?, bins })
    }
}

/// A calibration that was fitted on a split, and what it is worth.
#[derive(Clone, Debug, Serialize)]
pub struct CalibrationReport {
    /// The split that it was fitted on.
    pub split: String,
    /// Its images.
    pub images: usize,
    /// What was fitted.
    pub calibration: Calibration,
    /// The sigmoids of the logits.
    pub before: Reliability,
    /// The calibrated scores of the same images. They flatter, since the same images fitted them.
    pub after: Reliability,
    /// Calibrated scores of images that had no say: see [`cross_fit_calibration`].
    pub cross_fitted: Reliability,
}

/// Fits a calibration of a checkpoint on a split of a data set with the same labels (in any order). That split should be one that
/// was not trained on. A calibration that the checkpoint has already is not looked at.
///
/// # Errors
/// The split does not exist or nothing is known of it, the labels differ, images cannot be read (all of a batch are
/// listed), or no calibration is better than none.
pub fn fit_calibration(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    split: &str,
    batch_size: usize,
    method: CalibrationMethod,
) -> Result<CalibrationReport> {
    let labels = checkpoint.info.labels.len();
    let scored = score_split(checkpoint, dataset, split, batch_size, Device::Cpu)?;
    let fit = |logits: &Scores<'_>| match method {
        CalibrationMethod::Platt => Calibration::fit_platt(logits, LEAST_POSITIVES),
        CalibrationMethod::Temperature => Calibration::fit_temperature(logits),
    };
    let logits = scored.view(&scored.logits, labels)?;
    let calibration = fit(&logits);
    let reliability = |scores: Vec<f32>| Ok::<_, Error>(Reliability::of(&scored.view(&scores, labels)?));
    let of_all = [
        reliability(Calibration::None.scores(&scored.logits, labels))?,
        reliability(calibration.scores(&scored.logits, labels))?,
        reliability(cross_fit_calibration(&logits, FOLDS, fit))?,
    ];
    let no_data = |reason: String| Error::NoData { root: dataset.root.clone(), reason };
    let [Some(before), Some(after), Some(cross_fitted)] = of_all else {
        return Err(no_data(format!("nothing is known of `{split}`, so there is nothing to fit to")));
    };
    if calibration == Calibration::None {
        let reason = "scores are not higher where labels are present, so they cannot be calibrated";
        return Err(no_data(format!("`{split}`: {reason}")));
    }
    let images = scored.logits.len() / labels.max(1);
    Ok(CalibrationReport { split: split.to_owned(), images, calibration, before, after, cross_fitted })
}

impl CheckpointInfo {
    /// Takes a calibration, and moves thresholds to where they decide as before.
    pub fn calibrate(&mut self, calibration: Calibration) {
        let moved = |label, threshold| calibration.score(label, self.calibration.logit(label, threshold));
        let per_label = |label| moved(label, self.thresholds.as_ref().map_or(self.threshold, |t| t[label]));
        self.thresholds = Some((0..self.labels.len()).map(per_label).collect());
        self.calibration = calibration;
    }
}

#[cfg(test)]
mod tests {
    use mlcls_data::LabelState;

    use super::*;
    use crate::evaluate::{EvalOptions, evaluate_checkpoint};
    use crate::testing;

    #[test]
    fn a_calibration_changes_scores_and_no_decision() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = testing::dataset(folder.path(), 2, 24);
        let mut checkpoint = testing::checkpoint();
        let evaluate = |checkpoint: &Checkpoint| {
            evaluate_checkpoint(checkpoint, &dataset, "val", &EvalOptions::default()).unwrap()
        };
        let before = evaluate(&checkpoint);
        for calibration in
            [Calibration::Platt(vec![[0.5, 0.3], [2.0, -1.0], [1.0, 0.1]]), Calibration::Temperature(3.0)]
        {
            checkpoint.info.calibrate(calibration);
            let after = evaluate(&checkpoint);
            assert_ne!(after.scores, before.scores);
            assert_eq!((&after.report, after.loss), (&before.report, before.loss));
        }
    }

    /// Platt's prior may cost a little of the likelihood on so few images; a temperature is fitted by it alone.
    #[test]
    fn a_temperature_is_at_least_as_likely_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = testing::dataset(folder.path(), 2, 24);
        let checkpoint = testing::checkpoint();
        let report =
            fit_calibration(&checkpoint, &dataset, "val", 7, CalibrationMethod::Temperature).unwrap();
        assert!(report.after.log_loss <= report.before.log_loss + 1e-9, "{report:?}");
        let states = dataset.splits[1].items.iter().flat_map(|item| &item.states);
        let known = states.filter(|state| **state != LabelState::Unknown).count();
        for reliability in [&report.before, &report.after, &report.cross_fitted] {
            assert_eq!(reliability.bins.iter().map(|bin| bin.count).sum::<usize>(), known);
        }
        let error = fit_calibration(&checkpoint, &dataset, "vla", 7, CalibrationMethod::Platt).unwrap_err();
        assert!(error.to_string().contains("did you mean `val`?"), "{error}");
    }
}
