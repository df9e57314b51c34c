//! The saved state of a run: everything that the next step depends on, in one file that is replaced as a whole.

use std::path::Path;

use mlcls_models::write_atomic;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::early_stopping::EarlyStopping;
use crate::error::{Error, Result};
use crate::event::{Best, Outcome};
use crate::schedule::Schedule;
use crate::summary::WeakLabel;

/// Key of [`Progress`] in the metadata of the state file.
const PROGRESS: &str = "progress";

/// Where a run stands: all its scalars. Random numbers need no entry, they depend on (seed, epoch, image) and
/// (seed, step) only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Fingerprint of the data set.
    pub data_fingerprint: String,
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
    let mut header = json!({ "__metadata__": { PROGRESS: scalars } });
    let mut start = 0;
    for (name, values) in vectors {
        let end = start + 4 * values.len();
        header[name] = json!({ "dtype": "F32", "shape": [values.len()], "data_offsets": [start, end] });
        start = end;
    }
    let mut header = header.to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    Ok(write_atomic(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for (_, values) in vectors {
            for value in *values {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        Ok(())
    })?)
}

/// A state in memory.
#[derive(Debug)]
pub(crate) struct SavedState<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
    /// Its scalars.
    pub progress: Progress,
}

impl<'a> SavedState<'a> {
    /// Reads and checks a state.
    pub fn open(path: &'a Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let fail = |reason: String| Error::Resume {
            run: path.to_owned(),
            reason: format!(
                "{reason}; the checkpoints of the run can still start a new one (model.pretrained)"
            ),
        };
        let (_, header) =
            SafeTensors::read_metadata(&bytes).map_err(|e| fail(format!("no whole state: {e}")))?;
        SafeTensors::deserialize(&bytes).map_err(|e| fail(format!("no whole state: {e}")))?;
        let scalars = header.metadata().as_ref().and_then(|m| m.get(PROGRESS));
        let scalars = scalars.ok_or_else(|| fail(format!("its metadata lacks `{PROGRESS}`")))?;
        let progress = serde_json::from_str(scalars).map_err(|e| {
            fail(format!("its `{PROGRESS}` cannot be read ({e}), perhaps from another version"))
        })?;
        Ok(Self { path, bytes, progress })
    }

    /// Copies one vector out.
    pub fn fill(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let fail = |reason: String| Error::Resume { run: self.path.to_owned(), reason };
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|e| fail(e.to_string()))?;
        let tensor = tensors.tensor(name).map_err(|_| fail(format!("the state lacks `{name}`")))?;
        let (values, rest) = tensor.data().as_chunks::<4>();
        if values.len() != out.len() || !rest.is_empty() {
            let reason = format!("`{name}` has {} values, this run needs {}", values.len(), out.len());
            return Err(fail(reason));
        }
        out.iter_mut().zip(values).for_each(|(o, v)| *o = f32::from_le_bytes(*v));
        Ok(())
    }
}
