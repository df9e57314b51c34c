//! Labels for images that have none yet, for a person to look through.

use std::path::{Path, PathBuf};

use mlcls_data::{ImageError, LabelState};
use mlcls_engine::InferPlan;
use mlcls_train::Checkpoint;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::Result;
use crate::objective::length;
use crate::readable::{BATCH, Readable};

/// Candidates for each place of the list: the more, the more different its images and the less each was in order.
const CANDIDATES: usize = 5;

/// Which images come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Those whose answers are most in doubt: what a person says there teaches most.
    #[default]
    Uncertain,
    /// Those with the fewest doubts: they are confirmed at a glance.
    Sure,
}

/// The choices of [`suggest`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuggestOptions {
    /// Which images come first.
    pub order: Order,
    /// The most images of the list.
    pub count: usize,
    /// Score from which a label is suggested as present.
    pub present: f32,
    /// Score up to which it is suggested as absent; between the two it stays unknown.
    pub absent: f32,
}

impl Default for SuggestOptions {
    fn default() -> Self {
        Self { order: Order::default(), count: 200, present: 0.9, absent: 0.1 }
    }
}

/// What a model sees in some image files.
#[derive(Debug, Default)]
pub struct Seen {
    /// The files that could be used, in their order.
    pub paths: Vec<PathBuf>,
    /// Scores of each, `[N, C]`.
    pub scores: Vec<f32>,
    /// Pooled features of each, `[N, D]`.
    pub features: Vec<f32>,
    /// The files that could not.
    pub problems: Vec<ImageError>,
}

/// An image of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// Its place among [`Seen::paths`].
    pub image: usize,
    /// What is suggested for each label.
    pub states: Vec<LabelState>,
    /// How many of its answers would be wrong, on average, if every label were decided by what is more probable: the sum of
    /// `min(score, 1 - score)`. It is what the list is sorted by, and means what it says where scores are calibrated.
    pub doubt: f64,
}

/// Takes image files through a checkpoint's network; `progress` gets images so far and in all.
///
/// # Errors
/// The model cannot run. Files that are no usable images are in [`Seen::problems`].
pub fn see(
    checkpoint: &Checkpoint,
    paths: &[PathBuf],
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Seen> {
    let info = &checkpoint.info;
    let mut plan = InferPlan::new(&checkpoint.model.graph, &checkpoint.weights, BATCH)?;
    let mut seen = Seen::default();
    for (number, batch) in paths.chunks(BATCH).enumerate() {
        let files: Vec<&Path> = batch.iter().map(PathBuf::as_path).collect();
        let images = Readable::load(&files, info.image_size, info.resize);
        if !images.places.is_empty() {
            seen.scores.extend(info.scores(plan.run(&images.pixels, images.places.len())?));
            seen.features.extend_from_slice(plan.features().unwrap_or_default());
        }
        seen.paths.extend(images.places.iter().map(|&place| batch[place].clone()));
        seen.problems.extend(images.problems);
        progress((number * BATCH + batch.len()).min(paths.len()), paths.len());
    }
    Ok(seen)
}

/// Chooses images and suggests what they show.
///
/// Where there are more images than the list has places, it is filled from the five times as many that come first in the order:
/// each place takes the one whose features are least like those of any image chosen before (k-centre, Gonzalez 1985), so that
/// copies and near-copies do not fill it. The list is then in the order that was asked for.
///
/// ```
/// use mlcls_probe::{Order, Seen, SuggestOptions, suggest};
///
/// // Two near-copies in doubt, another one in less doubt, and one without.
/// let seen = Seen {
///     scores: vec![0.5, 0.52, 0.3, 0.99],
///     features: vec![1.0, 0.0, 1.0, 0.01, 0.0, 1.0, 0.5, 0.5],
///     ..Seen::default()
/// };
/// let options = SuggestOptions { count: 2, ..SuggestOptions::default() };
/// let list = suggest(&seen, 1, &options);
/// assert_eq!(list.iter().map(|s| s.image).collect::<Vec<_>>(), [0, 2]);
/// ```
pub fn suggest(seen: &Seen, labels: usize, options: &SuggestOptions) -> Vec<Suggestion> {
    let rows = seen.scores.chunks_exact(labels.max(1));
    let doubt = |row: &[f32]| row.iter().map(|&s| f64::from(s.min(1.0 - s).max(0.0))).sum::<f64>();
    let doubts: Vec<f64> = rows.clone().map(doubt).collect();
    let mut order: Vec<usize> = (0..doubts.len()).collect();
    order.sort_by(|&a, &b| match options.order {
        Order::Uncertain => doubts[b].total_cmp(&doubts[a]),
        Order::Sure => doubts[a].total_cmp(&doubts[b]),
    });
    if order.len() > options.count {
        order.truncate(options.count.saturating_mul(CANDIDATES));
        let chosen = far_apart(&seen.features, seen.features.len() / doubts.len(), &order, options.count);
        order.retain(|image| chosen.contains(image));
    }
    let state = |&score: &f32| match score {
        s if s >= options.present => LabelState::Present,
        s if s <= options.absent => LabelState::Absent,
        _ => LabelState::Unknown,
    };
    let rows: Vec<&[f32]> = rows.collect();
    let suggestion = |image: usize| Suggestion {
        image,
        states: rows[image].iter().map(state).collect(),
        doubt: doubts[image],
    };
    order.into_iter().map(suggestion).collect()
}

/// Up to `count` of the candidates: the first, then always the one that is farthest from all chosen before, by the angle between
/// features. Of several as far away the first one.
fn far_apart(features: &[f32], width: usize, candidates: &[usize], count: usize) -> Vec<usize> {
    let row = |image: usize| &features[image * width..(image + 1) * width];
    let cosine = |a: usize, b: usize| -> f32 {
        let dot: f32 = row(a).iter().zip(row(b)).map(|(a, b)| a * b).sum();
        dot / (length(row(a)) * length(row(b)))
    };
    let mut chosen = vec![];
    // The likeness to the nearest of the chosen ones.
    let mut nearest = vec![f32::NEG_INFINITY; candidates.len()];
    while chosen.len() < count.min(candidates.len()) {
        let next = (0..candidates.len()).min_by(|&a, &b| nearest[a].total_cmp(&nearest[b])).unwrap_or(0);
        let image = candidates[next];
        chosen.push(image);
        nearest.par_iter_mut().zip(candidates).for_each(|(nearest, &other)| {
            *nearest = nearest.max(cosine(image, other));
        });
        nearest[next] = f32::INFINITY;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten images in doubt that all look the same, and one of another kind.
    fn seen() -> Seen {
        let features = (0..10).flat_map(|i| [1.0, 0.001 * i as f32]).chain([0.0, 1.0]).collect();
        let scores = (0..11).flat_map(|i| [0.5 - 0.02 * i as f32, 0.95]).collect();
        Seen { scores, features, ..Seen::default() }
    }

    fn images(options: &SuggestOptions) -> Vec<usize> {
        suggest(&seen(), 2, options).iter().map(|s| s.image).collect()
    }

    #[test]
    fn copies_do_not_fill_the_list() {
        let options = SuggestOptions { count: 3, ..SuggestOptions::default() };
        assert_eq!(images(&options), [0, 9, 10], "the other kind, and the least alike of the same");
        let sure = SuggestOptions { order: Order::Sure, ..options };
        assert_eq!(images(&sure), [10, 9, 0]);
    }

    #[test]
    fn a_list_with_room_has_all_in_order() {
        assert_eq!(images(&SuggestOptions::default()), (0..11).collect::<Vec<_>>());
        assert!(suggest(&Seen::default(), 2, &SuggestOptions::default()).is_empty());
    }

    #[test]
    fn between_the_two_scores_nothing_is_said() {
        use LabelState::{Absent, Present, Unknown};
        let options = SuggestOptions { present: 0.9, absent: 0.3, ..SuggestOptions::default() };
        let list = suggest(&seen(), 2, &options);
        assert_eq!(list[0].states, [Unknown, Present]);
        assert_eq!(list[10].states, [Absent, Present]);
        assert!((list[0].doubt - 0.55).abs() < 1e-6, "{}", list[0].doubt);
    }
}
