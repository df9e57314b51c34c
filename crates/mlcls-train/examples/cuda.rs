//! What a GPU makes of whole networks: whether it computes what the processor computes, and how fast.
//!
//!     cargo run --release -p mlcls-train --features cuda --example cuda -- check
//!     cargo run --release -p mlcls-train --features cuda --example cuda -- speed efficientnet_b0 train 64 bf16
//!     cargo run --release -p mlcls-train --features cuda --example cuda -- profile efficientnet_b0 64 bf16
//!
//! `check [SIZE [BATCH [MODEL ..]]]` takes one training step and one inference of each model in every precision, and prints how
//! far logits, running statistics and gradients are from the processor's, as lengths of differences over lengths; a row fails where
//! single precision is off or a second run gives other bits, and so does the whole in the end.
//! `speed MODEL train|sam|infer BATCH PRECISION [SIZE [REPETITIONS [SECONDS]]]` prints JSON lines as `step_speed` does, of as many
//! steps and as much time as that at least, behind a second to warm up. `profile MODEL BATCH PRECISION [SIZE]` prints the time of
//! every stage, beside the bytes that it must move. `MLCLS_GPU` is the GPU's number, 0 unless it is set.

use std::time::{Duration, Instant};

use mlcls_engine::{
    CudaDevice, CudaInferPlan, CudaRule, CudaStep, CudaTrainPlan, CudaTrainer, CudaUpdate, Graph, InferPlan,
    Precision, TrainPlan, Weights,
};
use mlcls_loss::Loss;
use mlcls_models::{ModelOptions, build};

const CLASSES: usize = 20;
/// How far single precision may be from the processor's after a whole network, forward and backward; further only where the
/// processor's own results move further with weights that are off by [`ROUNDING`].
const SINGLE: f64 = 1e-3;
/// More than rounding comes to in a layer: products of three TF32 ones keep 22 bits, and tensor cores cut off where they add.
/// An activation that crosses a kink for it has another gradient, by which those of a whole ReLU network can move by per cents.
const ROUNDING: f32 = 1.0 / (1 << 18) as f32;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["check", ref rest @ ..] => check(rest),
        ["speed", model, mode, batch, precision, ref rest @ ..] => {
            speed(model, mode, batch.parse()?, device(precision)?, rest)
        }
        ["profile", model, batch, precision, ref rest @ ..] => {
            profile(model, batch.parse()?, device(precision)?, rest)
        }
        _ => Err("expected check, speed or profile; see the beginning of this file".into()),
    }
}

fn device(precision: &str) -> Outcome<CudaDevice> {
    let ordinal = std::env::var("MLCLS_GPU").map_or(Ok(0), |n| n.parse())?;
    let known = Precision::ALL.into_iter().find(|p| p.name() == precision);
    let precision = known.ok_or_else(|| format!("no precision {precision}: fp32, tf32, bf16, fp16"))?;
    Ok(CudaDevice { ordinal, precision })
}

fn number(args: &[&str], i: usize, default: usize) -> Outcome<usize> {
    Ok(args.get(i).map_or(Ok(default), |s| s.parse())?)
}

fn graph(model: &str, size: usize) -> Outcome<Graph> {
    Ok(build(model, &ModelOptions { classes: CLASSES, size, ..Default::default() })?.graph)
}

/// Noise in its low bits.
fn hash(i: usize) -> usize {
    i.wrapping_mul(2_654_435_761) >> 13
}

fn pixels(graph: &Graph, n: usize) -> Vec<u8> {
    (0..n * graph.input_shape().len()).map(|i| hash(i) as u8).collect()
}

fn targets(n: usize) -> Vec<f32> {
    (0..n * CLASSES).map(|i| if i % 13 == 0 { 1.0 } else { 0.0 }).collect()
}

/// Length of the difference beside that of what is expected.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let length = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let difference = got.iter().zip(want).map(|(a, b)| f64::from(*a) - f64::from(*b));
    length(&mut { difference }) / length(&mut want.iter().map(|v| f64::from(*v)))
}

fn check(args: &[&str]) -> Outcome {
    let (size, n) = (number(args, 0, 224)?, number(args, 1, 16)?);
    let all = ["mobilenetv3_large_100", "efficientnet_b0", "tf_efficientnetv2_s", "tf_efficientnet_lite0"];
    let models = if args.len() > 2 { &args[2..] } else { &all };
    println!("| model | precision | logits | statistics | gradients | inference | same bits | verdict |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut wrong = 0;
    for model in models {
        let case = Case::new(graph(model, size)?, n)?;
        for precision in Precision::ALL {
            // A row that cannot be had is a wrong one; the others may still tell something.
            let (right, cells) = case
                .row(precision)
                .unwrap_or_else(|error| (false, format!("{error} | | | |").replace('\n', " ")));
            wrong += usize::from(!right);
            println!(
                "| {model} | {} | {cells} | {} |",
                precision.name(),
                if right { "ok" } else { "FAILED" }
            );
        }
    }
    if wrong > 0 { Err(format!("{wrong} rows are wrong").into()) } else { Ok(()) }
}

/// A step and an inference, and what the processor makes of them.
struct Case {
    graph: Graph,
    n: usize,
    weights: Weights,
    pixels: Vec<u8>,
    dlogits: Vec<f32>,
    /// Logits, running statistics and gradients.
    step: [Vec<f32>; 3],
    /// The weights behind it, and the logits of their inference.
    trained: Weights,
    inferred: Vec<f32>,
    /// Of the distances of all four.
    bounds: [f64; 4],
}

impl Case {
    fn new(graph: Graph, n: usize) -> Outcome<Self> {
        let weights = Weights::init(&graph, 7);
        let (pixels, dlogits) = (pixels(&graph, n), targets(n));
        let mut plan = TrainPlan::new(&graph, n)?;
        let mut run = |params: &[f32]| -> Outcome<[Vec<f32>; 3]> {
            let (mut b, mut g) = (weights.buffers.clone(), vec![0.0; params.len()]);
            let z = plan.forward(params, &mut b, &pixels, n, 1)?.to_vec();
            plan.backward(params, &dlogits, &mut g)?;
            Ok([z, b, g])
        };
        let step = run(&weights.params)?;
        let off = |(i, w): (usize, &f32)| if hash(i) & 1 == 0 { w - w * ROUNDING } else { w + w * ROUNDING };
        let moved = run(&weights.params.iter().enumerate().map(off).collect::<Vec<_>>())?;
        let [z, b, g] = [0, 1, 2].map(|i| distance(&moved[i], &step[i]).max(SINGLE));
        let trained = Weights { params: weights.params.clone(), buffers: step[1].clone() };
        let inferred = InferPlan::new(&graph, &trained, n)?.run(&pixels, n)?.to_vec();
        Ok(Self { graph, n, weights, pixels, dlogits, step, trained, inferred, bounds: [z, b, g, SINGLE] })
    }

    /// Whether a GPU computes the same, and the cells that tell.
    fn row(&self, precision: Precision) -> Outcome<(bool, String)> {
        let (device, n) = (device(precision.name())?, self.n);
        let mut plan = CudaTrainPlan::new(&self.graph, n, device)?;
        let mut step = || -> Outcome<[Vec<f32>; 3]> {
            let (mut b, mut g) = (self.weights.buffers.clone(), vec![f32::NAN; self.weights.params.len()]);
            let z = plan.forward(&self.weights.params, &mut b, &self.pixels, n, 1)?.to_vec();
            plan.backward(&self.dlogits, &mut g)?;
            Ok([z, b, g])
        };
        let (one, two) = (step()?, step()?);
        let bits = |v: &[Vec<f32>; 3]| v.concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let same = bits(&one) == bits(&two);
        let infer = CudaInferPlan::new(&self.graph, &self.trained, n, device)?.run(&self.pixels, n)?.to_vec();
        let distances = [
            distance(&one[0], &self.step[0]),
            distance(&one[1], &self.step[1]),
            distance(&one[2], &self.step[2]),
            distance(&infer, &self.inferred),
        ];
        // Rounding to shorter formats is no error, but NaN is below no bound, nor is infinity.
        let bounds = if precision == Precision::Fp32 { self.bounds } else { [f64::INFINITY; 4] };
        let (mut right, mut cells) = (same, String::new());
        for (d, bound) in distances.into_iter().zip(bounds) {
            right &= d < bound;
            cells += &match (d < bound, bound.is_finite()) {
                (true, false) => format!("{d:.1e} | "),
                (true, true) => format!("{d:.1e} < {bound:.1e} | "),
                (false, _) => format!("{d:.1e}, not < {bound:.1e} | "),
            };
        }
        Ok((right, cells + if same { "yes" } else { "NO" }))
    }
}

fn speed(model: &str, mode: &str, batch: usize, device: CudaDevice, rest: &[&str]) -> Outcome {
    let (size, repetitions, seconds) = (number(rest, 0, 224)?, number(rest, 1, 20)?, number(rest, 2, 2)?);
    let graph = graph(model, size)?;
    let weights = Weights::init(&graph, 7);
    let (pixels, targets) = (pixels(&graph, batch), targets(batch));
    let mut step: Box<dyn FnMut(u64) -> Outcome> = match mode {
        "infer" => {
            let mut plan = CudaInferPlan::new(&graph, &weights, batch, device)?;
            Box::new(move |_| Ok(plan.run(&pixels, batch).map(|_| ())?))
        }
        "train" | "sam" => {
            let update = CudaUpdate {
                rule: CudaRule::Sgd { momentum: 0.9, nesterov: false },
                decay: vec![5e-4; graph.param_len()],
                sam_rho: (mode == "sam").then_some(0.05),
                clip_norm: None,
                average: false,
                frozen: None,
            };
            let sam = update.sam_rho.is_some();
            let mut trainer = CudaTrainer::new(&graph, batch, device, &weights, update)?;
            let (loss, mask) = (Loss::default(), vec![1.0; batch * CLASSES]);
            let mut dlogits = vec![0.0; batch * CLASSES];
            Box::new(move |number| {
                if !trainer.bring_staged()? {
                    trainer.bring(&pixels, batch)?;
                }
                for pass in 0..=usize::from(sam) {
                    if pass == 1 {
                        trainer.perturb()?;
                    }
                    let logits = trainer.forward(number)?;
                    loss.value_and_grad(logits, &targets, &mask, &mut dlogits)?;
                    trainer.backward(&dlogits)?;
                }
                trainer.stage(&pixels, batch)?;
                trainer.step(CudaStep { lr: 1e-3, number, average_decay: 0.0 })?;
                Ok(())
            })
        }
        other => return Err(format!("mode {other}: expected train, sam or infer").into()),
    };
    let mut steps = 0;
    let mut rates = |least: usize, seconds: usize| -> Outcome<Vec<f64>> {
        let (time, begin, mut rates) = (Duration::from_secs(seconds as u64), Instant::now(), vec![]);
        while rates.len() < least || begin.elapsed() < time {
            let start = Instant::now();
            steps += 1;
            step(steps)?;
            rates.push(batch as f64 / start.elapsed().as_secs_f64());
        }
        Ok(rates)
    };
    rates(3, 1)?; // until the clocks of the GPU are up
    let mut rates = rates(repetitions, seconds)?;
    for rate in &rates {
        println!("{{\"img_per_s\": {rate:.2}}}");
    }
    rates.sort_by(f64::total_cmp);
    let median = (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0;
    println!("{{\"median_img_per_s\": {median:.2}}}");
    Ok(())
}

fn profile(model: &str, batch: usize, device: CudaDevice, rest: &[&str]) -> Outcome {
    let graph = graph(model, number(rest, 0, 224)?)?;
    let mut weights = Weights::init(&graph, 7);
    let mut plan = CudaTrainPlan::new(&graph, batch, device)?;
    let pixels = pixels(&graph, batch);
    let mut grads = vec![0.0; weights.params.len()];
    for _ in 0..3 {
        plan.forward(&weights.params, &mut weights.buffers, &pixels, batch, 0)?;
        plan.backward(&targets(batch), &mut grads)?;
    }
    let profile = plan.profile(batch)?;
    let us = |seconds: f64| seconds * 1e6 * batch as f64;
    println!("{model}, batch {batch}, {}: microseconds of a batch\n", device.precision.name());
    println!("| stage | kind | output | forward | GB/s | backward | GB/s | GFLOP/s | share |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for s in &profile.stages {
        let (f, b) = (&s.forward, &s.backward);
        let seconds = f.seconds + b.seconds;
        println!(
            "| {} | {} | {}x{}x{} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} % |",
            s.name,
            s.kind,
            s.output.h,
            s.output.w,
            s.output.c,
            us(f.seconds),
            f.bytes / f.seconds * 1e-9,
            us(b.seconds),
            b.bytes / b.seconds * 1e-9,
            (f.flops + b.flops) / seconds * 1e-9,
            100.0 * seconds / profile.seconds
        );
    }
    println!("\npacking of weights {:.0}, all {:.0}", us(profile.packing), us(profile.seconds));
    Ok(())
}
