//! A network that learned to find objects says where they are: on a generated set the mass of a map lies on the object's side.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use mlcls_engine::{Activation, ConvOptions, GraphBuilder, TrainPlan, Weights};
use mlcls_export::saliency::{Explainer, Method, normalise};
use mlcls_models::{Head, Model, Normalization};

const SIDE: usize = 32;
const LABELS: usize = 2;

/// A small network whose last map has 8 x 8 places.
fn model() -> Model {
    let preprocessing = Normalization::HALF;
    let mut b = GraphBuilder::new("finder", SIDE);
    let mut x = b.input(preprocessing.mean, preprocessing.std);
    for (i, c) in [12, 16].into_iter().enumerate() {
        let window = ConvOptions { kernel: 3, stride: 2, ..ConvOptions::default() };
        x = b.conv(&format!("conv{i}"), x, c, window).unwrap();
        x = b.batch_norm(&format!("bn{i}"), x, 1e-5, 0.1).unwrap();
        x = b.activation(x, Activation::Relu);
    }
    let features = b.global_pool(x);
    let logits = b.cosine_linear("head", features, LABELS, 7.0).unwrap();
    let graph = b.finish(x, features, logits).unwrap();
    Model { name: "finder", graph, preprocessing, head: Head::Cosine, scale: 7.0 }
}

struct Scene {
    pixels: Vec<u8>,
    /// Where the label's square is: left (false) or right (true).
    right: [Option<bool>; LABELS],
}

/// Grey noise; a red square for label 0 and a blue one for label 1, each on one side or not at all.
fn scene(seed: u32) -> Scene {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = |n: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % n
    };
    let mut pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|_| 90 + next(60) as u8).collect();
    let sides = [None, Some(false), Some(true)];
    let right = [sides[next(3) as usize], sides[next(3) as usize]];
    for (label, side) in right.into_iter().enumerate() {
        let Some(side) = side else { continue };
        let left = if side { 18 + next(6) } else { next(6) } as usize;
        // One label in the upper half, one in the lower, so that they never hide each other.
        let top = 16 * label + next(8) as usize;
        for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
            let at = 3 * ((top + y) * SIDE + left + x);
            pixels[at..at + 3].copy_from_slice(if label == 0 { &[230, 20, 20] } else { &[20, 20, 230] });
        }
    }
    Scene { pixels, right }
}

/// Plain gradient descent on binary cross-entropy.
fn train(model: &Model) -> Weights {
    const BATCH: usize = 32;
    let mut weights = Weights::init(&model.graph, 5);
    let mut plan = TrainPlan::new(&model.graph, BATCH).unwrap();
    let mut grads = vec![0.0; weights.params.len()];
    for step in 0..150 {
        let scenes: Vec<Scene> = (0..BATCH as u32).map(|i| scene(step * BATCH as u32 + i)).collect();
        let pixels: Vec<u8> = scenes.iter().flat_map(|s| s.pixels.iter().copied()).collect();
        let logits = plan.forward(&weights.params, &mut weights.buffers, &pixels, BATCH, 0).unwrap();
        let targets = scenes.iter().flat_map(|s| s.right.map(|side| f32::from(u8::from(side.is_some()))));
        let gradient: Vec<f32> =
            logits.iter().zip(targets).map(|(z, t)| (1.0 / (1.0 + (-z).exp()) - t) / BATCH as f32).collect();
        plan.backward(&weights.params, &gradient, &mut grads).unwrap();
        weights.params.iter_mut().zip(&grads).for_each(|(w, g)| *w -= 0.3 * g);
    }
    weights
}

#[test]
fn the_mass_of_a_map_lies_where_the_object_is() {
    const SCENES: usize = 60;
    let model = model();
    let weights = train(&model);
    let scenes: Vec<Scene> = (1_000_000..1_000_000 + SCENES as u32).map(scene).collect();
    let pixels: Vec<u8> = scenes.iter().flat_map(|s| s.pixels.iter().copied()).collect();
    for method in [Method::ReciproCam, Method::GradCam] {
        let mut explainer = Explainer::new(&model, &weights, method, SCENES).unwrap();
        let explained = explainer.run(&pixels, SCENES).unwrap();
        let (mut shown, mut right_answers, mut on_its_side) = (0, 0, 0);
        for (image, scene) in scenes.iter().enumerate() {
            for label in 0..LABELS {
                let logit = explained.logits[image * LABELS + label];
                right_answers += usize::from((logit > 0.0) == scene.right[label].is_some());
                let Some(right) = scene.right[label] else { continue };
                let map = normalise(explained.map(image, label));
                let columns = explained.width;
                let of_half = |half: bool| -> f32 {
                    let places = map.iter().enumerate();
                    places.filter(|(i, _)| (i % columns >= columns / 2) == half).map(|(_, v)| v).sum()
                };
                shown += 1;
                on_its_side += usize::from(of_half(right) > 2.0 * of_half(!right));
            }
        }
        println!("{method}: {right_answers} of {} answers, {on_its_side} of {shown} maps", SCENES * LABELS);
        assert!(right_answers * 100 >= 95 * SCENES * LABELS, "{method}: {right_answers} right answers");
        assert!(shown > 50 && on_its_side * 100 >= 95 * shown, "{method}: {on_its_side} of {shown}");
    }
}
