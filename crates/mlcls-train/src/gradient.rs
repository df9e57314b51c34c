//! The gradient of the loss over one or several batches.

use mlcls_data::Batch;
use mlcls_engine::{InferPlan, TrainPlan, Weights};

use crate::error::{Error, Result};
use crate::optim::global_norm;
use crate::setup::{Frozen, Setup};
use crate::state::LossSum;

/// What runs in a step.
struct Plan {
    /// The part that keeps its weights, if there is one.
    front: Option<Front>,
    /// What trains: all, or what comes behind that.
    tail: TrainPlan,
}

/// A part that keeps its weights.
struct Front {
    plan: InferPlan,
    /// What it made of each batch of the step: SAM's second pass needs it again.
    values: Vec<Vec<f32>>,
}

/// The training plan and the vectors around it.
pub(crate) struct Gradient<'a> {
    setup: &'a Setup,
    /// Made in the first step, and again when everything trains.
    plan: Option<Plan>,
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

impl Plan {
    /// Logits of a batch, the `number`-th of its step; `again` where the same batches have just been through this plan.
    fn forward(
        &mut self,
        params: &[f32],
        buffers: &mut [f32],
        batch: &Batch,
        (number, again): (usize, bool),
        seed: u64,
    ) -> Result<&[f32]> {
        let n = batch.len();
        let Some(Front { plan, values }) = &mut self.front else {
            return Ok(self.tail.forward(params, buffers, &batch.pixels, n, seed)?);
        };
        if !again {
            if values.len() == number {
                values.push(vec![]);
            }
            values[number].clear();
            values[number].extend_from_slice(plan.run(&batch.pixels, n)?);
        }
        Ok(self.tail.forward_behind(params, buffers, &values[number], n, seed)?)
    }
}

impl<'a> Gradient<'a> {
    pub fn new(setup: &'a Setup) -> Result<Self> {
        let graph = &setup.model.graph;
        let several = setup.config.optim.accumulate > 1;
        Ok(Self {
            plan: None,
            values: vec![0.0; graph.param_len()],
            one_batch: vec![0.0; if several { graph.param_len() } else { 0 }],
            dlogits: vec![],
            setup,
        })
    }

    /// The gradient of the summed loss of some batches, into `values`; running statistics in `weights` follow.
    pub fn compute(&mut self, weights: &mut Weights, batches: &[Batch], pass: Pass) -> Result<LossSum> {
        let setup = self.setup;
        self.prepare(weights, pass.epoch)?;
        let Some(plan) = &mut self.plan else { unreachable!("it was just prepared") };
        let Weights { params, buffers } = weights;
        let mut sum = LossSum::default();
        for (number, batch) in batches.iter().enumerate() {
            let seed = seed_of([setup.config.train.seed, pass.steps, number as u64, pass.number]);
            let again = pass.number > 0;
            let logits = plan.forward(params, buffers, batch, (number, again), seed)?;
            self.dlogits.resize(logits.len(), 0.0);
            let (targets, mask) = (&batch.targets, &batch.mask);
            let value = setup.loss.value_and_grad(logits, targets, mask, &mut self.dlogits)?;
            if !value.objective.is_finite() {
                let per_image = setup.loss.per_image(logits, targets, mask, setup.summary.labels.len())?;
                let culprits = batch.indices.iter().zip(per_image).filter(|(_, v)| !v.is_finite());
                return Err(self.not_finite("the loss", pass, true, culprits.map(|(i, _)| *i)));
            }
            let grads = if number == 0 { &mut self.values } else { &mut self.one_batch };
            plan.tail.backward(params, &self.dlogits, grads)?;
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

    /// Makes the plan of an epoch (from 1), where there is none or it is another one.
    fn prepare(&mut self, weights: &Weights, epoch: usize) -> Result<()> {
        let (graph, batch) = (&self.setup.model.graph, self.setup.train.options().batch);
        let frozen = self.setup.frozen_in(epoch);
        if self.plan.as_ref().is_some_and(|plan| plan.front.is_some() == frozen.is_some()) {
            return Ok(());
        }
        self.plan = None; // Its memory is free for the next.
        self.plan = Some(match frozen {
            None => Plan { front: None, tail: TrainPlan::new(graph, batch)? },
            Some(Frozen { node, .. }) => {
                let plan = InferPlan::up_to(graph, weights, batch, node)?;
                Plan {
                    front: Some(Front { plan, values: vec![] }),
                    tail: TrainPlan::behind(graph, batch, node)?,
                }
            }
        });
        Ok(())
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
