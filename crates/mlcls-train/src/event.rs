//! What a run tells while it goes: the loop prints nothing, a sink draws.

use std::path::PathBuf;

use mlcls_data::Summary;
use serde::Serialize;

use crate::ema::WeightsKind;
use crate::history::{Row, Validation};

/// Takes the events of a run, in order, on the thread of the run. It should be quick: the next step waits for it.
///
/// ```
/// use mlcls_train::{Event, EventSink};
///
/// struct Lines(Vec<String>);
///
/// impl EventSink for Lines {
///     fn event(&mut self, event: &Event) {
///         if let Event::EpochEnd(row) = event {
///             self.0.push(format!("epoch {}: loss {:.4}", row.epoch, row.train_loss.unwrap_or(f64::NAN)));
///         }
///     }
/// }
/// ```
pub trait EventSink {
    /// One event.
    fn event(&mut self, event: &Event);
}

/// Hears nothing.
impl EventSink for () {
    fn event(&mut self, _: &Event) {}
}

/// Something that happened in a run. As JSON each is an object with the key `event`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The data set was read.
    DataFound {
        /// Counts of all splits, after `data.limit`.
        summary: Summary,
        /// Name of the split trained on.
        train: String,
        /// Name of the split validated on.
        val: String,
    },
    /// What was decided before the first step, and why.
    Chosen {
        /// One line each, in the order of importance.
        choices: Vec<Choice>,
    },
    /// Something that the user should know; the run goes on.
    Warning {
        /// One or more sentences.
        message: String,
    },
    /// Pretrained weights are being downloaded.
    Download {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The run continues from a saved state.
    Resumed {
        /// Epoch, from 1.
        epoch: usize,
        /// Steps of this epoch that are done.
        steps_done: usize,
    },
    /// An epoch begins.
    EpochStart {
        /// Epoch, from 1.
        epoch: usize,
        /// Most epochs.
        epochs: usize,
        /// Steps in each epoch.
        steps: usize,
    },
    /// Some steps are done; every `log.every` steps and at the end of an epoch.
    Step(StepInfo),
    /// A set of weights was validated.
    Validated(Validation),
    /// An epoch is over; this row is in `metrics.csv`. Epoch 0 is the start, where it is validated.
    EpochEnd(Row),
    /// The best checkpoint was replaced.
    NewBest(Best),
    /// A file was written.
    Saved {
        /// The file.
        path: PathBuf,
    },
    /// The run is over, or interrupted.
    Finished {
        /// How it ended.
        outcome: Outcome,
    },
}

/// One decision and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// What was decided, for example `batch size`.
    pub what: &'static str,
    /// The decision.
    pub value: String,
    /// Why; empty when the settings say it plainly.
    pub why: String,
}

/// Where an epoch stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepInfo {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Steps in an epoch.
    pub steps: usize,
    /// Training images per second in this epoch, since the process started.
    pub images_per_second: f64,
    /// Loss per image and known label, mean over the epoch so far.
    pub loss: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds to the end of the run, should it use all its epochs.
    pub eta_seconds: f64,
    /// Seconds of this epoch spent waiting for data.
    pub data_wait_seconds: f64,
}

/// The best checkpoint so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Best {
    /// Epoch, from 1.
    pub epoch: usize,
    /// The value of the metric of `eval.best_by`, per cent.
    pub value: f64,
    /// Which weights.
    pub weights: WeightsKind,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All epochs are done.
    Completed,
    /// The validation stalled.
    StoppedEarly,
    /// It was asked to stop; [`resume`](crate::resume) continues it.
    Interrupted,
}
