//! Where everything of a plan lies in the device's memory, in bytes from its start.

use super::args;
use crate::arena::{Wish, place};
use crate::graph::Graph;
use crate::kernels::rows::GATED_SUMS;
use crate::precision::Precision;
use crate::program::{Program, Source, Stage};
use crate::train::places::NORM_VECTORS;
pub use crate::train::places::{GatePlace, NormVector};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, and values kept for the backward pass.
    Train,
    /// Running statistics, forward only.
    Infer,
}

/// Vectors of one batch-norm, `stride` bytes each.
#[derive(Clone, Copy, Debug)]
pub struct NormPlace {
    pub at: usize,
    pub stride: usize,
}

/// Memory of the cosine head.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnitPlace {
    pub x: usize,
    pub x_inverse: usize,
    pub w: usize,
    pub w_inverse: usize,
}

/// What one stage keeps.
#[derive(Clone, Copy, Debug)]
pub enum StagePlace {
    Nothing,
    /// Packed weights of a convolution, for the forward pass and for the gradient of its input.
    Packed {
        forward: usize,
        backward: usize,
    },
    Units(UnitPlace),
}

/// Places for batches of up to a number of images.
#[derive(Clone, Debug)]
pub struct Places {
    /// Parameters, their gradients and running statistics, as in the graph's flat vectors.
    pub params: usize,
    pub grads: usize,
    pub buffers: usize,
    /// uint8 images.
    pub pixels: usize,
    /// The seed of the step.
    pub seed: usize,
    /// Scale and shift of pixels.
    pub normalise: usize,
    /// Where the weights of convolutions come from and go to.
    pub packs: usize,
    pub values: Vec<usize>,
    pub gradients: Vec<usize>,
    pub norms: Vec<NormPlace>,
    pub gates: Vec<GatePlace>,
    pub stages: Vec<StagePlace>,
    pub total: usize,
}

impl Places {
    /// `frozen` stages do not learn.
    pub fn new(
        graph: &Graph,
        program: &Program,
        (mode, frozen): (Mode, usize),
        precision: Precision,
        n: usize,
    ) -> Self {
        let element = precision.bytes();
        let (offsets, shared) = place(&wishes(program, (mode, frozen), precision, n));
        let mut total = element * shared;
        // Every piece starts at 256 bytes, as vectors of any width may.
        let mut take = |bytes: usize| {
            let at = total.next_multiple_of(256);
            total = at + bytes;
            at
        };
        let train = mode == Mode::Train;
        let params = take(4 * graph.param_len());
        let grads = take(if train { 4 * graph.param_len() } else { 0 });
        let norms = program
            .norms
            .iter()
            .map(|norm| {
                let stride = (4 * norm.channels()).next_multiple_of(256);
                NormPlace { at: take(NORM_VECTORS * stride), stride }
            })
            .collect();
        let gates = program
            .gates
            .iter()
            .map(|g| GatePlace {
                pooled: take(4 * n * g.c),
                hidden: take(4 * n * g.reduced),
                hidden_act: take(4 * n * g.reduced),
                raw: take(4 * n * g.c),
                gate: take(4 * n * g.c),
                sums: take(if train { 4 * GATED_SUMS * n * g.c } else { 0 }),
                pooled_grad: take(if train { 4 * n * g.c } else { 0 }),
            })
            .collect();
        let stages = program
            .stages
            .iter()
            .map(|stage| match stage {
                Stage::Conv(conv) => StagePlace::Packed {
                    forward: take(element * conv.weight.len()),
                    backward: match conv.src {
                        Source::View(_) if train => take(element * conv.weight.len()),
                        _ => 0,
                    },
                },
                Stage::Cosine(head) => StagePlace::Units(UnitPlace {
                    x: take(4 * n * head.d),
                    x_inverse: take(4 * n),
                    w: take(4 * head.classes * head.d),
                    w_inverse: take(4 * head.classes),
                }),
                _ => StagePlace::Nothing,
            })
            .collect();
        let at = |i: usize| element * offsets[i];
        Self {
            params,
            grads,
            norms,
            gates,
            stages,
            buffers: take(4 * graph.buffer_len()),
            pixels: take(n * graph.input_shape().len()),
            seed: take(8),
            normalise: take(4 * 6),
            packs: take(size_of::<args::Pack>() * program.stages.len()),
            values: (0..program.values.len()).map(|id| at(2 * id)).collect(),
            gradients: (0..program.values.len()).map(|id| at(2 * id + 1)).collect(),
            total,
        }
    }
}

/// Length and life of each value and, behind each, of its gradient, in elements of maps.
fn wishes(program: &Program, (mode, frozen): (Mode, usize), precision: Precision, n: usize) -> Vec<Wish> {
    let stages = program.stages.len();
    let mut wishes = vec![];
    for (id, value) in program.values.iter().enumerate() {
        // The output is single precision whatever the maps are.
        let wide = if id == program.output { 4 / precision.bytes() } else { 1 };
        let len = value.shape.len() * n * wide;
        let last = value.consumers.last().copied().unwrap_or(stages);
        match mode {
            // What stages that learn write or read.
            Mode::Train if value.producer >= frozen || last >= frozen => {
                let back = 2 * stages - 1 - value.producer.max(frozen);
                wishes.push(Wish { len, from: value.producer, to: back });
                wishes.push(Wish { len, from: program.first_gradient(id), to: back });
            }
            Mode::Train | Mode::Infer => {
                wishes.push(Wish { len, from: value.producer, to: last });
                wishes.push(Wish { len: 0, from: stages, to: stages });
            }
        }
    }
    wishes
}
