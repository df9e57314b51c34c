//! Inference plans: batch-norm folded into packed weights, and each thread takes whole images through the net, so that an
//! image's activations stay in cache.

use crate::arena::{Wish, place};
use crate::border::{Band, Padded, input_rows, strip_rows, tap_major, tile_rows, window_taps};
use crate::error::{Error, Result, check};
use crate::graph::{Activation, Graph, Shape};
use crate::kernels::act;
use crate::kernels::cosine::{logits, normalise};
use crate::kernels::depthwise::{Row, stencil};
use crate::kernels::gemm::{Panels, Product, gemm, pack, packed_len};
use crate::kernels::rows::{self, Load};
use crate::kernels::simd::Isa;
use crate::parallel::{Scratch, Shared, for_each};
use crate::program::*;
use crate::weights::Weights;

/// A graph and its weights compiled for inference.
///
/// Running statistics are used and folded into the convolutions; dropout and drop-path do nothing. The plan keeps its own
/// packed copy of the weights, so later changes of `weights` have no effect on it.
#[derive(Debug)]
pub struct InferPlan {
    stages: Vec<Folded>,
    isa: Isa,
    max: usize,
    input: Shape,
    /// Per value: where it lies in a thread's memory.
    offsets: Vec<usize>,
    scratch_len: usize,
    output: Slot,
    features: Option<Slot>,
    out: Vec<f32>,
    features_out: Vec<f32>,
    ran: usize,
}

/// A value that is copied out for every image.
#[derive(Clone, Copy, Debug)]
struct Slot {
    value: ValueId,
    len: usize,
}

/// A stage with everything that the weights decide.
#[derive(Debug)]
enum Folded {
    Conv {
        conv: Conv,
        panels: Vec<f32>,
        bias: Vec<f32>,
        act: Activation,
        gate: Option<ValueId>,
        residual: Option<ValueId>,
    },
    Depthwise {
        dw: Depthwise,
        weights: Vec<f32>,
        bias: Vec<f32>,
        act: Activation,
    },
    Squeeze {
        se: Squeeze,
        out: ValueId,
        w1: Vec<f32>,
        b1: Vec<f32>,
        w2: Vec<f32>,
        b2: Vec<f32>,
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

/// Scale and shift of a value's batch-norm with its running statistics.
fn fold(program: &Program, weights: &Weights, value: ValueId) -> (Vec<f32>, Vec<f32>) {
    let c = program.values[value].shape.c;
    match program.values[value].norm.map(|n| &program.norms[n]) {
        Some(Norm::Batch { eps, weight, bias, mean, var, .. }) => (0..c)
            .map(|ch| {
                let scale = f64::from(weights.params[weight.start + ch])
                    / (f64::from(weights.buffers[var.start + ch]) + f64::from(*eps)).sqrt();
                let shift = f64::from(weights.params[bias.start + ch])
                    - f64::from(weights.buffers[mean.start + ch]) * scale;
                (scale as f32, shift as f32)
            })
            .unzip(),
        _ => (vec![1.0; c], vec![0.0; c]),
    }
}

impl InferPlan {
    /// Compiles `graph` with `weights` for batches of 1 to `batch` images.
    pub fn new(graph: &Graph, weights: &Weights, batch: usize) -> Result<Self> {
        Self::with_isa(graph, weights, batch, Isa::detect())
    }

    pub(crate) fn with_isa(graph: &Graph, weights: &Weights, batch: usize, isa: Isa) -> Result<Self> {
        if batch == 0 {
            return Err(Error::Batch { max: 0, found: 0 });
        }
        check("parameters", graph.param_len(), weights.params.len())?;
        check("running statistics", graph.buffer_len(), weights.buffers.len())?;
        let mut program = Program::lower(graph)?;
        // Gates become values of their own.
        let gates: Vec<ValueId> = program
            .gates
            .clone()
            .iter()
            .map(|g| {
                let shape = Shape::new(1, 1, g.c);
                let consumers = vec![];
                let act = Activation::Identity;
                program.values.push(Value { shape, norm: None, producer: 0, consumers, gate: None, act });
                program.values.len() - 1
            })
            .collect();
        let stages = fuse(
            &program,
            program.stages.iter().map(|s| fold_stage(&program, weights, isa, s, &gates)).collect(),
        );

        // A value lives from the stage that writes it to the last that reads it.
        let mut wishes: Vec<Wish> =
            program.values.iter().map(|v| Wish { len: v.shape.len(), from: usize::MAX, to: 0 }).collect();
        for (time, stage) in stages.iter().enumerate() {
            for id in stage.touched() {
                wishes[id].from = wishes[id].from.min(time);
                wishes[id].to = wishes[id].to.max(time);
            }
        }
        for id in [Some(program.output), program.features].into_iter().flatten() {
            wishes[id].to = stages.len();
        }
        let used: Vec<usize> = (0..wishes.len()).filter(|&i| wishes[i].from != usize::MAX).collect();
        let (placed, scratch_len) = place(&used.iter().map(|&i| wishes[i]).collect::<Vec<_>>());
        let mut offsets = vec![usize::MAX; wishes.len()];
        used.iter().zip(placed).for_each(|(&i, at)| offsets[i] = at);
        let slot = |value: ValueId| Slot { value, len: program.values[value].shape.len() };
        let (output, features) = (slot(program.output), program.features.map(slot));
        Ok(Self {
            stages,
            isa,
            max: batch,
            input: graph.input_shape(),
            offsets,
            scratch_len,
            output,
            features,
            out: vec![0.0; batch * output.len],
            features_out: vec![0.0; batch * features.map_or(0, |s| s.len)],
            ran: 0,
        })
    }

    /// Largest batch.
    pub fn max_batch(&self) -> usize {
        self.max
    }

    /// Logits `[n, classes]` of `n` images of uint8 RGB NHWC pixels.
    pub fn run(&mut self, pixels: &[u8], n: usize) -> Result<&[f32]> {
        if n == 0 || n > self.max {
            return Err(Error::Batch { max: self.max, found: n });
        }
        check("pixels", n * self.input.len(), pixels.len())?;
        let out = Shared::new(self.out.as_mut_ptr());
        let features_out = Shared::new(self.features_out.as_mut_ptr());
        let plan = &*self;
        for_each(n, |i| {
            let mut memory = Scratch::take(plan.scratch_len);
            let mut image = Image {
                plan,
                memory: &mut memory,
                pixels: &pixels[i * plan.input.len()..][..plan.input.len()],
            };
            plan.stages.iter().for_each(|s| image.stage(s));
            let slots = [(Some(plan.output), out), (plan.features, features_out)];
            for (slot, to) in slots.into_iter().filter_map(|(s, to)| Some((s?, to))) {
                let from = image.value(slot.value, slot.len);
                // SAFETY: row i of the output, which this image alone writes.
                unsafe { to.at(i * slot.len).copy_from_nonoverlapping(from.as_ptr(), slot.len) };
            }
        });
        self.ran = n;
        Ok(&self.out[..n * self.output.len])
    }

    /// Pooled features `[n, d]` of the last run; `None` where the graph's features are not a value of their own.
    pub fn features(&self) -> Option<&[f32]> {
        self.features.map(|s| &self.features_out[..self.ran * s.len])
    }
}

fn fold_stage(program: &Program, weights: &Weights, isa: Isa, stage: &Stage, gates: &[ValueId]) -> Folded {
    let param = |r: &std::ops::Range<usize>| &weights.params[r.clone()];
    match stage {
        Stage::Conv(conv) => {
            let (cin, taps) = (conv.input.c, conv.window.kernel * conv.window.kernel);
            let k = cin * taps;
            let w = param(&conv.weight);
            let (scale, mut shift) = fold(program, weights, conv.out);
            if let Some(b) = &conv.bias {
                shift.iter_mut().zip(param(b)).zip(&scale).for_each(|((s, b), k)| *s += b * k);
            }
            let mut panels = vec![0.0; packed_len(isa, k, conv.output.c)];
            let at = |l: usize, o: usize| w[tap_major(o * k + l, cin, taps)] * scale[o];
            pack(isa, k, conv.output.c, at, &mut panels);
            let gate = match &conv.src {
                Source::View(v) => v.gate.map(|g| gates[g]),
                Source::Pixels { .. } => None,
            };
            let act = program.values[conv.out].act;
            Folded::Conv { conv: conv.clone(), panels, bias: shift, act, gate, residual: None }
        }
        Stage::Depthwise(dw) => {
            let (c, taps) = (dw.input.c, dw.window.kernel * dw.window.kernel);
            let (scale, bias) = fold(program, weights, dw.out);
            let w = param(&dw.weight);
            let weights = (0..taps * c).map(|i| w[i % c * taps + i / c] * scale[i % c]).collect();
            Folded::Depthwise { dw: dw.clone(), weights, bias, act: program.values[dw.out].act }
        }
        Stage::Squeeze(se) => {
            let r = program.gates[se.gate].reduced;
            let w2 = param(&se.expand_weight);
            Folded::Squeeze {
                se: se.clone(),
                out: gates[se.gate],
                w1: param(&se.reduce_weight).to_vec(),
                b1: param(&se.reduce_bias).to_vec(),
                // `[reduced, c]`, so that both layers run along contiguous channels.
                w2: (0..r * se.input.c).map(|i| w2[i % se.input.c * r + i / se.input.c]).collect(),
                b2: param(&se.expand_bias).to_vec(),
            }
        }
        Stage::Add(add) => Folded::Add(add.clone()),
        Stage::Pool(pool) => Folded::Pool(pool.clone()),
        Stage::PRelu(prelu) => Folded::PRelu { prelu: prelu.clone(), slope: weights.params[prelu.slope] },
        Stage::Dropout(d) => Folded::Copy { src: d.src.value, out: d.out, len: d.shape.len() },
        Stage::Cosine(head) => {
            let w = param(&head.weight);
            let (mut unit, mut inverse) = (vec![0.0; w.len()], vec![0.0; head.classes]);
            normalise(w, head.d, &mut unit, &mut inverse);
            Folded::Cosine { head: head.clone(), unit }
        }
    }
}

/// Lets a convolution whose only reader is the sum right behind it add the shortcut itself.
fn fuse(program: &Program, stages: Vec<Folded>) -> Vec<Folded> {
    let mut out: Vec<Folded> = Vec::with_capacity(stages.len());
    for stage in stages {
        if let (Folded::Add(add), Some(Folded::Conv { conv, residual, act, .. })) = (&stage, out.last_mut()) {
            let alone = program.values[conv.out].consumers.len() == 1;
            if conv.out == add.branch.value && alone && *act == Activation::Identity {
                *residual = Some(add.shortcut.value);
                conv.out = add.out;
                continue;
            }
        }
        out.push(stage);
    }
    out
}

impl Folded {
    /// Values that the stage reads or writes.
    fn touched(&self) -> Vec<ValueId> {
        match self {
            Self::Conv { conv, gate, residual, .. } => {
                let src = match &conv.src {
                    Source::View(v) => Some(v.value),
                    Source::Pixels { .. } => None,
                };
                [src, Some(conv.out), *gate, *residual].into_iter().flatten().collect()
            }
            Self::Depthwise { dw, .. } => vec![dw.src.value, dw.out],
            Self::Squeeze { se, out, .. } => vec![se.src.value, *out],
            Self::Add(a) => vec![a.branch.value, a.shortcut.value, a.out],
            Self::Pool(p) => vec![p.src.value, p.out],
            Self::PRelu { prelu, .. } => vec![prelu.src.value, prelu.out],
            Self::Copy { src, out, .. } => vec![*src, *out],
            Self::Cosine { head, .. } => vec![head.src.value, head.out],
        }
    }
}

/// One image on its way through the net.
struct Image<'a> {
    plan: &'a InferPlan,
    memory: &'a mut [f32],
    pixels: &'a [u8],
}

impl Image<'_> {
    fn value(&self, id: ValueId, len: usize) -> &[f32] {
        &self.memory[self.plan.offsets[id]..][..len]
    }

    fn value_mut(&mut self, id: ValueId, len: usize) -> &mut [f32] {
        &mut self.memory[self.plan.offsets[id]..][..len]
    }

    fn pointer(&mut self, id: ValueId, len: usize) -> *mut f32 {
        self.value_mut(id, len).as_mut_ptr()
    }

    fn stage(&mut self, stage: &Folded) {
        match stage {
            Folded::Conv { conv, panels, bias, act, gate, residual } => {
                self.conv(conv, panels, bias, *act, *gate, *residual);
            }
            Folded::Depthwise { dw, weights, bias, act } => self.depthwise(dw, weights, bias, *act),
            Folded::Squeeze { se, out, w1, b1, w2, b2 } => {
                let c = se.input.c;
                let pooled = mean(self.value(se.src.value, se.input.len()), c);
                let hidden: Vec<f32> = w1
                    .chunks_exact(c)
                    .zip(b1)
                    .map(|(w, b)| {
                        act::scalar(se.act, b + w.iter().zip(&pooled).map(|(w, x)| w * x).sum::<f32>()).0
                    })
                    .collect();
                let gate = self.value_mut(*out, c);
                gate.copy_from_slice(b2);
                for (h, w) in hidden.iter().zip(w2.chunks_exact(c)) {
                    gate.iter_mut().zip(w).for_each(|(g, w)| *g += h * w);
                }
                gate.iter_mut().for_each(|g| *g = act::scalar(se.gate_act, *g).0);
            }
            Folded::Add(a) => {
                let len = a.shape.len();
                let (branch, shortcut) =
                    (self.pointer(a.branch.value, len), self.pointer(a.shortcut.value, len));
                let out = self.pointer(a.out, len);
                // SAFETY: three values alive together, so in places of their own, each `len` long.
                unsafe {
                    rows::axpy(self.plan.isa, out, branch, 1.0, len, false);
                    rows::axpy(self.plan.isa, out, shortcut, 1.0, len, true);
                }
            }
            Folded::Pool(p) => {
                let pooled = mean(self.value(p.src.value, p.input.len()), p.input.c);
                self.value_mut(p.out, p.input.c).copy_from_slice(&pooled);
            }
            Folded::PRelu { prelu, slope } => {
                self.copy(prelu.src.value, prelu.out, prelu.shape.len());
                let out = self.value_mut(prelu.out, prelu.shape.len());
                out.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { slope * *v });
            }
            Folded::Copy { src, out, len } => self.copy(*src, *out, *len),
            Folded::Cosine { head, unit } => {
                let mut x = vec![0.0; head.d];
                normalise(self.value(head.src.value, head.d), head.d, &mut x, &mut [0.0]);
                logits(&x, unit, head.scale, self.value_mut(head.out, head.classes));
            }
        }
    }

    fn copy(&mut self, src: ValueId, out: ValueId, len: usize) {
        let (from, to) = (self.plan.offsets[src], self.plan.offsets[out]);
        self.memory.copy_within(from..from + len, to);
    }

    fn conv(
        &mut self,
        conv: &Conv,
        panels: &[f32],
        bias: &[f32],
        act: Activation,
        gate: Option<ValueId>,
        residual: Option<ValueId>,
    ) {
        let isa = self.plan.isa;
        let (cin, cout, pixels) = (conv.input.c, conv.output.c, conv.output.pixels());
        let k = cin * conv.window.kernel * conv.window.kernel;
        let tile = tile_rows(k, cout);
        let out = self.pointer(conv.out, pixels * cout);
        let residual = residual.map(|id| self.pointer(id, pixels * cout).cast_const());
        let src = match &conv.src {
            Source::View(v) => Some(self.pointer(v.value, conv.input.len()).cast_const()),
            Source::Pixels { .. } => None,
        };
        let padded = Padded::new(conv.input, conv.output, conv.window);
        let in_place = src.filter(|_| conv.window.is_point());
        let mut image = Scratch::take(if in_place.is_some() { 0 } else { padded.len() });
        let mut cols = Scratch::take(if in_place.is_some() && gate.is_none() { 0 } else { tile * k });
        let (zeros, gate) = match gate {
            Some(g) => (vec![0.0; cin], Some(self.value(g, cin).as_ptr())),
            None => (vec![], None),
        };
        if in_place.is_none() {
            let row_len = conv.input.w * cin;
            match (&conv.src, src) {
                (Source::Pixels { mean, std }, _) => padded.fill_pixels(self.pixels, mean, std, &mut image),
                (_, Some(src)) => padded.fill(&mut image, |y, dst| {
                    // SAFETY: row y of the input and of the padded image.
                    unsafe { dst.copy_from_nonoverlapping(src.add(y * row_len), row_len) }
                }),
                (_, None) => unreachable!("a view has memory"),
            }
        }
        for from in (0..pixels).step_by(tile) {
            let rows = tile.min(pixels - from);
            // SAFETY: rows `from..from + rows` of the input, output and residual; the scratch holds a tile.
            unsafe {
                let a = match (in_place, gate) {
                    (Some(src), None) => src.add(from * cin),
                    (Some(src), Some(gate)) => {
                        let view = Load {
                            scale: gate,
                            shift: zeros.as_ptr(),
                            act: Activation::Identity,
                            gate: std::ptr::null(),
                        };
                        rows::activate(isa, cols.as_mut_ptr(), src.add(from * cin), rows, cin, &view);
                        cols.as_ptr()
                    }
                    (None, _) => {
                        padded.gather(&image, from..from + rows, &mut cols);
                        cols.as_ptr()
                    }
                };
                let c = out.add(from * cout);
                let product = Product {
                    m: rows,
                    n: cout,
                    k,
                    a,
                    a_row: k,
                    a_col: 1,
                    b: Panels::Packed(panels.as_ptr()),
                    c,
                    c_row: cout,
                    accumulate: false,
                };
                gemm(isa, &product);
                let residual = residual.map_or(std::ptr::null(), |r| r.add(from * cout));
                rows::bias_act(isa, c, rows, cout, bias.as_ptr(), act, residual);
            }
        }
    }

    fn depthwise(&mut self, dw: &Depthwise, weights: &[f32], bias: &[f32], act: Activation) {
        let isa = self.plan.isa;
        let (c, s) = (dw.input.c, dw.window.stride);
        let src = self.pointer(dw.src.value, dw.input.len()).cast_const();
        let out = self.pointer(dw.out, dw.output.len());
        let strip = strip_rows(&dw.window, dw.input, dw.output.h);
        let taps = window_taps(&dw.window, dw.input);
        let mut band = Band::new(dw.input, dw.window.pads.left, dw.window.pads.right);
        let mut memory = Scratch::take(((strip - 1) * s + dw.window.kernel) * band.stride());
        let row_len = dw.input.w * c;
        for first in (0..dw.output.h).step_by(strip) {
            let o = first..(first + strip).min(dw.output.h);
            let need = input_rows(&dw.window, &o);
            band.fill(need.start, need.end, &mut memory, |y, dst| {
                // SAFETY: row y of the input and of the band.
                unsafe { dst.copy_from_nonoverlapping(src.add(y * row_len), row_len) }
            });
            for (i, y) in o.enumerate() {
                let row = Row {
                    src: memory[i * s * band.stride()..].as_ptr(),
                    src_step: s * c,
                    dst: out.wrapping_add(y * dw.output.w * c),
                    dst_step: c,
                    count: dw.output.w,
                    c,
                    weights: weights.as_ptr(),
                    accumulate: false,
                };
                // SAFETY: the band holds the rows and columns under every window of this output row.
                unsafe {
                    stencil(isa, &row, &taps);
                    rows::bias_act(isa, row.dst, dw.output.w, c, bias.as_ptr(), act, std::ptr::null());
                }
            }
        }
    }
}

/// Mean of each channel over the rows.
fn mean(x: &[f32], c: usize) -> Vec<f32> {
    let mut sum = vec![0.0; c];
    for row in x.chunks_exact(c) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
    let share = c as f32 / x.len() as f32;
    sum.iter_mut().for_each(|s| *s *= share);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Padding;
    use crate::reference::{random_pixels, random_weights, run};
    use crate::train::tests::zoo;

    #[test]
    fn logits_and_features_equal_the_slow_truth() {
        for isa in Isa::available() {
            for (size, act, kernel, padding) in [
                (19, Activation::HardSwish, 5, Padding::Symmetric),
                (16, Activation::Silu, 3, Padding::Same),
                (33, Activation::Relu6, 7, Padding::Same),
            ] {
                let graph = zoo(size, act, kernel, padding);
                let weights = random_weights(&graph, 3);
                let pixels = random_pixels(&graph, 5, 5);
                let params: Vec<f64> = weights.params.iter().map(|&v| f64::from(v)).collect();
                let want = run(&graph, &params, &weights.buffers, &pixels, 5, false);
                let mut plan = InferPlan::with_isa(&graph, &weights, 6, isa).unwrap();
                let got = plan.run(&pixels, 5).unwrap().to_vec();
                for (i, (a, b)) in got.iter().zip(want.nodes[graph.output().0].concat()).enumerate() {
                    assert!((f64::from(*a) - b).abs() < 1e-4, "{isa:?} {size} logit {i}: {a}, expected {b}");
                }
                for (a, b) in plan.features().unwrap().iter().zip(want.nodes[graph.features().0].concat()) {
                    assert!((f64::from(*a) - b).abs() < 1e-4, "{isa:?} {size} feature: {a}, expected {b}");
                }
                // The last image alone gives the same bits.
                let one = pixels.len() / 5;
                assert_eq!(plan.run(&pixels[4 * one..], 1).unwrap(), &got[4 * 6..]);
                assert!(plan.run(&pixels, 7).is_err());
            }
        }
    }
}
