//! The weights of a run and all that moves them, wherever they live.

#[cfg(feature = "cuda")]
mod gpu;

use mlcls_data::Batch;
use mlcls_engine::Weights;

use crate::device::Device;
use crate::ema::{Ema, WeightsKind};
use crate::error::Result;
use crate::gradient::{Found, Gradient, Pass};
use crate::optim::{Optimizer, Sam, clip_norm};
use crate::setup::Setup;
use crate::world::World;

/// Weights, their average and the optimizer.
///
/// On a GPU what is here is a copy, which [`fetch`](Self::fetch) brings up to date.
pub(crate) struct Learner<'a> {
    pub weights: Weights,
    pub optimizer: Optimizer,
    pub ema: Option<Ema>,
    setup: &'a Setup,
    steps: Steps<'a>,
}

/// Who takes the steps.
enum Steps<'a> {
    Cpu {
        gradient: Gradient<'a>,
        sam: Option<Sam>,
    },
    #[cfg(feature = "cuda")]
    Gpu(gpu::Gpu),
}

impl<'a> Learner<'a> {
    /// At the start of a run.
    pub fn new(setup: &'a Setup, weights: Weights) -> Result<Self> {
        let rho = setup.config.optim.sam_rho;
        let steps = match setup.device {
            Device::Cpu => {
                Steps::Cpu { gradient: Gradient::new(setup)?, sam: (rho > 0.0).then(|| Sam::new(rho)) }
            }
            #[cfg(feature = "cuda")]
            Device::Cuda { .. } => Steps::Gpu(gpu::Gpu::default()),
            #[cfg(not(feature = "cuda"))]
            Device::Cuda { .. } => return Err(setup.device.not_built()),
        };
        Ok(Self {
            optimizer: setup.optimizer(),
            ema: setup.ema.map(|ema| Ema::new(&weights, ema)),
            weights,
            steps,
            setup,
        })
    }

    /// Whether a step goes better with the batch after it at hand.
    pub fn looks_ahead(&self) -> bool {
        self.setup.device != Device::Cpu
    }

    /// One step with a learning rate over some batches of all processes, whose losses are summed; `next` is the first batch of the
    /// next step, where it is at hand. All processes come to the same weights and running statistics, the mean of theirs.
    pub fn step(
        &mut self,
        (batches, next): (&[Batch], Option<&Batch>),
        lr: f64,
        pass: Pass,
        world: &mut World,
    ) -> Result<Found> {
        let Self { weights, optimizer, ema, setup, steps } = self;
        #[cfg(not(feature = "cuda"))]
        let _ = next; // a processor has it in its memory
        match steps {
            Steps::Cpu { gradient, sam } => {
                let found = gradient.compute(weights, batches, pass, world)?;
                if let Some(sam) = sam {
                    sam.perturb(&mut weights.params, &gradient.values);
                    gradient.compute(weights, batches, Pass { number: 1, ..pass }, world)?;
                    sam.restore(&mut weights.params);
                }
                if let Some(limit) = setup.config.optim.clip_norm {
                    clip_norm(&mut gradient.values, limit);
                }
                let frozen = setup.frozen_in(pass.epoch).map_or(0, |frozen| frozen.params);
                optimizer.step_behind(frozen, lr, &mut weights.params, &gradient.values);
                world.mean_f32(&mut weights.buffers)?;
                if let Some(ema) = ema {
                    ema.update(weights);
                }
                Ok(found)
            }
            #[cfg(feature = "cuda")]
            Steps::Gpu(gpu) => {
                gpu.start(setup, world, pass.epoch, weights, optimizer, ema.as_mut())?;
                gpu.step(setup, world, (batches, next), lr, pass, optimizer, ema.as_mut())
            }
        }
    }

    /// Brings what lives on a GPU up to date here.
    pub fn fetch(&mut self) -> Result<()> {
        match &mut self.steps {
            Steps::Cpu { .. } => Ok(()),
            #[cfg(feature = "cuda")]
            Steps::Gpu(gpu) => gpu.fetch(&mut self.weights, &mut self.optimizer, self.ema.as_mut()),
        }
    }

    /// The trained weights or their average, as they were last [fetched](Self::fetch).
    pub fn weights_of(&self, kind: WeightsKind) -> &Weights {
        match (kind, &self.ema) {
            (WeightsKind::Raw, _) => &self.weights,
            (WeightsKind::Ema, Some(ema)) => ema.weights(),
            (WeightsKind::Ema, None) => unreachable!("the average is asked for only in runs that have one"),
        }
    }
}
