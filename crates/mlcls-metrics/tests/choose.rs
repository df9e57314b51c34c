//! Chosen thresholds beside every other threshold, and cross-fitting beside its definition.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_metrics::{
    AtThreshold, Goal, Scores, ThresholdOptions, at_threshold, choose_thresholds, cross_fit_thresholds,
};
use proptest::prelude::*;

/// Scores with many ties, targets and masks of up to three labels.
fn arrays() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<f32>, usize)> {
    (1..4_usize, 1..40_usize).prop_flat_map(|(labels, images)| {
        let entries = labels * images;
        let score = (0..12_u8).prop_map(|n| f32::from(n) / 11.0);
        let bit = |share: f64| prop::bool::weighted(share).prop_map(|b| f32::from(u8::from(b)));
        (
            prop::collection::vec(score, entries),
            prop::collection::vec(bit(0.4), entries),
            prop::collection::vec(bit(0.9), entries),
            Just(labels),
        )
    })
}

/// Metrics of one label alone at one threshold.
fn alone(scores: &[f32], targets: &[f32], mask: &[f32], labels: usize, label: usize, at: f32) -> AtThreshold {
    let column = |all: &[f32]| all.iter().skip(label).step_by(labels).copied().collect::<Vec<f32>>();
    let (scores, targets, mask) = (column(scores), column(targets), column(mask));
    at_threshold(&Scores::new(&scores, &targets, &mask, 1).unwrap(), at)
}

proptest! {
    #[test]
    fn no_other_threshold_is_better((scores, targets, mask, labels) in arrays(), floor in 0.05..1.0_f64) {
        let checked = Scores::new(&scores, &targets, &mask, labels).unwrap();
        for goal in [Goal::F1, Goal::Precision(floor), Goal::Recall(floor)] {
            let options = ThresholdOptions { goal, least_positives: 1, folds: 5 };
            for (label, chosen) in choose_thresholds(&checked, &options).iter().enumerate() {
                if chosen.pooled {
                    continue; // Nothing present.
                }
                let at = |threshold| alone(&scores, &targets, &mask, labels, label, threshold);
                let here = at(chosen.threshold);
                for other in scores.iter().map(|&score| at(score)) {
                    match goal {
                        Goal::F1 => prop_assert!(here.of1 >= other.of1),
                        Goal::Precision(_) if chosen.reached => {
                            prop_assert!(here.op >= floor && (other.op < floor || other.or <= here.or));
                        }
                        Goal::Precision(_) => prop_assert!(other.op < floor && other.op <= here.op),
                        Goal::Recall(_) => {
                            prop_assert!(chosen.reached && here.or >= floor);
                            prop_assert!(other.or < floor || other.op <= here.op);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn labels_with_few_positives_share_the_threshold_of_all((scores, targets, mask, labels) in arrays()) {
        let checked = Scores::new(&scores, &targets, &mask, labels).unwrap();
        let options = ThresholdOptions { least_positives: usize::MAX, ..Default::default() };
        let chosen = choose_thresholds(&checked, &options);
        prop_assert!(chosen.iter().all(|c| c.pooled && c.threshold == chosen[0].threshold));
        let best = at_threshold(&checked, chosen[0].threshold).of1;
        for &score in &scores {
            prop_assert!(at_threshold(&checked, score).of1 <= best);
        }
    }

    /// Each entry is decided by thresholds that are chosen without its part.
    #[test]
    fn cross_fitting_is_what_it_says((scores, targets, mask, labels) in arrays(), folds in 2..6_usize) {
        let checked = Scores::new(&scores, &targets, &mask, labels).unwrap();
        let options = ThresholdOptions { least_positives: 2, folds, ..Default::default() };
        let mut part = vec![0; scores.len()];
        for label in 0..labels {
            let mut turns = [0; 2];
            for i in (label..scores.len()).step_by(labels).filter(|&i| mask[i] == 1.0) {
                let turn = &mut turns[targets[i] as usize];
                part[i] = *turn % folds;
                *turn += 1;
            }
        }
        let mut decisions = vec![0.0; scores.len()];
        for fold in 0..folds {
            // Without a part: its answers become unknown.
            let others: Vec<f32> = part.iter().zip(&mask).map(|(&p, &m)| if p == fold { 0.0 } else { m }).collect();
            let rest = Scores::new(&scores, &targets, &others, labels).unwrap();
            let chosen = choose_thresholds(&rest, &options);
            for i in (0..scores.len()).filter(|&i| part[i] == fold) {
                decisions[i] = if scores[i] >= chosen[i % labels].threshold { 1.0 } else { 0.0 };
            }
        }
        let expected = at_threshold(&Scores::new(&decisions, &targets, &mask, labels).unwrap(), 0.5);
        prop_assert_eq!(cross_fit_thresholds(&checked, &options), expected);
    }
}

#[test]
fn thresholds_lie_between_scores_and_work_at_their_ends() {
    let chosen = |scores: &[f32], targets: &[f32]| {
        let scores = Scores::new(scores, targets, &[1.0; 4], 1).unwrap();
        let options = ThresholdOptions { least_positives: 1, ..Default::default() };
        choose_thresholds(&scores, &options)[0]
    };
    assert_eq!(chosen(&[0.75, 0.5, 0.25, 0.0], &[1.0, 1.0, 0.0, 0.0]).threshold, 0.375);
    // All present: the lowest score. Nothing present: nothing is predicted.
    assert_eq!(chosen(&[0.75, 0.5, 0.25, 0.125], &[1.0; 4]).threshold, 0.125);
    let nothing = chosen(&[0.75, 0.5, 0.25, 0.0], &[0.0; 4]);
    assert!(nothing.threshold == f32::INFINITY && !nothing.reached && nothing.pooled);
    // Neighbours in floating point, infinities, and zeros of both signs.
    let next = 0.5_f32.next_up();
    assert_eq!(chosen(&[next, 0.5, 0.5, 0.5], &[1.0, 0.0, 0.0, 0.0]).threshold, next);
    assert_eq!(
        chosen(&[f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0], &[1.0, 0.0, 0.0, 0.0]).threshold,
        f32::INFINITY
    );
    assert_eq!(chosen(&[0.0, -0.0, -1.0, -1.0], &[1.0, 1.0, 0.0, 0.0]).threshold, -0.5);
}
