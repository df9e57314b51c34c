//! Training runs: settings, the loop, checkpoints, exact resume, evaluation and prediction.
//!
//! A run is described by a [`Config`]: a recipe under the user's YAML under `--set` under flags, laid over each other by
//! [`Layers`] and checked once. [`train`] follows it into a [`RunDir`], a folder that is complete before the first step, and
//! tells an [`EventSink`] what happens; it prints nothing. [`resume`] continues a run that was interrupted or killed, bit for
//! bit as if it had not been. The result is a [`Checkpoint`], which explains itself to [`evaluate_checkpoint`],
//! [`Predictor`] and any other reader of safetensors.
//!
//! ```no_run
//! use std::path::Path;
//! use mlcls_train::{Event, EventSink, Layers, RunDir, StopFlag, train};
//!
//! struct Print;
//!
//! impl EventSink for Print {
//!     fn event(&mut self, event: &Event) {
//!         if let Event::EpochEnd(row) = event {
//!             println!("epoch {}: loss {:?}, mAP {:?}", row.epoch, row.train_loss, row.map);
//!         }
//!     }
//! }
//!
//! # fn main() -> mlcls_train::Result<()> {
//! let config = Layers::new()
//!     .set("data.root=photos")?
//!     .set("model.name=mobilenet_v3_large")?
//!     .set("train.epochs=10")?
//!     .resolve()?;
//! let dir = RunDir::create_next(Path::new("runs"), "train")?;
//! let summary = train(&config, &dir, &mut Print, &StopFlag::default())?;
//! println!("best: {:?} in {}", summary.best, dir.best().display());
//! # Ok(())
//! # }
//! ```
//!
//! The parts can be used alone: [`Optimizer`], [`Sam`], [`Schedule`], [`Ema`] and [`EarlyStopping`] work on plain slices and
//! numbers, and each saves and restores its state exactly.
//!
//! ```
//! use mlcls_train::{Optimizer, Sam, SgdConfig, WeightDecay};
//!
//! // Minimise (w - 3)^2 with SAM over SGD.
//! let gradient = |w: f32| 2.0 * (w - 3.0);
//! let mut w = [0.0];
//! let mut sam = Sam::new(0.05);
//! let mut sgd = Optimizer::sgd(SgdConfig::default(), WeightDecay::uniform(1, 0.0));
//! for _ in 0..200 {
//!     let here = gradient(w[0]);
//!     sam.perturb(&mut w, &[here]);
//!     let uphill = gradient(w[0]);
//!     sam.restore(&mut w);
//!     sgd.step(0.02, &mut w, &[uphill]);
//! }
//! assert!((w[0] - 3.0).abs() < 0.1);
//! ```
//!
//! Reading further: `train/mod.rs` is the loop, top to bottom; `setup/` holds every decision before the first step;
//! `state.rs` and `checkpoint.rs` the two files that a run leaves.
#![deny(missing_docs)]

mod adaptive;
mod available;
mod calibrate;
mod cards;
mod checkpoint;
mod config;
mod dataset;
mod device;
mod dry_run;
mod early_stopping;
mod ema;
mod error;
mod evaluate;
mod event;
mod gradient;
mod history;
mod improvement;
mod learner;
mod optim;
mod predict;
mod run_dir;
mod schedule;
mod score;
mod setup;
mod state;
mod stop;
mod summary;
mod tensorboard;
#[cfg(test)]
mod testing;
mod thresholds;
mod train;
mod world;

pub use adaptive::{AdaptiveInterval, adaptive_repeats};
pub use available::available_memory;
pub use calibrate::{CalibrationMethod, CalibrationReport, Reliability, fit_calibration};
pub use checkpoint::{Checkpoint, CheckpointInfo, MetricValue};
pub use config::{
    AugmentConfig, Auto, Config, ConfigError, DEFAULT_MODEL, DEFAULT_RECIPE, DataConfig, DeviceName,
    EvalConfig, Freeze, Layers, LogConfig, LossConfig, LossName, Metric, ModelConfig, NormalizationName,
    OptimConfig, OptimName, PrecisionName, RawConfig, ScheduleConfig, ScheduleName, Template, TrainConfig,
    template, templates,
};
pub use dataset::open_dataset;
pub use device::Device;
pub use dry_run::{DryRun, dry_run};
pub use early_stopping::{EarlyStopping, EarlyStoppingConfig};
pub use ema::{Ema, EmaConfig, WeightsKind};
pub use error::{Error, Result};
pub use evaluate::{EvalOptions, Evaluation, evaluate_checkpoint, evaluate_logits, evaluate_with};
pub use event::{Best, Choice, Event, EventSink, Outcome, StepInfo};
pub use history::{Row, Validation};
pub use improvement::Improvement;
pub use optim::{AdamWConfig, Optimizer, Sam, SgdConfig, WeightDecay, clip_norm, clip_value, global_norm};
pub use predict::{Prediction, Predictor};
pub use run_dir::RunDir;
pub use schedule::{Cosine, OneCycle, Plateau, PlateauConfig, Policy, Schedule, Warmup};
pub use setup::Memory;
pub use stop::StopFlag;
pub use summary::{RunSummary, WeakLabel};
pub use thresholds::{ThresholdReport, checkpoint_thresholds};
pub use train::{resume, resume_together, train, train_together};
pub use world::{Placement, World, WorldError};
