//! Which labels occur together.

use serde::Serialize;

use crate::dataset::{Dataset, LabelState};

/// Pairs of labels over all images, `[row][column]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cooccurrence {
    /// Images where both are present; on the diagonal, where the label is.
    pub both: Vec<Vec<usize>>,
    /// Images where the row is present and the column known: the base of [`Cooccurrence::given`].
    pub known: Vec<Vec<usize>>,
}

impl Cooccurrence {
    pub(super) fn of(dataset: &Dataset) -> Self {
        let labels = dataset.labels.len();
        let mut both = vec![vec![0; labels]; labels];
        let mut unknown = both.clone();
        for item in dataset.splits.iter().flat_map(|split| &split.items) {
            let in_state = |state: LabelState| -> Vec<usize> {
                let states = item.states.iter().take(labels).enumerate();
                states.filter(|(_, s)| **s == state).map(|(label, _)| label).collect()
            };
            let (present, not_known) = (in_state(LabelState::Present), in_state(LabelState::Unknown));
            for &row in &present {
                present.iter().for_each(|column| both[row][*column] += 1);
                not_known.iter().for_each(|column| unknown[row][*column] += 1);
            }
        }
        let known = (0..labels)
            .map(|row| unknown[row].iter().map(|unknown| both[row][row] - unknown).collect())
            .collect();
        Self { both, known }
    }

    /// P(column | row): the share of images with the column among those that have the row and where the column is
    /// known; `None` where there are none.
    pub fn given(&self, row: usize, column: usize) -> Option<f64> {
        let known = self.known[row][column];
        (known > 0).then(|| self.both[row][column] as f64 / known as f64)
    }

    /// The images with both among those with either (Jaccard index), 0 to 1; 0 where there are none.
    pub fn overlap(&self, a: usize, b: usize) -> f64 {
        let both = self.both[a][b];
        let either = self.both[a][a] + self.both[b][b] - both;
        both as f64 / either.max(1) as f64
    }
}
