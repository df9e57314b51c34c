//! The gradient of the loss over one or several batches.

use mlcls_data::Batch;
use mlcls_engine::{TrainPlan, Weights};

use crate::error::{Error, Result};
use crate::optim::global_norm;
use crate::setup::Setup;
use crate::state::LossSum;

/// The training plan and the vectors around it.
pub(crate) struct Gradient<'a> {
    setup: &'a Setup,
    plan: TrainPlan,
    /// The gradient of the last call, as long as the parameter vector.
    pub values: Vec<f32>,
    /// Gradient of one batch while several are summed; else empty.
    one_batch: Vec<f32>,
    dlogits: Vec<f32>,
}

/// Which pass over the images it is: for the seed of dropout and drop-path, and for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Step in the epoch, from 1.
    pub step: usize,
    /// Steps since the start of the run, before this one.
    pub steps: u64,
    /// 0, and 1 for SAM's second pass.
    pub number: u64,
}

impl<'a> Gradient<'a> {
    pub fn new(setup: &'a Setup) -> Result<Self> {
        let graph = &setup.model.graph;
        let several = setup.config.optim.accumulate > 1;
        Ok(Self {
            plan: TrainPlan::new(graph, setup.train.options().batch)?,
            values: vec![0.0; graph.param_len()],
            one_batch: vec![0.0; if several { graph.param_len() } else { 0 }],
            dlogits: vec![],
            setup,
        })
    }

    /// The gradient of the summed loss of some batches, into `values`; running statistics in `weights` follow.
    pub fn compute(&mut self, weights: &mut Weights, batches: &[Batch], pass: Pass) -> Result<LossSum> {
        let setup = self.setup;
        let Weights { params, buffers } = weights;
        let mut sum = LossSum::default();
        for (number, batch) in batches.iter().enumerate() {
            let seed = seed_of([setup.config.train.seed, pass.steps, number as u64, pass.number]);
            let logits = self.plan.forward(params, buffers, &batch.pixels, batch.len(), seed)?;
            self.dlogits.resize(logits.len(), 0.0);
            let (targets, mask) = (&batch.targets, &batch.mask);
            let value = setup.loss.value_and_grad(logits, targets, mask, &mut self.dlogits)?;
            if !value.objective.is_finite() {
                let per_image = setup.loss.per_image(logits, targets, mask, setup.summary.labels.len())?;
                let culprits = batch.indices.iter().zip(per_image).filter(|(_, v)| !v.is_finite());
                return Err(self.not_finite("the loss", pass, true, culprits.map(|(i, _)| *i)));
            }
            let grads = if number == 0 { &mut self.values } else { &mut self.one_batch };
            self.plan.backward(params, &self.dlogits, grads)?;
            if number > 0 {
                self.values.iter_mut().zip(&self.one_batch).for_each(|(sum, g)| *sum += g);
            }
            sum.add(value);
        }
        if !global_norm(&self.values).is_finite() {
            let all = batches.iter().flat_map(|batch| batch.indices.iter().copied());
            return Err(self.not_finite("the gradient", pass, false, all));
        }
        Ok(sum)
    }

    fn not_finite(
        &self,
        what: &'static str,
        pass: Pass,
        culprits: bool,
        images: impl Iterator<Item = usize>,
    ) -> Error {
        let items = self.setup.train.items();
        let images = images.map(|i| items[i].image.clone()).collect();
        Error::NotFinite { what, epoch: pass.epoch, step: pass.step, culprits, images }
    }
}

/// One seed from several numbers.
fn seed_of(numbers: [u64; 4]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.finalize().as_bytes()[..8].iter().fold(0, |seed, &byte| seed << 8 | u64::from(byte))
}
