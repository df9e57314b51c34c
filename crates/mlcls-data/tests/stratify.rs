//! Laws of a stratified partition, and what it is worth.

#![allow(clippy::unwrap_used)]

use mlcls_data::{LabelState, StratifyError, split_distance, stratify};
use proptest::prelude::*;

use LabelState::{Absent, Present, Unknown};

/// Rows of up to 8 labels, of which each is rarely present.
fn rows() -> impl Strategy<Value = Vec<Vec<LabelState>>> {
    let state = prop_oneof![6 => Just(Absent), 3 => Just(Present), 1 => Just(Unknown)];
    (0usize..8).prop_flat_map(move |labels| {
        prop::collection::vec(prop::collection::vec(state.clone(), labels), 1..80)
    })
}

fn fractions() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(1u32..20, 1..6).prop_map(|weights| {
        let sum: u32 = weights.iter().sum();
        weights.iter().map(|w| f64::from(*w) / f64::from(sum)).collect()
    })
}

/// Disjoint groups over `items` items: runs of a shuffled order, of these lengths.
fn groups(order: &[usize], lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut rest = order;
    let take = |length: &usize| {
        let (group, after) = rest.split_at((*length).min(rest.len()));
        rest = after;
        group.to_vec()
    };
    lengths.iter().map(take).collect()
}

proptest! {
    #[test]
    fn sizes_are_exact_without_groups(rows in rows(), fractions in fractions(), seed: u64) {
        let parts = stratify(&rows, &[], &fractions, seed).unwrap();
        prop_assert_eq!(parts.len(), rows.len());
        for (part, fraction) in fractions.iter().enumerate() {
            let size = parts.iter().filter(|p| **p == part).count() as f64;
            prop_assert!((size - fraction * rows.len() as f64).abs() < 1.0, "{} of {:?}", part, parts);
        }
        prop_assert_eq!(&parts, &stratify(&rows, &[], &fractions, seed).unwrap());
    }

    #[test]
    fn groups_stay_together(
        (rows, order) in rows().prop_flat_map(|rows| {
            let order = (0..rows.len()).collect::<Vec<_>>();
            (Just(rows), Just(order).prop_shuffle())
        }),
        lengths in prop::collection::vec(0usize..6, 0..12),
        fractions in fractions(),
        seed: u64,
    ) {
        let groups = groups(&order, &lengths);
        let parts = stratify(&rows, &groups, &fractions, seed).unwrap();
        prop_assert!(parts.iter().all(|p| *p < fractions.len()));
        for group in &groups {
            prop_assert!(group.iter().all(|i| parts[*i] == parts[group[0]]), "{:?} in {:?}", group, parts);
        }
        // Off by less than the largest group: a part takes a group that does not fit only when none has room.
        let largest = groups.iter().map(Vec::len).max().unwrap_or(1).max(1) as f64;
        for (part, fraction) in fractions.iter().enumerate() {
            let size = parts.iter().filter(|p| **p == part).count() as f64;
            prop_assert!(size - fraction * rows.len() as f64 <= largest, "{} of {:?}", part, parts);
        }
    }

    #[test]
    fn what_is_unknown_does_not_move_an_item(rows in rows(), fractions in fractions(), seed: u64) {
        let absent: Vec<Vec<LabelState>> =
            rows.iter().map(|r| r.iter().map(|s| if *s == Present { *s } else { Absent }).collect()).collect();
        prop_assert_eq!(
            stratify(&rows, &[], &fractions, seed).unwrap(),
            stratify(&absent, &[], &fractions, seed).unwrap()
        );
    }
}

#[test]
fn a_label_in_a_few_images_reaches_every_part_that_it_can() {
    // 100 images: all with the common label, 10 with a rare one, 3 with one rarer, 20 without any.
    let row = |i: usize| match i {
        0..3 => [Present, Absent, Present],
        3..10 => [Present, Present, Absent],
        10..13 => [Absent, Present, Absent],
        13..80 => [Present, Absent, Absent],
        _ => [Absent; 3],
    };
    let rows: Vec<_> = (0..100).map(row).collect();
    for seed in 0..20 {
        let parts = stratify(&rows, &[], &[0.7, 0.2, 0.1], seed).unwrap();
        let count = |part: usize, of: &dyn Fn(&[LabelState; 3]) -> bool| {
            rows.iter().zip(&parts).filter(|(row, p)| **p == part && of(row)).count()
        };
        assert_eq!([0, 1, 2].map(|p| count(p, &|r| r[1] == Present)), [7, 2, 1], "seed {seed}");
        assert_eq!([0, 1, 2].map(|p| count(p, &|r| r[2] == Present)), [2, 1, 0], "seed {seed}");
        assert_eq!([0, 1, 2].map(|p| count(p, &|r| r == &[Absent; 3])), [14, 4, 2], "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_parts() {
    let rows: Vec<_> = (0..50).map(|i| [if i % 3 == 0 { Present } else { Absent }]).collect();
    let parts = |seed| stratify(&rows, &[], &[0.5, 0.5], seed).unwrap();
    assert_ne!(parts(1), parts(2));
    assert_eq!(parts(1), parts(1));
}

#[test]
fn unsound_requests_are_refused() {
    let rows = [[Present]; 4];
    for fractions in [&[][..], &[0.5], &[1.5, -0.5], &[0.0, 1.0], &[f64::NAN, 0.5], &[f64::INFINITY, 0.5]] {
        let error = stratify(&rows, &[], fractions, 0).unwrap_err();
        assert!(matches!(error, StratifyError::Fractions { .. }), "{error}");
    }
    let error = |groups: &[Vec<usize>]| stratify(&rows, groups, &[1.0], 0).unwrap_err().to_string();
    assert_eq!(error(&[vec![0], vec![4]]), "group 1 names item 4, which is not there; there are 4 items");
    assert_eq!(
        error(&[vec![1], vec![2, 1]]),
        "group 1 names item 1, which is named before; there are 4 items"
    );
    assert_eq!(stratify::<[LabelState; 0]>(&[], &[], &[0.5, 0.5], 0).unwrap(), [0usize; 0]);
}

#[test]
fn distances_are_those_of_the_paper() {
    // By hand: label 0 has 3 positives and 3 negatives (odds 1), in the parts 2:1 and 1:2; label 1 has 2 known
    // positives and 2 known negatives (odds 1), in the parts 1:2 and 1:0 (not defined).
    let rows = [
        [Present, Present],
        [Present, Absent],
        [Absent, Absent],
        [Present, Present],
        [Absent, Unknown],
        [Absent, Unknown],
    ];
    let distance = split_distance(&rows, &[0, 0, 0, 1, 1, 1], &[2.0 / 3.0, 1.0 / 3.0]);
    assert!((distance.labels.unwrap() - (1.0 + 0.5 + 0.5) / 3.0).abs() < 1e-12, "{distance:?}");
    assert!((distance.examples - 1.0).abs() < 1e-12, "{distance:?}");
    assert_eq!(split_distance(&[[Present]; 2], &[0, 1], &[0.5, 0.5]).labels, None);
}
