//! Average precision against its definitions written naively, and the laws that they obey.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_metrics::{Answer, Definition, Scores, Ties, at_threshold, average_precision, evaluate, mean_ap};
use proptest::prelude::*;

/// Scores, targets and mask of one label, or of several if read by rows.
#[derive(Debug, Clone)]
struct Table {
    scores: Vec<f32>,
    targets: Vec<f32>,
    mask: Vec<f32>,
}

impl Table {
    fn of(entries: &[(f32, Answer)]) -> Self {
        Self {
            scores: entries.iter().map(|e| e.0).collect(),
            targets: entries.iter().map(|e| f32::from(e.1 == Answer::Present)).collect(),
            mask: entries.iter().map(|e| f32::from(e.1 != Answer::Unknown)).collect(),
        }
    }

    fn view(&self, labels: usize) -> Scores<'_> {
        Scores::new(&self.scores, &self.targets, &self.mask, labels).unwrap()
    }
}

fn ap(entries: &[(f32, Answer)], definition: Definition, ties: Ties) -> Option<f64> {
    average_precision(&Table::of(entries).view(1), 0, definition, ties)
}

/// Few distinct scores, so that most tests see ties; sometimes no positives, sometimes only unknowns.
fn entries(rows: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(f32, Answer)>> {
    let score = prop_oneof![
        3 => (-4i8..4).prop_map(|s| f32::from(s) / 4.0),
        1 => -2.0f32..2.0,
        1 => prop_oneof![Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(-0.0f32)],
    ];
    let answer =
        prop_oneof![2 => Just(Answer::Present), 3 => Just(Answer::Absent), 1 => Just(Answer::Unknown)];
    prop::collection::vec((score, answer), rows)
}

/// Precision and recall (as the number found) for every "at least this score", by counting all images each time.
fn naive_curve(entries: &[(f32, Answer)], unknown_is_absent: bool) -> Vec<(f64, usize)> {
    let ranked: Vec<_> =
        entries.iter().filter(|e| unknown_is_absent || e.1 != Answer::Unknown).copied().collect();
    let mut thresholds: Vec<f32> = ranked.iter().map(|e| e.0).collect();
    thresholds.sort_by(|a, b| b.partial_cmp(a).unwrap());
    thresholds.dedup();
    let at = |threshold: f32| {
        let said: Vec<_> = ranked.iter().filter(|e| e.0 >= threshold).collect();
        let found = said.iter().filter(|e| e.1 == Answer::Present).count();
        (found as f64 / said.len() as f64, found)
    };
    thresholds.into_iter().map(at).collect()
}

/// The sum over thresholds of precision times gain in recall, or the interpolated forms of it.
fn naive_ap(entries: &[(f32, Answer)], definition: Definition) -> Option<f64> {
    let positives = entries.iter().filter(|e| e.1 == Answer::Present).count();
    if positives == 0 {
        return None;
    }
    let curve = naive_curve(entries, matches!(definition, Definition::A | Definition::B));
    let best_from = |found: usize, tenths: usize| {
        let later = curve.iter().filter(|(_, f)| *f >= found && 10 * f >= tenths * positives);
        later.map(|(precision, _)| *precision).fold(0.0, f64::max)
    };
    if definition == Definition::Voc07 {
        return Some((0..=10).map(|tenths| best_from(0, tenths)).sum::<f64>() / 11.0);
    }
    let mut before = 0;
    let mut sum = 0.0;
    for &(precision, found) in &curve {
        let precision = if definition == Definition::B { best_from(found, 0) } else { precision };
        sum += precision * (found - before) as f64;
        before = found;
    }
    Some(sum / positives as f64)
}

proptest! {
    #[test]
    fn equals_the_definition(entries in entries(0..40)) {
        for definition in Definition::ALL {
            let (found, expected) = (ap(&entries, definition, Ties::Together), naive_ap(&entries, definition));
            prop_assert_eq!(found.is_some(), expected.is_some());
            if let (Some(found), Some(expected)) = (found, expected) {
                prop_assert!((found - expected).abs() < 1e-12, "{definition}: {found} is not {expected}");
                prop_assert!((0.0..=1.0 + 1e-12).contains(&found));
            }
        }
    }

    /// One by one, the precision at each positive is that among the images before it in a stable sort.
    #[test]
    fn row_order_equals_a_stable_sort(entries in entries(0..40)) {
        let mut ranked: Vec<_> = entries.iter().filter(|e| e.1 != Answer::Unknown).collect();
        ranked.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap());
        let present = |e: &&(f32, Answer)| e.1 == Answer::Present;
        let precisions: Vec<f64> = (0..ranked.len())
            .filter(|&i| present(&ranked[i]))
            .map(|i| ranked[..=i].iter().copied().filter(present).count() as f64 / (i + 1) as f64)
            .collect();
        let expected = (!precisions.is_empty()).then(|| precisions.iter().sum::<f64>() / precisions.len() as f64);
        prop_assert_eq!(ap(&entries, Definition::D, Ties::RowOrder), expected);
    }

    #[test]
    fn the_order_of_images_does_not_matter(
        (entries, shuffled) in entries(1..30).prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle()))
    ) {
        for definition in Definition::ALL {
            prop_assert_eq!(ap(&entries, definition, Ties::Together), ap(&shuffled, definition, Ties::Together));
        }
    }

    #[test]
    fn only_the_order_of_scores_matters(entries in entries(0..30)) {
        // Monotone and exact on these scores, unlike a sigmoid, which would make new ties.
        let doubled: Vec<_> = entries.iter().map(|&(score, answer)| (2.0 * score, answer)).collect();
        for definition in Definition::ALL {
            for ties in [Ties::Together, Ties::RowOrder] {
                prop_assert_eq!(ap(&entries, definition, ties), ap(&doubled, definition, ties));
            }
        }
    }

    #[test]
    fn definitions_compare(entries in entries(1..30)) {
        let [a, b, d, _] = Definition::ALL.map(|definition| ap(&entries, definition, Ties::Together));
        prop_assert!(b >= a && d >= a, "A {a:?}, B {b:?}, D {d:?}");
        let known: Vec<_> = entries.iter().copied().filter(|e| e.1 != Answer::Unknown).collect();
        prop_assert_eq!(d, ap(&known, Definition::A, Ties::Together));
    }

    /// Without ties there is nothing to decide.
    #[test]
    fn ties_matter_only_where_there_are_any(
        answers in prop::collection::vec(prop_oneof![Just(Answer::Present), Just(Answer::Absent)], 1..30)
    ) {
        let entries: Vec<_> = answers.iter().enumerate().map(|(i, a)| ((7 * i % 31) as f32, *a)).collect();
        for definition in Definition::ALL {
            prop_assert_eq!(ap(&entries, definition, Ties::Together), ap(&entries, definition, Ties::RowOrder));
        }
    }

    /// Entries without an answer change no metric except the definitions that rank them.
    #[test]
    fn unknown_is_as_if_not_there(entries in entries(0..30), score in -2.0f32..2.0) {
        let with_more: Vec<_> = entries.iter().flat_map(|e| [*e, (score, Answer::Unknown)]).collect();
        let (few, many) = (Table::of(&entries), Table::of(&with_more));
        for definition in [Definition::D, Definition::Voc07] {
            prop_assert_eq!(mean_ap(&few.view(1), definition, Ties::Together),
                            mean_ap(&many.view(1), definition, Ties::Together));
        }
        prop_assert_eq!(at_threshold(&few.view(1), 0.25), at_threshold(&many.view(1), 0.25));
    }

    #[test]
    fn decisions_stay_in_bounds(entries in entries(0..40), threshold in -1.0f32..1.0) {
        let table = Table::of(&entries[..entries.len() / 3 * 3]);
        let scores = table.view(3);
        let report = evaluate(&scores, threshold);
        let m = report.at_threshold;
        let always = [m.cp, m.cr, m.cf1, m.macro_f1, m.op, m.or, m.of1];
        let sometimes = [m.hamming_loss, m.subset_accuracy, m.accuracy_mlc].into_iter().flatten();
        prop_assert!(always.into_iter().chain(sometimes).all(|x| (0.0..=1.0).contains(&x)), "{m:?}");
        prop_assert!(m.cf1 >= m.cp.min(m.cr) - 1e-12 && m.cf1 <= m.cp.max(m.cr) + 1e-12);
        for label in &report.per_label {
            prop_assert_eq!(label.positives + label.negatives + label.unknowns, scores.images());
            prop_assert_eq!(label.ap.is_none(), label.positives == 0);
        }
        if !table.scores.contains(&threshold) {
            prop_assert_eq!(m.accuracy_mlc.is_some(), m.hamming_loss.is_some());
            let sum = m.hamming_loss.zip(m.accuracy_mlc).map(|(wrong, right)| wrong + right);
            prop_assert!(sum.is_none_or(|sum| (sum - 1.0).abs() < 1e-12));
        }
    }
}

#[test]
fn worked_examples() {
    use Answer::{Absent, Present, Unknown};
    let example = |second| [(0.9, Present), (0.8, second), (0.7, Present), (0.6, Absent)];
    for ties in [Ties::Together, Ties::RowOrder] {
        let ap = |second, definition| ap(&example(second), definition, ties).unwrap();
        assert_eq!(ap(Absent, Definition::D), (1.0 + 2.0 / 3.0) / 2.0);
        assert_eq!(ap(Unknown, Definition::D), 1.0);
        assert_eq!(ap(Unknown, Definition::A), (1.0 + 2.0 / 3.0) / 2.0);
        // Recall 0 to 0.5 at precision 1 (six points), beyond at 2/3 (five points).
        assert!((ap(Absent, Definition::Voc07) - (6.0 + 5.0 * 2.0 / 3.0) / 11.0).abs() < 1e-15);
    }
    // Precision 1/2, then 2/3: the envelope lifts the first.
    let rising = [(0.9, Absent), (0.8, Present), (0.7, Present)];
    assert_eq!(ap(&rising, Definition::A, Ties::Together), Some((0.5 + 2.0 / 3.0) / 2.0));
    assert_eq!(ap(&rising, Definition::B, Ties::Together), Some(2.0 / 3.0));
}

/// A model that gives every image the same score knows nothing: its average precision is the share of positives,
/// where sorting one by one gives whatever the order of the images makes of it.
#[test]
fn a_constant_score_earns_the_share_of_positives() {
    let first_half = |i: usize| if i < 5 { Answer::Present } else { Answer::Absent };
    let entries: Vec<_> = (0..10).map(|i| (0.5, first_half(i))).collect();
    assert_eq!(ap(&entries, Definition::D, Ties::Together), Some(0.5));
    assert_eq!(ap(&entries, Definition::D, Ties::RowOrder), Some(1.0));
}

#[test]
fn a_report_of_nothing_is_empty_and_serialises() {
    let nothing = evaluate(&Scores::new(&[], &[], &[], 2).unwrap(), 0.5);
    assert_eq!((nothing.images, nothing.map, nothing.labels_without_positives), (0, None, 2));
    assert_eq!((nothing.at_threshold.op, nothing.at_threshold.hamming_loss), (0.0, None));

    let scores = Scores::new(&[0.9, 0.1], &[1.0, 0.0], &[1.0; 2], 2).unwrap();
    let json = serde_json::to_value(evaluate(&scores, 0.5)).unwrap();
    assert_eq!(json["mAP"], 1.0);
    assert_eq!(json["labels_without_positives"], 1);
    assert_eq!(json["at_threshold"]["subset_accuracy"], 1.0);
    assert_eq!(json["per_label"][1]["ap"], serde_json::Value::Null);
}

/// The size of COCO's validation set. The limit is loose for an unoptimised build on a busy machine; something
/// quadratic in the images would take minutes.
#[test]
fn fast_enough_for_coco() {
    let (images, labels) = (40_504, 80);
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let scores: Vec<f32> = (0..images * labels).map(|_| random()).collect();
    let targets: Vec<f32> = (0..images * labels).map(|_| f32::from(random() < 0.04)).collect();
    let mask = vec![1.0; images * labels];
    let start = std::time::Instant::now();
    let report = evaluate(&Scores::new(&scores, &targets, &mask, labels).unwrap(), 0.5);
    // Random scores: average precision is near the share of positives.
    assert!((report.map.unwrap() - 0.04).abs() < 0.002, "{:?}", report.map);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
