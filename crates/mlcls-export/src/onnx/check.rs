//! Running what was written in an engine that is not ours: [tract](https://github.com/sonos/tract).

use std::path::Path;

use mlcls_engine::{InferPlan, Weights};
use mlcls_models::Model;
use tract_onnx::prelude::*;

use super::{Card, InputFormat, Options, Output};
use crate::error::{Error, Result, check_weights};
use crate::saliency::{Explained, Explainer, Method, normalise};

/// The greatest difference that single precision explains: in logits, in probabilities, and in features by the greatest of them.
pub const TOLERANCE: f32 = 1e-4;

/// The same in saliency maps, which go from 0 to 255 and are rounded down.
const MAP_TOLERANCE: f32 = 1.0;

/// Maps of labels whose score hardly differs between places are rounding errors, stretched to 255: not compared.
const FLAT: f32 = 1e-3;

/// An output of a file beside our own numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// The greatest difference over all images; `None` where there is nothing to compare it with, as for maps without a
    /// place that stands out: it was computed, no more.
    pub difference: Option<f32>,
    /// The greatest difference that is no fault.
    pub tolerance: f32,
}

impl Compared {
    /// Whether it is ours; an output that is not compared cannot fail. NaN fails.
    pub fn is_good(&self) -> bool {
        self.difference.is_none_or(|difference| difference <= self.tolerance)
    }
}

/// Runs a file that [`save`](super::save) has written on images, one by one, and compares its outputs with the engine's own.
/// `pixels` are uint8 `[n, h, w, 3]`, RGB, of the model's size; card and options are those of [`export`](super::export).
///
/// # Errors
/// [`Error::Runtime`] where tract cannot read or run the file, which says nothing about the file: tract does not know every operator. Weights
/// of another model.
pub fn check(
    path: &Path,
    model: &Model,
    weights: &Weights,
    card: &Card,
    options: &Options,
    pixels: &[u8],
) -> Result<Vec<Compared>> {
    check_weights(model, weights)?;
    let fail = |e: TractError| Error::Runtime { path: path.to_owned(), reason: format!("{e:#}") };
    let size = model.size();
    let mut ours = InferPlan::new(&model.graph, weights, 1)?;
    let runnable = runnable(path, options.input, size).map_err(fail)?;
    let names: Vec<String> = {
        let graph = runnable.model();
        graph.outputs.iter().map(|&o| graph.outlet_label(o).unwrap_or_default().to_owned()).collect()
    };
    let tolerance = |name: &str| if name == "saliency_map" { MAP_TOLERANCE } else { TOLERANCE };
    let compared = |name: String| Compared { tolerance: tolerance(&name), name, difference: None };
    let mut all: Vec<Compared> = names.into_iter().map(compared).collect();
    let mut explainer =
        options.features.then(|| Explainer::new(model, weights, Method::ReciproCam, 1)).transpose()?;
    for image in pixels.chunks_exact(size * size * 3) {
        let logits = calibrated(ours.run(image, 1)?, card);
        let image_in = input(image, options.input, size).map_err(fail)?;
        let outputs = runnable.run(tvec!(image_in.into())).map_err(fail)?;
        for (compared, output) in all.iter_mut().zip(&outputs) {
            let mut found: Vec<f32> =
                output.cast_to::<f32>().and_then(|v| Ok(v.as_slice::<f32>()?.to_vec())).map_err(fail)?;
            let mut expected = match (compared.name.as_str(), options.output, &mut explainer) {
                ("logits", Output::Logits, _) => logits.clone(),
                ("probabilities", Output::Probabilities, _) => {
                    logits.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect()
                }
                ("feature_vector", ..) => ours.features().unwrap_or_default().to_vec(),
                ("saliency_map", _, Some(explainer)) => maps(&explainer.run(image, 1)?, model.classes()),
                _ => continue,
            };
            if found.len() != expected.len() {
                let reason =
                    format!("{} has {} values, expected {}", compared.name, found.len(), expected.len());
                return Err(Error::Runtime { path: path.to_owned(), reason });
            }
            if compared.name == "feature_vector" {
                let most = greatest(expected.iter().copied()).max(f32::MIN_POSITIVE);
                [&mut found, &mut expected].into_iter().flatten().for_each(|v| *v /= most);
            }
            // A flat map is infinite, see `maps`.
            let pairs = found.iter().zip(&expected).filter(|(_, expected)| !expected.is_infinite());
            let differences: Vec<f32> = pairs.map(|(found, expected)| found - expected).collect();
            if !differences.is_empty() {
                let before = compared.difference.unwrap_or(0.0);
                compared.difference = Some(greatest(differences.into_iter().chain([before])));
            }
        }
    }
    Ok(all)
}

/// Maps `[classes, h, w]` as a file gives them; those of flat labels are infinite everywhere.
fn maps(explained: &Explained, classes: usize) -> Vec<f32> {
    let map = |label| {
        let raw = explained.map(0, label);
        let low = raw.iter().copied().fold(f32::INFINITY, f32::min);
        let flat = raw.iter().all(|v| v - low < FLAT);
        normalise(raw).into_iter().map(move |v| if flat { f32::INFINITY } else { (255.0 * v).floor() })
    };
    (0..classes).flat_map(map).collect()
}

/// The file, made ready for one image.
fn runnable(path: &Path, format: InputFormat, size: usize) -> TractResult<TypedRunnableModel<TypedModel>> {
    let (element, shape) = match format {
        InputFormat::FloatNchw => (f32::datum_type(), [1, 3, size, size]),
        InputFormat::ByteNchw => (u8::datum_type(), [1, 3, size, size]),
        InputFormat::ByteNhwc => (u8::datum_type(), [1, size, size, 3]),
    };
    tract_onnx::onnx()
        .model_for_path(path)?
        .with_input_fact(0, InferenceFact::dt_shape(element, shape))?
        .into_optimized()?
        .into_runnable()
}

/// An image as the file wants it.
fn input(image: &[u8], format: InputFormat, size: usize) -> TractResult<Tensor> {
    let channel = |c: usize| image.iter().skip(c).step_by(3).copied();
    let planes = || (0..3).flat_map(channel);
    match format {
        InputFormat::FloatNchw => {
            Tensor::from_shape(&[1, 3, size, size], &planes().map(f32::from).collect::<Vec<_>>())
        }
        InputFormat::ByteNchw => Tensor::from_shape(&[1, 3, size, size], &planes().collect::<Vec<_>>()),
        InputFormat::ByteNhwc => Tensor::from_shape(&[1, size, size, 3], image),
    }
}

/// Logits as the file gives them.
fn calibrated(logits: &[f32], card: &Card) -> Vec<f32> {
    match &card.calibration {
        None => logits.to_vec(),
        Some(lines) => logits.iter().zip(lines).map(|(z, [slope, offset])| slope * z + offset).collect(),
    }
}

/// The greatest magnitude; NaN where there is one.
fn greatest(values: impl Iterator<Item = f32>) -> f32 {
    values.map(f32::abs).fold(0.0, |a, b| if b.is_nan() || b > a { b } else { a })
}
