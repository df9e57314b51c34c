//! Where everything of a training step lies in the arena.

use super::kind::ArenaKind;
use crate::arena::{Wish, place};
use crate::kernels::gemm::packed_len;
use crate::kernels::rows::GATED_SUMS;
use crate::kernels::simd::Isa;
use crate::parallel::part_count;
use crate::program::{Program, Source, Stage};

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
/// How many vectors that are.
pub const NORM_VECTORS: usize = 7;

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

/// Packed weights of one stage; what a stage lacks is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackPlace {
    /// For the forward pass: a convolution's panels, a depthwise table, squeeze-excite's first layer.
    pub forward: usize,
    /// The same weights for the gradient of the input.
    pub backward: usize,
    /// Squeeze-excite's second layer, forward.
    pub expand: usize,
    /// The same for the gradient of its input.
    pub expand_backward: usize,
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
    /// Packed weights of a stage.
    pub packs: Vec<PackPlace>,
    pub parts: Vec<PartPlace>,
    /// Stages whose weight gradient is taken in one go over the batch; see [`takes_whole_batch`].
    pub whole: Vec<bool>,
    /// Their activated input, where they do not read memory as it is.
    pub whole_input: usize,
    /// Elements between the sets of [`PartPlace::sums`], in doubles.
    pub sum_stride: usize,
    pub total: usize,
    /// Length and life of each value and, behind each, of its gradient.
    pub wishes: Vec<Wish>,
    /// Length of the memory that these share.
    pub shared: usize,
    /// Length of each kind.
    pub taken: [usize; ArenaKind::ALL.len()],
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
            wishes.push(Wish { len, from: program.first_gradient(id), to: producer_back });
        }
        let (offsets, shared) = place(&wishes);
        let mut taken = [0; ArenaKind::ALL.len()];
        for pair in wishes.chunks_exact(2) {
            taken[ArenaKind::Value as usize] += pair[0].len;
            taken[ArenaKind::Gradient as usize] += pair[1].len;
        }
        let mut total = shared;
        let mut take = |kind: ArenaKind, len: usize| {
            let (at, len) = (total, len.next_multiple_of(16));
            taken[kind as usize] += len;
            total += len;
            at
        };
        let norms = program
            .norms
            .iter()
            .map(|norm| {
                let stride = norm.channels().next_multiple_of(16);
                let at = take(ArenaKind::BatchNorm, NORM_VECTORS * stride);
                NormPlace { at, stride, sums: take(ArenaKind::BatchNorm, 4 * norm.channels()) }
            })
            .collect();
        let gates = program
            .gates
            .iter()
            .map(|g| GatePlace {
                pooled: take(ArenaKind::Gate, n * g.c),
                hidden: take(ArenaKind::Gate, n * g.reduced),
                hidden_act: take(ArenaKind::Gate, n * g.reduced),
                raw: take(ArenaKind::Gate, n * g.c),
                gate: take(ArenaKind::Gate, n * g.c),
                sums: take(ArenaKind::Gate, n * g.c * GATED_SUMS),
                pooled_grad: take(ArenaKind::Gate, n * g.c),
            })
            .collect();
        let packs = program
            .stages
            .iter()
            .map(|stage| match stage {
                Stage::Conv(c) => {
                    let k = c.input.c * c.window.kernel * c.window.kernel;
                    let back = matches!(c.src, Source::View(_));
                    PackPlace {
                        forward: take(ArenaKind::PackedWeight, packed_len(isa, k, c.output.c)),
                        backward: if back {
                            take(ArenaKind::PackedWeight, packed_len(isa, c.output.c, k))
                        } else {
                            0
                        },
                        ..PackPlace::default()
                    }
                }
                // Weights `[k * k, c]`, which forward and backward share.
                Stage::Depthwise(d) => PackPlace {
                    forward: take(ArenaKind::PackedWeight, d.weight.len()),
                    ..PackPlace::default()
                },
                Stage::Squeeze(s) => {
                    let (c, r) = (s.input.c, program.gates[s.gate].reduced);
                    PackPlace {
                        forward: take(ArenaKind::PackedWeight, packed_len(isa, c, r)),
                        backward: take(ArenaKind::PackedWeight, packed_len(isa, r, c)),
                        expand: take(ArenaKind::PackedWeight, packed_len(isa, r, c)),
                        expand_backward: take(ArenaKind::PackedWeight, packed_len(isa, c, r)),
                    }
                }
                _ => PackPlace::default(),
            })
            .collect();
        let partial = program.stages.iter().filter(|s| !takes_whole_batch(s, n));
        let weight = partial.map(stage_weight).max().unwrap_or(0);
        let channels = program.values.iter().map(|v| v.shape.c).max().unwrap_or(0);
        let whole: Vec<bool> = program.stages.iter().map(|s| takes_whole_batch(s, n)).collect();
        let inputs = program.stages.iter().zip(&whole).filter(|(_, whole)| **whole);
        let whole_input = inputs.map(|(s, _)| n * loaded_input(s)).max().unwrap_or(0);
        let whole_input = take(ArenaKind::WholeInput, whole_input);
        // A smaller batch may have more images per part, never more parts.
        let most = (1..=n).map(part_count).max().unwrap_or(1);
        let parts = (0..most)
            .map(|_| PartPlace {
                weight: take(ArenaKind::PartialWeightGradient, weight),
                origin: take(ArenaKind::PartialSums, channels),
                sums: take(ArenaKind::PartialSums, 3 * 4 * channels),
            })
            .collect();
        let (values, grads) = (0..program.values.len()).map(|i| (offsets[2 * i], offsets[2 * i + 1])).unzip();
        Self {
            values,
            grads,
            norms,
            gates,
            packs,
            parts,
            whole,
            whole_input,
            sum_stride: 2 * channels,
            total,
            wishes,
            shared,
            taken,
        }
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

/// Whether a convolution's weight is so large beside its maps that a partial gradient per part would cost more than reading
/// the maps a second time.
fn takes_whole_batch(stage: &Stage, n: usize) -> bool {
    match stage {
        Stage::Conv(c) if c.window.is_point() && matches!(c.src, Source::View(_)) => {
            part_count(n) * c.weight.len() > n * c.output.pixels() * (c.input.c + c.output.c)
        }
        _ => false,
    }
}

/// Elements per image of a convolution's input that are made on loading.
fn loaded_input(stage: &Stage) -> usize {
    match stage {
        Stage::Conv(c) => match &c.src {
            Source::View(v) if !v.is_plain() => c.input.len(),
            _ => 0,
        },
        _ => 0,
    }
}
