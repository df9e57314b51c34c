//! Images per second of whole training steps (forward, loss, backward, optimizer) or of inference, on random pixels.
//!
//!     cargo run --release -p mlcls-train --example step_speed -- mobilenetv3_large_100 train 32
//!
//! Arguments: MODEL train|sam|infer BATCH [SIZE [REPETITIONS]]. Prints one JSON line per repetition and a last one with the
//! median and the process's peak memory in MB. `RAYON_NUM_THREADS` sets the threads.

use std::time::Instant;

use mlcls_engine::{InferPlan, TrainPlan, Weights};
use mlcls_loss::Loss;
use mlcls_models::{ModelOptions, build};
use mlcls_train::{Optimizer, Sam, SgdConfig, WeightDecay};

const CLASSES: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, mode, batch, rest @ ..] = &args[..] else {
        return Err("MODEL train|sam|infer BATCH [SIZE [REPETITIONS]]".into());
    };
    let batch: usize = batch.parse()?;
    let size: usize = rest.first().map_or(Ok(224), |s| s.parse())?;
    let repetitions: usize = rest.get(1).map_or(Ok(7), |s| s.parse())?;

    let model = build(model, &ModelOptions { classes: CLASSES, size, ..Default::default() })?;
    let mut weights = Weights::init(&model.graph, 0);
    let pixels: Vec<u8> =
        (0..batch * size * size * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let targets: Vec<f32> = (0..batch * CLASSES).map(|i| if i % 13 == 0 { 1.0 } else { 0.0 }).collect();

    let mut step: Box<dyn FnMut() -> Result<(), Box<dyn std::error::Error>>> = match mode.as_str() {
        "infer" => {
            let mut plan = InferPlan::new(&model.graph, &weights, batch)?;
            Box::new(move || Ok(plan.run(&pixels, batch).map(|_| ())?))
        }
        "train" | "sam" => {
            let mut plan = TrainPlan::new(&model.graph, batch)?;
            let len = weights.params.len();
            let (mut grads, mut dlogits) = (vec![0.0; len], vec![0.0; batch * CLASSES]);
            let loss = Loss::default();
            let mask = vec![1.0; batch * CLASSES];
            let mut sgd = Optimizer::sgd(SgdConfig::default(), WeightDecay::uniform(len, 5e-4));
            let mut sam = (mode == "sam").then(|| Sam::new(0.05));
            Box::new(move || {
                let mut gradient = |weights: &mut Weights, grads: &mut [f32]| {
                    let logits = plan.forward(&weights.params, &mut weights.buffers, &pixels, batch, 0)?;
                    loss.value_and_grad(logits, &targets, &mask, &mut dlogits)?;
                    plan.backward(&weights.params, &dlogits, grads)?;
                    Ok::<_, Box<dyn std::error::Error>>(())
                };
                gradient(&mut weights, &mut grads)?;
                if let Some(sam) = &mut sam {
                    sam.perturb(&mut weights.params, &grads);
                    gradient(&mut weights, &mut grads)?;
                    sam.restore(&mut weights.params);
                }
                sgd.step(1e-3, &mut weights.params, &grads);
                Ok(())
            })
        }
        other => return Err(format!("mode {other}: expected train, sam or infer").into()),
    };

    let mut rates = vec![];
    for repetition in 0..repetitions + 2 {
        let start = Instant::now();
        step()?;
        let rate = batch as f64 / start.elapsed().as_secs_f64();
        if repetition >= 2 {
            println!("{{\"img_per_s\": {rate:.2}}}");
            rates.push(rate);
        }
    }
    rates.sort_by(f64::total_cmp);
    let median = (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0;
    println!("{{\"median_img_per_s\": {median:.2}, \"peak_mb\": {:.1}}}", peak_mb()?);
    Ok(())
}

/// The kernel's high-water mark of this process's resident memory, in MB of 10^6 bytes.
fn peak_mb() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kb = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Ok(kb.ok_or("no VmHWM in /proc/self/status")?.parse::<f64>()? * 1024.0 / 1e6)
}
