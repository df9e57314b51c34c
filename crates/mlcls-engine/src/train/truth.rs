//! A training step on every instruction set, held against the slow truth of [`reference`](crate::reference): logits, running
//! statistics and the gradient of every parameter.

use super::*;
use crate::reference::{Run, random_pixels, random_weights, run};
use crate::weights::Weights;

/// One step of a graph.
pub struct Truth<'a> {
    graph: &'a Graph,
    n: usize,
    weights: Weights,
    params: Vec<f64>,
    pixels: Vec<u8>,
    /// Gradient of the logits.
    dlogits: Vec<f32>,
    pub run: Run,
}

/// What a plan makes of it.
pub struct Outcome {
    /// The plan, for messages.
    pub who: String,
    pub logits: Vec<f32>,
    pub buffers: Vec<f32>,
    pub grads: Vec<f32>,
}

/// A plan's forward pass, as [`TrainPlan::forward`], and its backward pass.
pub trait Steps {
    fn forward(&mut self, params: &[f32], buffers: &mut [f32], pixels: &[u8], n: usize) -> Vec<f32>;
    fn backward(&mut self, params: &[f32], dlogits: &[f32], grads: &mut [f32]);
}

impl Steps for TrainPlan {
    fn forward(&mut self, params: &[f32], buffers: &mut [f32], pixels: &[u8], n: usize) -> Vec<f32> {
        self.forward(params, buffers, pixels, n, 0).unwrap().to_vec()
    }

    fn backward(&mut self, params: &[f32], dlogits: &[f32], grads: &mut [f32]) {
        self.backward(params, dlogits, grads).unwrap();
    }
}

impl<'a> Truth<'a> {
    /// A step with random weights over `n` random images.
    pub fn new(graph: &'a Graph, n: usize) -> Self {
        let (weights, pixels) = (random_weights(graph, 3), random_pixels(graph, n, 5));
        let params: Vec<f64> = weights.params.iter().map(|&v| f64::from(v)).collect();
        let run = run(graph, &params, &weights.buffers, &pixels, n, true);
        let logits = n * graph.output_len();
        let dlogits = (0..logits).map(|i| ((i * 37 % 11) as f32 - 5.0) / 5.0).collect();
        Self { graph, n, weights, params, pixels, dlogits, run }
    }

    /// Panics where a plan on any of this processor's instruction sets differs.
    pub fn check(&self) {
        let on = |isa| {
            let mut plan = TrainPlan::with_isa(self.graph, self.most(), isa).unwrap();
            self.step(&mut plan, format!("{isa:?}"))
        };
        self.check_all(&Isa::available().into_iter().map(on).collect::<Vec<_>>());
    }

    /// Panics where one of them differs.
    pub fn check_all(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.check_values(outcome);
        }
        // A difference by pixels, weights or channels that one of the two parts of a direction does not see, the other does.
        let total = norm(&outcomes[0].grads);
        for spec in self.graph.params() {
            let own = &outcomes[0].grads[spec.range()];
            let wave: Vec<f32> = (0..own.len()).map(|i| ((i * 29 + 3) % 17) as f32 / 8.0 - 1.0).collect();
            let (own_length, wave_length) = (norm(own).max(f64::MIN_POSITIVE), norm(&wave));
            let direction: Vec<f64> = (own.iter().zip(&wave))
                .map(|(g, w)| f64::from(*g) / own_length + f64::from(*w) / wave_length)
                .collect();
            let slope = self.slope(spec.offset, &direction);
            for Outcome { who, grads, .. } in outcomes {
                let got: f64 =
                    grads[spec.range()].iter().zip(&direction).map(|(g, v)| f64::from(*g) * v).sum();
                // A shift in front of a batch-norm has no gradient: what is left of it is rounding.
                let bound = 3e-5 * own_length + 3e-6 * total;
                let what = format_args!("{who} {} along its direction", spec.name);
                assert!((got - slope).abs() < bound, "{what}: {got}, expected {slope} within {bound:e}");
            }
        }
    }

    /// Images that the plan must have room for.
    pub fn most(&self) -> usize {
        self.n + 2
    }

    /// Forward and backward in a plan larger than the batch, with memory full of other numbers from a step before.
    pub fn step(&self, plan: &mut impl Steps, who: String) -> Outcome {
        let Weights { params, mut buffers } = self.weights.clone();
        let more = self.most();
        let mut grads = vec![f32::NAN; params.len()];
        let mut spoilt = buffers.clone();
        let other = random_pixels(self.graph, more, 77);
        let len = plan.forward(&params, &mut spoilt, &other, more).len();
        plan.backward(&params, &vec![1.0; len], &mut grads);
        grads.fill(f32::NAN);
        let logits = plan.forward(&params, &mut buffers, &self.pixels, self.n);
        plan.backward(&params, &self.dlogits, &mut grads);
        Outcome { who, logits, buffers, grads }
    }

    fn check_values(&self, outcome: &Outcome) {
        let who = &outcome.who;
        let truth = self.run.nodes[self.graph.output().0].concat();
        let largest = truth.iter().fold(1.0f64, |m, z| m.max(z.abs()));
        for (i, (a, b)) in outcome.logits.iter().zip(&truth).enumerate() {
            assert!((f64::from(*a) - b).abs() < 3e-5 * largest, "{who} logit {i}: {a}, expected {b}");
        }
        for (i, (a, b)) in outcome.buffers.iter().zip(&self.run.buffers).enumerate() {
            let bound = 1e-4 * b.abs().max(1.0);
            assert!((f64::from(*a) - b).abs() < bound, "{who} buffer {i}: {a}, expected {b}");
        }
    }

    /// The derivative along a direction of the parameters from `offset` on, by central differences.
    fn slope(&self, offset: usize, direction: &[f64]) -> f64 {
        let h = 1e-6;
        let at = |sign: f64| -> f64 {
            let mut p = self.params.clone();
            p[offset..].iter_mut().zip(direction).for_each(|(p, v)| *p += sign * h * v);
            let r = run(self.graph, &p, &self.weights.buffers, &self.pixels, self.n, true);
            let logits = r.nodes[self.graph.output().0].iter().flatten();
            logits.zip(&self.dlogits).map(|(z, k)| z * f64::from(*k)).sum()
        };
        (at(1.0) - at(-1.0)) / (2.0 * h)
    }
}

fn norm(v: &[f32]) -> f64 {
    v.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}
