//! How strongly a head has to be held back, and what it says of images that it has not seen.

use mlcls_data::{LabelState, stratify};
use mlcls_metrics::{Calibration, Definition, Scores, Threshold, evaluate};
use serde::Serialize;

use super::path::Path;
use super::prepared::Prepared;
use super::{ProbeHead, require, turned};
use crate::error::Result;
use crate::features::Features;

/// One strength of a [`CrossValidation`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// See [`ProbeHead`].
    pub strength: f64,
    /// mAP (definition D) of the scores that images got from heads which had not seen them, a fraction; `None` where no label has a positive.
    pub map: Option<f64>,
}

/// What cross-validation found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossValidation {
    /// Parts that took turns in having no say.
    pub folds: usize,
    /// Every strength that was tried.
    pub tried: Vec<Tried>,
    /// The one with the highest mAP.
    pub strength: f64,
    /// Logits `[N, C]` at that strength, each of a head that had not seen the image.
    #[serde(skip)]
    pub logits: Vec<f32>,
}

/// Finds the strength by cross-validation over so many folds, at least 2, in each of which every label has its share.
///
/// # Errors
/// There are fewer images than folds.
pub fn cross_validate(
    features: &Features,
    head: ProbeHead,
    folds: usize,
    seed: u64,
) -> Result<CrossValidation> {
    let folds = folds.max(2);
    require(features, folds)?;
    let (n, labels) = (features.len(), features.labels());
    let fold_of = deal(features, &vec![1.0 / folds as f64; folds], seed)?;
    let prepared = Prepared::new(features, head)?;
    let (targets, mask) = (turned(&features.targets, labels), turned(&features.mask, labels));
    // One problem per fold and label, without a say for the images of the fold.
    let targets = targets.repeat(folds);
    let without = |fold: usize| {
        let (mask, fold_of) = (&mask, &fold_of);
        mask.iter().enumerate().map(move |(i, known)| if fold_of[i % n] == fold { 0.0 } else { *known })
    };
    let masks: Vec<f32> = (0..folds).flat_map(without).collect();
    let mut path = Path::new(&prepared, head, &targets, &masks)?;

    let (mut tried, mut best, mut since) = (vec![], None::<(f64, f64, Vec<f32>)>, 0);
    for &strength in head.strengths() {
        path.go_to(strength)?;
        let all = path.objective(1.0)?.logits(&path.place)?;
        let held_out =
            (0..n * labels).map(|i| all[(fold_of[i / labels] * labels + i % labels) * n + i / labels]);
        let logits: Vec<f32> = held_out.collect();
        let map = mean_ap(features, &logits)?;
        tried.push(Tried { strength, map });
        let value = map.unwrap_or(0.0);
        if best.as_ref().is_none_or(|(most, ..)| value > *most) {
            (best, since) = (Some((value, strength, logits)), 0);
        } else {
            since += 1;
            // The weakest are all alike, so these cannot end it.
            if since >= 3 && 2 * tried.len() > head.strengths().len() {
                break;
            }
        }
    }
    let (_, strength, logits) = best.unwrap_or_default();
    Ok(CrossValidation { folds, tried, strength, logits })
}

/// mAP (definition D) of logits `[N, C]`, a fraction: of their scores, as in any evaluation, since far out scores are equal.
pub(crate) fn mean_ap(features: &Features, logits: &[f32]) -> Result<Option<f64>> {
    let labels = features.labels();
    let scores = Calibration::None.scores(logits, labels);
    let scores = Scores::new(&scores, &features.targets, &features.mask, labels)?;
    Ok(evaluate(&scores, Threshold::from(0.5)).mean_ap(Definition::D))
}

/// The part of each image, with each label shared out as the fractions are.
pub(crate) fn deal(features: &Features, fractions: &[f64], seed: u64) -> Result<Vec<usize>> {
    let labels = features.labels();
    let state = |(target, known): (&f32, &f32)| match (*known == 1.0, *target == 1.0) {
        (false, _) => LabelState::Unknown,
        (true, true) => LabelState::Present,
        (true, false) => LabelState::Absent,
    };
    let states: Vec<LabelState> = features.targets.iter().zip(&features.mask).map(state).collect();
    let rows: Vec<&[LabelState]> = states.chunks_exact(labels.max(1)).collect();
    Ok(stratify(&rows, &[], fractions, seed)?)
}
