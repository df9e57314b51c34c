//! Scores of a model on a loader's images.

use std::time::Instant;

use mlcls_data::Loader;
use mlcls_engine::{Graph, Weights};
use mlcls_loss::Loss;
use mlcls_metrics::{Calibration, Report, Scores, Threshold, evaluate};

use crate::device::{Device, Inference};
use crate::error::Error;
use crate::state::LossSum;
use crate::world::World;

/// Scores of all images, in the order of the items: `[N, C]` each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scored {
    pub scores: Vec<f32>,
    pub logits: Vec<f32>,
    pub targets: Vec<f32>,
    pub mask: Vec<f32>,
    pub loss: LossSum,
    pub seconds: f64,
}

impl Scored {
    /// Runs the model on a device on every image of the loader; `go_on` is asked before each batch.
    pub fn of<E: From<Error>>(
        graph: &Graph,
        weights: &Weights,
        device: Device,
        loader: &Loader,
        loss: &Loss,
        calibration: &Calibration,
        go_on: impl Fn() -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut plan = Inference::new(graph, weights, loader.largest_batch(), device)?;
        let forward = |pixels: &[u8], n| {
            go_on()?;
            Ok(plan.run(pixels, n)?.to_vec())
        };
        Self::by(forward, loader, loss, calibration)
    }

    /// The same, with the logits `[n, C]` of `n` images from a function of their pixels.
    pub fn by<E: From<Error>>(
        mut forward: impl FnMut(&[u8], usize) -> Result<Vec<f32>, E>,
        loader: &Loader,
        loss: &Loss,
        calibration: &Calibration,
    ) -> Result<Self, E> {
        let start = Instant::now();
        let mut all = Self::default();
        let mut batches = loader.epoch(0, 0);
        while let Some(batch) = batches.next() {
            let batch = batch.map_err(Error::from)?;
            let logits = forward(&batch.pixels, batch.len())?;
            all.loss.add(loss.value(&logits, &batch.targets, &batch.mask).map_err(Error::from)?);
            all.scores.extend(calibration.scores(&logits, logits.len() / batch.len()));
            all.logits.extend(logits);
            all.targets.extend_from_slice(&batch.targets);
            all.mask.extend_from_slice(&batch.mask);
            batches.recycle(batch);
        }
        all.seconds = start.elapsed().as_secs_f64();
        Ok(all)
    }

    /// Those of all processes, behind each other.
    pub fn over(self, world: &mut World) -> Result<Self, Error> {
        let Self { mut scores, mut logits, mut targets, mut mask, loss, seconds } = self;
        for values in [&mut scores, &mut logits, &mut targets, &mut mask] {
            world.concat_f32(values)?;
        }
        Ok(Self { scores, logits, targets, mask, loss: loss.over(world)?, seconds })
    }

    /// Scores of so many labels, these or others, with the answers: as metrics take them.
    pub fn view<'a>(&'a self, scores: &'a [f32], labels: usize) -> Result<Scores<'a>, Error> {
        Ok(Scores::new(scores, &self.targets, &self.mask, labels)?)
    }

    /// All metrics.
    pub fn report<'t>(&self, labels: usize, threshold: impl Into<Threshold<'t>>) -> Result<Report, Error> {
        Ok(evaluate(&self.view(&self.scores, labels)?, threshold))
    }
}
