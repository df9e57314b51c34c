//! Thresholds chosen for each label, and what they are worth on images that had no say in them.

use serde::Serialize;

use crate::counts::Counts;
use crate::folds::Folds;
use crate::threshold::{AtThreshold, at_threshold};
use crate::{Answer, Scores};

/// What a threshold is chosen for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The best F1.
    #[default]
    F1,
    /// The most recall with at least this precision, 0 to 1.
    Precision(f64),
    /// The most precision with at least this recall, 0 to 1.
    Recall(f64),
}

/// How thresholds are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdOptions {
    /// What for.
    pub goal: Goal,
    /// Positives that a label must have for a threshold of its own. With fewer the best threshold is mostly luck; the label
    /// then shares one with the other rare labels, that which is best for their decisions pooled. Where all of them together
    /// have too few, it is that which is best for all labels pooled. (Pooled with frequent labels, rare ones get thresholds that they
    /// hardly reach.)
    pub least_positives: usize,
    /// Parts of [`cross_fit_thresholds`], at least 2.
    pub folds: usize,
}

impl Default for ThresholdOptions {
    /// The best F1, from 5 positives on, five folds.
    fn default() -> Self {
        Self { goal: Goal::F1, least_positives: 5, folds: 5 }
    }
}

/// The threshold of a label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChosenThreshold {
    /// From this score on the label is predicted present: midway between two scores, or the lowest of all.
    pub threshold: f32,
    /// Whether the label had too few positives, and so shares its threshold with others.
    pub pooled: bool,
    /// Whether the goal is reached on the images that chose it. A precision may be out of reach; the threshold is then that of the greatest
    /// precision.
    pub reached: bool,
}

/// Chooses a threshold for each label. Unknown entries have no say.
///
/// Of several that are equally good, the highest is taken. Where nothing at all is known or nothing is present, there is
/// nothing to choose by, and every threshold is infinite: nothing is predicted.
///
/// ```
/// use mlcls_metrics::{Scores, ThresholdOptions, choose_thresholds};
///
/// let scores = Scores::new(&[0.9, 0.4, 0.3, 0.1], &[1.0, 0.0, 1.0, 0.0], &[1.0; 4], 1)?;
/// let options = ThresholdOptions { least_positives: 1, ..Default::default() };
/// let chosen = choose_thresholds(&scores, &options);
/// assert!((chosen[0].threshold - 0.2).abs() < 1e-6); // F1 0.8 from 0.3 on, 0.67 from 0.9 on
/// # Ok::<(), mlcls_metrics::Error>(())
/// ```
pub fn choose_thresholds(scores: &Scores<'_>, options: &ThresholdOptions) -> Vec<ChosenThreshold> {
    let labels = 0..scores.labels();
    let curves: Vec<Curve> = labels.clone().map(|label| Curve::new(scores.label(label))).collect();
    let few = |curve: &Curve| curve.positives < options.least_positives.max(1);
    let (pooled, pooled_reached) = if curves.iter().any(few) {
        let rare = labels.clone().filter(|label| few(&curves[*label]));
        let pool = Curve::new(rare.flat_map(|label| scores.label(label)));
        let all = || Curve::new(labels.flat_map(|label| scores.label(label)));
        let pool = if few(&pool) { all() } else { pool };
        pool.best(options.goal)
    } else {
        (f32::INFINITY, false)
    };
    let choice = |curve: &Curve| {
        let pooled_here = few(curve);
        let (threshold, reached) =
            if pooled_here { (pooled, pooled_reached) } else { curve.best(options.goal) };
        ChosenThreshold { threshold, pooled: pooled_here, reached }
    };
    curves.iter().map(choice).collect()
}

/// What choosing thresholds is worth on new images: of each label the positives and the negatives are dealt out in turns to
/// [`folds`](ThresholdOptions::folds) parts, and each part is decided by thresholds that are chosen on the others.
///
/// The thresholds that [`choose_thresholds`] gives look better than this on the images that chose them, and will not on others.
///
/// ```
/// use mlcls_metrics::{Scores, ThresholdOptions, at_threshold, choose_thresholds, cross_fit_thresholds};
///
/// // Scores that say nothing: whatever is gained where it was chosen is luck.
/// let scores: Vec<f32> = (0..40).map(|i| (i * 17 % 40) as f32 / 40.0).collect();
/// let targets: Vec<f32> = (0..40).map(|i| if i * 29 % 40 < 12 { 1.0 } else { 0.0 }).collect();
/// let scores = Scores::new(&scores, &targets, &[1.0; 40], 1)?;
/// let options = ThresholdOptions::default();
/// let chosen: Vec<f32> = choose_thresholds(&scores, &options).iter().map(|c| c.threshold).collect();
/// let flattering = at_threshold(&scores, chosen.as_slice()).of1;
/// assert!(cross_fit_thresholds(&scores, &options).of1 <= flattering);
/// # Ok::<(), mlcls_metrics::Error>(())
/// ```
pub fn cross_fit_thresholds(scores: &Scores<'_>, options: &ThresholdOptions) -> AtThreshold {
    let decisions = Folds::deal(scores, options.folds).cross_fit(
        scores,
        |others| choose_thresholds(others, options),
        |chosen, label, score| if score >= chosen[label].threshold { 1.0 } else { 0.0 },
    );
    at_threshold(&scores.with_scores(&decisions), 0.5)
}

/// What every threshold would lead to, from the highest down.
struct Curve {
    points: Vec<(f32, Counts)>,
    positives: usize,
}

impl Curve {
    fn new(entries: impl Iterator<Item = (f32, Answer)>) -> Self {
        let mut known: Vec<(f32, Answer)> = entries.filter(|entry| entry.1 != Answer::Unknown).collect();
        known.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut counts = Counts::default();
        known.iter().for_each(|(_, answer)| counts.add(false, *answer));
        let positives = counts.positives();
        let mut points = vec![];
        for (i, &(score, answer)) in known.iter().enumerate() {
            match answer {
                Answer::Present => {
                    counts.true_positives += 1;
                    counts.false_negatives -= 1;
                }
                _ => {
                    counts.false_positives += 1;
                    counts.true_negatives -= 1;
                }
            }
            match known.get(i + 1) {
                // Equal scores are decided together. Zeros of both signs are equal too.
                Some((next, _)) if *next == score => {}
                next => points.push((next.map_or(score, |(next, _)| between(score, *next)), counts)),
            }
        }
        Self { points, positives }
    }

    /// The best threshold, and whether the goal is reached.
    fn best(&self, goal: Goal) -> (f32, bool) {
        // The first number decides, then the second.
        let worth = |counts: &Counts| {
            let [precision, recall, f1] =
                [counts.precision(), counts.recall(), counts.f1()].map(|v| v.unwrap_or(0.0));
            match goal {
                Goal::F1 => (f1, 0.0, true),
                Goal::Precision(floor) if precision >= floor => (1.0, recall, true),
                Goal::Precision(_) => (0.0, precision, false),
                Goal::Recall(floor) if recall >= floor => (1.0, precision, true),
                Goal::Recall(_) => (0.0, recall, false),
            }
        };
        let mut best = (f32::INFINITY, (f64::NEG_INFINITY, f64::NEG_INFINITY, false));
        for (threshold, counts) in self.points.iter().filter(|_| self.positives > 0) {
            let here = worth(counts);
            if (here.0, here.1) > (best.1.0, best.1.1) {
                best = (*threshold, here);
            }
        }
        (best.0, best.1.2)
    }
}

/// A number above `low` and at most `high`, midway where there is room.
fn between(high: f32, low: f32) -> f32 {
    let middle = low / 2.0 + high / 2.0;
    if low < middle && middle <= high { middle } else { high }
}
