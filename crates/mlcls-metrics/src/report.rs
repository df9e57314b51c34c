//! Everything at once: the report that an evaluation prints and saves.

use serde::Serialize;

use crate::average_precision::Ranking;
use crate::threshold::{Threshold, count_per_label, summarise};
use crate::{AtThreshold, Counts, Definition, MeanAp, Scores, Ties};

/// All metrics of one evaluation. Fractions from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How many images were evaluated.
    pub images: usize,
    /// The mean average precision by definition D, the one to report. Equal scores enter together.
    #[serde(rename = "mAP")]
    pub map: Option<f64>,
    /// By definition A.
    #[serde(rename = "mAP_A")]
    pub map_a: Option<f64>,
    /// By definition B.
    #[serde(rename = "mAP_B")]
    pub map_b: Option<f64>,
    /// By the 11 points of VOC 2007.
    #[serde(rename = "mAP_VOC07")]
    pub map_voc07: Option<f64>,
    /// How many labels were left out of these means because they have no positives.
    pub labels_without_positives: usize,
    /// The metrics of decisions.
    pub at_threshold: AtThreshold,
    /// One entry for each label, in order.
    pub per_label: Vec<LabelReport>,
}

impl Report {
    /// The mean average precision by one definition.
    pub fn mean_ap(&self, definition: Definition) -> Option<f64> {
        match definition {
            Definition::A => self.map_a,
            Definition::B => self.map_b,
            Definition::D => self.map,
            Definition::Voc07 => self.map_voc07,
        }
    }
}

/// The metrics of one label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LabelReport {
    /// Average precision by definition D; `None` without positives.
    pub ap: Option<f64>,
    /// How many images have the label.
    pub positives: usize,
    /// How many images do not.
    pub negatives: usize,
    /// Of how many images it is unknown.
    pub unknowns: usize,
    /// Precision at the threshold; `None` if the label was never predicted.
    pub precision: Option<f64>,
    /// Recall at the threshold; `None` without positives.
    pub recall: Option<f64>,
    /// F1 at the threshold; `None` if the label is nowhere present and was never predicted.
    pub f1: Option<f64>,
}

/// Computes every metric of this crate, sorting the images once for each label.
///
/// # Panics
/// If there are fewer thresholds than labels.
pub fn evaluate<'t>(scores: &Scores<'_>, threshold: impl Into<Threshold<'t>>) -> Report {
    let threshold = threshold.into();
    let rankings = (0..scores.labels()).map(|label| Ranking::new(scores, label));
    let aps: Vec<[Option<f64>; 4]> = rankings
        .map(|r| Definition::ALL.map(|definition| r.average_precision(definition, Ties::Together)))
        .collect();
    let [a, b, d, voc07] = [0, 1, 2, 3].map(|i| MeanAp::of(aps.iter().map(|ap| ap[i]).collect()));
    let counts = count_per_label(scores, threshold);
    let label = |(counts, &ap): (&Counts, _)| LabelReport {
        ap,
        positives: counts.positives(),
        negatives: counts.negatives(),
        unknowns: scores.images() - counts.known(),
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
    };
    Report {
        images: scores.images(),
        map: d.mean,
        map_a: a.mean,
        map_b: b.mean,
        map_voc07: voc07.mean,
        labels_without_positives: d.left_out,
        at_threshold: summarise(scores, &counts, threshold),
        per_label: counts.iter().zip(&d.per_label).map(label).collect(),
    }
}
