//! The saved state of a run: everything that the next step depends on, in one file that is replaced as a whole.

use std::path::Path;

use mlcls_models::{NamedTensor, TensorFile, write_tensors};
use serde::{Deserialize, Serialize};

use crate::early_stopping::EarlyStopping;
use crate::error::{Error, Result};
use crate::event::{Best, Outcome};
use crate::schedule::Schedule;
use crate::summary::WeakLabel;
use crate::world::World;

/// Key of [`Progress`] in the metadata of the state file.
const PROGRESS: &str = "progress";

/// Where a run stands: all its scalars. Random numbers need no entry, they depend on (seed, epoch, image) and
/// (seed, step) only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Fingerprint of the data set.
    pub data_fingerprint: String,
    /// Processes that share each batch.
    #[serde(default = "one")]
    pub processes: usize,
    /// Epochs that are over, their validation included.
    pub epochs_done: usize,
    /// Batches of the current epoch that are done.
    pub batches_done: usize,
    /// Optimizer steps since the start.
    pub steps: u64,
    /// Updates of the averaged weights.
    pub ema_updates: u64,
    /// Whether the start has been validated, where that is asked for.
    pub start_validated: bool,
    /// Losses of the current epoch so far.
    pub loss: LossSum,
    /// Seconds of the current epoch so far.
    pub epoch_seconds: f64,
    /// The learning rate's memory.
    pub schedule: Schedule,
    /// Early stopping's memory; `None` when it is off.
    pub early_stopping: Option<EarlyStopping>,
    /// The best checkpoint so far.
    pub best: Option<Best>,
    /// The weakest labels of that checkpoint.
    pub weakest: Vec<WeakLabel>,
    /// Bytes of `metrics.csv` that belong to this state.
    pub metrics_len: u64,
    /// How the run ended; `None` while it can be continued.
    pub ended: Option<Outcome>,
}

/// Processes of a run whose state does not tell.
fn one() -> usize {
    1
}

/// Sum of losses, and of how many (image, label) cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossSum {
    /// Sum of the objective.
    pub objective: f64,
    /// Known cells.
    pub known: usize,
}

impl LossSum {
    pub fn add(&mut self, value: mlcls_loss::LossValue) {
        self.objective += value.objective;
        self.known += value.known;
    }

    pub fn merge(&mut self, other: Self) {
        self.objective += other.objective;
        self.known += other.known;
    }

    /// The sum over all processes.
    pub fn over(self, world: &mut World) -> Result<Self> {
        let mut sums = [self.objective, self.known as f64];
        world.sum_f64(&mut sums)?;
        Ok(Self { objective: sums[0], known: sums[1] as usize })
    }

    /// Loss per image and known label; `None` before the first.
    pub fn mean(self) -> Option<f64> {
        (self.known > 0).then(|| self.objective / self.known as f64)
    }
}

/// Writes the state as one change: a process that is killed at any moment leaves the old or the new one.
pub(crate) fn save(path: &Path, progress: &Progress, vectors: &[(String, &[f32])]) -> Result<()> {
    let scalars = serde_json::to_string(progress).map_err(|e| Error::Resume {
        run: path.to_owned(),
        reason: format!("cannot write its state: {e}"),
    })?;
    let tensors: Vec<(&str, [usize; 1], &[f32])> =
        vectors.iter().map(|(name, values)| (name.as_str(), [values.len()], *values)).collect();
    let tensors: Vec<NamedTensor<'_>> =
        tensors.iter().map(|(name, shape, values)| (*name, &shape[..], *values)).collect();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    Ok(write_tensors(path, &tensors, &[(PROGRESS.to_owned(), scalars)].into())?)
}

/// A state in memory.
#[derive(Debug)]
pub(crate) struct SavedState {
    file: TensorFile,
    /// Its scalars.
    pub progress: Progress,
}

impl SavedState {
    /// Reads and checks a state.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |reason: String| Error::Resume {
            run: path.to_owned(),
            reason: format!(
                "{reason}; the checkpoints of the run can still start a new one (model.pretrained)"
            ),
        };
        let file = TensorFile::open(path).map_err(|e| fail(format!("no whole state: {e}")))?;
        let scalars =
            file.metadata().get(PROGRESS).ok_or_else(|| fail(format!("its metadata lacks `{PROGRESS}`")))?;
        let progress = serde_json::from_str(scalars).map_err(|e| {
            fail(format!("its `{PROGRESS}` cannot be read ({e}), perhaps from another version"))
        })?;
        Ok(Self { file, progress })
    }

    /// Copies one vector out.
    pub fn fill(&self, name: &str, out: &mut [f32]) -> Result<()> {
        Ok(self.file.fill(name, out)?)
    }
}
