//! A look at a run without starting it.

use std::time::Instant;

use mlcls_data::Batch;
use serde::Serialize;

use crate::config::Config;
use crate::dataset::open_dataset;
use crate::error::Result;
use crate::event::EventSink;
use crate::gradient::{Found, Pass};
use crate::learner::Learner;
use crate::setup::{Memory, Setup, build_model};
use crate::world::{Placement, World};

/// What one step costs, and so the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DryRun {
    /// Where it was tried, and in which numbers, for example `cuda bf16`.
    pub device: String,
    /// Images in the batch that was tried.
    pub images: usize,
    /// Loss per image and known label at the start.
    pub loss: f64,
    /// Norm of the gradient at the start.
    pub gradient_norm: f64,
    /// Bytes that the run takes, at most.
    pub memory: Memory,
    /// Seconds to read, decode and augment the batch, with nothing else going on.
    pub data_seconds: f64,
    /// Seconds of one step: its forward and backward passes, two with SAM, and the optimizer.
    pub step_seconds: f64,
    /// Seconds of one epoch at that pace, without validation; data are prepared meanwhile.
    pub epoch_seconds: f64,
    /// Seconds of the run at that pace, should it use all its epochs.
    pub run_seconds: f64,
}

/// Reads the data set and the weights, makes every decision, and does one batch forward and backward; nothing is written.
///
/// # Errors
/// As [`train`](crate::train).
pub fn dry_run(config: &Config, sink: &mut dyn EventSink) -> Result<DryRun> {
    let dataset = open_dataset(config)?;
    let model = build_model(config, dataset.labels.len())?;
    let setup = Setup::new(config.clone(), &dataset, model, &Placement::alone())?;
    setup.announce(sink);
    let weights = setup.initial_weights(sink)?;
    measure(&setup, weights)
}

pub(crate) fn measure(setup: &Setup, weights: mlcls_engine::Weights) -> Result<DryRun> {
    let config = &setup.config;
    let start = Instant::now();
    let batch: Vec<Batch> = setup.train.epoch(0, 0).take(1).map(|b| Ok(b?)).collect::<Result<_>>()?;
    let data_seconds = start.elapsed().as_secs_f64();

    let (mut learner, mut world) = (Learner::new(setup, weights)?, World::alone());
    let mut step_of = |epoch| -> Result<(Found, f64)> {
        let pass = Pass { epoch, step: 1, steps: 0, number: 0 };
        let mut step = || learner.step((&batch, None), 0.0, pass, &mut world);
        let found = step()?; // the first touches fresh memory, so it is not timed
        let start = Instant::now();
        step()?;
        Ok((found, start.elapsed().as_secs_f64()))
    };
    let (Found { loss, norm: gradient_norm }, step_seconds) = step_of(1)?;
    let batches = setup.train.batches_per_epoch() as f64;
    let epoch_seconds = step_seconds * batches;
    let epochs = config.train.epochs;
    let alike = setup.frozen_in(1).map_or(epochs, |frozen| frozen.epochs.min(epochs));
    let mut run_seconds = epoch_seconds * alike as f64;
    if alike < epochs {
        // Everything trains from here on.
        run_seconds += step_of(alike + 1)?.1 * batches * (epochs - alike) as f64;
    }
    Ok(DryRun {
        device: setup.device.to_string(),
        images: batch.iter().map(Batch::len).sum(),
        loss: loss.mean().unwrap_or(0.0),
        gradient_norm,
        memory: setup.memory()?,
        data_seconds,
        step_seconds,
        epoch_seconds,
        run_seconds,
    })
}

#[cfg(test)]
mod tests {
    use mlcls_engine::Weights;

    use super::*;
    use crate::testing;

    #[test]
    fn one_batch_is_measured() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = testing::dataset(folder.path(), 10, 4);
        let setup = testing::setup(testing::config(&[]), &dataset).unwrap();
        let weights = Weights::init(&setup.model.graph, 0);
        let found = measure(&setup, weights).unwrap();
        assert_eq!((found.images, found.device.as_str()), (4, "cpu"));
        assert!(found.loss > 0.0 && found.gradient_norm > 0.0 && found.step_seconds > 0.0, "{found:?}");
        assert_eq!(found.run_seconds, 3.0 * found.epoch_seconds);
        let frozen = testing::config(&["train.freeze=backbone", "train.freeze_epochs=1"]);
        let setup = testing::setup(frozen, &dataset).unwrap();
        let weights = Weights::init(&setup.model.graph, 0);
        let later = measure(&setup, weights).unwrap();
        assert!(later.run_seconds > later.epoch_seconds, "{later:?}");
        assert_eq!(found.memory.vectors, 4 * setup.model.graph.param_len() * 5, "w, g, velocity, SAM, EMA");
    }
}
