//! Everything that is decided before the first step, from the settings and the data.

mod explain;
mod memory;

use std::sync::Arc;

use mlcls_data::{Dataset, FileCache, Item, Loader, LoaderOptions, Part, Summary};
use mlcls_engine::{NodeId, Weights};
use mlcls_loss::Loss;
use mlcls_models::{Hub, Model, ModelOptions, Normalization, Pretrained, WeightFile, build, transfer};

use crate::adaptive::{AdaptiveInterval, adaptive_repeats};
use crate::available::available_memory;
use crate::checkpoint::{Checkpoint, CheckpointInfo};
use crate::config::{Config, ConfigError, Freeze, NormalizationName, OptimName, ScheduleName};
use crate::dataset::{check_images, train_and_val, warnings};
use crate::device::Device;
use crate::early_stopping::{EarlyStopping, EarlyStoppingConfig};
use crate::ema::EmaConfig;
use crate::error::{Error, Result};
use crate::event::{Choice, Event, EventSink};
use crate::improvement::Improvement;
use crate::optim::{AdamWConfig, Optimizer, SgdConfig, WeightDecay};
use crate::schedule::{Cosine, OneCycle, Plateau, PlateauConfig, Policy, Schedule, Warmup};
use crate::world::Placement;
use explain::choice;
pub use memory::Memory;

/// More training images than this turn the average on where it is `auto`, as in OTX.
const EMA_ABOVE: usize = 2000;

/// A run with every decision taken.
#[derive(Debug)]
pub(crate) struct Setup {
    pub config: Config,
    pub summary: Summary,
    pub model: Model,
    pub loss: Loss,
    pub train: Loader,
    pub val: Loader,
    /// Where networks run.
    pub device: Device,
    /// The share of this process in batches and splits.
    pub part: Part,
    /// Optimizer steps in an epoch.
    pub steps_per_epoch: usize,
    /// Epochs between two validations.
    pub eval_every: usize,
    pub ema: Option<EmaConfig>,
    frozen: Option<Frozen>,
    cache_file: Option<FileCache>,
    adaptive: AdaptiveInterval,
    choices: Vec<Choice>,
    warnings: Vec<String>,
}

/// The part of the network that keeps its weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frozen {
    /// Its last node.
    pub node: NodeId,
    /// Its elements of the parameter vector, from the first.
    pub params: usize,
    /// Epochs until everything trains.
    pub epochs: usize,
}

impl Frozen {
    fn new(config: &Config, model: &Model) -> Result<Option<Self>> {
        let (graph, stages) = (&model.graph, model.stages());
        let node = match config.train.freeze {
            Freeze::None => return Ok(None),
            Freeze::Backbone => graph.features(),
            Freeze::Stages(n) if n <= stages.len() => stages[n - 1],
            freeze => {
                return Err(Error::Config(ConfigError::Value {
                    origin: "settings".to_owned(),
                    key: "train.freeze".to_owned(),
                    found: freeze.to_string(),
                    problem: format!("{} has {} stages", model.name, stages.len()),
                }));
            }
        };
        let epochs = config.train.freeze_epochs.unwrap_or(usize::MAX);
        Ok(Some(Self { node, params: graph.param_len_up_to(node), epochs }))
    }
}

/// The model that the settings name.
pub(crate) fn build_model(config: &Config, classes: usize) -> Result<Model> {
    let fixed = |name| match name {
        NormalizationName::Imagenet => Normalization::IMAGENET,
        NormalizationName::Half => Normalization::HALF,
        NormalizationName::Unit => Normalization::UNIT,
    };
    let options = ModelOptions {
        classes,
        size: config.model.image_size,
        head: config.model.head.fixed(),
        scale: config.model.scale,
        dropout: config.model.dropout,
        drop_path: config.model.drop_path,
        normalization: config.model.normalization.fixed().map(fixed),
    };
    Ok(build(&config.model.name, &options)?)
}

impl Setup {
    /// Takes every decision for one of the processes of a run; `model` must have as many classes as the data set has labels.
    pub fn new(config: Config, dataset: &Dataset, model: Model, placement: &Placement) -> Result<Self> {
        let part = placement.part();
        let device = config.device().of_local_rank(placement.local_rank());
        device.check()?; // before all that takes time
        let (train_split, val_split) = train_and_val(dataset, &config)?;
        check_images(dataset, [train_split, val_split])?;
        let mut warnings = warnings(dataset, train_split, val_split)?;
        let cache_file = open_cache_file(&config, &mut warnings)?;
        let images = train_split.items.len();
        let batch = (config.train.batch_size * part.of).min(images);
        if batch < part.of * config.train.batch_size.min(2) {
            return Err(too_few_images(dataset, images, part.of));
        }
        let repeats = config.train.repeats.unwrap_or_else(|| adaptive_repeats(images, batch));
        let train_items: Arc<[Item]> = train_split.items.as_slice().into();
        let val_items: Arc<[Item]> = val_split.items[part.range(val_split.items.len())].into();
        let common = LoaderOptions {
            size: config.model.image_size as u32,
            resize: config.data.resize,
            prefetch: config.data.prefetch,
            ..LoaderOptions::default()
        };
        // The validation images are few and all of one size; they share the limit by their number.
        let cache_bytes = config.data.cache_mb as u64 * 1_000_000;
        let val_bytes = cache_bytes * val_items.len() as u64 / (images + val_items.len()) as u64;
        let augment = config.augment.ops.clone();
        let train = LoaderOptions {
            batch,
            part,
            shuffle: true,
            repeats,
            drop_last_single: true,
            seed: config.train.seed,
            source: config.augment.source.unwrap_or_else(|| augment.default_source()),
            augment,
            cache_bytes: cache_bytes - val_bytes,
            ..common.clone()
        };
        let val = LoaderOptions { batch: config.eval.batch_size, cache_bytes: val_bytes, ..common };
        let train = Loader::with_file_cache(train_items, train, cache_file.clone());
        let val = Loader::with_file_cache(val_items, val, cache_file.clone());

        let steps_per_epoch = train.batches_per_epoch().div_ceil(config.optim.accumulate);
        let adaptive = AdaptiveInterval::new(steps_per_epoch, config.train.epochs);
        let use_ema = config.train.ema.unwrap_or_else(|| images > EMA_ABOVE);
        let mut setup = Self {
            loss: config.loss.build()?.with_scale(model.scale.into()),
            steps_per_epoch,
            frozen: Frozen::new(&config, &model)?,
            eval_every: config.eval.every.unwrap_or_else(|| adaptive.interval),
            ema: use_ema
                .then_some(EmaConfig { decay: config.train.ema_decay, warmup: config.train.ema_warmup }),
            summary: dataset.summary(),
            device,
            part,
            config,
            model,
            train,
            val,
            cache_file,
            adaptive,
            choices: vec![],
            warnings,
        };
        if let Some(available) = available_memory() {
            setup.check_memory(available / placement.local_size() as u64)?;
        }
        #[cfg(feature = "cuda")]
        setup.check_gpu()?;
        setup.choices = setup.explain()?;
        Ok(setup)
    }

    /// Why nothing more is kept in the file of resized images, once. The run goes on without.
    pub(crate) fn cache_trouble(&self) -> Option<String> {
        let trouble = self.cache_file.as_ref()?.take_trouble()?;
        Some(format!("{trouble}; no more images are kept there, and the run goes on"))
    }

    /// Tells the sink what was found and decided.
    pub fn announce(&self, sink: &mut dyn EventSink) {
        sink.event(&Event::DataFound {
            summary: self.summary.clone(),
            train: self.config.data.train.clone(),
            val: self.config.data.val.clone(),
        });
        sink.event(&Event::Chosen { choices: self.choices.clone() });
        for message in &self.warnings {
            sink.event(&Event::Warning { message: message.clone() });
        }
    }

    /// The weights before the first step: random from the seed, then what `model.pretrained` names.
    pub fn initial_weights(&self, sink: &mut dyn EventSink) -> Result<Weights> {
        let mut weights = Weights::init(&self.model.graph, self.config.train.seed);
        let pretrained = Pretrained::from(self.config.model.pretrained.as_str());
        let progress = &mut |done, total| sink.event(&Event::Download { done, total });
        let Some(found) = pretrained.locate(self.model.name, &Hub::from_env(), progress)? else {
            return Ok(weights);
        };
        let file = WeightFile::open(&found.path)?;
        let (what, kept) = if Checkpoint::is_in(&file) {
            let from = Checkpoint::load(&found.path)?;
            let kept = transfer(
                (&from.model.graph, &from.weights, &from.info.labels),
                (&self.model.graph, &mut weights, &self.summary.labels),
            )?;
            let (copied, all) = (kept.copied.len(), self.summary.labels.len());
            ("checkpoint", format!("backbone and {copied} of {all} labels"))
        } else {
            let report = file.backbone(&self.model, &mut weights)?;
            ("weights", format!("backbone, {} tensors; the head starts at random", report.loaded))
        };
        let path = found.path.display();
        sink.event(&Event::Chosen { choices: vec![choice("start", format!("{what} {path}"), kept)] });
        Ok(weights)
    }

    /// What a checkpoint of this run says about itself, before training.
    pub fn checkpoint_info(&self) -> CheckpointInfo {
        CheckpointInfo {
            resize: self.config.data.resize,
            threshold: self.config.eval.threshold,
            data_fingerprint: self.summary.fingerprint.clone(),
            ..CheckpointInfo::new(&self.model, self.summary.labels.clone(), self.loss)
        }
    }

    /// The optimizer at its start.
    pub fn optimizer(&self) -> Optimizer {
        let o = &self.config.optim;
        let params = self.model.graph.params();
        let decay = if o.no_bias_decay {
            WeightDecay::no_bias(params, o.weight_decay)
        } else {
            WeightDecay::uniform(self.model.graph.param_len(), o.weight_decay)
        };
        match o.name {
            OptimName::Sgd => Optimizer::sgd(SgdConfig { momentum: o.momentum, nesterov: o.nesterov }, decay),
            OptimName::Adamw => Optimizer::adamw(AdamWConfig { betas: o.betas, eps: o.eps }, decay),
        }
    }

    /// The learning rate's course at its start.
    pub fn schedule(&self) -> Schedule {
        let s = &self.config.schedule;
        let lr = self.config.optim.lr;
        let total_steps = (self.steps_per_epoch * self.config.train.epochs) as u64;
        let policy = match s.name {
            ScheduleName::Constant => Policy::Constant(lr),
            ScheduleName::Cosine => Policy::Cosine(Cosine { lr, min_lr: s.min_lr, total_steps }),
            ScheduleName::OneCycle => Policy::OneCycle(OneCycle {
                max_lr: lr,
                total_steps,
                pct_start: s.pct_start,
                div_factor: s.div_factor,
                final_div_factor: s.final_div_factor,
            }),
            ScheduleName::Plateau => Policy::Plateau(Plateau::new(PlateauConfig {
                lr,
                factor: s.factor,
                patience: s.patience.unwrap_or_else(|| self.adaptive.plateau_patience),
                min_lr: s.min_lr,
                improvement: Improvement::AtLeast,
            })),
        };
        let schedule = Schedule::new(policy);
        match s.warmup_iters {
            0 => schedule,
            steps => schedule.with_warmup(Warmup { steps: steps as u64, ratio: s.warmup_ratio }),
        }
    }

    /// Early stopping at its start; `None` when it is off.
    pub fn early_stopping(&self) -> Option<EarlyStopping> {
        let t = &self.config.train;
        t.early_stop.then(|| {
            EarlyStopping::new(EarlyStoppingConfig {
                start: t.early_stop_start.unwrap_or_else(|| self.eval_every),
                warmup_steps: self.config.schedule.warmup_iters as u64,
                patience: t.early_stop_patience.unwrap_or_else(|| self.adaptive.early_stopping_patience),
                improvement: Improvement::ShrunkScore(t.early_stop_min_delta),
            })
        })
    }

    /// Whether batch-norm takes its statistics over the batches of all processes.
    pub fn synced(&self) -> bool {
        self.config.train.sync_batch_norm && self.part.of > 1
    }

    /// What is frozen in an epoch (from 1).
    pub fn frozen_in(&self, epoch: usize) -> Option<Frozen> {
        self.frozen.filter(|frozen| epoch <= frozen.epochs)
    }
}

/// The error of a run with more processes than its images can feed.
fn too_few_images(dataset: &Dataset, images: usize, processes: usize) -> Error {
    let reason = format!(
        "{images} training images are too few for {processes} processes, of which each needs two in a step, as batch statistics \
         cannot be taken on one; start {} at most",
        (images / 2).max(1)
    );
    Error::NoData { root: dataset.root.clone(), reason }
}

/// The file of resized images that the settings name.
fn open_cache_file(config: &Config, warnings: &mut Vec<String>) -> Result<Option<FileCache>> {
    let Some(path) = &config.data.cache_file else { return Ok(None) };
    let cache = FileCache::open(path, config.data.cache_file_mb as u64 * 1_000_000)?;
    if cache.damaged_bytes() > 0 {
        warnings.push(format!(
            "the last {} bytes of {} are no whole images, as a killed run leaves them; they are overwritten",
            cache.damaged_bytes(),
            path.display()
        ));
    }
    Ok(Some(cache))
}
