//! Steps on a GPU: images and the logits' gradients go there, logits and norms come back; the loss, which is small, stays here.

use mlcls_data::Batch;
use mlcls_engine::{CudaStep, CudaTrainer, CudaUpdate, NodeId, Weights};

use crate::ema::Ema;
use crate::error::Result;
use crate::gradient::{Found, Pass, loss_of, not_finite, seed_of};
use crate::optim::Optimizer;
use crate::setup::Setup;
use crate::state::LossSum;
use crate::world::World;

/// The weights on a GPU, once there was a step.
#[derive(Default)]
pub(super) struct Gpu {
    /// What is frozen there.
    frozen: Option<NodeId>,
    trainer: Option<Box<CudaTrainer>>,
    dlogits: Vec<f32>,
    /// Whether the GPU has taken steps that the copies here have not seen.
    ahead: bool,
}

impl Gpu {
    /// Brings everything to the GPU for an epoch (from 1), if it is not there yet, and joins it to those of the other processes.
    pub fn start(
        &mut self,
        setup: &Setup,
        world: &mut World,
        epoch: usize,
        weights: &mut Weights,
        optimizer: &mut Optimizer,
        mut ema: Option<&mut Ema>,
    ) -> Result<()> {
        let frozen = setup.frozen_in(epoch).map(|frozen| frozen.node);
        if self.trainer.is_some() && self.frozen != frozen {
            // Everything trains from here on, by other passes.
            self.fetch(weights, optimizer, ema.as_deref_mut())?;
            world.barrier()?; // nobody leaves the group while another still needs it
            self.trainer = None;
        }
        if self.trainer.is_none() {
            self.frozen = frozen;
            let mut trainer = setup.cuda_trainer(weights, optimizer, frozen)?;
            if let Some(ema) = ema {
                trainer.put_average(ema.weights())?;
            }
            for (name, values) in optimizer.vectors() {
                trainer.put_optimizer_vector(name, values)?;
            }
            if world.placement().is_grouped() {
                let mut group = setup.device.new_group(world.is_first())?;
                world.broadcast(&mut group)?;
                world.barrier()?; // who cannot join is missed here, where NCCL would wait for it
                trainer.join(&group, world.rank(), world.size())?;
                if setup.synced() {
                    trainer.synchronise()?;
                }
            }
            self.trainer = Some(Box::new(trainer));
        }
        Ok(())
    }

    /// One step; the images of the `next` one go to the GPU meanwhile.
    pub fn step(
        &mut self,
        setup: &Setup,
        world: &mut World,
        (batches, next): (&[Batch], Option<&Batch>),
        lr: f64,
        pass: Pass,
        optimizer: &mut Optimizer,
        ema: Option<&mut Ema>,
    ) -> Result<Found> {
        let Self { trainer: Some(trainer), dlogits, ahead, .. } = self else {
            unreachable!("`start` comes before")
        };
        *ahead = true;
        let all = || batches.iter().flat_map(|batch| batch.indices.iter().copied());
        let finite = |norm: f64, pass| match norm.is_finite() {
            true => Ok(()),
            false => Err(not_finite(setup, "the gradient", pass, false, all())),
        };
        // Who has failed is missed here, before the GPUs wait for each other.
        let loss = gradient(trainer, dlogits, setup, world, batches, pass)?.over(world)?;
        let mut start_norm = None;
        if setup.config.optim.sam_rho > 0.0 {
            let norm = trainer.perturb()?;
            finite(norm, pass)?;
            start_norm = Some(norm);
            gradient(trainer, dlogits, setup, world, batches, Pass { number: 1, ..pass })?.over(world)?;
        }
        if let Some(next) = next {
            trainer.stage(&next.pixels, next.len())?;
        }
        let number = optimizer.count_step();
        let average_decay = ema.map_or(0.0, Ema::count_update);
        let norm = trainer.step(CudaStep { lr, number, average_decay })?;
        finite(norm, pass)?;
        Ok(Found { loss, norm: start_norm.unwrap_or(norm) })
    }

    /// Copies everything from the GPU, if it has changed there.
    pub fn fetch(
        &mut self,
        weights: &mut Weights,
        optimizer: &mut Optimizer,
        ema: Option<&mut Ema>,
    ) -> Result<()> {
        let (Some(trainer), true) = (&mut self.trainer, std::mem::take(&mut self.ahead)) else {
            return Ok(());
        };
        trainer.weights(weights)?;
        for (name, values) in optimizer.vectors_mut() {
            trainer.optimizer_vector(name, values)?;
        }
        if let Some(ema) = ema {
            trainer.average(ema.weights_mut())?;
        }
        Ok(())
    }
}

/// The gradient of the summed loss of some batches, which stays on the GPU.
fn gradient(
    trainer: &mut CudaTrainer,
    dlogits: &mut Vec<f32>,
    setup: &Setup,
    world: &mut World,
    batches: &[Batch],
    pass: Pass,
) -> Result<LossSum> {
    let mut sum = LossSum::default();
    for (number, batch) in batches.iter().enumerate() {
        // The first batch of a step may be on its way already, and in SAM's second pass an only one is still there.
        let there = match (number, pass.number) {
            (0, 0) => trainer.bring_staged()?,
            _ => batches.len() == 1,
        };
        if !there {
            trainer.bring(&batch.pixels, batch.len())?;
        }
        let logits = trainer.forward(seed_of(setup, number, pass))?;
        sum.add(loss_of(setup, logits, batch, dlogits, pass)?);
        if setup.synced() {
            world.barrier()?; // as above: the backward pass waits for all GPUs
        }
        trainer.backward(dlogits)?;
    }
    Ok(sum)
}

impl Setup {
    /// A trainer on the run's GPU, of which all up to a node stays as it is.
    pub fn cuda_trainer(
        &self,
        weights: &Weights,
        optimizer: &Optimizer,
        frozen: Option<NodeId>,
    ) -> Result<CudaTrainer> {
        let optim = &self.config.optim;
        let update = CudaUpdate {
            rule: optimizer.cuda_rule(),
            decay: optimizer.decay(),
            sam_rho: (optim.sam_rho > 0.0).then_some(optim.sam_rho),
            clip_norm: optim.clip_norm,
            average: self.ema.is_some(),
            frozen,
        };
        self.device.trainer(&self.model.graph, self.train.largest_batch(), weights, update)
    }
}
