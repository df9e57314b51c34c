//! Inference plans: batch-norm folded into packed weights, and each thread takes images of its own through the net.
//!
//! The first segment of the net has large maps and few weights: image by image, so that the maps stay in cache. The second has
//! small maps and many weights: a few images together, so that the weights are read once for all of them.

mod conv;
mod dense;
mod depthwise;
mod fold;
mod front;
mod group;
mod head;
mod segment;
mod split;

use std::ops::Range;

use crate::arena::Wish;
use crate::cut::Cut;
use crate::error::{Error, Result, check};
use crate::graph::{Activation, Graph, NodeId, Shape};
use crate::kernels::simd::Isa;
use crate::parallel::{Shared, for_each, in_pool, part};
use crate::profile::{self, Clock, Profile, StageProfile, Way, Work};
use crate::program::*;
use crate::team::Team;
use crate::weights::Weights;
use fold::{Folded, fold_stage, fuse};
use front::Front;
use group::{Input, pass};
pub use head::HeadPlan;
use segment::{Segment, Slot};

/// A graph and its weights compiled for inference.
///
/// Running statistics are used and folded into the convolutions; dropout and drop-path do nothing. The plan keeps its own
/// packed copy of the weights, so later changes of `weights` have no effect on it.
#[derive(Debug)]
pub struct InferPlan {
    /// What candle runs before all stages.
    front: Option<Front>,
    /// Each with the number of the program's stage that it stands for.
    stages: Vec<(usize, Folded)>,
    profile: Vec<StageProfile>,
    clock: Clock,
    isa: Isa,
    max: usize,
    input: Shape,
    head: Segment,
    tail: Segment,
    /// Values that the tail takes over from the head.
    carried: Vec<Slot>,
    output: Slot,
    features: Option<Slot>,
    map: Option<Slot>,
    out: Vec<f32>,
    features_out: Vec<f32>,
    map_out: Vec<f32>,
    ran: usize,
}

/// What a plan computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of the graph.
    Whole,
    /// All of it, and the last feature map is kept.
    WholeAndMap,
    /// What comes behind the pooled features.
    Head,
    /// What comes up to a node, whose values are the result.
    UpTo(NodeId),
}

/// Elements of the largest value of the tail: below, the weights of a stage are larger than its maps.
const SMALL: usize = 80 << 10;

/// Images that go through the tail together, at most.
const TOGETHER: usize = 4;

impl InferPlan {
    /// Compiles `graph` with `weights` for batches of 1 to `batch` images.
    pub fn new(graph: &Graph, weights: &Weights, batch: usize) -> Result<Self> {
        Self::with_isa(graph, weights, batch, Isa::detect())
    }

    /// The same, which also keeps the last [`feature_map`](Self::feature_map) of every image.
    ///
    /// # Errors
    /// As [`new`](Self::new); or the map is never in memory, as it is gated or goes on into a batch-norm or activation.
    pub fn with_feature_map(graph: &Graph, weights: &Weights, batch: usize) -> Result<Self> {
        Self::compile(graph, weights, batch, Isa::detect(), SMALL, Part::WholeAndMap)
    }

    /// Compiles what comes up to `node`: [`run`](Self::run) then gives the values of that node `[n, h, w, c]`, from which
    /// [`TrainPlan::behind`](crate::TrainPlan::behind) goes on.
    ///
    /// # Errors
    /// As [`new`](Self::new); or the network cannot be cut there.
    pub fn up_to(graph: &Graph, weights: &Weights, batch: usize, node: NodeId) -> Result<Self> {
        Self::compile(graph, weights, batch, Isa::detect(), SMALL, Part::UpTo(node))
    }

    pub(crate) fn with_isa(graph: &Graph, weights: &Weights, batch: usize, isa: Isa) -> Result<Self> {
        Self::compile(graph, weights, batch, isa, SMALL, Part::Whole)
    }

    fn compile(
        graph: &Graph,
        weights: &Weights,
        batch: usize,
        isa: Isa,
        small: usize,
        part: Part,
    ) -> Result<Self> {
        if batch == 0 {
            return Err(Error::Batch { max: 0, found: 0 });
        }
        check("parameters", graph.param_len(), weights.params.len())?;
        check("running statistics", graph.buffer_len(), weights.buffers.len())?;
        let (mut program, mut stages) = match part {
            Part::UpTo(node) => {
                let Cut { program, value, first } = Cut::behind(graph, node)?;
                (Program { output: value, features: None, ..program }, 0..first)
            }
            _ => {
                let program = Program::lower(graph)?;
                let all = 0..program.stages.len();
                (program, all)
            }
        };
        if part != Part::WholeAndMap {
            program.map = None;
        } else if program.map.is_none() {
            let reason = "this map is never in memory: it is gated, or goes on into batch-norm or activation";
            return Err(fail(graph.node(graph.feature_map()), reason));
        }
        if part == Part::Head {
            stages.start = head::first_stage(graph, &program)?;
        }
        let mut front = None;
        if let (0, Some(Stage::Candle(candle))) = (stages.start, program.stages.first()) {
            front = Some(Front::new(graph, weights, isa, candle, program.origins[0])?);
            stages.start = 1;
        }
        let mut profile = profile::stages(graph, &program, 4);
        profile.iter_mut().for_each(|s| s.backward = Work::default());
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
            program
                .stages
                .iter()
                .enumerate()
                .take(stages.end)
                .skip(stages.start)
                .map(|(index, s)| (index, fold_stage(&program, weights, isa, s, &gates)))
                .collect(),
        );

        // A value lives from the stage that writes it to the last that reads it.
        let mut wishes: Vec<Wish> =
            program.values.iter().map(|v| Wish { len: v.shape.len(), from: usize::MAX, to: 0 }).collect();
        for (time, (_, stage)) in stages.iter().enumerate() {
            for id in stage.touched() {
                wishes[id].from = wishes[id].from.min(time);
                wishes[id].to = wishes[id].to.max(time);
            }
        }
        if let Some(front) = &front {
            wishes[front.slot().value].from = 0;
        }
        for id in [Some(program.output), program.features, program.map].into_iter().flatten() {
            wishes[id].to = stages.len();
        }
        let large = |stage: &Folded| stage.touched().iter().any(|&id| wishes[id].len > small);
        let rows_enter = front.is_some() || part == Part::Head;
        let last = stages.iter().rposition(|(_, stage)| large(stage)).filter(|_| !rows_enter);
        let cut = last.map_or(0, |last| last + 1);
        let (head, tail) = (Segment::new(&wishes, 0..cut), Segment::new(&wishes, cut..stages.len()));
        let slot = |value: ValueId| Slot { value, len: program.values[value].shape.len() };
        let (output, features) = (slot(program.output), program.features.map(slot));
        let map = program.map.map(slot);
        let crosses = |&id: &usize| wishes[id].from < cut && (cut..=stages.len()).contains(&wishes[id].to);
        let carried = (0..wishes.len()).filter(crosses).map(slot).collect();
        Ok(Self {
            front,
            stages,
            clock: Clock::new(profile.len()),
            profile,
            isa,
            max: batch,
            input: graph.input_shape(),
            head,
            tail,
            carried,
            output,
            features,
            map,
            out: vec![0.0; batch * output.len],
            features_out: vec![0.0; batch * features.map_or(0, |s| s.len)],
            map_out: vec![0.0; batch * map.map_or(0, |s| s.len)],
            ran: 0,
        })
    }

    /// Largest batch.
    pub fn max_batch(&self) -> usize {
        self.max
    }

    /// Where the time of all runs since the last [`reset_profile`](Self::reset_profile) went, per image and summed over
    /// threads.
    pub fn profile(&self) -> Profile {
        self.clock.read(&self.profile)
    }

    /// Forgets the times so far.
    pub fn reset_profile(&mut self) {
        self.clock = Clock::new(self.profile.len());
    }

    /// Logits `[n, classes]` of `n` images of uint8 RGB NHWC pixels.
    pub fn run(&mut self, pixels: &[u8], n: usize) -> Result<&[f32]> {
        check("pixels", n * self.input.len(), pixels.len())?;
        let Some(front) = &self.front else { return self.through(Input::Pixels(pixels), n) };
        self.fits(n)?;
        let rows = self.clock.whole(0, || self.clock.stage(0, Way::Forward, || front.run(pixels)))?;
        if self.stages.is_empty() {
            // A plan up to that part has nothing behind it.
            self.ran = n;
            self.out[..rows.len()].copy_from_slice(&rows);
            return Ok(&self.out[..rows.len()]);
        }
        let slot = front.slot();
        self.through(Input::Rows(&rows, slot), n)
    }

    fn fits(&self, n: usize) -> Result<()> {
        if n == 0 || n > self.max { Err(Error::Batch { max: self.max, found: n }) } else { Ok(()) }
    }

    /// Takes `n` images through the plan, `input` having the right length.
    fn through(&mut self, input: Input, n: usize) -> Result<&[f32]> {
        self.fits(n)?;
        let one = input.len() / n;
        let out = Shared::new(self.out.as_mut_ptr());
        let features_out = Shared::new(self.features_out.as_mut_ptr());
        let map_out = Shared::new(self.map_out.as_mut_ptr());
        let plan = &*self;
        let threads = rayon::current_num_threads();
        let group = |images: Range<usize>, team: Option<&Team>| {
            let input = input.part(images.start * one..images.end * one);
            pass(plan, input, images.len(), team, |tail| {
                let slots = [(Some(plan.output), out), (plan.features, features_out), (plan.map, map_out)];
                for (slot, to) in slots.into_iter().filter_map(|(s, to)| Some((s?, to))) {
                    let (from, to) = (tail.value(slot.value, slot.len), to.at(images.start * slot.len));
                    // SAFETY: rows of the output of these images, which this group alone writes.
                    unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
                }
            });
        };
        plan.clock.whole(n, || {
            if n < threads {
                // One group, whose stages all threads share.
                Team::lead(threads, |team| group(0..n, Some(team)));
            } else {
                let groups = n.min(n.div_ceil(TOGETHER * threads) * threads);
                in_pool(|| for_each(groups, |g| group(part(n, groups, g), None)));
            }
        });
        self.ran = n;
        Ok(&self.out[..n * self.output.len])
    }

    /// Pooled features `[n, d]` of the last run; `None` where the graph's features are not a value of their own.
    pub fn features(&self) -> Option<&[f32]> {
        self.features.map(|s| &self.features_out[..self.ran * s.len])
    }

    /// The backbone's last map `[n, h, w, c]` of the last run; `None` without [`with_feature_map`](Self::with_feature_map).
    pub fn feature_map(&self) -> Option<&[f32]> {
        self.map.map(|s| &self.map_out[..self.ran * s.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{ConvOptions, GraphBuilder, Padding};
    use crate::graph::Init;
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
                let mut plan =
                    InferPlan::compile(&graph, &weights, 6, isa, SMALL, Part::WholeAndMap).unwrap();
                let got = plan.run(&pixels, 5).unwrap().to_vec();
                for (i, (a, b)) in got.iter().zip(want.nodes[graph.output().0].concat()).enumerate() {
                    assert!((f64::from(*a) - b).abs() < 1e-4, "{isa:?} {size} logit {i}: {a}, expected {b}");
                }
                for (a, b) in plan.features().unwrap().iter().zip(want.nodes[graph.features().0].concat()) {
                    assert!((f64::from(*a) - b).abs() < 1e-4, "{isa:?} {size} feature: {a}, expected {b}");
                }
                let map = want.nodes[graph.feature_map().0].concat();
                assert_eq!(plan.feature_map().unwrap().len(), map.len());
                for (a, b) in plan.feature_map().unwrap().iter().zip(map) {
                    assert!((f64::from(*a) - b).abs() < 1e-4, "{isa:?} {size} map: {a}, expected {b}");
                }
                let plain =
                    InferPlan::with_isa(&graph, &weights, 6, isa).unwrap().run(&pixels, 5).unwrap().to_vec();
                assert_eq!(plain, got, "keeping the map changes no bit");
                // The last image alone gives the same bits.
                let one = pixels.len() / 5;
                assert_eq!(plan.run(&pixels[4 * one..], 1).unwrap(), &got[4 * 6..]);
                assert!(plan.run(&pixels, 7).is_err());
            }
        }
    }

    #[test]
    fn the_bits_do_not_depend_on_where_images_come_together() {
        let graph = zoo(33, Activation::Silu, 3, Padding::Same);
        let weights = random_weights(&graph, 3);
        let pixels = random_pixels(&graph, 5, 5);
        let (mut cuts, mut logits) = (vec![], vec![]);
        for small in [0, 300, 1500, usize::MAX] {
            let mut plan =
                InferPlan::compile(&graph, &weights, 5, Isa::detect(), small, Part::Whole).unwrap();
            cuts.push(plan.head.stages.len());
            logits.push(plan.run(&pixels, 5).unwrap().to_vec());
        }
        assert!(cuts.is_sorted_by(|a, b| a > b), "not four different cuts: {cuts:?}");
        assert!(logits.iter().all(|l| *l == logits[0]));
    }

    #[test]
    fn the_bits_do_not_depend_on_the_number_of_threads() {
        for isa in Isa::available() {
            let graph = zoo(33, Activation::HardSwish, 5, Padding::Same);
            let weights = random_weights(&graph, 3);
            let pixels = random_pixels(&graph, 3, 5);
            let run = |threads: usize, n: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut plan = InferPlan::with_isa(&graph, &weights, 3, isa).unwrap();
                let pixels = &pixels[..n * pixels.len() / 3];
                pool.install(|| plan.run(pixels, n).map(<[f32]>::to_vec)).unwrap()
            };
            for n in 1..=3 {
                let one = run(1, n);
                for threads in [2, 3, 7] {
                    assert_eq!(run(threads, n), one, "{isa:?}: {n} images on {threads} threads");
                }
            }
        }
    }

    /// A layer whose raw output is read by nothing but a sum, and which is the features as well.
    #[test]
    fn features_that_a_sum_reads_are_kept() {
        let mut b = GraphBuilder::new("sum", 4);
        let x = b.input([0.5; 3], [0.5; 3]);
        let map = b.conv("map", x, 5, ConvOptions::default()).unwrap();
        let pooled = b.global_pool(map);
        let features = b.linear("features", pooled, 5, Init::Normal(0.4)).unwrap();
        let out = b.add(features, pooled, 0.0).unwrap();
        let graph = b.finish(map, features, out).unwrap();
        let (weights, pixels) = (random_weights(&graph, 3), random_pixels(&graph, 2, 5));
        let params: Vec<f64> = weights.params.iter().map(|&v| f64::from(v)).collect();
        let want = run(&graph, &params, &weights.buffers, &pixels, 2, false);
        let mut plan = InferPlan::new(&graph, &weights, 2).unwrap();
        let got = plan.run(&pixels, 2).unwrap().to_vec();
        let pairs = [(graph.output(), &got[..]), (features, plan.features().unwrap())];
        for (node, got) in pairs {
            for (a, b) in got.iter().zip(want.nodes[node.0].concat()) {
                assert!((f64::from(*a) - b).abs() < 1e-5, "{a}, expected {b}");
            }
        }
    }
}
