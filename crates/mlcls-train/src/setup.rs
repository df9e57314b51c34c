//! Everything that is decided before the first step, from the settings and the data.

use std::sync::Arc;

use mlcls_data::{Dataset, FileCache, Item, Loader, LoaderOptions, SourceSize, Summary};
use mlcls_engine::{NodeId, TrainPlan, Weights};
use mlcls_loss::Loss;
use mlcls_models::{Hub, Model, ModelOptions, Normalization, Pretrained, WeightFile, build, transfer};

use crate::adaptive::{AdaptiveInterval, adaptive_repeats};
use crate::available::available_memory;
use crate::checkpoint::{Checkpoint, CheckpointInfo};
use crate::config::{Auto, Config, ConfigError, Freeze, NormalizationName, OptimName, ScheduleName};
use crate::dataset::{check_images, train_and_val, warnings};
use crate::device::Device;
#[cfg(feature = "cuda")]
use crate::device::Inference;
use crate::early_stopping::{EarlyStopping, EarlyStoppingConfig};
use crate::ema::EmaConfig;
use crate::error::{Error, Result};
use crate::event::{Choice, Event, EventSink};
use crate::improvement::Improvement;
use crate::optim::{AdamWConfig, Optimizer, SgdConfig, WeightDecay};
use crate::schedule::{Cosine, OneCycle, Plateau, PlateauConfig, Policy, Schedule, Warmup};

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
    /// Takes every decision; `model` must have as many classes as the data set has labels.
    pub fn new(config: Config, dataset: &Dataset, model: Model) -> Result<Self> {
        let device = config.device();
        device.check()?; // before all that takes time
        let (train_split, val_split) = train_and_val(dataset, &config)?;
        check_images(dataset, [train_split, val_split])?;
        let mut warnings = warnings(dataset, train_split, val_split)?;
        let cache_file = open_cache_file(&config, &mut warnings)?;
        let images = train_split.items.len();
        let batch = config.train.batch_size.min(images);
        let repeats = config.train.repeats.unwrap_or_else(|| adaptive_repeats(images, batch));
        let train_items: Arc<[Item]> = train_split.items.as_slice().into();
        let val_items: Arc<[Item]> = val_split.items.as_slice().into();
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
            setup.check_memory(available)?;
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

    /// Bytes of memory that the run takes for its model, batches and cache, all at their largest.
    pub fn memory(&self) -> Result<Memory> {
        self.memory_for(self.train.options().batch)
    }

    /// The same for batches of another size.
    pub fn memory_for(&self, batch: usize) -> Result<Memory> {
        let graph = &self.model.graph;
        let options = self.train.options();
        let vectors = 2 // weights and gradient
            + self.optimizer_vectors()
            + usize::from(self.config.optim.sam_rho > 0.0)
            + usize::from(self.config.optim.accumulate > 1)
            + usize::from(self.ema.is_some());
        let batch_bytes = batch * graph.input_shape().len();
        Ok(Memory {
            plan: self.plan_bytes(batch)?,
            vectors: 4 * vectors * graph.param_len(),
            batches: (options.prefetch + self.config.optim.accumulate) * batch_bytes,
            cache: cache_bytes(&self.train) + cache_bytes(&self.val),
        })
    }

    /// Bytes of the training plan; where it is another one later, of the larger; 0 where it is in the memory of a GPU.
    fn plan_bytes(&self, batch: usize) -> Result<usize> {
        if self.device != Device::Cpu {
            return Ok(0);
        }
        let graph = &self.model.graph;
        Ok(match self.frozen {
            Some(frozen) if frozen.epochs >= self.config.train.epochs => {
                TrainPlan::bytes_needed_behind(graph, batch, frozen.node)?
            }
            _ => TrainPlan::bytes_needed(graph, batch)?,
        })
    }

    /// What is frozen in an epoch (from 1).
    pub fn frozen_in(&self, epoch: usize) -> Option<Frozen> {
        self.frozen.filter(|frozen| epoch <= frozen.epochs)
    }

    /// Refuses a batch that does not fit, before anything is taken, with the largest that does.
    pub fn check_memory(&self, available: u64) -> Result<()> {
        let needs = |batch| Ok::<_, Error>(self.memory_for(batch)?.fixed());
        let batch = self.train.options().batch;
        let needed = needs(batch)?;
        if needed <= available {
            return Ok(());
        }
        // Memory grows with the batch, so halving finds the border.
        let (mut fits, mut too_large) = (0, batch);
        while too_large - fits > 1 {
            let middle = fits.midpoint(too_large);
            *if needs(middle)? <= available { &mut fits } else { &mut too_large } = middle;
        }
        Err(Error::Memory { batch, needed, available, largest: fits })
    }

    /// Refuses a GPU that cannot be used, or does not hold what training and validation need, before anything is written: both are
    /// made once, and let go.
    #[cfg(feature = "cuda")]
    fn check_gpu(&self) -> Result<()> {
        if self.device == Device::Cpu {
            return Ok(());
        }
        let (graph, device) = (&self.model.graph, self.device);
        let [batch, eval_batch] = [&self.train, &self.val].map(|loader| loader.options().batch);
        let made = || {
            let weights = Weights::init(graph, 0);
            let _trainer = self.cuda_trainer(&weights, &self.optimizer())?;
            Inference::new(graph, &weights, eval_batch, device).map(drop)
        };
        made().map_err(|error| match error {
            Error::Engine(mlcls_engine::Error::OutOfMemory { bytes }) => {
                Error::GpuMemory { device: device.name(), bytes, batch, eval_batch }
            }
            other => other,
        })
    }

    fn optimizer_vectors(&self) -> usize {
        match self.config.optim.name {
            OptimName::Sgd => 1,
            OptimName::Adamw => 2,
        }
    }

    /// The decisions in words.
    fn explain(&self) -> Result<Vec<Choice>> {
        let (c, graph) = (&self.config, &self.model.graph);
        let options = self.train.options();
        let images = self.train.items().len();
        let by_setting = |auto: bool, why: String| if auto { why } else { String::new() };
        let megabytes = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        let memory = self.memory()?;
        let mut choices = vec![
            choice("recipe", c.recipe.clone(), String::new()),
            choice(
                "model",
                format!("{}, {} labels", self.model.name, graph.output_len()),
                format!(
                    "{:.1} M parameters, {:.2} GFLOPs",
                    graph.param_len() as f64 / 1e6,
                    graph.macs() as f64 * 2e-9
                ),
            ),
            choice("device", self.device.to_string(), self.device.gpu().unwrap_or_default()),
            choice("image size", format!("{0} x {0}", options.size), String::new()),
            choice(
                "batch size",
                options.batch.to_string(),
                by_setting(
                    options.batch < c.train.batch_size,
                    format!("there are only {images} training images"),
                ),
            ),
            choice(
                "repeats",
                options.repeats.to_string(),
                by_setting(c.train.repeats == Auto::Auto, "from the number of batches".to_owned()),
            ),
            choice(
                "epochs",
                format!("up to {}, {} steps each", c.train.epochs, self.steps_per_epoch),
                by_setting(
                    self.train.samples_per_epoch() < images * options.repeats,
                    "the last image of an epoch is left out: batch statistics need two".to_owned(),
                ),
            ),
            choice(
                "validation",
                match self.eval_every {
                    1 => format!("every epoch on `{}`", c.data.val),
                    n => format!("every {n} epochs on `{}`", c.data.val),
                },
                by_setting(c.eval.every == Auto::Auto, "short epochs are validated less often".to_owned()),
            ),
            choice(
                "averaged weights",
                if self.ema.is_some() { "yes" } else { "no" }.to_owned(),
                by_setting(
                    c.train.ema == Auto::Auto,
                    format!("{images} training images, needs more than {EMA_ABOVE}"),
                ),
            ),
        ];
        if let Some(frozen) = self.frozen {
            let share = 100.0 * frozen.params as f64 / graph.param_len() as f64;
            let until = match c.train.freeze_epochs {
                Some(epochs) => format!("for {epochs} epochs"),
                None => "all the time".to_owned(),
            };
            let why = format!("{share:.0} % of the parameters, {until}");
            choices.push(choice("frozen", c.train.freeze.to_string(), why));
        }
        choices.push(choice(
            "memory",
            megabytes(memory.fixed()),
            format!("and up to {} of decoded images", megabytes(memory.cache)),
        ));
        choices.push(choice("seed", c.train.seed.to_string(), String::new()));
        Ok(choices)
    }
}

/// Bytes that a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// The training plan; 0 where it is in the memory of a GPU.
    pub plan: usize,
    /// Weights, gradient, optimizer, SAM and the average.
    pub vectors: usize,
    /// Batches that are prepared ahead.
    pub batches: usize,
    /// Decoded images, at most.
    pub cache: u64,
}

impl Memory {
    /// All but the cache, which takes what it is given.
    pub fn fixed(&self) -> u64 {
        (self.plan + self.vectors + self.batches) as u64
    }
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

/// Bytes that a loader's cache may take: its limit, or all its images where their size is known.
fn cache_bytes(loader: &Loader) -> u64 {
    let options = loader.options();
    match options.source {
        SourceSize::Squash => {
            let side = u64::from(options.size);
            options.cache_bytes.min(loader.items().len() as u64 * side * side * 3)
        }
        SourceSize::ShortSide(_) | SourceSize::Original => options.cache_bytes,
    }
}

fn choice(what: &'static str, value: String, why: String) -> Choice {
    Choice { what, value, why }
}
