//! Answers that a model doubts.

use serde::Serialize;

use crate::{Answer, Scores};

/// An answer that may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SuspectedError {
    /// Row of the image.
    pub image: usize,
    /// The label.
    pub label: usize,
    /// Whether the data say that the label is present.
    pub given: bool,
    /// The model's score.
    pub score: f32,
    /// How much less the model agrees than it usually does where this answer was given for this label, from 0 to 1; the larger,
    /// the more suspicious.
    pub doubt: f64,
}

/// Answers that contradict a model which did not learn from them, the most suspicious first.
///
/// This is confident learning ([Northcutt et al. 2021](https://arxiv.org/abs/1911.00068)) with every label as a question of its
/// own with two answers, as cleanlab does for multi-label data. With `p` the score of the label, and `1 - p` that of its absence,
/// an answer is *confident* at an image where its score reaches the mean over the images with that answer given. An image is
/// suspected where the most probable confident answer is not the given one. The thresholds are the model's own habits, so
/// scores need not be probabilities, and a rare label is not suspected for being scored low in general.
///
/// Unknown answers take no part, neither do labels of which only one answer occurs. Scores are taken as from 0 to 1. cleanlab's
/// `find_label_issues` further drops images whose score is on the given side of 0.5, which would need calibrated scores; its
/// `compute_confident_joint` equals ours.
///
/// ```
/// use mlcls_metrics::{Scores, suspected_label_errors};
///
/// // The last image looks like those that have the label.
/// let scores = Scores::new(&[0.9, 0.8, 0.1, 0.2, 0.88], &[1.0, 1.0, 0.0, 0.0, 0.0], &[1.0; 5], 1)?;
/// let suspects = suspected_label_errors(&scores);
/// assert_eq!((suspects.len(), suspects[0].image, suspects[0].given), (1, 4, false));
/// # Ok::<(), mlcls_metrics::Error>(())
/// ```
pub fn suspected_label_errors(scores: &Scores<'_>) -> Vec<SuspectedError> {
    let mut suspects: Vec<SuspectedError> =
        (0..scores.labels()).flat_map(|label| suspects_of(scores, label)).collect();
    suspects.sort_by(|a, b| b.doubt.total_cmp(&a.doubt));
    suspects
}

fn suspects_of(scores: &Scores<'_>, label: usize) -> Vec<SuspectedError> {
    let known = || {
        scores.label(label).enumerate().filter_map(|(image, (score, answer))| match answer {
            Answer::Unknown => None,
            answer => Some((image, score, answer == Answer::Present)),
        })
    };
    let agreement = |score: f32, present: bool| {
        let score = f64::from(score).clamp(0.0, 1.0);
        if present { score } else { 1.0 - score }
    };
    let mean = |present: bool| {
        let given = known().filter(|&(.., given)| given == present);
        let (count, sum) =
            given.fold((0, 0.0), |(n, sum), (_, score, _)| (n + 1, sum + agreement(score, present)));
        (count > 0).then(|| sum / f64::from(count))
    };
    let (Some(present), Some(absent)) = (mean(true), mean(false)) else { return vec![] };
    let usual = |answer: bool| if answer { present } else { absent };
    let suspected = |(image, score, given): (usize, f32, bool)| {
        let confident = |answer: bool| agreement(score, answer) >= usual(answer);
        let other =
            confident(!given) && (!confident(given) || agreement(score, !given) > agreement(score, given));
        let doubt = usual(given) - agreement(score, given);
        other.then_some(SuspectedError { image, label, given, score, doubt })
    };
    known().filter_map(suspected).collect()
}
