//! What a GPU makes of whole networks: whether it computes what the processor computes, and how fast.
//!
//!     cargo run --release -p mlcls-train --features cuda --example cuda -- check
//!     cargo run --release -p mlcls-train --features cuda --example cuda -- speed efficientnet_b0 train 64 bf16
//!     cargo run --release -p mlcls-train --features cuda --example cuda -- profile efficientnet_b0 64 bf16
//!
//! `check [SIZE [BATCH [MODEL ..]]]` takes one training step and one inference of each model in every precision, and prints how
//! far logits, running statistics and gradients are from the processor's, as lengths of differences over lengths; it fails where
//! single precision is off or a second run gives other bits. `speed MODEL train|sam|infer BATCH PRECISION [SIZE [REPETITIONS]]`
//! prints JSON lines as `step_speed` does. `profile MODEL BATCH PRECISION [SIZE]` prints the time of every stage, beside the
//! bytes that it must move. `MLCLS_GPU` is the GPU's number, 0 unless it is set.

use std::time::Instant;

use mlcls_engine::{
    CudaDevice, CudaInferPlan, CudaRule, CudaStep, CudaTrainPlan, CudaTrainer, CudaUpdate, Graph, InferPlan,
    Precision, TrainPlan, Weights,
};
use mlcls_loss::Loss;
use mlcls_models::{ModelOptions, build};

const CLASSES: usize = 20;
/// How far single precision may be from the processor's after a whole network, forward and backward.
const SINGLE: f64 = 1e-3;

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

fn pixels(graph: &Graph, n: usize) -> Vec<u8> {
    (0..n * graph.input_shape().len()).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
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
    println!("| model | precision | logits | statistics | gradients | inference | same bits |");
    println!("|---|---|---|---|---|---|---|");
    let mut wrong = 0;
    for model in models {
        let graph = graph(model, size)?;
        let weights = Weights::init(&graph, 7);
        let (pixels, dlogits) = (pixels(&graph, n), targets(n));
        let mut buffers = weights.buffers.clone();
        let mut plan = TrainPlan::new(&graph, n)?;
        let logits = plan.forward(&weights.params, &mut buffers, &pixels, n, 1)?.to_vec();
        let mut grads = vec![0.0; weights.params.len()];
        plan.backward(&weights.params, &dlogits, &mut grads)?;
        let trained = Weights { params: weights.params.clone(), buffers: buffers.clone() };
        let inferred = InferPlan::new(&graph, &trained, n)?.run(&pixels, n)?.to_vec();
        for precision in Precision::ALL {
            let device = device(precision.name())?;
            let mut plan = CudaTrainPlan::new(&graph, n, device)?;
            let mut step = || -> Outcome<[Vec<f32>; 3]> {
                let (mut b, mut g) = (weights.buffers.clone(), vec![f32::NAN; grads.len()]);
                let z = plan.forward(&weights.params, &mut b, &pixels, n, 1)?.to_vec();
                plan.backward(&dlogits, &mut g)?;
                Ok([z, b, g])
            };
            let (one, two) = (step()?, step()?);
            let bits = |v: &[Vec<f32>; 3]| v.concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let same = bits(&one) == bits(&two);
            let infer = CudaInferPlan::new(&graph, &trained, n, device)?.run(&pixels, n)?.to_vec();
            let distances = [
                distance(&one[0], &logits),
                distance(&one[1], &buffers),
                distance(&one[2], &grads),
                distance(&infer, &inferred),
            ];
            // NaN is no distance below the bound either.
            let right = distances.iter().all(|d| *d < SINGLE) || precision != Precision::Fp32;
            wrong += usize::from(!right || !same || distances.iter().any(|d| d.is_nan()));
            let cells = distances.map(|d| format!("{d:.1e}")).join(" | ");
            println!("| {model} | {} | {cells} | {} |", precision.name(), if same { "yes" } else { "NO" });
        }
    }
    if wrong > 0 { Err(format!("{wrong} rows are wrong").into()) } else { Ok(()) }
}

fn speed(model: &str, mode: &str, batch: usize, device: CudaDevice, rest: &[&str]) -> Outcome {
    let (size, repetitions) = (number(rest, 0, 224)?, number(rest, 1, 20)?);
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
    let mut rates = vec![];
    for repetition in 0..repetitions + 3 {
        let start = Instant::now();
        step(repetition as u64 + 1)?;
        if repetition >= 3 {
            rates.push(batch as f64 / start.elapsed().as_secs_f64());
            println!("{{\"img_per_s\": {:.2}}}", rates[rates.len() - 1]);
        }
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
