//! Precision against recall.

use serde::Serialize;

use crate::average_precision::Ranking;
use crate::{Answer, Scores};

/// A point of [`precision_recall_curve`]: what deciding for the label from this score on would give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrPoint {
    /// The threshold.
    pub threshold: f32,
    /// The part of the images from there on that has the label.
    pub precision: f64,
    /// The part of the images with the label that lies there.
    pub recall: f64,
}

/// The corners of the curve of one label, from the highest score to the lowest: precision and recall at each score of an image
/// that has the label, and at the last score before the next of these, down to which precision falls. Empty without such an
/// image. Unknown entries are left out, equal scores enter together.
///
/// scikit-learn's curve has all scores, which lie on straight lines between these corners, and a point at recall 0. The sum of
/// `precision * (recall - recall before)` is the average precision by definition D.
///
/// ```
/// use mlcls_metrics::{Scores, precision_recall_curve};
///
/// let scores = Scores::new(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0], &[1.0; 4], 1)?;
/// let curve = precision_recall_curve(&scores, 0);
/// let points: Vec<_> = curve.iter().map(|p| (p.threshold, p.precision, p.recall)).collect();
/// assert_eq!(points, [(0.8, 1.0, 0.5), (0.4, 0.5, 0.5), (0.35, 2.0 / 3.0, 1.0), (0.1, 0.5, 1.0)]);
/// # Ok::<(), mlcls_metrics::Error>(())
/// ```
///
/// # Panics
/// If there is no such label.
pub fn precision_recall_curve(scores: &Scores<'_>, label: usize) -> Vec<PrPoint> {
    let positives = scores.label(label).filter(|(_, answer)| *answer == Answer::Present).count() as f64;
    let (mut found, mut ranks) = (0.0, 0.0);
    let mut curve = vec![];
    let mut valley = None;
    let ranking = Ranking::new(scores, label);
    for group in ranking.groups() {
        let count = |wanted| group.iter().filter(|(_, answer)| *answer == wanted).count() as f64;
        let (present, absent) = (count(Answer::Present), count(Answer::Absent));
        if present + absent == 0.0 || positives == 0.0 {
            continue;
        }
        (found, ranks) = (found + present, ranks + present + absent);
        let point = PrPoint { threshold: group[0].0, precision: found / ranks, recall: found / positives };
        if present > 0.0 {
            curve.extend(valley.take());
            curve.push(point);
        } else {
            valley = Some(point);
        }
    }
    curve.extend(valley);
    curve
}
