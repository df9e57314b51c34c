//! The gradient of the loss over one or several batches, on a processor.

use mlcls_data::Batch;
use mlcls_engine::{InferPlan, SumOver, TrainPlan, Weights};
use mlcls_loss::LossValue;

use crate::error::{Error, Result};
use crate::optim::global_norm;
use crate::setup::{Frozen, Setup};
use crate::state::LossSum;
use crate::world::World;

/// What runs in a step.
enum Plan {
    /// Everything trains.
    Whole(Box<TrainPlan>),
    /// A part keeps its weights.
    Behind(Box<Behind>),
}

/// A part that keeps its weights, and what comes behind it.
struct Behind {
    front: InferPlan,
    /// What the front made of each batch of the step: SAM's second pass needs it again.
    values: Vec<Vec<f32>>,
    tail: TrainPlan,
}

/// What a step found where it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub loss: LossSum,
    /// The norm of the gradient.
    pub norm: f64,
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
    /// Logits of a batch, the `number`-th of its step; `again` where the same batches have just been through this plan. With a sum,
    /// batch-norm is over the batches of all processes.
    fn forward(
        &mut self,
        (params, buffers): (&[f32], &mut [f32]),
        batch: &Batch,
        (number, again): (usize, bool),
        seed: u64,
        sum: Option<SumOver>,
    ) -> Result<&[f32]> {
        let n = batch.len();
        let Behind { front, values, tail } = match self {
            Self::Whole(plan) => {
                return Ok(plan.synced(sum).forward(params, buffers, &batch.pixels, n, seed)?);
            }
            Self::Behind(behind) => &mut **behind,
        };
        if !again {
            if values.len() == number {
                values.push(vec![]);
            }
            values[number].clear();
            values[number].extend_from_slice(front.run(&batch.pixels, n)?);
        }
        Ok(tail.synced(sum).forward_behind(params, buffers, &values[number], n, seed)?)
    }

    /// Gradients of the parameters, by those of the logits of the last batch.
    fn backward(
        &mut self,
        params: &[f32],
        dlogits: &[f32],
        grads: &mut [f32],
        sum: Option<SumOver>,
    ) -> Result<()> {
        let plan = match self {
            Self::Whole(plan) => plan,
            Self::Behind(behind) => &mut behind.tail,
        };
        Ok(plan.synced(sum).backward(params, dlogits, grads)?)
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

    /// The gradient of the summed loss of some batches of all processes, into `values`; running statistics in `weights` follow those
    /// of this process.
    pub fn compute(
        &mut self,
        weights: &mut Weights,
        batches: &[Batch],
        pass: Pass,
        world: &mut World,
    ) -> Result<Found> {
        let setup = self.setup;
        self.prepare(weights, pass.epoch)?;
        let Some(plan) = &mut self.plan else { unreachable!("it was just prepared") };
        let Weights { params, buffers } = weights;
        let mut sum = LossSum::default();
        for (number, batch) in batches.iter().enumerate() {
            let (again, seed) = (pass.number > 0, seed_of(setup, number, pass));
            let weights = (&params[..], &mut buffers[..]);
            let logits = over(setup.synced().then_some(&mut *world), |sum| {
                plan.forward(weights, batch, (number, again), seed, sum)
            })?;
            sum.add(loss_of(setup, logits, batch, &mut self.dlogits, pass)?);
            let grads = if number == 0 { &mut self.values } else { &mut self.one_batch };
            over(setup.synced().then_some(&mut *world), |sum| {
                plan.backward(params, &self.dlogits, grads, sum)
            })?;
            if number > 0 {
                self.values.iter_mut().zip(&self.one_batch).for_each(|(sum, g)| *sum += g);
            }
        }
        let loss = sum.over(world)?;
        world.sum_f32(&mut self.values)?;
        let norm = global_norm(&self.values);
        if !norm.is_finite() {
            let all = batches.iter().flat_map(|batch| batch.indices.iter().copied());
            return Err(not_finite(setup, "the gradient", pass, false, all));
        }
        Ok(Found { loss, norm })
    }

    /// Makes the plan of an epoch (from 1), where there is none or it is another one.
    fn prepare(&mut self, weights: &Weights, epoch: usize) -> Result<()> {
        let (graph, batch) = (&self.setup.model.graph, self.setup.train.largest_batch());
        let frozen = self.setup.frozen_in(epoch);
        if self.plan.as_ref().is_some_and(|plan| matches!(plan, Plan::Behind(_)) == frozen.is_some()) {
            return Ok(());
        }
        self.plan = None; // Its memory is free for the next.
        self.plan = Some(match frozen {
            None => Plan::Whole(Box::new(TrainPlan::new(graph, batch)?)),
            Some(Frozen { node, .. }) => Plan::Behind(Box::new(Behind {
                front: InferPlan::up_to(graph, weights, batch, node)?,
                values: vec![],
                tail: TrainPlan::behind(graph, batch, node)?,
            })),
        });
        Ok(())
    }
}

/// A pass of all processes together, or without them.
fn over<T>(world: Option<&mut World>, pass: impl FnOnce(Option<SumOver>) -> Result<T>) -> Result<T> {
    let Some(world) = world else { return pass(None) };
    let mut lost = None;
    let mut sum = |values: &mut [f64]| {
        if lost.is_none() {
            lost = world.sum_f64(values).err();
        }
    };
    let done = pass(Some(&mut sum));
    lost.map_or(done, |error| Err(error.into()))
}

/// The loss of a batch, and its gradient by the logits into `dlogits`.
pub(crate) fn loss_of(
    setup: &Setup,
    logits: &[f32],
    batch: &Batch,
    dlogits: &mut Vec<f32>,
    pass: Pass,
) -> Result<LossValue> {
    dlogits.resize(logits.len(), 0.0);
    let (targets, mask) = (&batch.targets, &batch.mask);
    let value = setup.loss.value_and_grad(logits, targets, mask, dlogits)?;
    if value.objective.is_finite() {
        return Ok(value);
    }
    let per_image = setup.loss.per_image(logits, targets, mask, setup.summary.labels.len())?;
    let culprits = batch.indices.iter().zip(per_image).filter(|(_, v)| !v.is_finite());
    Err(not_finite(setup, "the loss", pass, true, culprits.map(|(i, _)| *i)))
}

/// The error of a step that came to a number that is none.
pub(crate) fn not_finite(
    setup: &Setup,
    what: &'static str,
    pass: Pass,
    culprits: bool,
    images: impl Iterator<Item = usize>,
) -> Error {
    let items = setup.train.items();
    let images = images.map(|i| items[i].image.clone()).collect();
    Error::NotFinite { what, epoch: pass.epoch, step: pass.step, culprits, images }
}

/// The seed of dropout and drop-path in a pass over the `number`-th batch of a step.
pub(crate) fn seed_of(setup: &Setup, number: usize, pass: Pass) -> u64 {
    let number = number * setup.part.of + setup.part.index;
    let mut hasher = blake3::Hasher::new();
    for number in [setup.config.train.seed, pass.steps, number as u64, pass.number] {
        hasher.update(&number.to_le_bytes());
    }
    u64::from_be_bytes(hasher.finalize().as_bytes().as_chunks().0[0])
}
