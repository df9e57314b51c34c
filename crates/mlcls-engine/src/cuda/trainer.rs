//! Training with everything that changes kept on the GPU: weights, their average, and what the optimizer remembers.

use super::CudaDevice;
use super::args::{self, Args, int};
use super::device::{Address, Device, Launch, TapeId};
use super::places::Mode;
use super::plan::{Plan, bytes, bytes_mut};
use super::tape::THREADS;
use super::train::loss_scale;
use crate::cut::Cut;
use crate::error::{Error, Result, check};
use crate::graph::{Graph, NodeId};
use crate::precision::Precision;
use crate::program::Program;
use crate::weights::Weights;

/// Blocks that share the sum of a norm; the last step adds up one share per thread.
const NORM_BLOCKS: usize = 256;

/// How weights follow gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CudaRule {
    /// `g += decay * w; v = momentum * v + g; w -= lr * v`, or with Nesterov `w -= lr * (g + momentum * v)`.
    Sgd {
        /// Share of the old velocity that is kept.
        momentum: f64,
        /// Looks one step of velocity ahead.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101).
    AdamW {
        /// Decay of the mean and of the mean square of the gradient.
        betas: [f64; 2],
        /// Added to the root of the mean square.
        eps: f64,
    },
}

/// What happens in a step behind the gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct CudaUpdate {
    /// The optimizer.
    pub rule: CudaRule,
    /// Weight decay of every parameter.
    pub decay: Vec<f32>,
    /// Radius of SAM; none without it.
    pub sam_rho: Option<f64>,
    /// Largest norm of a gradient.
    pub clip_norm: Option<f64>,
    /// Whether an average of the weights is kept.
    pub average: bool,
    /// All up to this node stays as it is, and runs as in inference.
    pub frozen: Option<NodeId>,
}

/// What changes from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CudaStep {
    /// Learning rate.
    pub lr: f64,
    /// Steps of the optimizer with this one, from 1.
    pub number: u64,
    /// Share of the old average that is kept, where one is.
    pub average_decay: f64,
}

/// A graph, its weights and its optimizer on a GPU.
///
/// A step is [`bring`](Self::bring), [`forward`](Self::forward) and [`backward`](Self::backward) for each of its batches; with SAM
/// [`perturb`](Self::perturb) and the same again; then [`step`](Self::step). Only images and the logits' gradients go to the GPU
/// for it, and logits and norms come back.
#[derive(Debug)]
pub struct CudaTrainer {
    plan: Plan,
    update: CudaUpdate,
    vectors: Vectors,
    tapes: Tapes,
    scale: f32,
    lens: [usize; 4],
    logits: Vec<f32>,
    scaled: Vec<f32>,
    /// Images of the batch that is there, and of the one that is on its way.
    images: usize,
    staged: Option<usize>,
    /// Images of the forward pass that `backward` belongs to.
    last: Option<usize>,
    /// Batches of the gradient that is being summed.
    batches: usize,
    /// Whether SAM has moved the weights.
    moved: bool,
}

/// Where the vectors lie, as long as the parameter vector if nothing else is said; 0 where there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Vectors {
    saved: Address,
    sum: Address,
    first: Address,
    second: Address,
    decay: Address,
    average: Address,
    /// As long as the running statistics.
    average_buffers: Address,
    numbers: Address,
    shares: Address,
    /// Images of the next batch.
    staged: Address,
}

#[derive(Clone, Copy, Debug)]
struct Tapes {
    first: TapeId,
    more: TapeId,
    norm: TapeId,
    perturb: Option<TapeId>,
    step: TapeId,
    /// In a group.
    mean: Option<TapeId>,
}

fn over(kernel: &'static str, blocks: usize, args: Vec<u64>) -> Launch {
    Launch { kernel, stage: None, grid: [int(blocks).unsigned_abs(), 1, 1], threads: THREADS, args }
}

impl CudaTrainer {
    /// Compiles `graph` for batches of 1 to `batch` images and brings the weights to the GPU; their average starts as a copy, and
    /// the optimizer remembers nothing.
    ///
    /// # Errors
    /// As [`TrainPlan::new`](crate::TrainPlan::new); or the network cannot be cut where it is to be frozen, or there is no such GPU, or
    /// no room on it.
    pub fn new(
        graph: &Graph,
        batch: usize,
        device: CudaDevice,
        weights: &Weights,
        update: CudaUpdate,
    ) -> Result<Self> {
        Self::on(graph, batch, device.precision, device.open()?, weights, update)
    }

    pub(super) fn on(
        graph: &Graph,
        batch: usize,
        precision: Precision,
        device: Box<dyn Device>,
        weights: &Weights,
        update: CudaUpdate,
    ) -> Result<Self> {
        let (len, buffer_len) = (graph.param_len(), graph.buffer_len());
        check("weight decay", len, update.decay.len())?;
        let mut plan = match update.frozen {
            None => Plan::new(graph, Program::lower(graph)?, Mode::Train, precision, batch, device)?,
            Some(node) => Plan::behind(graph, Cut::behind(graph, node)?, precision, batch, device)?,
        };
        let frozen = update.frozen.map_or(0, |node| graph.param_len_up_to(node));
        let [_, gradient, _] = plan.vectors();
        plan.device.upload(gradient, bytes(&vec![0.0; frozen]))?; // which no pass writes
        let scale = loss_scale(precision);
        let vectors = Vectors::new(
            plan.device.as_mut(),
            &update,
            [len, buffer_len],
            batch * graph.input_shape().len(),
        )?;
        plan.device.upload(vectors.decay, bytes(&update.decay))?;
        let tapes = Tapes::new(&mut plan, &vectors, &update, scale, [len, buffer_len, frozen])?;
        let mut trainer = Self {
            plan,
            update,
            vectors,
            tapes,
            scale,
            lens: [len, buffer_len, graph.input_shape().len(), graph.output_len()],
            logits: vec![],
            scaled: vec![],
            images: 0,
            staged: None,
            last: None,
            batches: 0,
            moved: false,
        };
        trainer.put_weights(weights)?;
        trainer.put_average(weights)?;
        let zeros = vec![0.0; len];
        for (name, _) in trainer.optimizer_vectors() {
            trainer.put_optimizer_vector(name, &zeros)?;
        }
        Ok(trainer)
    }

    /// Becomes one of `size` trainers on as many GPUs, whose steps follow the sum of all their gradients, and whose running
    /// statistics become their mean in each step; waits for the others. They must have the same weights by then, and make the same
    /// calls in the same order. `group` is of [`CudaDevice::new_group`].
    ///
    /// # Errors
    /// NCCL is not found, or the group cannot be made.
    pub fn join(&mut self, group: &[u8], rank: usize, size: usize) -> Result<()> {
        self.plan.device.join(group, rank, size)?;
        let [_, _, values] = self.plan.vectors();
        let len = self.lens[1];
        let args = args::Mean { values, len: int(len), share: 1.0 / size as f32 };
        if len > 0 {
            let launch = over("mean", len.div_ceil(THREADS as usize), args.words());
            self.tapes.mean = Some(self.plan.device.record(vec![launch])?);
        }
        Ok(())
    }

    /// From now on batch-norms take their statistics over the batches of the whole group, with a sum for each in both directions.
    pub fn synchronise(&mut self) -> Result<()> {
        self.plan.synchronise()
    }

    /// Largest batch.
    pub fn max_batch(&self) -> usize {
        self.plan.max()
    }

    /// Brings a batch to the GPU: `n` images, uint8 RGB `[n, h, w, 3]`.
    pub fn bring(&mut self, pixels: &[u8], n: usize) -> Result<()> {
        self.check_images(pixels, n)?;
        self.plan.put_pixels(pixels)?;
        self.images = n;
        Ok(())
    }

    /// Begins to bring the batch after this one, while the GPU goes on with this one; [`bring_staged`](Self::bring_staged) is then
    /// quick. Staged twice, the later one counts.
    pub fn stage(&mut self, pixels: &[u8], n: usize) -> Result<()> {
        self.check_images(pixels, n)?;
        self.plan.device.stage(self.vectors.staged, pixels)?;
        self.staged = Some(n);
        Ok(())
    }

    /// The staged batch takes the place of the last one; returns whether there was one.
    pub fn bring_staged(&mut self) -> Result<bool> {
        let Some(n) = self.staged.take() else { return Ok(false) };
        self.plan.device.fetch(self.vectors.staged, self.plan.pixels(), n * self.lens[2])?;
        self.images = n;
        Ok(true)
    }

    fn check_images(&self, pixels: &[u8], n: usize) -> Result<()> {
        if n == 0 || n > self.plan.max() {
            return Err(Error::Batch { max: self.plan.max(), found: n });
        }
        check("pixels", n * self.lens[2], pixels.len())
    }

    /// Logits `[n, classes]` of the batch that was brought last, in training mode, as
    /// [`TrainPlan::forward`](crate::TrainPlan::forward).
    pub fn forward(&mut self, seed: u64) -> Result<&[f32]> {
        let n = self.images;
        if n == 0 {
            return Err(Error::Input { found: "no images", expected: "a batch that was brought" });
        }
        self.plan.prepare(n)?;
        self.logits.resize(n * self.lens[3], 0.0);
        self.plan.forward(n, seed, &mut self.logits)?;
        self.last = Some(n);
        Ok(&self.logits)
    }

    /// Adds the gradient of the last forward pass's batch to that of the step.
    pub fn backward(&mut self, dlogits: &[f32]) -> Result<()> {
        let n = self.last.take().ok_or(Error::NoForward)?;
        check("gradient of the logits", n * self.lens[3], dlogits.len())?;
        self.scaled.clear();
        self.scaled.extend(dlogits.iter().map(|d| d * self.scale));
        self.plan.backward(&self.scaled, n)?;
        let tape = if self.batches == 0 { self.tapes.first } else { self.tapes.more };
        self.batches += 1;
        self.plan.device.run(tape)
    }

    /// SAM's move uphill along the gradient, which is then forgotten; returns its norm.
    ///
    /// # Errors
    /// There is no gradient, or the update is without SAM.
    pub fn perturb(&mut self) -> Result<f64> {
        let tape =
            self.tapes.perturb.ok_or(Error::Input { found: "a move", expected: "none without SAM" })?;
        let norm = self.norm()?;
        self.plan.device.run(tape)?;
        self.moved = true;
        Ok(norm)
    }

    /// The optimizer's step with the gradient, from where SAM has left; returns the gradient's norm before it is clipped. A
    /// norm that is not finite leaves the weights useless.
    ///
    /// # Errors
    /// There is no gradient, or SAM has not moved the weights yet.
    pub fn step(&mut self, step: CudaStep) -> Result<f64> {
        if self.update.sam_rho.is_some() && !std::mem::take(&mut self.moved) {
            return Err(Error::Input {
                found: "a step",
                expected: "SAM's move and the gradient there first",
            });
        }
        let norm = self.norm()?;
        let mut numbers = args::StepNumbers {
            norm,
            rate: step.lr as f32,
            average: (1.0 - step.average_decay) as f32,
            ..Default::default()
        };
        if let CudaRule::AdamW { betas: [beta1, beta2], .. } = self.update.rule {
            // Beyond i32 steps both powers have long been 0.
            let t = i32::try_from(step.number).unwrap_or(i32::MAX);
            numbers.rate = (step.lr / (1.0 - beta1.powi(t))) as f32;
            numbers.root = (1.0 - beta2.powi(t)).sqrt() as f32;
            numbers.decay_rate = step.lr as f32;
        }
        let words: Vec<u8> = numbers.words().iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.plan.device.upload(self.vectors.numbers, &words)?;
        if let Some(mean) = self.tapes.mean {
            let [_, _, buffers] = self.plan.vectors();
            self.plan.device.sum_f32(buffers, self.lens[1])?;
            self.plan.device.run(mean)?;
        }
        self.plan.device.run(self.tapes.step)?;
        Ok(norm)
    }

    /// The norm of the step's gradient, which is complete now.
    fn norm(&mut self) -> Result<f64> {
        if std::mem::take(&mut self.batches) == 0 {
            return Err(Error::Input { found: "no gradient", expected: "forward and backward of a batch" });
        }
        self.plan.device.sum_f32(self.vectors.sum, self.lens[0])?;
        self.plan.device.run(self.tapes.norm)?;
        let mut norm = [0; 8];
        self.plan.device.download(self.vectors.numbers, &mut norm)?;
        Ok(f64::from_ne_bytes(norm))
    }

    /// Copies the weights from the GPU.
    pub fn weights(&mut self, weights: &mut Weights) -> Result<()> {
        self.check_weights(weights)?;
        self.plan.params(&mut weights.params)?;
        self.plan.buffers(&mut weights.buffers)
    }

    /// Copies weights to the GPU.
    pub fn put_weights(&mut self, weights: &Weights) -> Result<()> {
        self.check_weights(weights)?;
        self.plan.put_weights(&weights.params, &weights.buffers)
    }

    /// Copies the average from the GPU, if one is kept.
    pub fn average(&mut self, weights: &mut Weights) -> Result<()> {
        self.check_weights(weights)?;
        let Vectors { average, average_buffers, .. } = self.vectors;
        if average != 0 {
            self.plan.device.download(average, bytes_mut(&mut weights.params))?;
            self.plan.device.download(average_buffers, bytes_mut(&mut weights.buffers))?;
        }
        Ok(())
    }

    /// Copies an average to the GPU, if one is kept.
    pub fn put_average(&mut self, weights: &Weights) -> Result<()> {
        self.check_weights(weights)?;
        let Vectors { average, average_buffers, .. } = self.vectors;
        if average != 0 {
            self.plan.device.upload(average, bytes(&weights.params))?;
            self.plan.device.upload(average_buffers, bytes(&weights.buffers))?;
        }
        Ok(())
    }

    fn check_weights(&self, weights: &Weights) -> Result<()> {
        check("parameters", self.lens[0], weights.params.len())?;
        check("running statistics", self.lens[1], weights.buffers.len())
    }

    fn optimizer_vectors(&self) -> Vec<(&'static str, Address)> {
        match self.update.rule {
            CudaRule::Sgd { .. } => vec![("velocity", self.vectors.first)],
            CudaRule::AdamW { .. } => {
                vec![("mean", self.vectors.first), ("mean_square", self.vectors.second)]
            }
        }
    }

    /// Copies what the optimizer remembers from the GPU: `velocity` for SGD, `mean` and `mean_square` for AdamW.
    pub fn optimizer_vector(&mut self, name: &str, values: &mut [f32]) -> Result<()> {
        let at = self.find(name, values.len())?;
        self.plan.device.download(at, bytes_mut(values))
    }

    /// Copies what the optimizer shall remember to the GPU.
    pub fn put_optimizer_vector(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let at = self.find(name, values.len())?;
        self.plan.device.upload(at, bytes(values))
    }

    fn find(&self, name: &str, len: usize) -> Result<Address> {
        check("a vector of the optimizer", self.lens[0], len)?;
        let found = self.optimizer_vectors().into_iter().find(|(known, _)| *known == name);
        found.map(|(_, at)| at).ok_or(Error::Input {
            found: "a vector of another optimizer",
            expected: "velocity for SGD, mean and mean_square for AdamW",
        })
    }
}

impl Vectors {
    fn new(
        device: &mut dyn Device,
        update: &CudaUpdate,
        [len, buffer_len]: [usize; 2],
        images: usize,
    ) -> Result<Self> {
        let mut vector = |wanted: bool, len: usize| if wanted { device.alloc(4 * len) } else { Ok(0) };
        Ok(Self {
            saved: vector(update.sam_rho.is_some(), len)?,
            sum: vector(true, len)?,
            first: vector(true, len)?,
            second: vector(matches!(update.rule, CudaRule::AdamW { .. }), len)?,
            decay: vector(true, len)?,
            average: vector(update.average, len)?,
            average_buffers: vector(update.average, buffer_len)?,
            numbers: vector(true, size_of::<args::StepNumbers>())?,
            shares: vector(true, 2 * NORM_BLOCKS)?,
            staged: device.alloc(images)?,
        })
    }
}

impl Tapes {
    fn new(
        plan: &mut Plan,
        vectors: &Vectors,
        update: &CudaUpdate,
        scale: f32,
        [len, buffer_len, frozen]: [usize; 3],
    ) -> Result<Self> {
        let [w, g, buffers] = plan.vectors();
        let (kernel, momentum, nesterov, betas, eps) = match update.rule {
            CudaRule::Sgd { momentum, nesterov } => ("sgd", momentum, nesterov, [0.0; 2], 0.0),
            CudaRule::AdamW { betas, eps } => ("adamw", 0.0, false, betas, eps),
        };
        let args = args::Update {
            w,
            saved: vectors.saved,
            g,
            sum: vectors.sum,
            first: vectors.first,
            second: vectors.second,
            average: vectors.average,
            decay: vectors.decay,
            numbers: vectors.numbers,
            shares: vectors.shares,
            momentum: momentum as f32,
            rest1: (1.0 - betas[0]) as f32,
            beta2: betas[1] as f32,
            rest2: (1.0 - betas[1]) as f32,
            eps: eps as f32,
            rho: update.sam_rho.unwrap_or(0.0) as f32,
            clip: update.clip_norm.unwrap_or(0.0) as f32,
            unscale: 1.0 / scale,
            len: int(len),
            from: int(frozen),
            nesterov: i32::from(nesterov),
            pad: 0,
        };
        let blocks = len.div_ceil(THREADS as usize);
        let over = |kernel, blocks| over(kernel, blocks, args.words());
        let mut step = vec![over(kernel, blocks)];
        if vectors.average != 0 && buffer_len > 0 {
            let args = args::Average {
                values: buffers,
                average: vectors.average_buffers,
                numbers: vectors.numbers,
                len: int(buffer_len),
                pad: 0,
            };
            step.push(self::over("average", buffer_len.div_ceil(THREADS as usize), args.words()));
        }
        let device = plan.device.as_mut();
        Ok(Self {
            first: device.record(vec![over("gradient_first", blocks)])?,
            more: device.record(vec![over("gradient_more", blocks)])?,
            norm: device.record(vec![over("norm_shares", NORM_BLOCKS), over("norm_total", 1)])?,
            perturb: match update.sam_rho {
                Some(_) => Some(device.record(vec![over("perturb", blocks)])?),
                None => None,
            },
            step: device.record(step)?,
            mean: None,
        })
    }
}
