//! Settings: a recipe, then the user's YAML, then `--set`, then flags; checked once, before anything runs.

mod check;
mod device;
mod error;
mod freeze;
mod layers;
mod loss;
mod raw;
mod templates;
pub(crate) mod yaml;

pub use check::Config;
pub(crate) use device::NOT_ON_PROCESSORS;
pub use device::{DeviceName, PrecisionName};
pub use error::ConfigError;
pub use freeze::Freeze;
pub use layers::Layers;
pub use raw::{
    AugmentConfig, Auto, DataConfig, EvalConfig, LogConfig, LossConfig, LossName, Metric, ModelConfig,
    NormalizationName, OptimConfig, OptimName, RawConfig, ScheduleConfig, ScheduleName, TrainConfig,
};
pub use templates::{DEFAULT_MODEL, DEFAULT_RECIPE, Template, template, templates};
