//! ReciproCAM by its definition: one masked map per place, pooled, through the head.

use mlcls_engine::{Activation, InferPlan, Padding, Weights};
use mlcls_export::onnx::{Options, export};
use mlcls_export::saliency::{Explainer, Method, normalise};
use mlcls_models::{Head, Model};
use prost::Message;

use crate::interpreter;
use crate::nets::{CLASSES, Net, card, net, pixels, weights};
use crate::wire::{self, Tensor};

/// The head's logits for one pooled feature vector, from the tensors by name.
fn head(model: &Model, weights: &Weights, features: &[f64]) -> Vec<f64> {
    let tensor = |name: &str| -> Vec<f64> {
        let (.., values) = weights.tensors(&model.graph).find(|(n, ..)| *n == name).unwrap();
        values.iter().map(|&v| f64::from(v)).collect()
    };
    let dots = |rows: &[f64], x: &[f64]| -> Vec<f64> {
        rows.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    };
    let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut x = features.to_vec();
    if model.head == Head::NonLinear {
        let norm = |part: &str| tensor(&format!("head.bn.{part}"));
        let (scale, shift, mean, var) =
            (norm("weight"), norm("bias"), norm("running_mean"), norm("running_var"));
        let bias = tensor("head.hidden.bias");
        let slope = tensor("head.act.weight")[0];
        x = dots(&tensor("head.hidden.weight"), &x);
        for (i, v) in x.iter_mut().enumerate() {
            *v = (*v + bias[i] - mean[i]) / (var[i] + f64::from(1e-5f32)).sqrt() * scale[i] + shift[i];
            *v = if *v < 0.0 { slope * *v } else { *v };
        }
    }
    let rows = tensor("head.weight");
    match model.head {
        Head::Linear => dots(&rows, &x).iter().zip(tensor("head.bias")).map(|(a, b)| a + b).collect(),
        _ => {
            let lengths = rows.chunks_exact(x.len()).map(|row| length(row) * length(&x) / 7.0);
            dots(&rows, &x).iter().zip(lengths).map(|(dot, l)| dot / l).collect()
        }
    }
}

/// What the file's map holds for one image, before rounding.
fn by_definition(model: &Model, weights: &Weights, map: &[f64], places: usize) -> Vec<f64> {
    let normalise = |scores: &Vec<f64>| {
        let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scores.iter().map(|s| 255.0 * (s - low) / (high - low + 1e-12)).collect::<Vec<_>>()
    };
    scores_by_definition(model, weights, map, places).iter().flat_map(normalise).collect()
}

/// For each label, the score of one image with all but one place zero, for each place.
fn scores_by_definition(model: &Model, weights: &Weights, map: &[f64], places: usize) -> Vec<Vec<f64>> {
    let channels = map.len() / places;
    let mut scores = vec![vec![]; CLASSES];
    for place in 0..places {
        let mut masked = vec![0.0; map.len()];
        for c in 0..channels {
            masked[c * places + place] = map[c * places + place];
        }
        let pooled: Vec<f64> =
            masked.chunks_exact(places).map(|m| m.iter().sum::<f64>() / places as f64).collect();
        for (scores, logit) in scores.iter_mut().zip(head(model, weights, &pooled)) {
            scores.push(1.0 / (1.0 + (-logit).exp()));
        }
    }
    scores
}

#[test]
fn maps_are_those_of_the_definition_for_every_head() {
    for head in Head::ALL {
        let (padding, act, gate) = (Padding::Same, Activation::HardSwish, Activation::HardSigmoid);
        let model = net(Net { size: 15, padding, act, gate, head });
        let (weights, pixels) = (weights(&model), pixels(&model, 2));
        let options = Options { features: true, ..Options::default() };
        let bytes = export(&model, &weights, &card(CLASSES), &options).unwrap().encode_to_vec();
        let file = wire::Model::parse(&bytes);
        let input =
            Tensor { dims: vec![2, 3, 15, 15], values: pixels.iter().map(|&v| f64::from(v)).collect() };
        let values = interpreter::run(&file, input);
        let pool = file.nodes.iter().rfind(|node| node.op == "GlobalAveragePool").unwrap();
        let map = &values[&pool.inputs[0]];
        let found = &values["saliency_map"];
        // 15 pixels, two strides: 4 x 4 places.
        assert_eq!((&map.dims, &found.dims), (&vec![2, 9, 4, 4], &vec![2, CLASSES, 4, 4]));
        let image = map.values.len() / 2;
        let expected: Vec<f64> =
            map.values.chunks_exact(image).flat_map(|map| by_definition(&model, &weights, map, 16)).collect();
        for (i, (&found, expected)) in found.values.iter().zip(expected).enumerate() {
            // Rounded down; weights folded in float32 may carry a value over the edge.
            let off = expected - found;
            assert!((-0.01..1.01).contains(&off), "{head}, element {i}: {found}, expected {expected}");
        }
        let has_maximum = |map: &[f64]| map.iter().any(|&v| v >= 254.0) && map.contains(&0.0);
        assert!(found.values.chunks_exact(16).all(has_maximum), "{head}");
    }
}

/// Raw maps of a method by its definition, `[n, classes or 1, places]`, and the map that they are made of.
fn explained(model: &Model, weights: &Weights, method: Method) -> (Vec<Vec<f32>>, Vec<f64>) {
    let pixels = pixels(model, 2);
    let graph = &model.graph;
    let mut explainer = Explainer::new(model, weights, method, 2).unwrap();
    let explained = explainer.run(&pixels, 2).unwrap();
    let mut plan = InferPlan::with_feature_map(graph, weights, 2).unwrap();
    assert_eq!(explained.logits, plan.run(&pixels, 2).unwrap());
    assert_eq!((explained.height, explained.width), (4, 4));
    let maps = (0..2 * CLASSES).map(|i| explained.map(i / CLASSES, i % CLASSES).to_vec()).collect();
    // [places, c] to [c, places] per image, as the definitions above have it.
    let map = plan.feature_map().unwrap();
    let channels = map.len() / 2 / 16;
    let at = |i: usize| {
        let (image, channel, place) = (i / (16 * channels), i / 16 % channels, i % 16);
        f64::from(map[(image * 16 + place) * channels + channel])
    };
    (maps, (0..map.len()).map(at).collect())
}

fn small(head: Head) -> (Model, Weights) {
    let (padding, act, gate) = (Padding::Same, Activation::HardSwish, Activation::HardSigmoid);
    let model = net(Net { size: 15, padding, act, gate, head });
    let weights = weights(&model);
    (model, weights)
}

#[test]
fn the_explainer_gives_the_maps_of_the_definition() {
    for head_kind in Head::ALL {
        let (model, weights) = small(head_kind);
        let (maps, features) = explained(&model, &weights, Method::ReciproCam);
        let image = features.len() / 2;
        let expected =
            features.chunks_exact(image).flat_map(|map| scores_by_definition(&model, &weights, map, 16));
        for (map, expected) in maps.iter().zip(expected) {
            for (found, expected) in map.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{head_kind}: {found}, {expected}");
            }
        }

        let (maps, features) = explained(&model, &weights, Method::ActivationMap);
        for (i, map) in maps.iter().enumerate() {
            let of_image = &features[i / CLASSES * image..][..image];
            for (place, found) in map.iter().enumerate() {
                let values = of_image[place..].iter().step_by(16);
                let expected = values.clone().sum::<f64>() / values.len() as f64;
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{head_kind}: {found}, {expected}");
            }
        }
    }
}

/// The derivative by finite differences in double precision.
#[test]
fn grad_cam_weighs_channels_with_the_derivative_of_the_logit() {
    for head_kind in Head::ALL {
        let (model, weights) = small(head_kind);
        let (maps, features) = explained(&model, &weights, Method::GradCam);
        let image = features.len() / 2;
        let mut positive = 0;
        for (n, map) in features.chunks_exact(image).enumerate() {
            let pooled: Vec<f64> = map.chunks_exact(16).map(|m| m.iter().sum::<f64>() / 16.0).collect();
            let step = 1e-5;
            let derivative = |channel: usize, label: usize| {
                let moved = |by: f64| {
                    let mut x = pooled.clone();
                    x[channel] += by;
                    head(&model, &weights, &x)[label]
                };
                // Of the logit by each place of the channel, which pools to a sixteenth of it.
                (moved(step) - moved(-step)) / (2.0 * step) / 16.0
            };
            for label in 0..CLASSES {
                let alphas: Vec<f64> = (0..pooled.len()).map(|channel| derivative(channel, label)).collect();
                for (place, found) in maps[n * CLASSES + label].iter().enumerate() {
                    let terms = alphas.iter().enumerate().map(|(c, a)| a * map[c * 16 + place]);
                    let expected = terms.sum::<f64>().max(0.0);
                    positive += usize::from(expected > 0.0);
                    assert!((f64::from(*found) - expected).abs() < 1e-5, "{head_kind}: {found}, {expected}");
                }
            }
        }
        assert!(positive > 20, "{head_kind}: {positive} places speak for a label");
    }
}

#[test]
fn a_map_that_is_the_same_everywhere_is_dark() {
    assert_eq!(normalise(&[0.3; 4]), [0.0; 4]);
    assert_eq!(normalise(&[1.0, 3.0, 2.0]), [0.0, 1.0, 0.5]);
}
