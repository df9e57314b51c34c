//! What can be wrong with the input of a loss.

/// What can be wrong with the input or the parameters of a loss.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two of the arrays have different lengths.
    #[error(
        "{array} has {found} entries where the logits have {expected}; all four arrays are [images, labels]"
    )]
    Length {
        /// Which array differs from the logits.
        array: &'static str,
        /// Its length.
        found: usize,
        /// The length of the logits.
        expected: usize,
    },
    /// The logits cannot be cut into rows of the given number of labels.
    #[error("{logits} logits are no whole number of rows of {labels} labels")]
    Rows {
        /// How many logits there are.
        logits: usize,
        /// How many labels a row was said to have.
        labels: usize,
    },
    /// A target or a mask holds something other than 0 or 1.
    #[error(
        "entry {index} of {array} is {found}; expected 0 or 1 (an unknown answer has mask 0 and any target)"
    )]
    NotBinary {
        /// Which array.
        array: &'static str,
        /// Where in it, counted from 0 in row-major order.
        index: usize,
        /// What was there.
        found: f32,
    },
    /// A parameter of a loss is outside its range.
    #[error("loss {loss}: {parameter} is {found}; expected {expected}")]
    Parameter {
        /// The name of the loss in a configuration.
        loss: &'static str,
        /// The name of the parameter in a configuration.
        parameter: &'static str,
        /// Its value.
        found: f64,
        /// The allowed range, in words.
        expected: &'static str,
    },
}
