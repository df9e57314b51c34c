//! Post-training quantisation: an ONNX file that runtimes compute in eight bits.
//!
//! Weights become int8, symmetric, with a scale per output channel; activations uint8, over a range that is found on calibration images
//! ([`RangeMethod`]). The file says so with pairs of `QuantizeLinear` and `DequantizeLinear`, from which onnxruntime and OpenVINO make
//! int8 kernels; every other runtime computes the same numbers in float. [`Runtime`] says what is rounded. In float stay the classifier,
//! and layers that [`search`] finds to hurt.
//!
//! [`Quantiser::simulator`] computes what the file computes, so that a choice is measured before it is written.

mod executor;
mod grid;
mod layers;
mod range;
mod search;

use std::collections::BTreeMap;
use std::fmt;

use mlcls_engine::{Op, Weights};
use mlcls_models::Model;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::onnx::proto::{GraphProto, ModelProto, StringStringEntryProto};
use crate::onnx::{Card, Options, export};
use executor::Executor;
pub use grid::Grid;
pub use layers::{Grids, Layer, Runtime};
pub use range::{Histogram, RangeMethod};
pub use search::{Kept, search};

/// A model with the ranges of its activations.
///
/// ```
/// use mlcls_engine::Weights;
/// use mlcls_export::int8::{Quantiser, RangeMethod, Runtime};
/// use mlcls_export::onnx::{self, Card, Options};
/// use mlcls_models::{ModelOptions, build};
///
/// let model = build("efficientnet_lite0", &ModelOptions { classes: 2, size: 32, ..Default::default() })?;
/// let weights = Weights::init(&model.graph, 7);
/// # let labels = vec!["cat".to_owned(), "dog".to_owned()];
/// # let card = Card { labels, threshold: 0.5, thresholds: None, calibration: None, resize: "bilinear".to_owned(), checkpoint: None };
/// let images: Vec<u8> = (0..4 * 32 * 32 * 3).map(|i| (i * 31 % 251) as u8).collect(); // four images of the training set
/// let quantiser = Quantiser::new(&model, &weights, &images, Runtime::OpenVino)?;
/// let grids = quantiser.grids(RangeMethod::Mse);
/// let float = vec![false; quantiser.layers().len()]; // every layer in int8
/// let logits = quantiser.simulator(&grids, &float)?.run(&images)?;
/// assert_eq!(logits.len(), 4 * 2);
///
/// let mut file = onnx::export(&model, &weights, &card, &Options::default())?;
/// quantiser.rewrite(&mut file, &grids, &float)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Quantiser {
    file: ModelProto,
    layers: Vec<Layer>,
    histograms: BTreeMap<String, Histogram>,
}

impl fmt::Debug for Quantiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quantiser").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl Quantiser {
    /// Runs the model on calibration images, uint8 `[n, h, w, 3]` of the model's size, and keeps what values its
    /// activations take. A few hundred images of the training set are enough.
    ///
    /// # Errors
    /// Weights of another model, or one that [`check`](Self::check) refuses; no image; an activation that is not finite.
    pub fn new(model: &Model, weights: &Weights, images: &[u8], runtime: Runtime) -> Result<Self> {
        Self::check(model)?;
        let labels = vec![String::new(); model.classes()];
        let card = Card {
            labels,
            threshold: 0.5,
            thresholds: None,
            calibration: None,
            resize: String::new(),
            checkpoint: None,
        };
        let file = export(model, weights, &card, &Options::default())?;
        let graph = &model.graph;
        let layers = layers::layers(graph_of(&file), &graph.node(graph.output()).name, runtime);
        let histograms = histograms(&Executor::new(&file)?, &layers, images, graph.input_shape().len())?;
        Ok(Self { file, layers, histograms })
    }

    /// Whether there are eight bits for a model.
    ///
    /// # Errors
    /// The part of it that is no convolutional network.
    pub fn check(model: &Model) -> Result<()> {
        match model.graph.nodes().iter().find(|node| matches!(node.op, Op::Candle(_))) {
            Some(node) => {
                Err(Error::node(node, "eight bits are for convolutional networks, and this is a transformer"))
            }
            None => Ok(()),
        }
    }

    /// What can be quantised, in the order of the graph.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The grid of each activation.
    pub fn grids(&self, method: RangeMethod) -> Grids {
        self.histograms.iter().map(|(name, histogram)| (name.clone(), histogram.grid(method))).collect()
    }

    /// The model as it computes with these grids; `float` says for each layer whether it stays in float.
    pub fn simulator(&self, grids: &Grids, float: &[bool]) -> Result<Simulator> {
        let mut file = self.file.clone();
        self.rewrite(&mut file, grids, float)?;
        Ok(Simulator(Executor::new(&file)?))
    }

    /// Quantises a file of this model, whatever its [`Options`]; an entry `mlcls_int8` says how.
    ///
    /// # Errors
    /// It is a file of another model.
    pub fn rewrite(&self, file: &mut ModelProto, grids: &Grids, float: &[bool]) -> Result<()> {
        let chosen = self.layers.iter().zip(float).filter(|(_, float)| !**float).map(|(layer, _)| layer);
        layers::rewrite(file.graph.get_or_insert_default(), chosen, grids)?;
        let float = self.layers.iter().zip(float).filter(|(_, float)| **float).map(|(layer, _)| &layer.name);
        let value = serde_json::json!({
            "weights": "int8, symmetric, per channel",
            "activations": "uint8",
            "float": float.collect::<Vec<_>>(),
        });
        file.metadata_props
            .push(StringStringEntryProto { key: "mlcls_int8".to_owned(), value: value.to_string() });
        Ok(())
    }

    /// For each layer the mean squared change of the logits on some images when it alone is quantised.
    pub fn sensitivities(&self, grids: &Grids, images: &[u8]) -> Result<Vec<f64>> {
        let logits = Executor::new(&self.file)?.run(images)?;
        let alone = |layer: usize| {
            let float: Vec<bool> = (0..self.layers.len()).map(|other| other != layer).collect();
            let changed = self.simulator(grids, &float)?.run(images)?;
            let squares = changed.iter().zip(&logits).map(|(a, b)| f64::from(a - b).powi(2));
            Ok(squares.sum::<f64>() / logits.len() as f64)
        };
        (0..self.layers.len()).map(alone).collect()
    }
}

/// A quantised model in float arithmetic: what its file computes, up to the rounding of sums.
#[derive(Debug)]
pub struct Simulator(Executor);

impl Simulator {
    /// Logits `[n, classes]` of uint8 images `[n, h, w, 3]`, without score calibration.
    pub fn run(&self, images: &[u8]) -> Result<Vec<f32>> {
        self.0.run(images)
    }
}

fn graph_of(file: &ModelProto) -> &GraphProto {
    file.graph.as_ref().unwrap_or_else(|| unreachable!("`export` writes a graph"))
}

/// The values that the layers read, on all images.
fn histograms(
    executor: &Executor,
    layers: &[Layer],
    images: &[u8],
    image_len: usize,
) -> Result<BTreeMap<String, Histogram>> {
    let names: BTreeMap<&str, usize> = {
        let mut names: Vec<&str> = layers.iter().flat_map(|layer| &layer.reads).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().enumerate().map(|(i, name)| (name, i)).collect()
    };
    if images.len() < image_len {
        return Err(Error::operation("calibration", "there is no image to take ranges from"));
    }
    // Over all images, on all cores: `start` for each activation, then `add` of each image's values, then `merge`.
    fn over<T: Clone + Send + Sync>(
        (executor, names, images, image_len): (&Executor, &BTreeMap<&str, usize>, &[u8], usize),
        start: &[T],
        add: impl Fn(&mut T, &[f32]) + Sync,
        merge: impl Fn(&mut T, &T) + Sync,
    ) -> Result<Vec<T>> {
        let images = images.par_chunks_exact(image_len);
        let parts = images.try_fold(
            || start.to_vec(),
            |mut all, image| {
                executor.watch(image, |name, map| {
                    if let Some(&i) = names.get(name) {
                        add(&mut all[i], &map.values);
                    }
                })?;
                Ok(all)
            },
        );
        let merged = |mut a: Vec<T>, b: Vec<T>| {
            a.iter_mut().zip(&b).for_each(|(a, b)| merge(a, b));
            Ok(a)
        };
        parts.try_reduce(|| start.to_vec(), merged)
    }
    let what = (executor, &names, images, image_len);
    let widen = |range: &mut [f32; 2], v: f32| {
        // NaN must not get lost.
        if v.is_nan() || v < range[0] {
            range[0] = v;
        }
        if v.is_nan() || v > range[1] {
            range[1] = v;
        }
    };
    let ranges = over(
        what,
        &vec![[0.0f32; 2]; names.len()],
        |range, values| values.iter().for_each(|&v| widen(range, v)),
        |a, b| b.iter().for_each(|&v| widen(a, v)),
    )?;
    for (name, &i) in &names {
        if !ranges[i].iter().all(|v| v.is_finite()) {
            return Err(Error::operation(name, "its values are not finite on the calibration images"));
        }
    }
    let empty: Vec<Histogram> = ranges.iter().map(|[low, high]| Histogram::new(*low, *high)).collect();
    let counted = over(what, &empty, Histogram::add, Histogram::merge)?;
    Ok(names.into_keys().map(str::to_owned).zip(counted).collect())
}
