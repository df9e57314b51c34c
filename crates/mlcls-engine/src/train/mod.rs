//! Training plans: a graph compiled to a static list of fused stages, forward and backward, over one arena.

mod conv;
mod cosine;
mod depthwise;
mod join;
mod kind;
mod map;
mod norm;
pub(crate) mod places;
mod squeeze;
mod step;
mod synced;

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
pub(crate) mod truth;

use crate::arena::Arena;
use crate::cut::Cut;
use crate::error::{Error, Result, check};
use crate::graph::{Graph, NodeId, Shape};
use crate::kernels::simd::Isa;
use crate::parallel::{for_each, in_pool};
use crate::profile::{self, Clock, Profile, StageProfile, Way};
use crate::program::{Norm, Program, Stage, ValueId};
pub use kind::ArenaKind;
pub use map::{ArenaMap, ArenaPiece};
use places::Places;
use step::{Step, norm_identity};
pub use synced::{SumOver, Synced};

/// A graph compiled for training batches of up to a fixed size.
///
/// ```
/// # use mlcls_engine::{Activation, ConvOptions, GraphBuilder, TrainPlan, Weights};
/// # fn main() -> mlcls_engine::Result<()> {
/// # let mut b = GraphBuilder::new("tiny", 8);
/// # let x = b.input([0.5; 3], [0.5; 3]);
/// # let x = b.conv("stem", x, 8, ConvOptions { kernel: 3, stride: 2, ..Default::default() })?;
/// # let x = b.batch_norm("bn", x, 1e-5, 0.1)?;
/// # let map = b.activation(x, Activation::Relu);
/// # let features = b.global_pool(map);
/// # let logits = b.cosine_linear("head", features, 4, 7.0)?;
/// # let graph = b.finish(map, features, logits)?;
/// let mut weights = Weights::init(&graph, 7);
/// let mut plan = TrainPlan::new(&graph, 2)?;
/// let pixels = vec![128u8; 2 * 8 * 8 * 3];
/// let logits = plan.forward(&weights.params, &mut weights.buffers, &pixels, 2, 0)?.to_vec();
/// let mut grads = vec![0.0; weights.params.len()];
/// plan.backward(&weights.params, &vec![1.0; logits.len()], &mut grads)?;
/// weights.params.iter_mut().zip(&grads).for_each(|(w, g)| *w -= 0.1 * g);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TrainPlan {
    program: Program,
    places: Places,
    arena: Arena,
    isa: Isa,
    max: usize,
    input: Input,
    output_len: usize,
    param_len: usize,
    buffer_len: usize,
    /// Images and seed of the forward pass that `backward` belongs to.
    last: Option<(usize, u64)>,
    /// That pass's pixels, which the first convolution's weight gradient needs again.
    pixels: Vec<u8>,
    stages: Vec<StageProfile>,
    clock: Clock,
}

/// What goes in.
#[derive(Clone, Copy, Debug)]
enum Input {
    /// Pixels of an image.
    Pixels(Shape),
    /// Values from elsewhere, so many of an image.
    Values(ValueId, usize),
}

impl TrainPlan {
    /// Compiles `graph` for batches of 1 to `batch` images. The arena is taken here; the
    /// first step takes a few tiles per thread, and later ones nothing but short lists.
    pub fn new(graph: &Graph, batch: usize) -> Result<Self> {
        Self::with_isa(graph, batch, Isa::detect())
    }

    fn with_isa(graph: &Graph, batch: usize, isa: Isa) -> Result<Self> {
        Self::compile(graph, Program::lower(graph)?, Input::Pixels(graph.input_shape()), batch, isa)
    }

    /// Compiles what comes behind `node`, for training while all before it stays as it is: [`InferPlan::up_to`](crate::InferPlan::up_to)
    /// computes that, with running statistics. The plan takes the vectors of the whole graph; gradients of what is before
    /// the node are 0.
    ///
    /// # Errors
    /// As [`new`](Self::new); or the network cannot be cut there.
    pub fn behind(graph: &Graph, batch: usize, node: NodeId) -> Result<Self> {
        let cut = Cut::behind(graph, node)?;
        let input = Input::Values(cut.value, cut.program.values[cut.value].shape.len());
        Self::compile(graph, cut.tail(), input, batch, Isa::detect())
    }

    fn compile(graph: &Graph, program: Program, input: Input, batch: usize, isa: Isa) -> Result<Self> {
        if batch == 0 {
            return Err(Error::Batch { max: 0, found: 0 });
        }
        program.trains(graph)?;
        let places = Places::new(&program, isa, batch);
        let pixels = if let Input::Pixels(shape) = input { batch * shape.len() } else { 0 };
        let plan = Self {
            arena: Arena::new(places.total)?,
            isa,
            max: batch,
            input,
            output_len: graph.output_len(),
            param_len: graph.param_len(),
            buffer_len: graph.buffer_len(),
            last: None,
            pixels: vec![0; pixels],
            stages: profile::stages(graph, &program, 4),
            clock: Clock::new(program.stages.len()),
            program,
            places,
        };
        let step = plan.step(batch, 0, &[], &plan.pixels);
        (0..plan.program.norms.len()).for_each(|id| norm_identity(&step, id));
        Ok(plan)
    }

    /// Bytes that a plan for `batch` images takes, without taking them.
    pub fn bytes_needed(graph: &Graph, batch: usize) -> Result<usize> {
        let program = Program::lower(graph)?;
        program.trains(graph)?;
        Ok(4 * Places::new(&program, Isa::detect(), batch).total + batch * graph.input_shape().len())
    }

    /// The same for [`behind`](Self::behind).
    pub fn bytes_needed_behind(graph: &Graph, batch: usize, node: NodeId) -> Result<usize> {
        Ok(4 * Places::new(&Cut::behind(graph, node)?.tail(), Isa::detect(), batch).total)
    }

    /// Largest batch.
    pub fn max_batch(&self) -> usize {
        self.max
    }

    /// Bytes of the arena, which holds everything that a step needs but the parameters and a few tiles per thread.
    pub fn arena_bytes(&self) -> usize {
        4 * self.arena.len()
    }

    /// What lies where in the arena, and from which stage to which.
    pub fn arena_map(&self) -> ArenaMap {
        ArenaMap::new(&self.program, &self.places, &self.stages)
    }

    /// Where the time of all passes since the last [`reset_profile`](Self::reset_profile) went, per image.
    pub fn profile(&self) -> Profile {
        self.clock.read(&self.stages)
    }

    /// Forgets the times so far.
    pub fn reset_profile(&mut self) {
        self.clock = Clock::new(self.stages.len());
    }

    fn step<'a>(&'a self, n: usize, seed: u64, params: &'a [f32], pixels: &'a [u8]) -> Step<'a> {
        Step {
            isa: self.isa,
            program: &self.program,
            places: &self.places,
            arena: &self.arena,
            n,
            seed,
            params,
            pixels,
        }
    }

    /// The forward pass in training mode over `n` images: batch statistics, dropout and drop-path.
    ///
    /// `params` is the flat parameter vector and `buffers` the running statistics, which are updated. `pixels` are uint8 RGB
    /// `[n, h, w, 3]`. `seed` decides dropout and drop-path of this pass. Returns the logits `[n, classes]`. The result does
    /// not depend on the number of threads.
    pub fn forward(
        &mut self,
        params: &[f32],
        buffers: &mut [f32],
        pixels: &[u8],
        n: usize,
        seed: u64,
    ) -> Result<&[f32]> {
        self.synced(None).forward(params, buffers, pixels, n, seed)
    }

    fn take_pixels(&mut self, params: &[f32], buffers: &[f32], pixels: &[u8], n: usize) -> Result<()> {
        let Input::Pixels(shape) = self.input else {
            return Err(Error::Input {
                found: "pixels",
                expected: "values of the node that it begins behind",
            });
        };
        self.check(params, buffers, n)?;
        check("pixels", n * shape.len(), pixels.len())?;
        self.pixels[..pixels.len()].copy_from_slice(pixels);
        Ok(())
    }

    /// [`forward`](Self::forward) of a plan that begins [`behind`](Self::behind) a node, from the values `[n, h, w, c]` of
    /// that node.
    pub fn forward_behind(
        &mut self,
        params: &[f32],
        buffers: &mut [f32],
        values: &[f32],
        n: usize,
        seed: u64,
    ) -> Result<&[f32]> {
        self.synced(None).forward_behind(params, buffers, values, n, seed)
    }

    fn take_values(&mut self, params: &[f32], buffers: &[f32], values: &[f32], n: usize) -> Result<()> {
        let Input::Values(id, len) = self.input else {
            return Err(Error::Input { found: "values", expected: "pixels" });
        };
        self.check(params, buffers, n)?;
        check("values", n * len, values.len())?;
        let to = self.arena.at(self.places.values[id]);
        // SAFETY: the value holds `max` rows of `len`, at least n of them, and nobody else uses the arena now.
        unsafe { to.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Ok(())
    }

    fn check(&self, params: &[f32], buffers: &[f32], n: usize) -> Result<()> {
        if n == 0 || n > self.max {
            return Err(Error::Batch { max: self.max, found: n });
        }
        check("parameters", self.param_len, params.len())?;
        check("running statistics", self.buffer_len, buffers.len())
    }

    fn run_forward(
        &mut self,
        params: &[f32],
        buffers: &mut [f32],
        n: usize,
        seed: u64,
        mut sum: Option<SumOver>,
    ) -> &[f32] {
        self.last = Some((n, seed));
        let step = self.step(n, seed, params, &self.pixels);
        let run = || {
            self.clock.packing(|| pack_weights(&step));
            for (index, stage) in self.program.stages.iter().enumerate() {
                self.clock.stage(index, Way::Forward, || {
                    self.stage_forward(&step, index, stage);
                    if let Some((norm, rows)) = self.norm_behind(stage) {
                        norm::forward(&step, norm, rows, buffers, &mut sum);
                    }
                });
            }
        };
        self.clock.whole(n, || in_pool(run));
        self.output(n)
    }

    fn stage_forward(&self, step: &Step, index: usize, stage: &Stage) {
        match stage {
            Stage::Conv(s) => conv::forward(step, s, index),
            Stage::Depthwise(s) => depthwise::forward(step, s, index),
            Stage::Squeeze(s) => squeeze::forward(step, s, index),
            Stage::Add(s) => join::add_forward(step, s),
            Stage::Pool(s) => join::pool_forward(step, s),
            Stage::PRelu(s) => join::prelu_forward(step, s),
            Stage::Dropout(s) => join::dropout_forward(step, s),
            Stage::Cosine(s) => cosine::forward(step, s),
            Stage::Candle(_) => unreachable!("`compile` refuses it"),
        }
    }

    /// The batch-norm behind a stage's output, and its rows per image.
    fn norm_behind(&self, stage: &Stage) -> Option<(usize, usize)> {
        let out = match stage {
            Stage::Conv(s) => s.out,
            Stage::Depthwise(s) => s.out,
            _ => return None,
        };
        let value = &self.program.values[out];
        let norm = value.norm.filter(|&n| matches!(self.program.norms[n], Norm::Batch { .. }))?;
        Some((norm, value.shape.pixels()))
    }

    fn output(&self, n: usize) -> &[f32] {
        let at = self.arena.at(self.places.values[self.program.output]);
        // SAFETY: the output value holds `max` rows, `n` of them just written, and `self` is borrowed while it is read.
        unsafe { std::slice::from_raw_parts(at, n * self.output_len) }
    }

    /// The backward pass of the last [`forward`](Self::forward), with the same `params`.
    ///
    /// `dlogits` is the loss's gradient of the logits `[n, classes]`; every element of `grads`, the flat gradient vector, is
    /// overwritten.
    pub fn backward(&mut self, params: &[f32], dlogits: &[f32], grads: &mut [f32]) -> Result<()> {
        self.run_backward(params, dlogits, grads, None)
    }

    fn run_backward(
        &mut self,
        params: &[f32],
        dlogits: &[f32],
        grads: &mut [f32],
        mut sum: Option<SumOver>,
    ) -> Result<()> {
        let (n, seed) = self.last.take().ok_or(Error::NoForward)?;
        check("parameters", self.param_len, params.len())?;
        check("gradients", self.param_len, grads.len())?;
        check("gradient of the logits", n * self.output_len, dlogits.len())?;
        if let Input::Values(..) = self.input {
            grads.fill(0.0);
        }
        let step = self.step(n, seed, params, &self.pixels);
        // SAFETY: the output's gradient holds `max` rows and nobody else uses it now.
        unsafe {
            step.grad(self.program.output).get().copy_from_nonoverlapping(dlogits.as_ptr(), dlogits.len())
        };
        let run = || {
            for (index, stage) in self.program.stages.iter().enumerate().rev() {
                self.clock.stage(index, Way::Backward, || {
                    if let Some((norm, rows)) = self.norm_behind(stage) {
                        norm::backward(&step, norm, rows, grads, &mut sum);
                    }
                    self.stage_backward(&step, index, stage, grads);
                });
            }
        };
        self.clock.whole(0, || in_pool(run));
        Ok(())
    }

    fn stage_backward(&self, step: &Step, index: usize, stage: &Stage, grads: &mut [f32]) {
        match stage {
            Stage::Conv(s) => conv::backward(step, s, index, grads),
            Stage::Depthwise(s) => depthwise::backward(step, s, index, grads),
            Stage::Squeeze(s) => squeeze::backward(step, s, index, grads),
            Stage::Add(s) => join::add_backward(step, s, index),
            Stage::Pool(s) => join::pool_backward(step, s, index),
            Stage::PRelu(s) => join::prelu_backward(step, s, index, grads),
            Stage::Dropout(s) => join::dropout_backward(step, s, index),
            Stage::Cosine(s) => cosine::backward(step, s, index, grads),
            Stage::Candle(_) => unreachable!("`compile` refuses it"),
        }
    }
}

/// Brings every weight into the layout of its kernels.
fn pack_weights(step: &Step) {
    for_each(step.program.stages.len(), |i| match &step.program.stages[i] {
        Stage::Conv(c) => conv::pack_weights(step, c, step.places.packs[i]),
        Stage::Depthwise(d) => depthwise::pack_weights(step, d, step.places.packs[i]),
        Stage::Squeeze(s) => squeeze::pack_weights(step, s, step.places.packs[i]),
        _ => {}
    });
}
