//! What can go wrong between a model and its file.

use mlcls_engine::{Node, Weights};
use mlcls_models::Model;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate, with the place where it happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The weights are those of another model.
    #[error(
        "{what}: {model} has {expected}, found {found}; build the model with the options that it was trained with"
    )]
    Weights {
        /// The model.
        model: &'static str,
        /// Parameters or running statistics.
        what: &'static str,
        /// Values that the model has.
        expected: usize,
        /// Values that were given.
        found: usize,
    },
    /// There is not one name per logit, or not one threshold per label.
    #[error("{found} {what} for a model of {expected} labels; expected one each, in the order of the logits")]
    Labels {
        /// Names or thresholds.
        what: &'static str,
        /// Labels of the model.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A node of the graph cannot be written.
    #[error("{node}: {reason}")]
    Node {
        /// The node's name, for example `blocks.2.0.conv_dw`.
        node: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// The model is larger than its format can be.
    #[error(
        "the model takes {bytes} bytes, and an ONNX file holds at most {max} where its weights lie in the file itself"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The format's limit.
        max: usize,
    },
    /// Another engine, which a file is checked with, cannot run it.
    #[error("tract cannot run {}, so that the file is unchecked: {reason}", path.display())]
    Runtime {
        /// The file.
        path: std::path::PathBuf,
        /// What it says.
        reason: String,
    },
    /// The model cannot be compiled or run.
    #[error(transparent)]
    Engine(#[from] mlcls_engine::Error),
    /// A product of matrices failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The file cannot be written; one that was there before is untouched.
    #[error(transparent)]
    File(#[from] mlcls_models::Error),
}

impl Error {
    /// What is wrong with a node of a graph.
    pub(crate) fn node(node: &Node, reason: &str) -> Self {
        let name = if node.name.is_empty() { format!("{:?}", node.op) } else { node.name.clone() };
        Self::operation(&name, reason)
    }

    /// What is wrong with an operation or a value of a file.
    pub(crate) fn operation(name: &str, reason: &str) -> Self {
        Self::Node { node: name.to_owned(), reason: reason.to_owned() }
    }
}

/// Refuses weights that are not the model's.
pub(crate) fn check_weights(model: &Model, weights: &Weights) -> Result<()> {
    let graph = &model.graph;
    for (what, expected, found) in [
        ("parameters", graph.param_len(), weights.params.len()),
        ("running statistics", graph.buffer_len(), weights.buffers.len()),
    ] {
        if expected != found {
            return Err(Error::Weights { model: model.name, what, expected, found });
        }
    }
    Ok(())
}
