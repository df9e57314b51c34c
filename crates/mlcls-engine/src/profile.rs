//! What each stage of a plan has taken, beside the work that it had to do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::graph::{Graph, NodeId, Shape};
use crate::program::{Program, Source, Stage, View};

/// Work of one stage, and the time that it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations of products, two per multiply-accumulate; element-wise passes are not counted.
    pub flops: f64,
    /// Bytes that must move between memory and processor if nothing stays in cache from one stage to the next.
    pub bytes: f64,
    /// Time taken: on the clock in training, summed over threads in inference.
    pub seconds: f64,
}

impl Work {
    /// The time that a processor of these limits needs at least: operations per second and bytes per second.
    pub fn floor(&self, flops_per_second: f64, bytes_per_second: f64) -> f64 {
        (self.flops / flops_per_second).max(self.bytes / bytes_per_second)
    }
}

/// One stage of a plan, per image.
#[derive(Clone, Debug, PartialEq)]
pub struct StageProfile {
    /// timm's name of its node, for example `blocks.0.0.conv_dw`; the operation where timm has none.
    pub name: String,
    /// What it computes, for example `pointwise` or `depthwise 5x5/2`.
    pub kind: String,
    /// Shape of its output.
    pub output: Shape,
    /// The forward pass.
    pub forward: Work,
    /// The backward pass; nothing in inference.
    pub backward: Work,
}

/// Where a plan's time went since it was made or [reset](crate::TrainPlan::reset_profile); see
/// [`TrainPlan::profile`](crate::TrainPlan::profile).
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Stages in the order of the forward pass.
    pub stages: Vec<StageProfile>,
    /// Seconds per image of whole passes, planning and hand-over between threads included.
    pub seconds: f64,
    /// Seconds per image of bringing weights into the kernels' layout.
    pub packing: f64,
    /// Images that have passed.
    pub images: u64,
}

impl Profile {
    /// Seconds per image outside all stages.
    pub fn outside(&self) -> f64 {
        let inside: f64 = self.stages.iter().map(|s| s.forward.seconds + s.backward.seconds).sum();
        self.seconds - inside - self.packing
    }
}

/// Times of a plan's stages; threads may add at once.
#[derive(Debug)]
pub(crate) struct Clock {
    stages: Vec<[AtomicU64; 2]>,
    packing: AtomicU64,
    whole: AtomicU64,
    images: AtomicU64,
}

/// Which of a stage's times.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Forward = 0,
    Backward = 1,
}

impl Clock {
    pub fn new(stages: usize) -> Self {
        let zero = || AtomicU64::new(0);
        let stages = std::iter::repeat_with(|| [zero(), zero()]).take(stages).collect();
        Self { stages, packing: zero(), whole: zero(), images: zero() }
    }

    pub fn stage<T>(&self, index: usize, way: Way, f: impl FnOnce() -> T) -> T {
        add(&self.stages[index][way as usize], f)
    }

    pub fn packing<T>(&self, f: impl FnOnce() -> T) -> T {
        add(&self.packing, f)
    }

    pub fn whole<T>(&self, images: usize, f: impl FnOnce() -> T) -> T {
        self.images.fetch_add(images as u64, Ordering::Relaxed);
        add(&self.whole, f)
    }

    pub fn read(&self, graph_stages: &[StageProfile]) -> Profile {
        let images = self.images.load(Ordering::Relaxed);
        let per_image = |t: &AtomicU64| t.load(Ordering::Relaxed) as f64 * 1e-9 / images.max(1) as f64;
        let mut stages = graph_stages.to_vec();
        for (stage, [forward, backward]) in stages.iter_mut().zip(&self.stages) {
            stage.forward.seconds = per_image(forward);
            stage.backward.seconds = per_image(backward);
        }
        Profile { stages, seconds: per_image(&self.whole), packing: per_image(&self.packing), images }
    }
}

fn add<T>(to: &AtomicU64, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    to.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    result
}

/// The work of every stage for one image, without times; an element of a map takes so many bytes.
pub(crate) fn stages(graph: &Graph, program: &Program, element: usize) -> Vec<StageProfile> {
    let element = element as f64;
    let stage = |(stage, &node): (&Stage, &NodeId)| {
        let name = match &graph.node(node).name {
            name if name.is_empty() => kind(stage).to_owned(),
            name => name.clone(),
        };
        let flops = 2.0 * graph.node_macs(node) as f64;
        let out = element * graph.node(node).shape.len() as f64;
        let value = |v: &View| element * program.values[v.value].shape.len() as f64;
        let (from_image, inputs) = match stage {
            Stage::Conv(c) => match &c.src {
                Source::View(v) => (false, value(v)),
                Source::Pixels { .. } => (true, c.input.len() as f64),
            },
            Stage::Depthwise(d) => (false, value(&d.src)),
            Stage::Squeeze(s) => (false, value(&s.src)),
            Stage::Add(a) => (false, value(&a.branch) + value(&a.shortcut)),
            Stage::Pool(p) => (false, value(&p.src)),
            Stage::PRelu(p) => (false, value(&p.src)),
            Stage::Dropout(d) => (false, value(&d.src)),
            Stage::Cosine(c) => (false, value(&c.src)),
            Stage::Candle(_) => (true, graph.input_shape().len() as f64),
        };
        // A gate is no map of its own, and its backward pass is folded into its neighbours'.
        let squeeze = matches!(stage, Stage::Squeeze(_));
        let forward = Work { flops, bytes: inputs + if squeeze { 0.0 } else { out }, ..Work::default() };
        // Gradient and value of the output come in, value of the input too, gradient of the input goes out.
        let product = matches!(stage, Stage::Conv(_) | Stage::Depthwise(_));
        let backward = Work {
            flops: flops * if from_image { 1.0 } else { 2.0 },
            bytes: match (squeeze, product) {
                (true, _) => 0.0,
                (false, true) => 2.0 * out + inputs * if from_image { 1.0 } else { 2.0 },
                (false, false) => out + inputs,
            },
            ..Work::default()
        };
        StageProfile { name, kind: describe(stage), output: graph.node(node).shape, forward, backward }
    };
    program.stages.iter().zip(&program.origins).map(stage).collect()
}

fn kind(stage: &Stage) -> &'static str {
    match stage {
        Stage::Conv(_) => "conv",
        Stage::Depthwise(_) => "depthwise",
        Stage::Squeeze(_) => "squeeze-excite",
        Stage::Add(_) => "add",
        Stage::Pool(_) => "pool",
        Stage::PRelu(_) => "prelu",
        Stage::Dropout(_) => "dropout",
        Stage::Cosine(_) => "cosine",
        Stage::Candle(_) => "candle",
    }
}

fn describe(stage: &Stage) -> String {
    let window = match stage {
        Stage::Conv(c) if c.window.is_point() => return "pointwise".to_owned(),
        Stage::Conv(c) => c.window,
        Stage::Depthwise(d) => d.window,
        _ => return kind(stage).to_owned(),
    };
    format!("{} {k}x{k}/{}", kind(stage), window.stride, k = window.kernel)
}
