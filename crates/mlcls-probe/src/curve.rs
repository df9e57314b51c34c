//! Learning curves: what a head is worth that learns from part of the images.

use std::borrow::Cow;

use serde::Serialize;

use crate::error::Result;
use crate::features::Features;
use crate::head::{ProbeHead, deal, fit, mean_ap};

/// Shares of the training images that a curve has, and how many draws of each.
const SHARES: [(f64, usize); 4] = [(0.1, 5), (0.25, 5), (0.5, 5), (1.0, 1)];

/// A place of a learning curve.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Share of the training images, up to 1.
    pub share: f64,
    /// How many that are.
    pub images: usize,
    /// mAP (definition D) on the images of the evaluation for each draw, a fraction.
    pub maps: Vec<f64>,
}

impl CurvePoint {
    /// The mean over draws.
    pub fn mean(&self) -> f64 {
        self.maps.iter().sum::<f64>() / self.maps.len().max(1) as f64
    }

    /// The standard deviation over draws; `None` for a single one.
    pub fn spread(&self) -> Option<f64> {
        let (n, mean) = (self.maps.len(), self.mean());
        let sum: f64 = self.maps.iter().map(|map| (map - mean).powi(2)).sum();
        (n > 1).then(|| (sum / (n - 1) as f64).sqrt())
    }
}

/// mAP by the number of training images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearningCurve {
    /// Its places, the fewest images first.
    pub points: Vec<CurvePoint>,
}

impl LearningCurve {
    /// What the last doubling of the images brought, as a difference of mAP: 0.04 is four points.
    pub fn last_doubling(&self) -> Option<f64> {
        let [.., half, all] = self.points.as_slice() else { return None };
        Some((all.mean() - half.mean()) / (all.share / half.share).log2())
    }
}

/// Trains a head on growing parts of the features, each label in its share, and evaluates it on others.
///
/// The strength stays that of all images. Parts without an image are left out.
///
/// # Errors
/// Those of [`fit`].
pub fn learning_curve(
    train: &Features,
    test: &Features,
    head: ProbeHead,
    strength: f64,
    seed: u64,
) -> Result<LearningCurve> {
    let mut points = vec![];
    for (share, draws) in SHARES {
        let mut point = CurvePoint { share, images: 0, maps: vec![] };
        for draw in 0..draws {
            let part = match share < 1.0 {
                true => {
                    let part_of = deal(train, &[share, 1.0 - share], seed + draw as u64)?;
                    let chosen: Vec<usize> = (0..train.len()).filter(|i| part_of[*i] == 0).collect();
                    Cow::Owned(train.subset(&chosen))
                }
                false => Cow::Borrowed(train),
            };
            if part.is_empty() {
                continue;
            }
            point.images = part.len();
            point.maps.extend(mean_ap(test, &fit(&part, head, strength)?.logits(test)?)?);
        }
        if !point.maps.is_empty() {
            points.push(point);
        }
    }
    Ok(LearningCurve { points })
}
