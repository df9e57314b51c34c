//! What can go wrong with a probe.

use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a probe, with the place where it happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint or an evaluation.
    #[error(transparent)]
    Train(#[from] mlcls_train::Error),
    /// The backbone cannot be built, or its weights cannot be had.
    #[error(transparent)]
    Model(#[from] mlcls_models::Error),
    /// A plan cannot be made or run.
    #[error(transparent)]
    Engine(#[from] mlcls_engine::Error),
    /// The data set cannot be read, or lacks a split.
    #[error(transparent)]
    Data(#[from] mlcls_data::Error),
    /// The loss refused its input.
    #[error(transparent)]
    Loss(#[from] mlcls_loss::Error),
    /// Scores cannot be judged.
    #[error(transparent)]
    Metrics(#[from] mlcls_metrics::Error),
    /// Images cannot be divided into folds.
    #[error(transparent)]
    Stratify(#[from] mlcls_data::StratifyError),
    /// A matrix product failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is no cache of features, or one of another width.
    #[error("{}: {reason}; remove it, or choose another folder for the cache", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected.
        reason: String,
    },
    /// Images that are missing, truncated or no images.
    #[error("{} image{} cannot be used:{}\nRepair them, or take them out of the annotations.",
        problems.len(), if problems.len() == 1 { "" } else { "s" },
        problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    Images {
        /// All of them, with what is wrong.
        problems: Vec<mlcls_data::ImageError>,
    },
    /// There is not enough to learn from.
    #[error("{reason}")]
    TooFew {
        /// What was found, what is needed.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
