//! Where everything of a training step lies in the arena.

use crate::arena::{Wish, place};
use crate::kernels::gemm::packed_len;
use crate::kernels::rows::GATED_SUMS;
use crate::kernels::simd::Isa;
use crate::parallel::part_count;
use crate::program::{Program, Source, Stage, ValueId};

/// Vectors of one batch-norm, each `stride` elements after the one before.
#[derive(Clone, Copy, Debug)]
pub struct NormPlace {
    pub at: usize,
    pub stride: usize,
    /// Double-precision sums of the backward pass, `2 * c` of them.
    pub sums: usize,
}

/// Which vector of a batch-norm; see [`NormPlace`].
#[derive(Clone, Copy, Debug)]
pub enum NormVector {
    /// Batch mean.
    Mean = 0,
    /// `weight / std`.
    Scale = 1,
    /// `bias - mean * scale`.
    Shift = 2,
    /// `1 / std`.
    InvStd = 3,
    /// Backward: factor of the gradient.
    A = 4,
    /// Backward: factor of the centred value.
    B = 5,
    /// Backward: summand.
    C = 6,
}
const NORM_VECTORS: usize = 7;

/// Memory of one squeeze-excite, all per image of the batch.
#[derive(Clone, Copy, Debug)]
pub struct GatePlace {
    /// Mean over the map `[n, c]`.
    pub pooled: usize,
    /// First layer before its bias `[n, reduced]`.
    pub hidden: usize,
    /// First layer after its activation `[n, reduced]`.
    pub hidden_act: usize,
    /// Second layer before its bias `[n, c]`.
    pub raw: usize,
    /// The gate `[n, c]`.
    pub gate: usize,
    /// Sums of the backward pass `[n, GATED_SUMS, c]`.
    pub sums: usize,
    /// Gradient that comes back through the pooling, per pixel `[n, c]`.
    pub pooled_grad: usize,
}

/// Memory of one part of the batch, reused by every stage.
#[derive(Clone, Copy, Debug)]
pub struct PartPlace {
    /// Partial weight gradient.
    pub weight: usize,
    /// Origin of the moments.
    pub origin: usize,
    /// Double-precision sums: moments forward, bias and batch-norm sums backward; three sets of `2 * c`.
    pub sums: usize,
}

/// Offsets in elements of `f32`.
#[derive(Clone, Debug)]
pub struct Places {
    pub values: Vec<usize>,
    pub grads: Vec<usize>,
    pub norms: Vec<NormPlace>,
    pub gates: Vec<GatePlace>,
    /// Packed weights of a stage, forward and backward.
    pub packs: Vec<(usize, usize)>,
    pub parts: Vec<PartPlace>,
    /// Elements between the sets of [`PartPlace::sums`], in doubles.
    pub sum_stride: usize,
    pub total: usize,
}

impl Places {
    /// Places for batches of up to `n` images.
    pub fn new(program: &Program, isa: Isa, n: usize) -> Self {
        let stages = program.stages.len();
        let mut wishes = vec![];
        for (id, v) in program.values.iter().enumerate() {
            let len = v.shape.len() * n;
            let producer_back = 2 * stages - 1 - v.producer;
            wishes.push(Wish { len, from: v.producer, to: producer_back });
            wishes.push(Wish { len, from: Self::first_gradient(program, id), to: producer_back });
        }
        let (offsets, mut total) = place(&wishes);
        let mut take = |len: usize| {
            let at = total;
            total += len.next_multiple_of(16);
            at
        };
        let norms = program
            .norms
            .iter()
            .map(|norm| {
                let stride = norm.channels().next_multiple_of(16);
                let at = take(NORM_VECTORS * stride);
                NormPlace { at, stride, sums: take(4 * norm.channels()) }
            })
            .collect();
        let gates = program
            .gates
            .iter()
            .map(|g| GatePlace {
                pooled: take(n * g.c),
                hidden: take(n * g.reduced),
                hidden_act: take(n * g.reduced),
                raw: take(n * g.c),
                gate: take(n * g.c),
                sums: take(n * g.c * GATED_SUMS),
                pooled_grad: take(n * g.c),
            })
            .collect();
        let packs = program
            .stages
            .iter()
            .map(|stage| match stage {
                Stage::Conv(c) => {
                    let k = c.input.c * c.window.kernel * c.window.kernel;
                    let back = matches!(c.src, Source::View(_));
                    let forward = take(packed_len(isa, k, c.output.c));
                    (forward, if back { take(packed_len(isa, c.output.c, k)) } else { 0 })
                }
                // Weights `[k * k, c]`, which forward and backward share.
                Stage::Depthwise(d) => (take(d.weight.len()), 0),
                _ => (0, 0),
            })
            .collect();
        let weight = program.stages.iter().map(stage_weight).max().unwrap_or(0);
        let channels = program.values.iter().map(|v| v.shape.c).max().unwrap_or(0);
        // A smaller batch may have more images per part, never more parts.
        let most = (1..=n).map(part_count).max().unwrap_or(1);
        let parts = (0..most)
            .map(|_| PartPlace { weight: take(weight), origin: take(channels), sums: take(3 * 4 * channels) })
            .collect();
        let (values, grads) = (0..program.values.len()).map(|i| (offsets[2 * i], offsets[2 * i + 1])).unzip();
        Self { values, grads, norms, gates, packs, parts, sum_stride: 2 * channels, total }
    }

    /// Time at which a value's gradient is first written.
    fn first_gradient(program: &Program, id: ValueId) -> usize {
        let stages = program.stages.len();
        // The output's gradient comes from outside, before the first backward stage.
        program.values[id].consumers.last().map_or(stages, |s| 2 * stages - 1 - s)
    }
}

/// Elements of a stage's partial weight gradient.
fn stage_weight(stage: &Stage) -> usize {
    match stage {
        Stage::Conv(c) => c.weight.len(),
        Stage::Depthwise(d) => d.weight.len(),
        _ => 0,
    }
}
