//! The training loop, top to bottom.

use std::path::Path;
use std::time::Instant;

use mlcls_data::Batch;
use mlcls_engine::{TrainPlan, Weights};
use mlcls_metrics::{Definition, Report};

use crate::cards;
use crate::checkpoint::{Checkpoint, MetricValue};
use crate::config::{Config, Layers, Metric};
use crate::dataset::open_dataset;
use crate::ema::Ema;
use crate::error::{Error, Result};
use crate::event::{Best, Event, EventSink, Outcome, StepInfo, Validation, WeightsKind};
use crate::history::{History, Row};
use crate::optim::{Optimizer, Sam, clip_norm, global_norm};
use crate::run_dir::RunDir;
use crate::score::Scored;
use crate::setup::{Setup, build_model};
use crate::state::{self, LossSum, Progress, SavedState};
use crate::stop::StopFlag;
use crate::summary::{RunSummary, WeakLabel};

/// Trains by the settings into a new run folder.
///
/// The folder is complete (`config.yaml`, `dataset.json`, `environment.json`) before the first step. A run that was
/// interrupted, or killed, is continued by [`resume`].
///
/// # Errors
/// Data, settings or weights that cannot be used; a file that cannot be written; a loss that is not finite. What was saved
/// before stays whole.
pub fn train(config: &Config, dir: &RunDir, sink: &mut dyn EventSink, stop: &StopFlag) -> Result<RunSummary> {
    let dataset = open_dataset(config)?;
    let model = build_model(config, dataset.labels.len())?;
    let setup = Setup::new(config.clone(), &dataset, model)?;
    start(setup, dir, sink, stop)
}

/// Continues a run from its last saved state, bit for bit as if it had never stopped.
///
/// # Errors
/// The folder is no run, the run is over, its data set has changed, or its state cannot be read.
pub fn resume(run: &Path, sink: &mut dyn EventSink, stop: &StopFlag) -> Result<RunSummary> {
    let dir = RunDir::open(run)?;
    let config = Layers::new().file(&dir.config())?.resolve()?;
    let dataset = open_dataset(&config)?;
    let model = build_model(&config, dataset.labels.len())?;
    let setup = Setup::new(config, &dataset, model)?;
    continue_run(setup, &dir, sink, stop)
}

pub(crate) fn start(
    setup: Setup,
    dir: &RunDir,
    sink: &mut dyn EventSink,
    stop: &StopFlag,
) -> Result<RunSummary> {
    cards::write(dir, &setup)?;
    setup.announce(sink);
    let weights = setup.initial_weights(sink)?;
    let mut run = Run::new(&setup, dir, weights, 0, sink)?;
    run.save_state()?;
    run.go(stop)
}

pub(crate) fn continue_run(
    setup: Setup,
    dir: &RunDir,
    sink: &mut dyn EventSink,
    stop: &StopFlag,
) -> Result<RunSummary> {
    let path = dir.state();
    if !path.exists() {
        return start(setup, dir, sink, stop); // stopped before its first state was saved
    }
    let saved = SavedState::open(&path)?;
    setup.announce(sink);
    let weights = Weights::init(&setup.model.graph, 0); // overwritten
    let mut run = Run::new(&setup, dir, weights, saved.progress.metrics_len, sink)?;
    run.restore(&saved)?;
    run.go(stop)
}

/// A run under way.
struct Run<'a> {
    setup: &'a Setup,
    dir: &'a RunDir,
    sink: &'a mut dyn EventSink,
    plan: TrainPlan,
    weights: Weights,
    grads: Vec<f32>,
    /// Gradient of one batch while several are accumulated; else empty.
    batch_grads: Vec<f32>,
    dlogits: Vec<f32>,
    optimizer: Optimizer,
    sam: Option<Sam>,
    ema: Option<Ema>,
    progress: Progress,
    history: History,
    speed: Speed,
}

/// What this process has measured, for the estimate of the time left.
#[derive(Debug, Default)]
struct Speed {
    steps: usize,
    step_seconds: f64,
    validation_seconds: f64,
}

impl<'a> Run<'a> {
    /// A run at its start, but for the first bytes of `metrics.csv`, which are kept.
    fn new(
        setup: &'a Setup,
        dir: &'a RunDir,
        weights: Weights,
        metrics_len: u64,
        sink: &'a mut dyn EventSink,
    ) -> Result<Self> {
        let history = History::open(&dir.metrics(), metrics_len)?;
        let (config, graph) = (&setup.config, &setup.model.graph);
        let progress = Progress {
            data_fingerprint: setup.summary.fingerprint.clone(),
            epochs_done: 0,
            batches_done: 0,
            steps: 0,
            ema_updates: 0,
            start_validated: !config.eval.before_training,
            loss: LossSum::default(),
            epoch_seconds: 0.0,
            schedule: setup.schedule(),
            early_stopping: setup.early_stopping(),
            best: None,
            weakest: vec![],
            metrics_len: history.len(),
            ended: None,
        };
        let accumulates = config.optim.accumulate > 1;
        Ok(Self {
            plan: TrainPlan::new(graph, setup.train.options().batch)?,
            grads: vec![0.0; graph.param_len()],
            batch_grads: vec![0.0; if accumulates { graph.param_len() } else { 0 }],
            dlogits: vec![],
            optimizer: setup.optimizer(),
            sam: (config.optim.sam_rho > 0.0).then(|| Sam::new(config.optim.sam_rho)),
            ema: setup.ema.map(|ema| Ema::new(&weights, ema)),
            weights,
            progress,
            history,
            speed: Speed::default(),
            setup,
            dir,
            sink,
        })
    }

    /// Epoch after epoch, until all are done, the validation stalls, or it is asked to stop.
    fn go(mut self, stop: &StopFlag) -> Result<RunSummary> {
        if let Some(outcome) = self.progress.ended {
            let epochs = self.progress.epochs_done;
            let how =
                if outcome == Outcome::Completed { "all its epochs are done" } else { "it stopped early" };
            let reason = format!("nothing to continue: {how} ({epochs} epochs)");
            return Err(Error::Resume { run: self.dir.path().to_owned(), reason });
        }
        if !self.progress.start_validated {
            self.validate_start()?;
        }
        loop {
            if self.train_epoch(stop)? == Outcome::Interrupted {
                self.save_state()?;
                return Ok(self.finish(Outcome::Interrupted));
            }
            self.end_epoch()?;
            if let Some(outcome) = self.progress.ended {
                return Ok(self.finish(outcome));
            }
        }
    }

    /// The rest of the current epoch's batches.
    fn train_epoch(&mut self, stop: &StopFlag) -> Result<Outcome> {
        let (setup, config) = (self.setup, &self.setup.config);
        let accumulate = config.optim.accumulate;
        let epoch = self.progress.epochs_done + 1;
        let steps = setup.steps_per_epoch;
        self.sink.event(&Event::EpochStart { epoch, epochs: config.train.epochs, steps });

        let (start, seconds_before) = (Instant::now(), self.progress.epoch_seconds);
        let mut images = 0;
        let mut batches = setup.train.epoch(self.progress.epochs_done as u64, self.progress.batches_done);
        loop {
            if stop.requested() {
                return Ok(Outcome::Interrupted);
            }
            let step_start = Instant::now();
            let group: Vec<Batch> =
                batches.by_ref().take(accumulate).map(|b| Ok(b?)).collect::<Result<_>>()?;
            if group.is_empty() {
                return Ok(Outcome::Completed);
            }
            let lr = self.step(&group)?;
            images += group.iter().map(Batch::len).sum::<usize>();
            group.into_iter().for_each(|batch| batches.recycle(batch));

            self.speed.steps += 1;
            self.speed.step_seconds += step_start.elapsed().as_secs_f64();
            let elapsed = start.elapsed().as_secs_f64();
            self.progress.epoch_seconds = seconds_before + elapsed;
            let step = self.progress.batches_done.div_ceil(accumulate);
            if step.is_multiple_of(config.log.every) || step == steps {
                let info = StepInfo {
                    epoch,
                    step,
                    steps,
                    images_per_second: images as f64 / elapsed,
                    loss: self.progress.loss.mean().unwrap_or(0.0),
                    lr,
                    eta_seconds: self.seconds_left(epoch, step),
                    data_wait_seconds: batches.waited().as_secs_f64(),
                };
                self.sink.event(&Event::Step(info));
            }
            if self.progress.steps.is_multiple_of(config.train.save_every as u64) {
                self.save_state()?;
            }
        }
    }

    /// One step of the optimizer; returns the learning rate.
    fn step(&mut self, batches: &[Batch]) -> Result<f64> {
        let lr = self.progress.schedule.lr(self.progress.steps);
        let loss = self.gradient(batches, 0)?;
        if let Some(mut sam) = self.sam.take() {
            sam.perturb(&mut self.weights.params, &self.grads);
            let second = self.gradient(batches, 1);
            sam.restore(&mut self.weights.params);
            self.sam = Some(sam);
            second?;
        }
        if let Some(limit) = self.setup.config.optim.clip_norm {
            clip_norm(&mut self.grads, limit);
        }
        self.optimizer.step(lr, &mut self.weights.params, &self.grads);
        if let Some(ema) = &mut self.ema {
            ema.update(&self.weights);
        }
        self.progress.steps += 1;
        self.progress.batches_done += batches.len();
        self.progress.loss.objective += loss.objective;
        self.progress.loss.known += loss.known;
        Ok(lr)
    }

    /// The gradient of the sum of losses over some batches, into `grads`.
    fn gradient(&mut self, batches: &[Batch], pass: u64) -> Result<LossSum> {
        let mut sum = LossSum::default();
        for (number, batch) in batches.iter().enumerate() {
            let seed = pass_seed(self.setup.config.train.seed, [self.progress.steps, number as u64, pass]);
            let Weights { params, buffers } = &mut self.weights;
            let logits = self.plan.forward(params, buffers, &batch.pixels, batch.len(), seed)?;
            self.dlogits.resize(logits.len(), 0.0);
            let loss = &self.setup.loss;
            let value = loss.value_and_grad(logits, &batch.targets, &batch.mask, &mut self.dlogits)?;
            if !value.objective.is_finite() {
                let labels = self.setup.summary.labels.len();
                let per_image = loss.per_image(logits, &batch.targets, &batch.mask, labels)?;
                let images = batch.indices.iter().zip(per_image).filter(|(_, v)| !v.is_finite());
                return Err(self.not_finite("the loss", true, images.map(|(i, _)| *i)));
            }
            let grads = if number == 0 { &mut self.grads } else { &mut self.batch_grads };
            self.plan.backward(params, &self.dlogits, grads)?;
            if number > 0 {
                self.grads.iter_mut().zip(&self.batch_grads).for_each(|(sum, g)| *sum += g);
            }
            sum.add(value);
        }
        if !global_norm(&self.grads).is_finite() {
            return Err(self.not_finite(
                "the gradient",
                false,
                batches.iter().flat_map(|b| b.indices.clone()),
            ));
        }
        Ok(sum)
    }

    fn not_finite(&self, what: &'static str, culprits: bool, images: impl Iterator<Item = usize>) -> Error {
        let items = self.setup.train.items();
        Error::NotFinite {
            what,
            epoch: self.progress.epochs_done + 1,
            step: self.progress.batches_done / self.setup.config.optim.accumulate + 1,
            culprits,
            images: images.map(|i| items[i].image.clone()).collect(),
        }
    }

    /// Validates when it is due, keeps the best, decides whether to go on, and saves.
    fn end_epoch(&mut self) -> Result<()> {
        let config = &self.setup.config;
        let start = Instant::now();
        let (epoch, epochs) = (self.progress.epochs_done + 1, config.train.epochs);
        let last_step = self.progress.steps.saturating_sub(1);
        let mut row = Row {
            epoch,
            train_loss: self.progress.loss.mean(),
            lr: self.progress.schedule.lr(last_step),
            ..Row::default()
        };
        let mut metric = None;
        let mut stalled = false;
        if epoch.is_multiple_of(self.setup.eval_every) || epoch == epochs {
            let (raw, report) = self.validate(epoch, WeightsKind::Raw)?;
            fill(&mut row, &raw);
            metric = Some(self.metric(value_of(&raw, config.eval.best_by)));
            row.best = self.keep_if_best(&raw, &report)?;
            if self.ema.is_some() && epoch >= config.eval.ema_from_epoch {
                let (averaged, report) = self.validate(epoch, WeightsKind::Ema)?;
                row.ema_map = Some(averaged.map);
                row.best |= self.keep_if_best(&averaged, &report)?;
            }
            let steps = self.progress.steps;
            self.progress.schedule.observe(steps, value_of(&raw, config.schedule.monitor));
            if let Some(stopping) = &mut self.progress.early_stopping {
                stalled = stopping.observe(epoch, steps, raw.map);
            }
        }
        self.save_checkpoint(&self.dir.last(), WeightsKind::Raw, epoch, metric)?;

        row.seconds = self.progress.epoch_seconds + start.elapsed().as_secs_f64();
        self.progress.epochs_done = epoch;
        self.progress.batches_done = 0;
        self.progress.loss = LossSum::default();
        self.progress.epoch_seconds = 0.0;
        self.progress.ended = match (epoch == epochs, stalled) {
            (true, _) => Some(Outcome::Completed),
            (false, true) => Some(Outcome::StoppedEarly),
            (false, false) => None,
        };
        self.write_row(&row)
    }

    /// The validation before the first step: the start of the curves, and never the best checkpoint.
    fn validate_start(&mut self) -> Result<()> {
        let (raw, _) = self.validate(0, WeightsKind::Raw)?;
        let mut row = Row { lr: self.progress.schedule.lr(0), seconds: raw.seconds, ..Row::default() };
        fill(&mut row, &raw);
        self.progress.start_validated = true;
        self.write_row(&row)
    }

    /// Adds a row and saves the state that it belongs to.
    fn write_row(&mut self, row: &Row) -> Result<()> {
        self.history.push(row)?;
        self.progress.metrics_len = self.history.len();
        self.save_state()?;
        self.sink.event(&Event::EpochEnd(row.clone()));
        Ok(())
    }

    fn validate(&mut self, epoch: usize, kind: WeightsKind) -> Result<(Validation, Report)> {
        let setup = self.setup;
        let scored = Scored::of(&setup.model.graph, self.weights_of(kind), &setup.val, &setup.loss)?;
        let report = scored.report(setup.summary.labels.len(), setup.config.eval.threshold)?;
        self.speed.validation_seconds = scored.seconds;
        let validation = Validation {
            epoch,
            weights: kind,
            loss: scored.loss.mean().unwrap_or(0.0),
            map: 100.0 * report.map.unwrap_or(0.0), // the split has a positive, or the run would not have started
            cf1: 100.0 * report.at_threshold.cf1,
            of1: 100.0 * report.at_threshold.of1,
            accuracy: 100.0 * report.at_threshold.accuracy_mlc.unwrap_or(0.0),
            seconds: scored.seconds,
        };
        self.sink.event(&Event::Validated(validation));
        Ok((validation, report))
    }

    /// Replaces the best checkpoint if these weights are at least as good; a tie goes to the later epoch, as in OTX.
    fn keep_if_best(&mut self, validation: &Validation, report: &Report) -> Result<bool> {
        let value = value_of(validation, self.setup.config.eval.best_by);
        let best = Best { epoch: validation.epoch, value, weights: validation.weights };
        if self
            .progress
            .best
            .is_some_and(|b| best.value < b.value || (best.value == b.value && best.epoch == b.epoch))
        {
            return Ok(false);
        }
        self.save_checkpoint(&self.dir.best(), best.weights, best.epoch, Some(self.metric(value)))?;
        self.progress.best = Some(best);
        self.progress.weakest = WeakLabel::of(&self.setup.summary.labels, report);
        self.sink.event(&Event::NewBest(best));
        Ok(true)
    }

    /// A value of the metric that chooses the best checkpoint, with what it means.
    fn metric(&self, value: f64) -> MetricValue {
        let by = self.setup.config.eval.best_by;
        let definition = match by {
            Metric::Map => format!("{}: {}", Definition::D.name(), Definition::D.describe()),
            Metric::Accuracy => "share of (image, label) cells on the right side of the threshold".to_owned(),
        };
        MetricValue {
            name: by.name().to_owned(),
            value,
            definition,
            split: self.setup.config.data.val.clone(),
        }
    }

    fn weights_of(&self, kind: WeightsKind) -> &Weights {
        match (kind, &self.ema) {
            (WeightsKind::Ema, Some(ema)) => ema.weights(),
            _ => &self.weights,
        }
    }

    fn save_checkpoint(
        &mut self,
        path: &Path,
        kind: WeightsKind,
        epoch: usize,
        metric: Option<MetricValue>,
    ) -> Result<()> {
        let mut info = self.setup.checkpoint_info();
        (info.epoch, info.weights, info.metric) = (epoch, kind, metric);
        Checkpoint::save(path, &self.setup.model, self.weights_of(kind), &info)?;
        self.sink.event(&Event::Saved { path: path.to_owned() });
        Ok(())
    }

    fn save_state(&mut self) -> Result<()> {
        self.progress.ema_updates = self.ema.as_ref().map_or(0, Ema::updates);
        let mut vectors = vec![
            ("params".to_owned(), &self.weights.params[..]),
            ("buffers".to_owned(), &self.weights.buffers[..]),
        ];
        for (name, values) in self.optimizer.vectors() {
            vectors.push((format!("optimizer.{name}"), values));
        }
        if let Some(ema) = &self.ema {
            vectors.push(("ema.params".to_owned(), &ema.weights().params));
            vectors.push(("ema.buffers".to_owned(), &ema.weights().buffers));
        }
        state::save(&self.dir.state(), &self.progress, &vectors)
    }

    fn restore(&mut self, saved: &SavedState) -> Result<()> {
        let progress = saved.progress.clone();
        if progress.data_fingerprint != self.progress.data_fingerprint {
            let reason = "the data set has changed since the run started, so it cannot be continued exactly; \
                          start a new run from its checkpoint (model.pretrained)";
            return Err(Error::Resume { run: self.dir.path().to_owned(), reason: reason.to_owned() });
        }
        saved.fill("params", &mut self.weights.params)?;
        saved.fill("buffers", &mut self.weights.buffers)?;
        for (name, values) in self.optimizer.vectors_mut() {
            saved.fill(&format!("optimizer.{name}"), values)?;
        }
        self.optimizer.set_steps(progress.steps);
        if let Some(config) = self.setup.ema {
            let mut weights = self.weights.clone();
            saved.fill("ema.params", &mut weights.params)?;
            saved.fill("ema.buffers", &mut weights.buffers)?;
            let mut ema = Ema::new(&weights, config);
            ema.set_updates(progress.ema_updates);
            self.ema = Some(ema);
        }
        self.progress = progress;
        let steps_done = self.progress.batches_done.div_ceil(self.setup.config.optim.accumulate);
        self.sink.event(&Event::Resumed { epoch: self.progress.epochs_done + 1, steps_done });
        Ok(())
    }

    /// Seconds to the end of the run, should it use all its epochs.
    fn seconds_left(&self, epoch: usize, step: usize) -> f64 {
        let epochs_left = (self.setup.config.train.epochs - epoch) as f64;
        let steps_left =
            epochs_left * self.setup.steps_per_epoch as f64 + (self.setup.steps_per_epoch - step) as f64;
        let validations_left = (epochs_left / self.setup.eval_every as f64).ceil() + 1.0;
        let per_step = self.speed.step_seconds / self.speed.steps.max(1) as f64;
        steps_left * per_step + validations_left * self.speed.validation_seconds
    }

    fn finish(self, outcome: Outcome) -> RunSummary {
        self.sink.event(&Event::Finished { outcome });
        let best = self.progress.best;
        RunSummary {
            outcome,
            dir: self.dir.path().to_owned(),
            epochs: self.progress.epochs_done,
            metric: best.map(|best| self.metric(best.value)),
            best,
            weakest: self.progress.weakest,
        }
    }
}

fn value_of(validation: &Validation, metric: Metric) -> f64 {
    match metric {
        Metric::Map => validation.map,
        Metric::Accuracy => validation.accuracy,
    }
}

fn fill(row: &mut Row, v: &Validation) {
    (row.val_loss, row.map) = (Some(v.loss), Some(v.map));
    (row.cf1, row.of1, row.accuracy) = (Some(v.cf1), Some(v.of1), Some(v.accuracy));
}

/// A seed for dropout and drop-path of one forward pass: of the run's seed, the step, the batch in it, and SAM's pass.
fn pass_seed(seed: u64, place: [u64; 3]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    place.iter().for_each(|v| {
        hasher.update(&v.to_le_bytes());
    });
    hasher.finalize().as_bytes()[..8].iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
}
