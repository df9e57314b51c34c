//! Whole training steps: fifty of them beside the same steps with the processor's plan, and formulas in double precision.

use super::{broad_of, device, distance};
use crate::cuda::CudaDevice;
use crate::cuda::trainer::{CudaRule, CudaStep, CudaTrainer, CudaUpdate};
use crate::error::Error;
use crate::graph::{Graph, NodeId};
use crate::infer::InferPlan;
use crate::precision::Precision;
use crate::reference::{random_pixels, random_weights};
use crate::train::TrainPlan;
use crate::weights::Weights;

const BATCH: usize = 5;

/// Bytes of an image of `broad_of(9)`.
const IMAGE: usize = 9 * 9 * 3;

/// The processor's plan with an optimizer by its formulas.
struct Plain {
    plan: TrainPlan,
    update: CudaUpdate,
    params: Vec<f64>,
    buffers: Vec<f32>,
    first: Vec<f64>,
    second: Vec<f64>,
    average: Vec<f64>,
}

impl Plain {
    fn new(graph: &Graph, weights: &Weights, update: &CudaUpdate) -> Self {
        let params: Vec<f64> = weights.params.iter().map(|&w| f64::from(w)).collect();
        Self {
            plan: TrainPlan::new(graph, BATCH).unwrap(),
            update: update.clone(),
            buffers: weights.buffers.clone(),
            first: vec![0.0; params.len()],
            second: vec![0.0; params.len()],
            average: params.clone(),
            params,
        }
    }

    fn gradient(&mut self, batches: &[Vec<u8>], seed: u64) -> (Vec<f64>, f64) {
        let params: Vec<f32> = self.params.iter().map(|&w| w as f32).collect();
        let mut sum = vec![0.0; params.len()];
        let mut grads = vec![0.0; params.len()];
        for pixels in batches {
            let logits = self.plan.forward(&params, &mut self.buffers, pixels, BATCH, seed).unwrap();
            let dlogits = dlogits(logits);
            self.plan.backward(&params, &dlogits, &mut grads).unwrap();
            sum.iter_mut().zip(&grads).for_each(|(s, g)| *s += f64::from(*g));
        }
        let norm = sum.iter().map(|g| g * g).sum::<f64>().sqrt();
        (sum, norm)
    }

    fn step(&mut self, batches: &[Vec<u8>], step: CudaStep) {
        let (mut g, norm) = self.gradient(batches, step.number);
        let mut norm = norm;
        if let Some(rho) = self.update.sam_rho {
            let before = self.params.clone();
            self.params.iter_mut().zip(&g).for_each(|(w, g)| *w += rho / norm * g);
            (g, norm) = self.gradient(batches, step.number);
            self.params = before;
        }
        let clip = self.update.clip_norm.map_or(1.0, |clip| (clip / norm).min(1.0));
        let t = step.number as i32;
        for i in 0..g.len() {
            let (g, w, decay) = (clip * g[i], &mut self.params[i], f64::from(self.update.decay[i]));
            match self.update.rule {
                CudaRule::Sgd { momentum, nesterov } => {
                    let g = g + decay * *w;
                    self.first[i] = momentum * self.first[i] + g;
                    *w -= step.lr * if nesterov { g + momentum * self.first[i] } else { self.first[i] };
                }
                CudaRule::AdamW { betas: [b1, b2], eps } => {
                    *w -= step.lr * decay * *w;
                    self.first[i] = b1 * self.first[i] + (1.0 - b1) * g;
                    self.second[i] = b2 * self.second[i] + (1.0 - b2) * g * g;
                    let (m, s) = (self.first[i] / (1.0 - b1.powi(t)), self.second[i] / (1.0 - b2.powi(t)));
                    *w -= step.lr * m / (s.sqrt() + eps);
                }
            }
            self.average[i] = step.average_decay * self.average[i] + (1.0 - step.average_decay) * *w;
        }
    }
}

/// The gradient of a sum of cross entropies with every second label true.
fn dlogits(logits: &[f32]) -> Vec<f32> {
    let p = |z: &f32| 1.0 / (1.0 + (-z).exp());
    logits.iter().enumerate().map(|(i, z)| p(z) - (i % 2) as f32).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Runs so many steps of both and compares what they come to.
fn beside_the_processor(update: CudaUpdate, batches: usize, steps: u64, lr: f64, bound: f64) {
    let graph = broad_of(9);
    let mut weights = random_weights(&graph, 3);
    let update =
        CudaUpdate { decay: (0..weights.params.len()).map(|i| (i % 3) as f32 * 1e-3).collect(), ..update };
    let Some(device) = device(Precision::Fp32, false) else { return };
    let mut trainer =
        CudaTrainer::on(&graph, BATCH, Precision::Fp32, device, &weights, update.clone()).unwrap();
    let mut plain = Plain::new(&graph, &weights, &update);
    for number in 1..=steps {
        let images: Vec<_> =
            (0..batches as u64).map(|i| random_pixels(&graph, BATCH, 100 * (number % 4) + i)).collect();
        let step = CudaStep { lr, number, average_decay: 0.9 };
        plain.step(&images, step);
        for pass in 0..=usize::from(update.sam_rho.is_some()) {
            if pass == 1 {
                trainer.perturb().unwrap();
            }
            for (i, pixels) in images.iter().enumerate() {
                // Every second batch comes in advance.
                if !trainer.bring_staged().unwrap() {
                    trainer.bring(pixels, BATCH).unwrap();
                }
                let dlogits = dlogits(trainer.forward(number).unwrap());
                if i % 2 == 0 && i + 1 < images.len() {
                    trainer.stage(&images[i + 1], BATCH).unwrap();
                }
                trainer.backward(&dlogits).unwrap();
            }
        }
        trainer.step(step).unwrap();
    }
    let start = weights.params.clone();
    trainer.weights(&mut weights).unwrap();
    assert!(distance(&weights.params, &start) > 100.0 * bound, "the weights hardly moved");
    let (first, second) = match update.rule {
        CudaRule::Sgd { .. } => ("velocity", None),
        CudaRule::AdamW { .. } => ("mean", Some("mean_square")),
    };
    let mut vector = vec![0.0; weights.params.len()];
    trainer.optimizer_vector(first, &mut vector).unwrap();
    let mut average = weights.clone();
    trainer.average(&mut average).unwrap();
    for (what, got, want) in [
        ("weights", &weights.params, single(&plain.params)),
        ("statistics", &weights.buffers, plain.buffers.clone()),
        ("average", &average.params, single(&plain.average)),
        (first, &vector, single(&plain.first)),
    ] {
        let d = distance(got, &want);
        assert!(d < bound, "{what} after {steps} steps: {d:e}");
    }
    if let Some(second) = second {
        trainer.optimizer_vector(second, &mut vector).unwrap();
        assert!(distance(&vector, &single(&plain.second)) < bound);
    }
}

fn update(rule: CudaRule) -> CudaUpdate {
    CudaUpdate { rule, decay: vec![], sam_rho: None, clip_norm: None, average: true, frozen: None }
}

#[test]
fn fifty_steps_of_sam_go_where_the_processor_goes() {
    let sgd = update(CudaRule::Sgd { momentum: 0.9, nesterov: false });
    beside_the_processor(CudaUpdate { sam_rho: Some(0.05), ..sgd }, 1, 50, 1e-3, 1e-4);
}

#[test]
fn clipped_steps_over_several_batches_go_where_the_processor_goes() {
    let sgd = update(CudaRule::Sgd { momentum: 0.9, nesterov: true });
    beside_the_processor(CudaUpdate { clip_norm: Some(0.5), ..sgd }, 2, 8, 0.1, 1e-4);
    let adamw = update(CudaRule::AdamW { betas: [0.9, 0.999], eps: 1e-4 });
    beside_the_processor(adamw, 2, 8, 1e-3, 1e-4);
}

#[test]
fn steps_out_of_order_are_errors_and_vectors_come_back_as_they_went() {
    let graph = broad_of(9);
    let weights = random_weights(&graph, 3);
    let len = weights.params.len();
    let update = CudaUpdate {
        decay: vec![0.0; len],
        sam_rho: Some(0.05),
        ..update(CudaRule::Sgd { momentum: 0.9, nesterov: false })
    };
    let Some(device) = device(Precision::Fp16, false) else { return };
    let mut trainer = CudaTrainer::on(&graph, 2, Precision::Fp16, device, &weights, update).unwrap();
    let step = CudaStep { lr: 0.1, number: 1, average_decay: 0.5 };
    assert!(matches!(trainer.backward(&[0.0; 10]), Err(Error::NoForward)));
    assert!(matches!(trainer.perturb(), Err(Error::Input { found: "no gradient", .. })));
    assert!(matches!(trainer.step(step), Err(Error::Input { found: "a step", .. })));
    assert!(matches!(trainer.forward(0), Err(Error::Input { found: "no images", .. })));
    assert!(!trainer.bring_staged().unwrap());
    assert!(matches!(trainer.bring(&[0], 1), Err(Error::Length { what: "pixels", .. })));
    assert!(matches!(trainer.stage(&[], 3), Err(Error::Batch { .. })));
    let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
    trainer.put_optimizer_vector("velocity", &values).unwrap();
    let mut back = vec![0.0; len];
    trainer.optimizer_vector("velocity", &mut back).unwrap();
    assert_eq!(back, values);
    assert!(trainer.optimizer_vector("mean", &mut back).is_err());
    assert!(trainer.optimizer_vector("velocity", &mut back[1..]).is_err());
}

#[test]
fn half_precision_takes_its_loss_scale_out_again() {
    let graph = broad_of(9);
    let weights = random_weights(&graph, 3);
    let update = CudaUpdate {
        decay: vec![0.0; weights.params.len()],
        ..update(CudaRule::Sgd { momentum: 0.0, nesterov: false })
    };
    let norm = |precision| {
        let device = device(precision, false)?;
        let mut trainer = CudaTrainer::on(&graph, 3, precision, device, &weights, update.clone()).unwrap();
        let pixels = random_pixels(&graph, 3, 5);
        trainer.bring(&pixels, 3).unwrap();
        let dlogits = dlogits(trainer.forward(0).unwrap());
        trainer.backward(&dlogits).unwrap();
        Some(trainer.step(CudaStep { lr: 0.1, number: 1, average_decay: 0.5 }).unwrap())
    };
    let (Some(half), Some(full)) = (norm(Precision::Fp16), norm(Precision::Fp32)) else { return };
    assert!((half - full).abs() < 1e-2 * full, "{half}, expected about {full}");
}

/// Steps of a trainer on its batches, the same ones in each step; the weights after them.
fn trained(mut trainer: CudaTrainer, sam: bool, batches: &[Vec<u8>], steps: u64, start: &Weights) -> Weights {
    for number in 1..=steps {
        for pass in 0..=usize::from(sam) {
            if pass == 1 {
                trainer.perturb().unwrap();
            }
            for pixels in batches {
                trainer.bring(pixels, pixels.len() / IMAGE).unwrap();
                let dlogits = dlogits(trainer.forward(number).unwrap());
                trainer.backward(&dlogits).unwrap();
            }
        }
        trainer.step(CudaStep { lr: 1e-3, number, average_decay: 0.9 }).unwrap();
    }
    let mut weights = start.clone();
    trainer.weights(&mut weights).unwrap();
    weights
}

#[test]
fn trainers_of_a_group_go_where_one_goes_with_all_batches() {
    let graph = broad_of(9);
    let start = random_weights(&graph, 3);
    let trainer = |sam: bool| {
        let update = CudaUpdate {
            decay: vec![1e-3; start.params.len()],
            sam_rho: sam.then_some(0.05),
            ..update(CudaRule::Sgd { momentum: 0.9, nesterov: false })
        };
        let device = device(Precision::Fp32, false)?;
        Some(CudaTrainer::on(&graph, BATCH, Precision::Fp32, device, &start, update).unwrap())
    };
    if trainer(false).is_none() {
        return;
    }
    // On hardware a group of one: there may be no second GPU.
    let (ordinal, size) = match std::env::var("MLCLS_TEST_DEVICE").as_deref() {
        Ok("cuda") => (0, 1),
        _ => (CudaDevice::EMULATED, 3),
    };
    let batches: Vec<_> = (0..size as u64).map(|i| random_pixels(&graph, BATCH, 40 + i)).collect();
    let group = |sam, steps| -> Vec<Weights> {
        let group = CudaDevice { ordinal, precision: Precision::Fp32 }.new_group().unwrap();
        let of_rank = |rank: usize| {
            let mut trainer = trainer(sam).unwrap();
            trainer.join(&group, rank, size).unwrap();
            trained(trainer, sam, &batches[rank..=rank], steps, &start)
        };
        std::thread::scope(|scope| {
            let ranks: Vec<_> = (0..size)
                .map(|rank| {
                    scope.spawn({
                        let of_rank = &of_rank;
                        move || of_rank(rank)
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    };

    let ranks = group(true, 4);
    assert!(ranks.iter().all(|rank| rank == &ranks[0]), "all have the same bits");
    let alone = trained(trainer(true).unwrap(), true, &batches, 4, &start);
    let d = distance(&ranks[0].params, &alone.params);
    assert!(d < 1e-6 && distance(&alone.params, &start.params) > 1e-4, "{d:e}");

    // Statistics are the mean of what each batch alone makes of them.
    let each = batches
        .iter()
        .map(|b| trained(trainer(false).unwrap(), false, std::slice::from_ref(b), 1, &start).buffers);
    let mut mean = vec![0.0; start.buffers.len()];
    each.for_each(|buffers| mean.iter_mut().zip(buffers).for_each(|(sum, b)| *sum += b / size as f32));
    let d = distance(&group(false, 1)[0].buffers, &mean);
    assert!(d < 1e-6 && distance(&mean, &start.buffers) > 1e-3, "{d:e}");
}

#[test]
fn synchronised_trainers_go_where_one_goes_with_the_whole_batch() {
    if matches!(std::env::var("MLCLS_TEST_DEVICE").as_deref(), Ok("cuda")) {
        println!("skipped: there may be no second GPU");
        return;
    }
    let graph = broad_of(9);
    let start = random_weights(&graph, 3);
    let trainer = || {
        let update = CudaUpdate {
            decay: vec![1e-3; start.params.len()],
            sam_rho: Some(0.05),
            ..update(CudaRule::Sgd { momentum: 0.9, nesterov: false })
        };
        let device = device(Precision::Fp32, false)?;
        Some(CudaTrainer::on(&graph, BATCH, Precision::Fp32, device, &start, update).unwrap())
    };
    let Some(whole) = trainer() else { return };
    let pixels = random_pixels(&graph, BATCH, 40);
    let whole = trained(whole, true, std::slice::from_ref(&pixels), 3, &start);
    let group = CudaDevice { ordinal: CudaDevice::EMULATED, precision: Precision::Fp32 }.new_group().unwrap();
    let (first, second) = pixels.split_at(2 * IMAGE);
    let parts = [first.to_vec(), second.to_vec()];
    let of_rank = |rank: usize| {
        let mut trainer = trainer().unwrap();
        trainer.join(&group, rank, 2).unwrap();
        trainer.synchronise().unwrap();
        trained(trainer, true, &parts[rank..=rank], 3, &start)
    };
    let ranks = std::thread::scope(|scope| {
        let of_rank = &of_rank;
        [0, 1].map(|rank| scope.spawn(move || of_rank(rank))).map(|rank| rank.join().unwrap())
    });
    assert!(ranks[0] == ranks[1]);
    for (what, got, want) in
        [("weights", &ranks[0].params, &whole.params), ("statistics", &ranks[0].buffers, &whole.buffers)]
    {
        let d = distance(got, want);
        assert!(d < 1e-5, "{what}: {d:e}");
    }
}

/// Wherever a network can be cut, the part before stays in every bit and the part behind goes where the processor's goes.
#[test]
fn frozen_parts_stay_and_the_rest_goes_where_the_processor_goes() {
    let graph = broad_of(9);
    let start = random_weights(&graph, 3);
    let pixels = random_pixels(&graph, BATCH, 40);
    let mut cuts = 0;
    for node in (0..graph.nodes().len()).map(NodeId) {
        let Ok(mut tail) = TrainPlan::behind(&graph, BATCH, node) else { continue };
        let update = CudaUpdate {
            decay: vec![1e-3; start.params.len()],
            frozen: Some(node),
            ..update(CudaRule::Sgd { momentum: 0.9, nesterov: false })
        };
        let Some(device) = device(Precision::Fp32, false) else { return };
        let trainer = CudaTrainer::on(&graph, BATCH, Precision::Fp32, device, &start, update).unwrap();
        let got = trained(trainer, false, std::slice::from_ref(&pixels), 3, &start);

        cuts += 1;
        let frozen = graph.param_len_up_to(node);
        let values =
            InferPlan::up_to(&graph, &start, BATCH, node).unwrap().run(&pixels, BATCH).unwrap().to_vec();
        let mut want = start.clone();
        let mut velocity = vec![0.0; start.params.len()];
        let mut grads = velocity.clone();
        for number in 1..=3 {
            let logits =
                tail.forward_behind(&want.params, &mut want.buffers, &values, BATCH, number).unwrap();
            let dlogits = dlogits(logits);
            tail.backward(&want.params, &dlogits, &mut grads).unwrap();
            for i in frozen..grads.len() {
                velocity[i] = 0.9 * velocity[i] + grads[i] + 1e-3 * want.params[i];
                want.params[i] -= 1e-3 * velocity[i];
            }
        }
        assert!(got.params[..frozen] == start.params[..frozen], "{node:?}: the frozen part moved");
        let moved = |to: &Weights| -> Vec<f32> {
            to.params[frozen..].iter().zip(&start.params[frozen..]).map(|(a, b)| a - b).collect()
        };
        let d = distance(&moved(&got), &moved(&want));
        assert!(d < 1e-3, "{node:?}: moves of weights {d:e}");
        let d = distance(&got.buffers, &want.buffers);
        assert!(d < 1e-5, "{node:?}: statistics {d:e}");
    }
    assert!(cuts >= 4, "only {cuts} places to cut");
}
