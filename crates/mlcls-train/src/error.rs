//! What can go wrong in a run.

use std::path::{Path, PathBuf};

use crate::config::DeviceName;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a run, with the place where it happened and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// The model cannot be built, or its weights cannot be had.
    #[error(transparent)]
    Model(#[from] mlcls_models::Error),
    /// A plan cannot be made or run.
    #[error(transparent)]
    Engine(#[from] mlcls_engine::Error),
    /// The loss refused its input.
    #[error(transparent)]
    Loss(#[from] mlcls_loss::Error),
    /// The data set cannot be read, or lacks what the run needs.
    #[error(transparent)]
    Data(#[from] mlcls_data::Error),
    /// Scores cannot be judged, for example because they are NaN.
    #[error(transparent)]
    Metrics(#[from] mlcls_metrics::Error),
    /// Images of a batch cannot be used.
    #[error(transparent)]
    Load(#[from] mlcls_data::LoadError),
    /// The processes of a run cannot work together.
    #[error(transparent)]
    World(#[from] crate::WorldError),
    /// The file of resized images cannot be used.
    #[error(transparent)]
    CacheFile(#[from] mlcls_data::FileCacheError),
    /// A file or folder could not be read or written; what was there before is unharmed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is nothing to train or validate on.
    #[error("{}: {reason}", root.display())]
    NoData {
        /// Root of the data set.
        root: PathBuf,
        /// What was found, what was expected, what to do.
        reason: String,
    },
    /// Images that are missing, truncated or no images.
    #[error(
        "{} image{} cannot be used:{}\nRepair them, or take them out of the annotations.",
        problems.len(), if problems.len() == 1 { "" } else { "s" },
        problems.iter().map(|p| format!("\n  {p}")).collect::<String>()
    )]
    Images {
        /// All of them, with what is wrong.
        problems: Vec<mlcls_data::BadImage>,
    },
    /// A device cannot be used for this.
    #[error("device {device}: {reason}")]
    Device {
        /// The device.
        device: DeviceName,
        /// What was found, what was expected, what to do.
        reason: String,
    },
    /// The run would not fit into memory.
    #[error(
        "a batch of {batch} needs {} MB of memory and {} MB are available; {}",
        needed / 1_000_000, available / 1_000_000,
        match largest {
            0 => "not even one image fits: take a smaller model.image_size, a smaller model, or free some memory".to_owned(),
            n => format!(
                "the largest that fits is {n}. With --batch-size {n} --set optim.accumulate={} a step sees as many images \
                 as now",
                batch.div_ceil(*n)
            ),
        }
    )]
    Memory {
        /// Images per batch.
        batch: usize,
        /// Bytes that the run takes.
        needed: u64,
        /// Bytes that can be had.
        available: u64,
        /// The largest batch that fits; 0 if none does.
        largest: usize,
    },
    /// The run does not fit into the memory of a GPU.
    #[error(
        "a batch of {batch} does not fit into the memory of {device}, beside one of {eval_batch} for validation{}; \
         take a smaller train.batch_size (with optim.accumulate a step sees as many images as now), eval.batch_size or \
         model.image_size",
        bytes.map(|bytes| format!(": {} MB were refused", bytes.div_ceil(1_000_000))).unwrap_or_default()
    )]
    GpuMemory {
        /// The GPU.
        device: DeviceName,
        /// Bytes that it was last asked for, where that is known.
        bytes: Option<usize>,
        /// Images per batch of training.
        batch: usize,
        /// Images per batch of validation.
        eval_batch: usize,
    },
    /// A checkpoint cannot be used.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected.
        reason: String,
    },
    /// A run cannot be continued.
    #[error("run {}: {reason}", run.display())]
    Resume {
        /// The run folder.
        run: PathBuf,
        /// What was found, what was expected, what to do.
        reason: String,
    },
    /// The loss or its gradient is NaN or infinite.
    #[error(
        "{what} is not finite in epoch {epoch}, step {step}; the images of the batch{}:{}\n\
         The checkpoints of this run are from before it. A lower optim.lr or a limit optim.clip_norm usually helps; \
         if it is always the same image, look at it.",
        if *culprits { " at fault" } else { "" },
        images.iter().map(|p| format!("\n  {}", p.display())).collect::<String>()
    )]
    NotFinite {
        /// "the loss" or "the gradient".
        what: &'static str,
        /// Epoch, from 1.
        epoch: usize,
        /// Step in the epoch, from 1.
        step: usize,
        /// Whether `images` are those at fault, or else the whole batch.
        culprits: bool,
        /// The images.
        images: Vec<PathBuf>,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
