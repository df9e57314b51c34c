//! What can be wrong with the input of a metric.

/// What can be wrong with the arrays given to [`Scores::new`](crate::Scores::new).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Scores, targets and mask have different lengths.
    #[error(
        "{array} has {found} entries where the scores have {expected}; all three arrays are [images, labels]"
    )]
    Length {
        /// Which array differs from the scores.
        array: &'static str,
        /// Its length.
        found: usize,
        /// The length of the scores.
        expected: usize,
    },
    /// The scores cannot be cut into rows of the given number of labels.
    #[error("{scores} scores are no whole number of rows of {labels} labels")]
    Rows {
        /// How many scores there are.
        scores: usize,
        /// How many labels a row was said to have.
        labels: usize,
    },
    /// A score is NaN, so it has no rank.
    #[error(
        "the score of image {image} for label {label} is NaN; the model diverged or the image was not scored"
    )]
    NanScore {
        /// The row, counted from 0.
        image: usize,
        /// The column, counted from 0.
        label: usize,
    },
    /// A target or a mask holds something other than 0 or 1.
    #[error(
        "{array} has {found} at image {image}, label {label}; expected 0 or 1 (an unknown answer has mask 0 and any \
         target)"
    )]
    NotBinary {
        /// Which array.
        array: &'static str,
        /// The row, counted from 0.
        image: usize,
        /// The column, counted from 0.
        label: usize,
        /// What was there.
        found: f32,
    },
}
