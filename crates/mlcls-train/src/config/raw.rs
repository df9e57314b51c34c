//! The settings of a run as they are written in YAML; every key is documented in the templates under `configs/`.

use mlcls_data::{AugmentRecipe, Doubtful, Resize, SourceSize};
use mlcls_models::Head;
use serde::{Deserialize, Serialize};

use super::device::{DeviceName, PrecisionName};
use super::freeze::Freeze;

/// A value, or `auto`: decided from the data when the run starts, and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auto<T> {
    /// Decided when the run starts.
    Auto,
    /// This value.
    Fixed(T),
}

impl<T: Copy> Auto<T> {
    /// The fixed value, or what `decide` says.
    pub fn unwrap_or_else(self, decide: impl FnOnce() -> T) -> T {
        match self {
            Self::Auto => decide(),
            Self::Fixed(v) => v,
        }
    }
}

impl<T> Auto<T> {
    /// The fixed value, if it is one.
    pub fn fixed(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Fixed(v) => Some(v),
        }
    }
}

impl<T: Serialize> Serialize for Auto<T> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => s.serialize_str("auto"),
            Self::Fixed(v) => v.serialize(s),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Auto<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        enum Word {
            #[serde(rename = "auto")]
            Auto,
        }
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected `auto` or a value")]
        enum Either<T> {
            Word(Word),
            Value(T),
        }
        Ok(match Either::deserialize(d)? {
            Either::Word(Word::Auto) => Self::Auto,
            Either::Value(v) => Self::Fixed(v),
        })
    }
}

/// All settings of a run before they are checked; [`RawConfig::check`](RawConfig::check) is the only way to a
/// [`Config`](crate::Config).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Name of the recipe that the values started from.
    pub recipe: String,
    /// Which images, and how they are read.
    pub data: DataConfig,
    /// The network and its first weights.
    pub model: ModelConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// Random changes of the training images.
    pub augment: AugmentConfig,
    /// How weights follow gradients.
    pub optim: OptimConfig,
    /// How the learning rate moves.
    pub schedule: ScheduleConfig,
    /// Length and shape of the run.
    pub train: TrainConfig,
    /// Validation and the choice of the best checkpoint.
    pub eval: EvalConfig,
    /// What is reported, and how often.
    pub log: LogConfig,
}

/// Group `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Root of the data set; set by the command line.
    pub root: Option<std::path::PathBuf>,
    /// Split to train on.
    pub train: String,
    /// Split to validate on.
    pub val: String,
    /// What an object marked `difficult` (VOC) says about its label.
    pub difficult: Doubtful,
    /// What a label says that an image shows only in crowd regions (COCO).
    pub crowd: Doubtful,
    /// How images are resized.
    pub resize: Resize,
    /// Memory for resized images, MB (10^6 bytes).
    pub cache_mb: usize,
    /// A file of resized images that outlives the run; none when `None`. Runs may share it.
    pub cache_file: Option<std::path::PathBuf>,
    /// The most that this file may hold, MB (10^6 bytes).
    pub cache_file_mb: usize,
    /// Batches prepared ahead of the one in use.
    pub prefetch: usize,
    /// Only the first images of each split; all when `None`.
    pub limit: Option<usize>,
}

/// Group `model`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// timm name of the backbone.
    pub name: String,
    /// `auto`, `none`, a safetensors file or a timm weight name.
    pub pretrained: String,
    /// Side of the square input, pixels.
    pub image_size: usize,
    /// Classifier on top of the backbone.
    pub head: Auto<Head>,
    /// What pixels are normalised with.
    pub normalization: Auto<NormalizationName>,
    /// Factor on the cosine of the head; the loss is divided by it.
    pub scale: f32,
    /// Dropout before the classifier.
    pub dropout: f32,
    /// Stochastic depth of the last block; earlier blocks get a linear share.
    pub drop_path: f32,
}

/// What pixels are normalised with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormalizationName {
    /// Mean and standard deviation of ImageNet's photographs.
    Imagenet,
    /// Mean and standard deviation 0.5: pixels in [-1, 1].
    Half,
    /// Pixels in [0, 1].
    Unit,
}

/// Group `loss`; a parameter that is `auto` has the default of [`mlcls_loss`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Which loss.
    pub name: LossName,
    /// Weight of present labels, absent ones get `1 - k` (`aam`).
    pub k: Auto<f64>,
    /// Focusing power on present labels (`aam`, `asl`).
    pub gamma_pos: Auto<f64>,
    /// Focusing power on absent labels (`aam`, `asl`).
    pub gamma_neg: Auto<f64>,
    /// Probability shift of absent labels (`aam`, `asl`).
    pub shift: Auto<f64>,
    /// Margin, in units of the cosine (`aam`).
    pub margin: Auto<f64>,
    /// Weight of present labels, absent ones get `1 - alpha` (`focal`).
    pub alpha: Auto<f64>,
    /// Focusing power (`focal`).
    pub gamma: Auto<f64>,
}

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossName {
    /// Asymmetric angular margin.
    Aam,
    /// Asymmetric loss.
    Asl,
    /// Focal loss.
    Focal,
    /// Binary cross-entropy.
    Bce,
}

/// Group `augment`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// A preset or a list; see [`AugmentRecipe`].
    pub ops: AugmentRecipe,
    /// What the changes start from, and the cache keeps.
    pub source: Auto<SourceSize>,
}

/// Group `optim`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimConfig {
    /// Which optimizer.
    pub name: OptimName,
    /// Learning rate, the highest of the schedule.
    pub lr: f64,
    /// Momentum (`sgd`).
    pub momentum: f64,
    /// Nesterov's form of momentum (`sgd`).
    pub nesterov: bool,
    /// Decay of the first and second moment (`adamw`).
    pub betas: [f64; 2],
    /// Added to the root of the second moment (`adamw`).
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether biases, norms and PReLU slopes are left out of weight decay.
    pub no_bias_decay: bool,
    /// Radius of SAM; 0 turns it off.
    pub sam_rho: f64,
    /// Largest norm of the gradient; no limit when `None`.
    pub clip_norm: Option<f64>,
    /// Batches whose gradients are summed before a step.
    pub accumulate: usize,
}

/// Which optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimName {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam with decoupled weight decay.
    Adamw,
}

/// Group `schedule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Which schedule.
    pub name: ScheduleName,
    /// Steps of linear warm-up, on top of any schedule; 0 is none.
    pub warmup_iters: usize,
    /// Share of the learning rate at the first warm-up step.
    pub warmup_ratio: f64,
    /// Share of the run in which the rate rises (`one_cycle`).
    pub pct_start: f64,
    /// The rate starts at lr / this (`one_cycle`).
    pub div_factor: f64,
    /// The rate ends at its start / this (`one_cycle`).
    pub final_div_factor: f64,
    /// Factor on the rate when the metric stalls (`plateau`).
    pub factor: f64,
    /// Validations without improvement before the rate falls (`plateau`).
    pub patience: Auto<usize>,
    /// Lowest rate (`plateau`, `cosine`).
    pub min_lr: f64,
    /// What `plateau` watches.
    pub monitor: Metric,
}

/// Which schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// One cosine up, one cosine down, per step.
    OneCycle,
    /// The rate falls when the metric stalls.
    Plateau,
    /// One cosine down, per step.
    Cosine,
    /// The same rate throughout.
    Constant,
}

/// A number that says how good the model is; larger is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    /// Mean average precision, per cent.
    #[serde(rename = "mAP")]
    Map,
    /// Share of (image, label) cells on the right side of the threshold, per cent.
    #[serde(rename = "accuracy")]
    Accuracy,
}

impl Metric {
    /// Its name as written in configs and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Map => "mAP",
            Self::Accuracy => "accuracy",
        }
    }
}

/// Group `train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Most epochs.
    pub epochs: usize,
    /// Images per batch, of each process.
    pub batch_size: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Where networks run, in training and validation.
    pub device: DeviceName,
    /// Number format of maps and products there.
    pub precision: PrecisionName,
    /// Whether batch-norm takes its statistics over the batches of all processes.
    pub sync_batch_norm: bool,
    /// Which part of the backbone keeps its weights.
    pub freeze: Freeze,
    /// Epochs until everything trains; never when `None`.
    pub freeze_epochs: Option<usize>,
    /// Times that each image is used per epoch.
    pub repeats: Auto<usize>,
    /// Whether an averaged copy of the weights is kept.
    pub ema: Auto<bool>,
    /// Share of the old average kept at each step.
    pub ema_decay: f64,
    /// Whether the average follows faster in the first steps.
    pub ema_warmup: bool,
    /// Whether the run may end before `epochs`.
    pub early_stop: bool,
    /// First epoch, from 1, whose validation counts.
    pub early_stop_start: Auto<usize>,
    /// Validations without improvement before the run ends.
    pub early_stop_patience: Auto<usize>,
    /// Relative gain that counts as improvement.
    pub early_stop_min_delta: f64,
    /// Steps between two saved states.
    pub save_every: usize,
}

/// Group `eval`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Epochs between two validations.
    pub every: Auto<usize>,
    /// Whether the start is validated too.
    pub before_training: bool,
    /// What chooses the best checkpoint.
    pub best_by: Metric,
    /// Score from which a label counts as predicted.
    pub threshold: f32,
    /// First epoch (from 1) after which the averaged weights are validated too.
    pub ema_from_epoch: usize,
    /// Images per batch.
    pub batch_size: usize,
}

/// Group `log`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Steps between two progress reports.
    pub every: usize,
    /// Whether curves for TensorBoard are written too.
    pub tensorboard: bool,
}
