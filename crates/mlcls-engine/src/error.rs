//! What can go wrong between a graph and a finished step.

/// An error of the engine, with the place where it happened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node cannot take the input that it was given.
    #[error("{node}: {reason}")]
    Graph {
        /// The node's name, for example `blocks.2.0.conv_dw`.
        node: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A slice does not hold the number of elements that the plan needs.
    #[error("{what}: expected {expected} elements, found {found}")]
    Length {
        /// What the slice holds.
        what: &'static str,
        /// Elements that the plan needs.
        expected: usize,
        /// Elements that were given.
        found: usize,
    },
    /// More images than the plan was compiled for, or none.
    #[error("a batch of {found} images for a plan compiled for 1 to {max}")]
    Batch {
        /// Largest batch of the plan.
        max: usize,
        /// Images that were given.
        found: usize,
    },
    /// The plan takes something else.
    #[error("the plan takes {expected}, found {found}")]
    Input {
        /// What was given.
        found: &'static str,
        /// What the plan takes.
        expected: &'static str,
    },
    /// `backward` was called without a `forward` before it.
    #[error("backward needs the forward pass of the same batch before it")]
    NoForward,
    /// The memory of a plan could not be had.
    #[error("the plan needs {bytes} bytes of memory and the system refused them")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The memory of a GPU could not be had.
    #[cfg(feature = "cuda")]
    #[error(
        "CUDA: the GPU has no memory left{}; take a smaller batch, or see in nvidia-smi what else is on it",
        bytes.map(|bytes| format!(" and refused {bytes} bytes")).unwrap_or_default()
    )]
    OutOfGpuMemory {
        /// Bytes asked for; `None` where the driver needed them for something of its own.
        bytes: Option<usize>,
    },
    /// An NVIDIA GPU, its driver or its compiler is missing or fails.
    #[cfg(feature = "cuda")]
    #[error("CUDA: {reason}")]
    Cuda {
        /// What was found, what was expected, and what to do next.
        reason: String,
    },
    /// A part of the network that candle runs cannot be made or fails.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// A result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

/// Whether a slice has the length that a plan needs.
pub(crate) fn check(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}
