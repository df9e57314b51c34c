//! Running what was written in an engine that is not ours: [tract](https://github.com/sonos/tract).

use std::path::Path;

use mlcls_engine::{InferPlan, Weights};
use mlcls_models::Model;
use tract_onnx::prelude::*;

use super::{Card, InputFormat, Options, Output};
use crate::error::{Error, Result, check_weights};

/// The greatest difference that single precision explains: in logits, in probabilities, and in features by the greatest of them.
pub const TOLERANCE: f32 = 1e-4;

/// An output of a file beside our own numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// The greatest difference over all images; `None` where there is nothing to compare it with: it was computed, no more.
    pub difference: Option<f32>,
}

impl Compared {
    /// Whether it is ours to [`TOLERANCE`]; an output that is not compared cannot fail. NaN fails.
    pub fn is_good(&self) -> bool {
        self.difference.is_none_or(|difference| difference <= TOLERANCE)
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
    let (size, channels) = (model.size(), 3);
    let mut ours = InferPlan::new(&model.graph, weights, 1)?;
    let runnable = runnable(path, options.input, size).map_err(fail)?;
    let names: Vec<String> = {
        let graph = runnable.model();
        graph.outputs.iter().map(|&o| graph.outlet_label(o).unwrap_or_default().to_owned()).collect()
    };
    let mut all: Vec<Compared> = names.into_iter().map(|name| Compared { name, difference: None }).collect();
    for image in pixels.chunks_exact(size * size * channels) {
        let logits = calibrated(ours.run(image, 1)?, card);
        let outputs =
            runnable.run(tvec!(input(image, options.input, size).map_err(fail)?.into())).map_err(fail)?;
        for (compared, output) in all.iter_mut().zip(&outputs) {
            let expected = match (compared.name.as_str(), options.output) {
                ("logits", Output::Logits) => logits.clone(),
                ("probabilities", Output::Probabilities) => {
                    logits.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect()
                }
                ("feature_vector", _) => ours.features().unwrap_or_default().to_vec(),
                _ => continue,
            };
            let found = output.as_slice::<f32>().map_err(fail)?;
            if found.len() != expected.len() {
                let reason =
                    format!("{} has {} values, expected {}", compared.name, found.len(), expected.len());
                return Err(Error::Runtime { path: path.to_owned(), reason });
            }
            let mut difference = greatest(found.iter().zip(&expected).map(|(a, b)| a - b));
            if compared.name == "feature_vector" {
                difference /= greatest(expected.into_iter()).max(f32::MIN_POSITIVE);
            }
            let before = compared.difference.unwrap_or(0.0);
            compared.difference = Some(greatest([before, difference].into_iter()));
        }
    }
    Ok(all)
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
