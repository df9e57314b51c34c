//! Training runs.
#![deny(missing_docs)]

mod adaptive;
mod cards;
mod checkpoint;
mod config;
mod dataset;
mod dry_run;
mod early_stopping;
mod ema;
mod error;
mod evaluate;
mod event;
mod gradient;
mod history;
mod improvement;
mod optim;
mod predict;
mod run_dir;
mod schedule;
mod score;
mod setup;
mod state;
mod stop;
mod summary;
#[cfg(test)]
mod testing;
mod train;

pub use adaptive::{AdaptiveInterval, adaptive_repeats};
pub use checkpoint::{Checkpoint, CheckpointInfo, MetricValue};
pub use config::{
    AugmentConfig, Auto, Config, ConfigError, DEFAULT_MODEL, DEFAULT_RECIPE, DataConfig, EvalConfig, Layers,
    LogConfig, LossConfig, LossName, Metric, ModelConfig, NormalizationName, OptimConfig, OptimName,
    RawConfig, ScheduleConfig, ScheduleName, Template, TrainConfig, template, templates,
};
pub use dataset::open_dataset;
pub use dry_run::{DryRun, dry_run};
pub use early_stopping::{EarlyStopping, EarlyStoppingConfig};
pub use ema::{Ema, EmaConfig};
pub use error::{Error, Result};
pub use evaluate::{EvalOptions, Evaluation, evaluate_checkpoint};
pub use event::{Best, Choice, Event, EventSink, Outcome, StepInfo, Validation, WeightsKind};
pub use history::Row;
pub use improvement::Improvement;
pub use optim::{AdamWConfig, Optimizer, Sam, SgdConfig, WeightDecay, clip_norm, clip_value, global_norm};
pub use predict::{Prediction, Predictor};
pub use run_dir::RunDir;
pub use schedule::{Cosine, OneCycle, Plateau, PlateauConfig, Policy, Schedule, Warmup};
pub use setup::Memory;
pub use stop::StopFlag;
pub use summary::{RunSummary, WeakLabel};
pub use train::{resume, train};
