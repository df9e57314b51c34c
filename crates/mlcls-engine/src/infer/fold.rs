//! What the weights decide, decided once: batch-norm folded into the convolutions, weights packed, sums fused.

use super::dense::{Dense, Expand};
use crate::affine::Affine;
use crate::aligned::Aligned;
use crate::border::tap_major;
use crate::graph::Activation;
use crate::kernels::cosine::unit_rows;
use crate::kernels::simd::Isa;
use crate::program::*;
use crate::weights::Weights;

/// A stage with everything that the weights decide.
#[derive(Debug)]
pub enum Folded {
    Conv {
        conv: Conv,
        dense: Dense,
        gate: Option<ValueId>,
        residual: Option<ValueId>,
    },
    Depthwise {
        dw: Depthwise,
        weights: Aligned,
        bias: Vec<f32>,
        act: Activation,
        /// The convolution in front, where this stage does its work too.
        expand: Option<Expand>,
    },
    Squeeze {
        se: Squeeze,
        out: ValueId,
        reduce: Dense,
        expand: Dense,
    },
    Add(Add),
    Pool(Pool),
    PRelu {
        prelu: PRelu,
        slope: f32,
    },
    Copy {
        src: ValueId,
        out: ValueId,
        len: usize,
    },
    Cosine {
        head: Cosine,
        unit: Vec<f32>,
    },
}

/// A value's batch-norm with its running statistics.
fn fold(program: &Program, weights: &Weights, value: ValueId) -> Affine {
    match program.values[value].norm.map(|n| &program.norms[n]) {
        Some(Norm::Batch { eps, weight, bias, mean, var, .. }) => Affine::batch_norm(
            *eps,
            &weights.params[weight.clone()],
            &weights.params[bias.clone()],
            &weights.buffers[mean.clone()],
            &weights.buffers[var.clone()],
        ),
        _ => Affine::identity(program.values[value].shape.c),
    }
}

/// Folds one stage; `gates` are the values that stand for the program's gates.
pub fn fold_stage(
    program: &Program,
    weights: &Weights,
    isa: Isa,
    stage: &Stage,
    gates: &[ValueId],
) -> Folded {
    let param = |r: &std::ops::Range<usize>| &weights.params[r.clone()];
    match stage {
        Stage::Conv(conv) => {
            let (cin, taps) = (conv.input.c, conv.window.kernel * conv.window.kernel);
            let k = cin * taps;
            let w = param(&conv.weight);
            let mut affine = fold(program, weights, conv.out);
            if let Some(b) = &conv.bias {
                affine = affine.behind_bias(param(b));
            }
            let Affine { scale, shift } = affine;
            let at = |l: usize, o: usize| w[tap_major(o * k + l, cin, taps)] * scale[o];
            let dense = Dense::new(isa, k, at, shift, program.values[conv.out].act);
            let gate = match &conv.src {
                Source::View(v) => v.gate.map(|g| gates[g]),
                Source::Pixels { .. } => None,
            };
            Folded::Conv { conv: conv.clone(), dense, gate, residual: None }
        }
        Stage::Depthwise(dw) => {
            let (c, taps) = (dw.input.c, dw.window.kernel * dw.window.kernel);
            let Affine { scale, shift: bias } = fold(program, weights, dw.out);
            let w = param(&dw.weight);
            let mut weights = Aligned::zeros(taps * c);
            for (i, v) in weights.iter_mut().enumerate() {
                *v = w[i % c * taps + i / c] * scale[i % c];
            }
            Folded::Depthwise { dw: dw.clone(), weights, bias, act: program.values[dw.out].act, expand: None }
        }
        Stage::Squeeze(se) => {
            let (c, r) = (se.input.c, program.gates[se.gate].reduced);
            let (w1, w2) = (param(&se.reduce_weight), param(&se.expand_weight));
            let bias = |b| param(b).to_vec();
            let reduce = Dense::new(isa, c, |l, o| w1[o * c + l], bias(&se.reduce_bias), se.act);
            let expand = Dense::new(isa, r, |l, o| w2[o * r + l], bias(&se.expand_bias), se.gate_act);
            Folded::Squeeze { se: se.clone(), out: gates[se.gate], reduce, expand }
        }
        Stage::Add(add) => Folded::Add(add.clone()),
        Stage::Pool(pool) => Folded::Pool(pool.clone()),
        Stage::PRelu(prelu) => Folded::PRelu { prelu: prelu.clone(), slope: weights.params[prelu.slope] },
        Stage::Dropout(d) => Folded::Copy { src: d.src.value, out: d.out, len: d.shape.len() },
        Stage::Cosine(head) => {
            Folded::Cosine { head: head.clone(), unit: unit_rows(param(&head.weight), head.d) }
        }
        Stage::Candle(_) => unreachable!("it runs in front of the plan"),
    }
}

/// Lets a convolution that nobody reads but the sum right behind it add the shortcut itself, and a depthwise convolution do the
/// work of a 1x1 convolution right in front that nobody else reads. Stages come with the number of the program's stage that
/// they stand for.
pub fn fuse(program: &Program, stages: Vec<(usize, Folded)>) -> Vec<(usize, Folded)> {
    let copied_out = [Some(program.output), program.features, program.map];
    let alone = |id: ValueId| program.values[id].consumers.len() == 1 && !copied_out.contains(&Some(id));
    let mut out: Vec<(usize, Folded)> = Vec::with_capacity(stages.len());
    for (index, stage) in stages {
        match (stage, out.pop()) {
            (
                Folded::Add(add),
                Some((conv_index, Folded::Conv { mut conv, dense, gate, residual: None })),
            ) if conv.out == add.branch.value && alone(conv.out) && dense.act == Activation::Identity => {
                conv.out = add.out;
                let residual = Some(add.shortcut.value);
                out.push((conv_index, Folded::Conv { conv, dense, gate, residual }));
            }
            (
                Folded::Depthwise { dw, weights, bias, act, expand: None },
                Some((
                    _,
                    Folded::Conv {
                        conv: Conv { src: Source::View(view), window, out: made, .. },
                        dense,
                        gate: None,
                        residual: None,
                    },
                )),
            ) if window.is_point() && made == dw.src.value && alone(made) => {
                let expand = Some(Expand { src: view.value, dense });
                out.push((index, Folded::Depthwise { dw, weights, bias, act, expand }));
            }
            (stage, before) => out.extend(before.into_iter().chain([(index, stage)])),
        }
    }
    out
}

impl Folded {
    /// Values that the stage reads or writes.
    pub fn touched(&self) -> Vec<ValueId> {
        match self {
            Self::Conv { conv, gate, residual, .. } => {
                let src = match &conv.src {
                    Source::View(v) => Some(v.value),
                    Source::Pixels { .. } => None,
                };
                [src, Some(conv.out), *gate, *residual].into_iter().flatten().collect()
            }
            Self::Depthwise { dw, expand, .. } => {
                vec![expand.as_ref().map_or(dw.src.value, |e| e.src), dw.out]
            }
            Self::Squeeze { se, out, .. } => vec![se.src.value, *out],
            Self::Add(a) => vec![a.branch.value, a.shortcut.value, a.out],
            Self::Pool(p) => vec![p.src.value, p.out],
            Self::PRelu { prelu, .. } => vec![prelu.src.value, prelu.out],
            Self::Copy { src, out, .. } => vec![*src, *out],
            Self::Cosine { head, .. } => vec![head.src.value, head.out],
        }
    }
}
