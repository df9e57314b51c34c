//! A few images on their way through one segment of an inference plan.

use std::ops::Range;

use super::InferPlan;
use super::dense::Dense;
use super::fold::Folded;
use super::segment::{Segment, Slot};
use crate::graph::Shape;
use crate::kernels::cosine::{logits, normalise};
use crate::kernels::rows;
use crate::parallel::{Scratch, Shared};
use crate::program::*;
use crate::team::Team;

/// What goes into a plan.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Images as uint8 RGB NHWC.
    Pixels(&'a [u8]),
    /// Rows of the value with which a plan begins that computes the head alone, or what is behind a part that candle runs.
    Rows(&'a [f32], Slot),
}

impl Input<'_> {
    /// Elements that are given.
    pub fn len(&self) -> usize {
        match self {
            Self::Pixels(pixels) => pixels.len(),
            Self::Rows(rows, _) => rows.len(),
        }
    }

    /// These elements alone.
    pub fn part(&self, range: Range<usize>) -> Self {
        match self {
            Self::Pixels(pixels) => Self::Pixels(&pixels[range]),
            Self::Rows(rows, slot) => Self::Rows(&rows[range], *slot),
        }
    }
}

/// Takes images through the net: one by one through the head, all together through the tail, whose memory `done` sees in the
/// end. Rows enter the tail at once.
pub fn pass(plan: &InferPlan, input: Input, images: usize, team: Option<&Team>, done: impl FnOnce(&Group)) {
    let mut memory = Scratch::take(images * plan.tail.len);
    let pixels = match input {
        Input::Pixels(pixels) => pixels,
        Input::Rows(..) => &[],
    };
    let mut tail = Group { plan, segment: &plan.tail, images, team, memory: &mut memory, pixels };
    if let Input::Rows(rows, Slot { value, len }) = input {
        tail.value_mut(value, len).copy_from_slice(rows);
    }
    for (image, pixels) in pixels.chunks_exact(plan.input.len()).enumerate() {
        let mut memory = Scratch::take(plan.head.len);
        let mut head = Group { plan, segment: &plan.head, images: 1, team, memory: &mut memory, pixels };
        head.run();
        for &Slot { value, len } in &plan.carried {
            tail.value_mut(value, len)[image * len..][..len].copy_from_slice(head.value(value, len));
        }
    }
    tail.run();
    done(&tail);
}

/// Images that go through the stages of a segment together.
pub struct Group<'a> {
    pub plan: &'a InferPlan,
    pub segment: &'a Segment,
    /// Number of images; the memory of a value holds one after the other.
    pub images: usize,
    /// The threads that share each stage; none where every thread has images of its own.
    pub team: Option<&'a Team>,
    pub memory: &'a mut [f32],
    pub pixels: &'a [u8],
}

impl Group<'_> {
    /// Runs all stages of the segment.
    fn run(&mut self) {
        for (index, stage) in &self.plan.stages[self.segment.stages.clone()] {
            self.plan.clock.stage(*index, crate::profile::Way::Forward, || self.stage(stage));
        }
    }

    /// Memory of a value of `len` elements per image.
    pub fn value(&self, id: ValueId, len: usize) -> &[f32] {
        &self.memory[self.images * self.segment.offsets[id]..][..self.images * len]
    }

    pub fn value_mut(&mut self, id: ValueId, len: usize) -> &mut [f32] {
        &mut self.memory[self.images * self.segment.offsets[id]..][..self.images * len]
    }

    pub fn pointer(&mut self, id: ValueId, len: usize) -> Shared<f32> {
        Shared::new(self.value_mut(id, len).as_mut_ptr())
    }

    /// Threads that share each stage.
    pub fn spread(&self) -> usize {
        self.team.map_or(1, Team::threads)
    }

    /// Runs `f` for every part, on all threads that share the stage.
    pub fn split(&self, parts: usize, f: impl Fn(usize) + Sync) {
        match self.team {
            Some(team) => team.for_each(parts, f),
            None => (0..parts).for_each(f),
        }
    }

    fn stage(&mut self, stage: &Folded) {
        match stage {
            Folded::Conv { conv, dense, gate, residual } => self.conv(conv, dense, *gate, *residual),
            Folded::Depthwise { dw, weights, bias, act, expand } => {
                self.depthwise(dw, weights, bias, *act, expand.as_ref());
            }
            Folded::Squeeze { se, out, reduce, expand } => self.squeeze(se, *out, reduce, expand),
            Folded::Add(a) => {
                let len = a.shape.len();
                let (branch, shortcut) =
                    (self.pointer(a.branch.value, len), self.pointer(a.shortcut.value, len));
                let (out, len) = (self.pointer(a.out, len).get(), self.images * len);
                // SAFETY: three values alive together, so in places of their own, each `len` long.
                unsafe {
                    rows::axpy(self.plan.isa, out, branch.get(), 1.0, len, false);
                    rows::axpy(self.plan.isa, out, shortcut.get(), 1.0, len, true);
                }
            }
            Folded::Pool(p) => {
                let out = self.pointer(p.out, p.input.c);
                self.mean(p.src.value, p.input, out);
            }
            Folded::PRelu { prelu, slope } => {
                self.copy(prelu.src.value, prelu.out, prelu.shape.len());
                let out = self.value_mut(prelu.out, prelu.shape.len());
                out.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { slope * *v });
            }
            Folded::Copy { src, out, len } => self.copy(*src, *out, *len),
            Folded::Cosine { head, unit } => {
                let mut x = Scratch::take(head.d);
                for image in 0..self.images {
                    let src = &self.value(head.src.value, head.d)[image * head.d..][..head.d];
                    normalise(src, head.d, &mut x, &mut [0.0]);
                    let out = &mut self.value_mut(head.out, head.classes)[image * head.classes..];
                    logits(&x, unit, head.scale, &mut out[..head.classes]);
                }
            }
        }
    }

    fn copy(&mut self, src: ValueId, out: ValueId, len: usize) {
        let from = self.images * self.segment.offsets[src];
        let to = self.images * self.segment.offsets[out];
        self.memory.copy_within(from..from + self.images * len, to);
    }

    /// Mean of each channel of every image's map into `out`.
    fn mean(&mut self, src: ValueId, shape: Shape, out: Shared<f32>) {
        let (isa, c) = (self.plan.isa, shape.c);
        let src = self.pointer(src, shape.len());
        // A cache line at least, so that threads do not share one.
        let width = c.div_ceil(self.spread()).next_multiple_of(16);
        let across = c.div_ceil(width);
        self.split(self.images * across, |part| {
            let (image, at) = (part / across, part % across * width);
            let width = width.min(c - at);
            let (src, out) = (src.at(image * shape.len() + at), out.at(image * c + at));
            // SAFETY: the channels of this part in every row of the image, and in its row of `out`.
            unsafe { rows::mean(isa, src, shape.pixels(), c, width, out) }
        });
    }

    fn squeeze(&mut self, se: &Squeeze, out: ValueId, reduce: &Dense, expand: &Dense) {
        let n = self.images;
        let mut pooled = Scratch::take(n * reduce.k);
        let mut hidden = Scratch::take(n * expand.k);
        self.mean(se.src.value, se.input, Shared::new(pooled.as_mut_ptr()));
        let gate = self.pointer(out, se.input.c);
        self.dense(1, &pooled, None, reduce, None, Shared::new(hidden.as_mut_ptr()));
        self.dense(1, &hidden, None, expand, None, gate);
    }
}
