//! A partition of items that gives each part its share of every label.

mod deal;
mod trade;

use rand::seq::SliceRandom;

use crate::augment::partition_rng;
use crate::dataset::LabelState;
use deal::deal;
use trade::trade;

/// Why [`stratify`] cannot make a partition.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StratifyError {
    /// A fraction is not above 0, or the fractions do not add up to 1.
    #[error("the fractions are {fractions:?}: each must be above 0, and together they must be 1")]
    Fractions {
        /// What was given.
        fractions: Vec<f64>,
    },
    /// A group names an item that is not there, or one that another group has.
    #[error("group {group} names item {item}, {problem}; there are {items} items")]
    Group {
        /// The position of the group.
        group: usize,
        /// The index in it.
        item: usize,
        /// What is wrong with it.
        problem: &'static str,
        /// How many items there are.
        items: usize,
    },
}

/// Divides items into parts of the wanted sizes, so that each label is as frequent in every part as in the whole.
///
/// `states` has one row per item; `groups` lists items that stay in one part (near-duplicates), in any order,
/// each item at most once; `fractions` are the wanted sizes, together 1. Returns the part of each item.
///
/// This is iterative stratification: K. Sechidis, G. Tsoumakas, I. Vlahavas, *On the Stratification of
/// Multi-Label Data*, ECML PKDD 2011, algorithm 1. The rarest label that still has items left is dealt out
/// first, each item to the part that lacks most of that label; ties go to the part with most room, then by
/// lot. Rare labels go first because a frequent one can be made good later. We differ in four points:
///
/// - A part that has its size (`n * fraction`, rounded by largest remainders so that the sizes sum to `n`)
///   takes no more. In the paper sizes come out as they may. Groups are dealt out as one item of several
///   labels, the largest of a label first; where one fits nowhere it goes to the part with most room, so that
///   sizes may be off by less than the largest group.
/// - "No label" (no label is [`LabelState::Present`]) is one more label, so that images without any are spread
///   too. The paper leaves them to the end.
/// - [`LabelState::Unknown`] counts for neither side: an item is dealt out by the labels that it surely has.
/// - At the end, pairs of items trade places as long as that brings label counts closer to their shares.
///
/// The result depends on the arguments alone; the seed breaks ties and orders the items.
///
/// ```
/// use mlcls_data::{LabelState::{Absent, Present}, stratify};
///
/// let rows = [[Present, Absent]; 6].into_iter().chain([[Absent, Present]; 3]).collect::<Vec<_>>();
/// let parts = stratify(&rows, &[], &[2.0 / 3.0, 1.0 / 3.0], 7)?;
/// assert_eq!(parts[..6].iter().filter(|part| **part == 1).count(), 2);
/// assert_eq!(parts[6..].iter().filter(|part| **part == 1).count(), 1);
/// # Ok::<(), mlcls_data::StratifyError>(())
/// ```
///
/// # Errors
/// See [`StratifyError`].
pub fn stratify<R: AsRef<[LabelState]>>(
    states: &[R],
    groups: &[Vec<usize>],
    fractions: &[f64],
    seed: u64,
) -> Result<Vec<usize>, StratifyError> {
    let sound = fractions.iter().all(|f| *f > 0.0) && (fractions.iter().sum::<f64>() - 1.0).abs() < 1e-6;
    if !sound {
        return Err(StratifyError::Fractions { fractions: fractions.to_vec() });
    }
    let mut rng = partition_rng(seed);
    let mut units = units(states, groups)?;
    units.shuffle(&mut rng);
    units.sort_by_key(|unit| std::cmp::Reverse(unit.items.len())); // Stable: by lot among equals.

    let labels = states.iter().map(|row| row.as_ref().len()).max().unwrap_or(0) + 1;
    let mut table = Table::new(&units, labels, fractions);
    let mut part_of = deal(&units, &mut table, sizes(states.len(), fractions), &mut rng);
    trade(&units, &mut table, &mut part_of);

    let mut parts = vec![0; states.len()];
    for (unit, part) in units.iter().zip(part_of) {
        for &item in &unit.items {
            parts[item] = part;
        }
    }
    Ok(parts)
}

/// What is dealt out at once: an item, or a group of them.
struct Unit {
    items: Vec<usize>,
    /// The labels present in it, each with the number of its items that have it. "No label" follows the last.
    labels: Vec<(usize, usize)>,
}

impl Unit {
    fn new<R: AsRef<[LabelState]>>(items: Vec<usize>, states: &[R]) -> Self {
        let mut present: Vec<usize> = Vec::new();
        for row in items.iter().map(|&item| states[item].as_ref()) {
            let before = present.len();
            let shown = row.iter().enumerate().filter(|(_, state)| **state == LabelState::Present);
            present.extend(shown.map(|(label, _)| label));
            if present.len() == before {
                present.push(row.len());
            }
        }
        present.sort_unstable();
        let labels = present.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect();
        Self { items, labels }
    }
}

/// What each part has of each label.
struct Table {
    /// The items with each label.
    totals: Vec<usize>,
    /// The share of each part in each label, `[label][part]`.
    shares: Vec<Vec<f64>>,
    /// What each part still lacks of its share, `[label][part]`; below 0 where it has more.
    lacks: Vec<Vec<f64>>,
}

impl Table {
    /// The table before anything is dealt out.
    fn new(units: &[Unit], labels: usize, fractions: &[f64]) -> Self {
        let mut totals = vec![0; labels];
        for (label, count) in units.iter().flat_map(|unit| &unit.labels) {
            totals[*label] += count;
        }
        let shares: Vec<Vec<f64>> =
            totals.iter().map(|total| fractions.iter().map(|f| *total as f64 * f).collect()).collect();
        Self { totals, lacks: shares.clone(), shares }
    }

    fn add(&mut self, unit: &Unit, part: usize) {
        for &(label, count) in &unit.labels {
            self.lacks[label][part] -= count as f64;
        }
    }

    fn remove(&mut self, unit: &Unit, part: usize) {
        for &(label, count) in &unit.labels {
            self.lacks[label][part] += count as f64;
        }
    }
}

/// The groups, and every item that is in none.
fn units<R: AsRef<[LabelState]>>(states: &[R], groups: &[Vec<usize>]) -> Result<Vec<Unit>, StratifyError> {
    let mut grouped = vec![false; states.len()];
    for (group, items) in groups.iter().enumerate() {
        for &item in items {
            let problem = match grouped.get_mut(item) {
                None => "which is not there",
                Some(true) => "which is named before",
                Some(free) => {
                    *free = true;
                    continue;
                }
            };
            return Err(StratifyError::Group { group, item, problem, items: states.len() });
        }
    }
    let alone = (0..states.len()).filter(|item| !grouped[*item]).map(|item| vec![item]);
    let together = groups.iter().filter(|group| !group.is_empty()).cloned();
    Ok(together.chain(alone).map(|items| Unit::new(items, states)).collect())
}

/// The wanted size of each part: `n * fraction` rounded down, and one more for the largest remainders until the
/// sum is `n`.
fn sizes(n: usize, fractions: &[f64]) -> Vec<i64> {
    // The nearest whole number may be missed by a rounding error: 10 * 0.7 must be 7.
    let exact = |fraction: &f64| n as f64 * fraction + 1e-6;
    let mut sizes: Vec<i64> = fractions.iter().map(|f| exact(f) as i64).collect();
    let mut by_remainder: Vec<usize> = (0..fractions.len()).collect();
    let remainder = |part: usize| exact(&fractions[part]).fract();
    by_remainder.sort_by(|a, b| remainder(*b).total_cmp(&remainder(*a)));
    let missing = (n as i64 - sizes.iter().sum::<i64>()).max(0) as usize;
    for part in by_remainder.into_iter().cycle().take(missing) {
        sizes[part] += 1;
    }
    sizes
}
