//! Optimizers, SAM, clipping and EMA against PyTorch and timm (fixture made by `xtask/reference/optim.py`), and their laws.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_engine::{Init, ParamKind, ParamSpec, Weights};
use mlcls_train::{
    AdamWConfig, Ema, EmaConfig, Optimizer, Sam, SgdConfig, WeightDecay, clip_norm, clip_value, global_norm,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    tensors: Vec<(String, usize)>,
    start: Vec<f32>,
    centres: Vec<f32>,
    trajectories: Vec<Trajectory>,
    clips: Vec<Clip>,
    averages: Vec<Average>,
}

#[derive(Deserialize)]
struct Trajectory {
    #[serde(flatten)]
    rule: Rule,
    lr: f64,
    decay: f64,
    no_bias: bool,
    sam_rho: f64,
    clip_norm: Option<f64>,
    /// Steps taken, and the parameters after them.
    params: Vec<(usize, Vec<f32>)>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "rule", rename_all = "lowercase")]
enum Rule {
    Sgd { momentum: f64, nesterov: bool },
    AdamW { betas: [f64; 2], eps: f64 },
}

#[derive(Deserialize)]
struct Clip {
    grads: Vec<f32>,
    max_norm: f64,
    norm: f64,
    clipped: Vec<f32>,
}

#[derive(Deserialize)]
struct Average {
    warmup: bool,
    decay: f64,
    rows: Vec<AverageRow>,
}

#[derive(Deserialize)]
struct AverageRow {
    update: usize,
    params: Vec<f32>,
    buffers: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("fixtures/optim.json")).unwrap()
}

fn close(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 2e-6 * expected.abs().max(1.0)
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        assert!(close(f, e), "{what}, element {i}: {f}, expected {e}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn specs(tensors: &[(String, usize)]) -> Vec<ParamSpec> {
    let mut offset = 0;
    let spec = |(kind, len): &(String, usize)| {
        let kind = match kind.as_str() {
            "weight" => ParamKind::Weight,
            "bias" => ParamKind::Bias,
            "norm_weight" => ParamKind::NormWeight,
            "norm_bias" => ParamKind::NormBias,
            "slope" => ParamKind::Slope,
            other => panic!("no kind {other}"),
        };
        offset += len;
        let (name, init) = (format!("p{offset}"), Init::Constant(0.0));
        ParamSpec { name, shape: vec![*len], offset: offset - len, kind, init }
    };
    tensors.iter().map(spec).collect()
}

/// Gradient of `sum((w^2 - c)^2) / 4`.
fn gradient(params: &[f32], centres: &[f32]) -> Vec<f32> {
    params.iter().zip(centres).map(|(w, c)| (w * w - c) * w).collect()
}

impl Trajectory {
    fn optimizer(&self, specs: &[ParamSpec]) -> Optimizer {
        let len = specs.iter().map(ParamSpec::len).sum();
        let decay = match self.no_bias {
            true => WeightDecay::no_bias(specs, self.decay),
            false => WeightDecay::uniform(len, self.decay),
        };
        match self.rule {
            Rule::Sgd { momentum, nesterov } => Optimizer::sgd(SgdConfig { momentum, nesterov }, decay),
            Rule::AdamW { betas, eps } => Optimizer::adamw(AdamWConfig { betas, eps }, decay),
        }
    }

    /// One step as the training loop does it: gradient, SAM, clipping, update.
    fn step(&self, optimizer: &mut Optimizer, params: &mut [f32], centres: &[f32]) {
        let lr = self.lr * (1 + optimizer.steps() % 3) as f64 / 2.0;
        let mut grads = gradient(params, centres);
        if self.sam_rho > 0.0 {
            let mut sam = Sam::new(self.sam_rho);
            sam.perturb(params, &grads);
            grads = gradient(params, centres);
            sam.restore(params);
        }
        if let Some(max_norm) = self.clip_norm {
            clip_norm(&mut grads, max_norm);
        }
        optimizer.step(lr, params, &grads);
    }
}

#[test]
fn trajectories_equal_pytorch() {
    let reference = reference();
    let specs = specs(&reference.tensors);
    assert_eq!(reference.trajectories.len(), 9);
    for case in &reference.trajectories {
        let mut params = reference.start.clone();
        let mut optimizer = case.optimizer(&specs);
        for (steps, expected) in &case.params {
            while optimizer.steps() < *steps as u64 {
                case.step(&mut optimizer, &mut params, &reference.centres);
            }
            let what = format!("{:?}, SAM {}, after {steps} steps", case.rule, case.sam_rho);
            assert_close(&params, expected, &what);
        }
    }
}

#[test]
fn a_restored_optimizer_continues_bit_for_bit() {
    let reference = reference();
    let specs = specs(&reference.tensors);
    for case in &reference.trajectories {
        let mut params = reference.start.clone();
        let mut optimizer = case.optimizer(&specs);
        (0..7).for_each(|_| case.step(&mut optimizer, &mut params, &reference.centres));

        let mut resumed_params = params.clone();
        let mut resumed = case.optimizer(&specs);
        resumed.set_steps(optimizer.steps());
        for ((name, to), (saved, from)) in resumed.vectors_mut().into_iter().zip(optimizer.vectors()) {
            assert_eq!(name, saved);
            to.copy_from_slice(from);
        }
        assert_eq!(resumed, optimizer);

        (0..7).for_each(|_| case.step(&mut optimizer, &mut params, &reference.centres));
        (0..7).for_each(|_| case.step(&mut resumed, &mut resumed_params, &reference.centres));
        assert_eq!(bits(&resumed_params), bits(&params), "{:?}", case.rule);
    }
}

#[test]
fn clipping_equals_pytorch() {
    for clip in reference().clips {
        let mut grads = clip.grads.clone();
        let norm = clip_norm(&mut grads, clip.max_norm);
        assert!((norm - clip.norm).abs() <= 1e-6 * clip.norm, "{norm}, expected {}", clip.norm);
        let relative = |values: &[f32]| -> Vec<f32> {
            values.iter().map(|&v| v / clip.clipped.iter().fold(0.0, |m: f32, c| m.max(c.abs()))).collect()
        };
        assert_close(&relative(&grads), &relative(&clip.clipped), "clipped");
    }
}

#[test]
fn a_gradient_that_is_no_number_shows_in_the_norm_and_is_left_alone() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut grads = vec![1.0, bad, -2.0];
        assert!(!clip_norm(&mut grads, 0.5).is_finite());
        assert_eq!(bits(&grads), bits(&[1.0, bad, -2.0]));

        let mut params = vec![1.0, 2.0, 3.0];
        let mut sam = Sam::new(0.05);
        assert!(!sam.perturb(&mut params, &grads).is_finite());
        sam.restore(&mut params);
        assert_eq!(params, [1.0, 2.0, 3.0]);
    }
    let mut grads = [f32::NAN, f32::INFINITY, -3.0, 0.5];
    clip_value(&mut grads, 1.0);
    assert!(grads[0].is_nan());
    assert_eq!(grads[1..], [1.0, -1.0, 0.5]);
}

#[test]
fn averages_equal_timm() {
    for case in reference().averages {
        let mut weights =
            Weights { params: (0..4).map(|i| i as f32 / 2.0).collect(), buffers: vec![-0.5, 0.5] };
        let mut ema = Ema::new(&weights, EmaConfig { decay: case.decay, warmup: case.warmup });
        assert_eq!(ema.weights(), &weights);
        for row in &case.rows {
            while ema.updates() < row.update as u64 {
                weights.params.iter_mut().for_each(|v| *v += 0.25);
                weights.buffers.iter_mut().for_each(|v| *v = -*v);
                ema.update(&weights);
            }
            let what = format!("warm-up {}, update {}", case.warmup, row.update);
            assert_close(&ema.weights().params, &row.params, &what);
            assert_close(&ema.weights().buffers, &row.buffers, &what);
        }
    }
}

#[test]
fn a_restored_average_continues_bit_for_bit() {
    let config = EmaConfig { decay: 0.99, warmup: true };
    let weights = |n: usize| Weights { params: vec![(n as f32).sin(); 5], buffers: vec![1.0 / n as f32; 2] };
    let mut ema = Ema::new(&weights(1), config);
    (2..30).for_each(|n| ema.update(&weights(n)));
    let mut resumed = Ema::new(ema.weights(), config);
    resumed.set_updates(ema.updates());
    (30..60).for_each(|n| ema.update(&weights(n)));
    (30..60).for_each(|n| resumed.update(&weights(n)));
    assert_eq!(resumed, ema);
}

/// Several chunks and a rest, with values of very different sizes, so that the order of a sum shows in its bits.
fn long(seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..100_003).map(|_| next() * 10f32.powf(4.0 * next())).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut params, grads) = (long(1), long(2));
            let decay = || WeightDecay::uniform(params.len(), 1e-2);
            let mut sgd = Optimizer::sgd(SgdConfig::default(), decay());
            let mut adamw = Optimizer::adamw(AdamWConfig::default(), decay());
            let mut sam = Sam::new(0.05);
            for _ in 0..3 {
                let norm = sam.perturb(&mut params, &grads);
                let mut second: Vec<f32> = params.iter().zip(&grads).map(|(w, g)| g - 0.1 * w).collect();
                sam.restore(&mut params);
                clip_norm(&mut second, norm / 2.0);
                sgd.step(0.1, &mut params, &second);
                adamw.step(0.1, &mut params, &second);
            }
            bits(&params)
        })
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn norm_of_a_long_vector_is_exact() {
    let values = long(3);
    let exact = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    assert!((global_norm(&values) - exact).abs() <= 1e-13 * exact);
    assert_eq!(global_norm(&[]), 0.0);
    assert_eq!(global_norm(&[f32::MAX; 4]), 2.0 * f64::from(f32::MAX));
}

#[test]
fn chunks_do_not_show_in_the_result() {
    // Each element by itself must give what the long vector gives: no chunk or run is skipped or shifted.
    let (params, grads) = (long(4), long(5));
    for make in [
        |len| Optimizer::sgd(SgdConfig { momentum: 0.9, nesterov: true }, WeightDecay::uniform(len, 0.1)),
        |len| Optimizer::adamw(AdamWConfig::default(), WeightDecay::uniform(len, 0.1)),
    ] {
        let mut whole = params.clone();
        make(whole.len()).step(0.1, &mut whole, &grads);
        for i in (0..params.len()).step_by(997).chain([params.len() - 1]) {
            let mut one = [params[i]];
            make(1).step(0.1, &mut one, &grads[i..=i]);
            assert_eq!(one[0].to_bits(), whole[i].to_bits(), "element {i}");
        }
    }
}

#[test]
#[should_panic(expected = "lengths of params and grads, made for 3")]
fn a_gradient_of_another_network_is_refused() {
    let mut sgd = Optimizer::sgd(SgdConfig::default(), WeightDecay::uniform(3, 0.0));
    sgd.step(0.1, &mut [0.0; 3], &[0.0; 2]);
}

#[test]
#[should_panic(expected = "what perturb saved")]
fn restoring_twice_is_refused() {
    let (mut sam, mut params) = (Sam::new(0.05), [1.0]);
    sam.perturb(&mut params, &[1.0]);
    sam.restore(&mut params);
    sam.restore(&mut params);
}

fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    proptest::collection::vec((-1e3f32..1e3, -1e3f32..1e3), 1..50).prop_map(|pairs| pairs.into_iter().unzip())
}

proptest! {
    #[test]
    fn sam_moves_by_rho_and_comes_back((mut params, grads) in vectors(), rho in 0.01f64..1.0) {
        prop_assume!(global_norm(&grads) > 1e-3);
        let before = params.clone();
        let mut sam = Sam::new(rho);
        sam.perturb(&mut params, &grads);
        let moved: Vec<f32> = params.iter().zip(&before).map(|(a, b)| a - b).collect();
        // Parameters near 1000 round to 6e-5.
        prop_assert!((global_norm(&moved) - rho).abs() < 1e-3, "moved {}", global_norm(&moved));
        sam.restore(&mut params);
        prop_assert_eq!(bits(&params), bits(&before));
    }

    #[test]
    fn clipping_limits_and_keeps_direction((_, grads) in vectors(), max_norm in 0.01f64..1e4) {
        let mut clipped = grads.clone();
        let before = clip_norm(&mut clipped, max_norm);
        prop_assert!(global_norm(&clipped) <= max_norm * (1.0 + 1e-6));
        if before <= max_norm {
            prop_assert!(clipped.iter().zip(&grads).all(|(c, g)| close(*c, *g)));
        }
        prop_assert!(clipped.iter().zip(&grads).all(|(c, g)| c * g >= 0.0));
    }

    #[test]
    fn an_average_lies_between((a, b) in vectors(), decay in 0.0f64..0.999) {
        let mut ema = Ema::new(
            &Weights { params: a.clone(), buffers: vec![] },
            EmaConfig { decay, warmup: true },
        );
        ema.update(&Weights { params: b.clone(), buffers: vec![] });
        for ((m, a), b) in ema.weights().params.iter().zip(a).zip(b) {
            let slack = 1e-6 * a.abs().max(b.abs());
            prop_assert!(*m >= a.min(b) - slack && *m <= a.max(b) + slack);
        }
    }
}
