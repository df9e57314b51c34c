//! The training loop, top to bottom.

mod saving;
mod start;
mod validation;

#[cfg(all(test, feature = "cuda"))]
mod gpu_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together_tests;

use std::time::Instant;

use mlcls_data::Batch;
use mlcls_engine::Weights;

use crate::ema::WeightsKind;
use crate::error::{Error, Result};
use crate::event::{Event, EventSink, Outcome, StepInfo};
use crate::gradient::Pass;
use crate::history::{History, Row};
use crate::learner::Learner;
use crate::run_dir::RunDir;
use crate::setup::Setup;
use crate::state::{LossSum, Progress};
use crate::stop::StopFlag;
use crate::summary::RunSummary;
use crate::tensorboard::{Standing, TensorBoard};
use crate::world::World;
pub use start::{resume, resume_together, train, train_together};
use validation::value_of;

/// A run under way.
struct Run<'a> {
    setup: &'a Setup,
    world: World,
    dir: &'a RunDir,
    sink: &'a mut dyn EventSink,
    stop: &'a StopFlag,
    learner: Learner<'a>,
    progress: Progress,
    /// In the first process.
    history: Option<History>,
    /// In the first process, where the settings ask for it, once the run goes.
    tensorboard: Option<TensorBoard>,
    speed: Speed,
}

/// Why a run does not go on.
#[derive(Debug)]
enum Halt {
    /// It was asked to stop.
    Stop,
    /// It cannot.
    Error(Error),
}

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
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
        world: World,
        dir: &'a RunDir,
        weights: Weights,
        metrics_len: u64,
        sink: &'a mut dyn EventSink,
        stop: &'a StopFlag,
    ) -> Result<Self> {
        let history = world.is_first().then(|| History::open(&dir.metrics(), metrics_len)).transpose()?;
        let config = &setup.config;
        let progress = Progress {
            data_fingerprint: setup.summary.fingerprint.clone(),
            processes: world.size(),
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
            metrics_len: history.as_ref().map_or(0, History::len),
            ended: None,
        };
        Ok(Self {
            learner: Learner::new(setup, weights)?,
            progress,
            history,
            tensorboard: None,
            speed: Speed::default(),
            setup,
            world,
            dir,
            sink,
            stop,
        })
    }

    /// Trains to the end, or until it is asked to stop.
    fn go(mut self) -> Result<RunSummary> {
        if let Some(outcome) = self.progress.ended {
            let epochs = self.progress.epochs_done;
            let how =
                if outcome == Outcome::Completed { "all its epochs are done" } else { "it stopped early" };
            let reason = format!("nothing to continue: {how} ({epochs} epochs)");
            return Err(Error::Resume { run: self.dir.path().to_owned(), reason });
        }
        if self.setup.config.log.tensorboard && self.world.is_first() {
            let standing = Standing {
                steps: self.progress.steps,
                // The state is saved in the middle of an epoch, or when its validation is over.
                validated: self.progress.batches_done == 0 && self.progress.start_validated,
            };
            self.tensorboard = Some(TensorBoard::open(&self.dir.tensorboard(), standing)?);
        }
        let outcome = match self.all_epochs() {
            Ok(outcome) => outcome,
            Err(Halt::Stop) => {
                self.save_state()?;
                Outcome::Interrupted
            }
            Err(Halt::Error(error)) => return Err(error),
        };
        // Nobody leaves while another still waits for its GPU.
        self.learner.fetch()?;
        self.world.barrier()?;
        Ok(self.finish(outcome))
    }

    /// Epoch after epoch, until all are done or the validation stalls.
    fn all_epochs(&mut self) -> Result<Outcome, Halt> {
        if !self.progress.start_validated {
            self.validate_start()?;
        }
        loop {
            self.train_epoch()?;
            self.end_epoch()?;
            if let Some(outcome) = self.progress.ended {
                return Ok(outcome);
            }
        }
    }

    /// Halts where any process was asked to stop.
    fn go_on(&mut self) -> Result<(), Halt> {
        if self.world.any(self.stop.requested())? { Err(Halt::Stop) } else { Ok(()) }
    }

    /// The rest of the current epoch's batches.
    fn train_epoch(&mut self) -> Result<(), Halt> {
        let (setup, config) = (self.setup, &self.setup.config);
        let accumulate = config.optim.accumulate;
        let epoch = self.progress.epochs_done + 1;
        let steps = setup.steps_per_epoch;
        if let Some(message) = setup.cache_trouble() {
            self.sink.event(&Event::Warning { message });
        }
        self.sink.event(&Event::EpochStart { epoch, epochs: config.train.epochs, steps });

        let (start, seconds_before) = (Instant::now(), self.progress.epoch_seconds);
        let mut images = 0;
        let mut ahead: Vec<Batch> = vec![];
        let mut batches = setup.train.epoch(self.progress.epochs_done as u64, self.progress.batches_done);
        loop {
            self.go_on()?;
            let step_start = Instant::now();
            let mut fetch = || batches.by_ref().take(accumulate).map(|b| Ok(b?)).collect::<Result<Vec<_>>>();
            let group = if ahead.is_empty() { fetch()? } else { std::mem::take(&mut ahead) };
            if group.is_empty() {
                return Ok(());
            }
            if self.learner.looks_ahead() {
                ahead = fetch()?;
            }
            if self.progress.steps == 0
                && let Some(tensorboard) = &mut self.tensorboard
            {
                tensorboard.images(&group[0], setup.model.size())?;
            }
            let (lr, loss) = self.step(&group, ahead.first())?;
            images += self.world.size() * group.iter().map(Batch::len).sum::<usize>();
            group.into_iter().for_each(|batch| batches.recycle(batch));

            self.speed.steps += 1;
            self.speed.step_seconds += step_start.elapsed().as_secs_f64();
            let elapsed = start.elapsed().as_secs_f64();
            self.progress.epoch_seconds = seconds_before + elapsed;
            let step = self.progress.batches_done.div_ceil(accumulate);
            if step.is_multiple_of(config.log.every) || step == steps {
                let images_per_second = images as f64 / elapsed;
                if let Some(tensorboard) = &mut self.tensorboard {
                    tensorboard.step(self.progress.steps, loss, lr, images_per_second)?;
                }
                let info = StepInfo {
                    epoch,
                    step,
                    steps,
                    images_per_second,
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

    /// One step of the optimizer, with the first batch of the next one where it is at hand; returns the learning rate, and the loss
    /// per image and known label.
    fn step(&mut self, batches: &[Batch], next: Option<&Batch>) -> Result<(f64, Option<f64>)> {
        let lr = self.progress.schedule.lr(self.progress.steps);
        let pass = Pass {
            epoch: self.progress.epochs_done + 1,
            step: self.progress.batches_done / self.setup.config.optim.accumulate + 1,
            steps: self.progress.steps,
            number: 0,
        };
        let loss = self.learner.step((batches, next), lr, pass, &mut self.world)?.loss;
        self.progress.steps += 1;
        self.progress.batches_done += batches.len();
        self.progress.loss.merge(loss);
        Ok((lr, loss.mean()))
    }

    /// Validates when it is due, keeps the best, decides whether to go on, and saves.
    fn end_epoch(&mut self) -> Result<(), Halt> {
        let config = &self.setup.config;
        let start = Instant::now();
        let (epoch, epochs) = (self.progress.epochs_done + 1, config.train.epochs);
        self.learner.fetch()?;
        let last_step = self.progress.steps.saturating_sub(1);
        let mut row = Row {
            epoch,
            train_loss: self.progress.loss.mean(),
            lr: self.progress.schedule.lr(last_step),
            ..Row::default()
        };
        let (mut metric, mut ema_metric) = (None, None);
        let mut stalled = false;
        if epoch.is_multiple_of(self.setup.eval_every) || epoch == epochs {
            // Both first: a run that is stopped between them validates again when it continues.
            let with_average = self.learner.ema.is_some() && epoch >= config.eval.ema_from_epoch;
            let (raw, report) = self.validate(epoch, WeightsKind::Raw)?;
            let averaged = with_average.then(|| self.validate(epoch, WeightsKind::Ema)).transpose()?;
            row.set_validation(&raw);
            row.best = self.keep_if_best(&raw, &report)?;
            if let Some((averaged, report)) = averaged {
                row.ema_map = Some(averaged.map);
                row.best |= self.keep_if_best(&averaged, &report)?;
                ema_metric = Some(self.metric(value_of(&averaged, config.eval.best_by)));
            }
            metric = Some(self.metric(value_of(&raw, config.eval.best_by)));
            let steps = self.progress.steps;
            self.progress.schedule.observe(steps, value_of(&raw, config.schedule.monitor));
            if let Some(stopping) = &mut self.progress.early_stopping {
                stalled = stopping.observe(epoch, steps, raw.map);
            }
        }
        self.save_checkpoint(&self.dir.last(), WeightsKind::Raw, epoch, metric)?;
        if self.learner.ema.is_some() {
            self.save_checkpoint(&self.dir.ema(), WeightsKind::Ema, epoch, ema_metric)?;
        }

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
        Ok(self.write_row(&row)?)
    }

    /// The validation before the first step: the start of the curves, and never the best checkpoint.
    fn validate_start(&mut self) -> Result<(), Halt> {
        let (raw, _) = self.validate(0, WeightsKind::Raw)?;
        let mut row = Row { lr: self.progress.schedule.lr(0), seconds: raw.seconds, ..Row::default() };
        row.set_validation(&raw);
        self.progress.start_validated = true;
        Ok(self.write_row(&row)?)
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
