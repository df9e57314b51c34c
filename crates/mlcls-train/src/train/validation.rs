//! Validation within a run, and the choice of the best checkpoint.

use mlcls_metrics::Calibration;
use mlcls_metrics::{Definition, Report};

use super::{Halt, Run};
use crate::checkpoint::MetricValue;
use crate::config::Metric;
use crate::ema::WeightsKind;
use crate::error::Result;
use crate::event::{Best, Event};
use crate::history::Validation;
use crate::score::Scored;
use crate::summary::WeakLabel;

impl Run<'_> {
    /// Scores the validation split with one of the sets of weights, each process its share of it.
    pub(super) fn validate(&mut self, epoch: usize, kind: WeightsKind) -> Result<(Validation, Report), Halt> {
        let setup = self.setup;
        let (graph, weights) = (&setup.model.graph, self.learner.weights_of(kind));
        let (device, loss) = (setup.device, &setup.loss);
        let stop = self.stop;
        let go_on = || if stop.requested() { Err(Halt::Stop) } else { Ok(()) };
        let scored = Scored::of(graph, weights, device, &setup.val, loss, &Calibration::None, go_on);
        let (stopped, scored) = match scored {
            Ok(scored) => (false, scored),
            Err(Halt::Stop) => (true, Scored::default()),
            Err(error) => return Err(error),
        };
        if self.world.any(stopped)? {
            return Err(Halt::Stop);
        }
        let scored = scored.over(&mut self.world)?;
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
        if let Some(tensorboard) = &mut self.tensorboard {
            let labels = &setup.summary.labels;
            let scores = scored.view(&scored.scores, labels.len())?;
            tensorboard.validated(self.progress.steps, &validation, &scores, labels)?;
        }
        self.sink.event(&Event::Validated(validation));
        Ok((validation, report))
    }

    /// Replaces the best checkpoint if these weights are at least as good; a tie goes to the later epoch, as in OTX.
    pub(super) fn keep_if_best(&mut self, validation: &Validation, report: &Report) -> Result<bool> {
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
    pub(super) fn metric(&self, value: f64) -> MetricValue {
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
}

/// The value of one metric, per cent.
pub(super) fn value_of(validation: &Validation, metric: Metric) -> f64 {
    match metric {
        Metric::Map => validation.map,
        Metric::Accuracy => validation.accuracy,
    }
}
