//! One step's context: the memory that stages work on, and how gradients find their way.

use super::places::{GatePlace, NormPlace, NormVector, Places};
use crate::arena::Arena;
use crate::graph::Activation;
use crate::kernels::rows::{self, GATED_SUMS, Load, LoadGrad};
use crate::kernels::simd::Isa;
use crate::parallel::{Scratch, Shared, for_each, for_ranges, part, part_count};
use crate::program::{GateId, Norm, NormId, Program, ValueId, View};

/// What every stage may read while a step runs.
pub struct Step<'a> {
    pub isa: Isa,
    pub program: &'a Program,
    pub places: &'a Places,
    pub arena: &'a Arena,
    /// Images in this batch.
    pub n: usize,
    /// Decides dropout and drop-path of this step.
    pub seed: u64,
    pub params: &'a [f32],
    pub pixels: &'a [u8],
}

impl Step<'_> {
    /// Parts of this batch.
    pub fn parts(&self) -> usize {
        part_count(self.n)
    }

    /// Images of one part.
    pub fn images(&self, p: usize) -> std::ops::Range<usize> {
        part(self.n, self.parts(), p)
    }

    /// Memory of a value.
    pub fn value(&self, id: ValueId) -> Shared<f32> {
        Shared::new(self.arena.at(self.places.values[id]))
    }

    /// Memory of a value's gradient.
    pub fn grad(&self, id: ValueId) -> Shared<f32> {
        Shared::new(self.arena.at(self.places.grads[id]))
    }

    /// One vector of a batch-norm.
    pub fn norm(&self, id: NormId, which: NormVector) -> *mut f32 {
        let NormPlace { at, stride, .. } = self.places.norms[id];
        self.arena.at(at + which as usize * stride)
    }

    /// A batch-norm's backward sums: `[2, c]`.
    pub fn norm_sums(&self, id: NormId) -> *mut f64 {
        self.arena.at(self.places.norms[id].sums).cast()
    }

    /// Memory of a gate.
    pub fn gate(&self, id: GateId) -> &GatePlace {
        &self.places.gates[id]
    }

    /// Partial weight gradient of one part.
    pub fn part_weight(&self, p: usize) -> *mut f32 {
        self.arena.at(self.places.parts[p].weight)
    }

    /// Origin of one part's moments.
    pub fn part_origin(&self, p: usize) -> *mut f32 {
        self.arena.at(self.places.parts[p].origin)
    }

    /// One of three sets of double-precision sums of one part.
    pub fn part_sums(&self, p: usize, set: usize) -> *mut f64 {
        self.arena.at(self.places.parts[p].sums + 2 * set * self.places.sum_stride).cast()
    }

    /// Clears `len` sums of one part and returns them.
    pub fn clear_sums(&self, p: usize, set: usize, len: usize) -> *mut f64 {
        let sums = self.part_sums(p, set);
        // SAFETY: a set holds `sum_stride` doubles, which is twice the largest channel count; the part is the caller's.
        unsafe { sums.write_bytes(0, len) };
        sums
    }

    /// Adds up one set of sums over all parts, in their order.
    pub fn collect_sums(&self, set: usize, len: usize, mut to: impl FnMut(usize, f64)) {
        for i in 0..len {
            // SAFETY: `len` doubles of every part were written by `for_each` just before, and nobody writes now.
            let total = (0..self.parts()).map(|p| unsafe { *self.part_sums(p, set).add(i) }).sum();
            to(i, total);
        }
    }

    /// Adds up the partial weight gradients into `dst`; `index` says where element `i` of the partial lies in `dst`, if not at
    /// the same place.
    pub fn reduce_weight(&self, dst: &mut [f32], index: Option<impl Fn(usize) -> usize + Sync>) {
        let len = dst.len();
        let dst = Shared::new(dst.as_mut_ptr());
        for_ranges(len, 8192, |range| {
            let mut scratch = Scratch::take(if index.is_some() { range.len() } else { 0 });
            let sums = if index.is_some() { scratch.as_mut_ptr() } else { dst.at(range.start) };
            for p in 0..self.parts() {
                let part = self.part_weight(p).wrapping_add(range.start);
                // SAFETY: a range of the partial gradient and as many sums; ranges do not overlap.
                unsafe { rows::axpy(self.isa, sums, part, 1.0, range.len(), p > 0) };
            }
            if let Some(index) = &index {
                for (i, v) in range.zip(scratch.iter()) {
                    // SAFETY: `index` maps 0..len to itself one to one.
                    unsafe { *dst.at(index(i)) = *v };
                }
            }
        });
    }

    /// How a consumer loads a view of image `image`.
    pub fn load(&self, view: &View, image: usize) -> Option<Load> {
        let norm = view.norm?;
        let gate = view.gate.map_or(std::ptr::null(), |g| {
            let c = self.program.gates[g].c;
            self.arena.at(self.gate(g).gate + image * c).cast_const()
        });
        Some(self.normed(norm, view.act, gate))
    }

    /// A load through a batch-norm, an activation and a gate (or null).
    fn normed(&self, norm: NormId, act: Activation, gate: *const f32) -> Load {
        let vector = |which| self.norm(norm, which).cast_const();
        Load { scale: vector(NormVector::Scale), shift: vector(NormVector::Shift), act, gate }
    }

    /// How a value's producer loads its gradient for image `image`; `None` where the memory already holds it.
    pub fn load_grad(&self, id: ValueId, image: usize) -> Option<LoadGrad> {
        let value = &self.program.values[id];
        let norm = value.norm?;
        let (gate, pooled) = value.gate.map_or((std::ptr::null(), std::ptr::null()), |g| {
            let c = self.program.gates[g].c;
            let place = self.gate(g);
            let at = |offset: usize| self.arena.at(offset + image * c).cast_const();
            (at(place.gate), at(place.pooled_grad))
        });
        Some(LoadGrad {
            a: self.norm(norm, NormVector::A),
            b: self.norm(norm, NormVector::B),
            c: self.norm(norm, NormVector::C),
            mean: self.norm(norm, NormVector::Mean),
            view: self.normed(norm, value.act, gate),
            pooled,
        })
    }

    /// Where stage `stage` puts the gradient of `view`.
    pub fn target(&self, stage: usize, view: &View) -> Target<'_> {
        let value = &self.program.values[view.value];
        Target {
            step: self,
            id: view.value,
            c: value.shape.c,
            image: value.shape.len(),
            grad: self.grad(view.value),
            raw: self.value(view.value),
            accumulate: value.consumers.last() != Some(&stage),
            finishes: value.consumers.first() == Some(&stage) && value.norm.is_some(),
        }
    }

    /// After a stage's backward pass: the batch-norm sums of a view that it finished.
    pub fn collect_target(&self, stage: usize, view: &View, set: usize) {
        let target = self.target(stage, view);
        let value = &self.program.values[view.value];
        let Some(norm) = value.norm.filter(|_| target.finishes && value.gate.is_none()) else { return };
        let sums = self.norm_sums(norm);
        // SAFETY: the batch-norm's sums hold 2 c doubles and no other thread runs now.
        self.collect_sums(set, 2 * target.c, |i, v| unsafe { *sums.add(i) = v });
    }
}

/// Where a stage writes the gradient of one of its inputs.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    step: &'a Step<'a>,
    id: ValueId,
    c: usize,
    /// Elements of one image.
    image: usize,
    pub grad: Shared<f32>,
    raw: Shared<f32>,
    /// Another consumer has already written its share.
    pub accumulate: bool,
    /// This is the last share: batch-norm's sums can be taken.
    finishes: bool,
}

impl Target<'_> {
    /// Clears the sums of part `p` before it finishes rows.
    pub fn begin(&self, p: usize, set: usize) {
        if self.finishes {
            self.step.clear_sums(p, set, 2 * self.c);
        }
    }

    /// Finishes `rows` rows starting at row `row` of image `image`, after their gradients were written. Rows may run on into
    /// the next images where the value has no gate.
    pub fn finish(&self, p: usize, set: usize, image: usize, row: usize, rows: usize) {
        if !self.finishes {
            return;
        }
        let step = self.step;
        let value = &step.program.values[self.id];
        let Some(norm) = value.norm else { return };
        let offset = image * self.image + row * self.c;
        let view = step.normed(norm, value.act, std::ptr::null());
        let mean = step.norm(norm, NormVector::Mean);
        // SAFETY: the rows belong to this part alone, the vectors hold c elements, the sums of the part 2 c.
        unsafe {
            let (d, y) = (self.grad.at(offset), self.raw.at(offset));
            match value.gate {
                None => {
                    rows::finish(step.isa, d, y, rows, self.c, &view, mean, step.part_sums(p, set));
                }
                Some(g) => {
                    let sums = step.arena.at(step.gate(g).sums + image * GATED_SUMS * self.c);
                    if row == 0 {
                        sums.write_bytes(0, GATED_SUMS * self.c);
                    }
                    rows::finish_gated(step.isa, d, y, rows, self.c, &view, mean, sums);
                }
            }
        }
    }
}

/// The vectors of identity norms, which never change.
pub fn norm_identity(step: &Step, id: NormId) {
    let Norm::Identity { c } = step.program.norms[id] else { return };
    for (which, v) in [(NormVector::Scale, 1.0), (NormVector::A, 1.0), (NormVector::InvStd, 1.0)] {
        // SAFETY: each vector holds c elements; the others stay at zero as the arena starts.
        unsafe { std::slice::from_raw_parts_mut(step.norm(id, which), c).fill(v) };
    }
}

/// A per-image factor for stochastic depth: 0, or one over the probability of staying.
pub fn drop_path_factor(seed: u64, key: u64, image: usize, p: f32) -> f32 {
    let mut stream = crate::rng::Stream::new(seed, key << 32 | image as u64);
    if stream.uniform() < p { 0.0 } else { 1.0 / (1.0 - p) }
}

/// Runs `f` for every part of the batch.
pub fn for_parts(step: &Step, f: impl Fn(usize) + Sync + Send) {
    for_each(step.parts(), f);
}
