//! A model's exported files and the engine's own numbers for them, for `onnx_parity.py` and `timm_backbone.py` of
//! `xtask/reference`.
//!
//!     cargo run -p mlcls-export --example onnx_reference -- efficientnet_b0 cosine 224 OUT
//!
//! Weights are random; a few passes in training mode give the running statistics values that belong to them. Writes to OUT:
//! `float.onnx` (float NCHW to logits, features, saliency), `nchw.onnx` and `nhwc.onnx` (uint8 to probabilities),
//! `int8.onnx` and `int8_ort.onnx` (float NCHW to logits, quantised for OpenVINO and onnxruntime), `weights.safetensors` by timm's names, `backbone.safetensors` for timm, with `backbone.py` (two expressions: the model, its
//! features), and `reference.safetensors` with `pixels` `[7, h, w, 3]`, `logits`, `features`, and what the int8
//! files give by simulation, `int8` and `int8_ort`.

use std::collections::BTreeMap;
use std::path::Path;

use mlcls_engine::{InferPlan, ParamKind, TrainPlan, Weights};
use mlcls_export::int8::{Quantiser, RangeMethod, Runtime};
use mlcls_export::onnx::{Card, InputFormat, Options, Output, export, save};
use mlcls_export::timm;
use mlcls_models::{ModelOptions, NamedTensor, build, save_weights, write_tensors};

const CLASSES: usize = 5;
const IMAGES: usize = 7;
/// After so many passes at a momentum of 0.1 the start has a weight of 1 % in the running statistics.
const PASSES: usize = 44;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, head, size, out] = &args[..] else { return Err("MODEL HEAD SIZE OUT".into()) };
    let (size, out): (usize, _) = (size.parse()?, Path::new(out));
    std::fs::create_dir_all(out)?;
    let options = ModelOptions { classes: CLASSES, size, head: Some(head.parse()?), ..Default::default() };
    let model = build(name, &options)?;
    let graph = &model.graph;

    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let pixels: Vec<u8> = (0..IMAGES * size * size * 3).map(|_| random()).collect();
    let mut weights = Weights::init(graph, 1);
    for spec in graph.params() {
        for v in &mut weights.params[spec.range()] {
            let noise = f32::from(random()) / 512.0 - 0.25;
            match spec.kind {
                ParamKind::NormWeight => *v += noise,
                ParamKind::NormBias | ParamKind::Bias => *v = noise,
                ParamKind::Weight | ParamKind::Slope => {}
            }
        }
    }
    // Transformers have neither running statistics nor eight bits.
    let convolutional = Quantiser::check(&model).is_ok();
    if convolutional {
        let mut training = TrainPlan::new(graph, IMAGES)?;
        for pass in 0..PASSES {
            training.forward(&weights.params, &mut weights.buffers, &pixels, IMAGES, pass as u64)?;
        }
    }

    let card = Card {
        labels: ["cat", "traffic light", "dog", "bus", "tree"].map(str::to_owned).into(),
        threshold: 0.5,
        thresholds: None,
        calibration: None,
        resize: "bilinear".to_owned(),
        checkpoint: None,
    };
    for (file, input, output) in [
        ("float.onnx", InputFormat::FloatNchw, Output::Logits),
        ("nchw.onnx", InputFormat::ByteNchw, Output::Probabilities),
        ("nhwc.onnx", InputFormat::ByteNhwc, Output::Probabilities),
    ] {
        let options = Options { input, output, features: output == Output::Logits };
        save(&out.join(file), &export(&model, &weights, &card, &options)?)?;
    }
    let mut simulated = vec![];
    let runtimes = [("int8", Runtime::OpenVino), ("int8_ort", Runtime::OnnxRuntime)];
    for (name, runtime) in runtimes.into_iter().filter(|_| convolutional) {
        let quantiser = Quantiser::new(&model, &weights, &pixels, runtime)?;
        let (grids, float) = (quantiser.grids(RangeMethod::Mse), vec![false; quantiser.layers().len()]);
        simulated.push((name, quantiser.simulator(&grids, &float)?.run(&pixels)?));
        let mut model_proto = export(&model, &weights, &card, &Options::default())?;
        quantiser.rewrite(&mut model_proto, &grids, &float)?;
        save(&out.join(format!("{name}.onnx")), &model_proto)?;
    }
    save_weights(&out.join("weights.safetensors"), graph, &weights, &BTreeMap::new())?;
    let saved = timm::save(&out.join("backbone.safetensors"), &model, &weights, "bilinear", None)?;
    std::fs::write(out.join("backbone.py"), format!("{}\n{}\n", saved.create, timm::features(&model)))?;
    let mut plan = InferPlan::new(graph, &weights, IMAGES)?;
    let logits = plan.run(&pixels, IMAGES)?.to_vec();
    let features = plan.features().ok_or("the model has no features")?;
    let values: Vec<f32> = pixels.iter().map(|&v| v.into()).collect();
    let image_shape = [IMAGES, size, size, 3];
    let mut tensors: Vec<NamedTensor<'_>> =
        vec![("pixels", &image_shape, &values), ("logits", &[IMAGES, CLASSES], &logits)];
    let shape = [IMAGES, model.feature_width()];
    tensors.push(("features", &shape, features));
    tensors.extend(simulated.iter().map(|(name, logits)| (*name, &[IMAGES, CLASSES][..], &logits[..])));
    Ok(write_tensors(&out.join("reference.safetensors"), &tensors, &BTreeMap::new())?)
}
