//! How far a partition is from the whole that it was made of.

use crate::dataset::LabelState;

/// How far the parts of a data set are from the whole; 0 is best. The two measures of Sechidis et al. 2011.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct SplitDistance {
    /// Labels distribution, LD: the mean over labels and parts of `|o(label, part) - o(label)|`, where `o` is
    /// the odds, known positives by known negatives, in the part and in the whole. Pairs whose odds are not
    /// defined (a part, or the whole, has no known negative of the label) are left out; `None` where none is
    /// left. The paper has no unknown states, else it is the same.
    pub labels: Option<f64>,
    /// Examples distribution, ED: the mean over parts of `|size - wanted size|`, in items.
    pub examples: f64,
}

/// Measures a partition: `states` has one row per item, `parts` the part of each item, `fractions` the wanted
/// size of each part. Items of parts beyond the fractions are taken as part of the whole alone.
///
/// ```
/// use mlcls_data::{LabelState::{Absent, Present}, split_distance};
///
/// let rows = [[Present], [Present], [Absent], [Absent]];
/// let distance = |parts| split_distance(&rows, parts, &[0.5, 0.5]);
/// assert_eq!(distance(&[0, 1, 0, 1]).labels, Some(0.0));
/// assert_eq!(distance(&[0, 0, 0, 1]).labels, Some(1.0)); // odds 2 and 0, and 1 in all
/// assert_eq!(distance(&[0, 0, 0, 1]).examples, 1.0);
/// ```
pub fn split_distance<R: AsRef<[LabelState]>>(
    states: &[R],
    parts: &[usize],
    fractions: &[f64],
) -> SplitDistance {
    let labels = states.first().map_or(0, |row| row.as_ref().len());
    // Positives and negatives of each label, per part and at the end for the whole.
    let mut counts = vec![vec![[0usize; 2]; labels]; fractions.len() + 1];
    let mut sizes = vec![0usize; fractions.len() + 1];
    for (row, &part) in states.iter().zip(parts) {
        let part = (part < fractions.len()).then_some(part);
        for place in part.into_iter().chain([fractions.len()]) {
            sizes[place] += 1;
            for (count, state) in counts[place].iter_mut().zip(row.as_ref()) {
                match state {
                    LabelState::Present => count[0] += 1,
                    LabelState::Absent => count[1] += 1,
                    LabelState::Unknown => {}
                }
            }
        }
    }
    let odds = |place: usize, label: usize| {
        let [positives, negatives] = counts[place][label];
        (negatives > 0).then(|| positives as f64 / negatives as f64)
    };
    let pairs = (0..labels).flat_map(|label| (0..fractions.len()).map(move |part| (part, label)));
    let apart: Vec<f64> = pairs
        .filter_map(|(part, label)| Some((odds(part, label)? - odds(fractions.len(), label)?).abs()))
        .collect();
    let size_error = |(fraction, size): (&f64, &usize)| (*size as f64 - fraction * states.len() as f64).abs();
    SplitDistance {
        labels: (!apart.is_empty()).then(|| apart.iter().sum::<f64>() / apart.len() as f64),
        examples: fractions.iter().zip(&sizes).map(size_error).sum::<f64>() / fractions.len().max(1) as f64,
    }
}
