//! Reading safetensors files by timm's tensor names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mlcls_engine::{Graph, Weights};

use super::tensors::{TensorFile, copy};
use crate::error::{Error, Mismatch, Result, nearest_of};
use crate::model::Model;

/// A file of weights in memory, checked to be whole.
///
/// Tensors are float32, float16 or bfloat16, in timm's layouts and under timm's names.
///
/// ```
/// use mlcls_engine::Weights;
/// use mlcls_models::{ModelOptions, WeightFile, build, save_weights};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("w.safetensors");
/// let model = build("efficientnet_lite0", &ModelOptions { size: 32, ..Default::default() })?;
/// let weights = Weights::init(&model.graph, 0);
/// save_weights(&path, &model.graph, &weights, &[("model".to_owned(), model.name.to_owned())].into())?;
///
/// let file = WeightFile::open(&path)?;
/// assert_eq!(file.metadata()["model"], "tf_efficientnet_lite0");
/// assert_eq!(file.weights(&model.graph)?, weights);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WeightFile(TensorFile);

/// What [`WeightFile::backbone`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// Number of tensors that were loaded.
    pub loaded: usize,
    /// Tensors of the file's own classifier, which are not used.
    pub skipped: Vec<String>,
}

impl WeightFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Those of [`TensorFile::open`].
    pub fn open(path: &Path) -> Result<Self> {
        TensorFile::open(path).map(Self)
    }

    /// The file's text metadata, by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.0.metadata()
    }

    /// All weights of a graph.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with every tensor that is missing, not in the graph, or of another shape or type.
    pub fn weights(&self, graph: &Graph) -> Result<Weights> {
        let mut weights =
            Weights { params: vec![0.0; graph.param_len()], buffers: vec![0.0; graph.buffer_len()] };
        self.fill(graph, &mut weights, |_| true, |_| false)?;
        Ok(weights)
    }

    /// The backbone's weights only; the head stays as it is.
    ///
    /// The file's own classifier (`classifier.*`, timm's `conv_head.*` of MobileNetV3, or `head.*` of one of our
    /// checkpoints) may be there or not.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with every other tensor that is missing, not in the backbone, or of another shape or type;
    /// `weights` is then unchanged.
    pub fn backbone(&self, model: &Model, weights: &mut Weights) -> Result<LoadReport> {
        let graph = &model.graph;
        let own_conv_head = graph.params().iter().any(|p| p.name.starts_with("conv_head."));
        let classifier = |name: &str| {
            name.starts_with("classifier.")
                || is_head(name)
                || (name.starts_with("conv_head.") && !own_conv_head)
        };
        self.fill(graph, weights, |name| !is_head(name), classifier)
    }

    /// Copies the tensors that `wanted` names; others must be covered by `skip`.
    fn fill(
        &self,
        graph: &Graph,
        weights: &mut Weights,
        wanted: impl Fn(&str) -> bool,
        skip: impl Fn(&str) -> bool,
    ) -> Result<LoadReport> {
        let file = self.0.parse()?;
        let mut result = weights.clone();
        let mut mismatch = Mismatch::default();
        let mut names = BTreeSet::new();

        let shapes: Vec<(String, Vec<usize>)> = weights
            .tensors(graph)
            .filter(|(name, ..)| wanted(name))
            .map(|(name, shape, _)| (name.to_owned(), shape.to_vec()))
            .collect();
        for (name, shape) in &shapes {
            names.insert(name.as_str());
            let Ok(tensor) = file.tensor(name) else {
                mismatch.missing.push(name.clone());
                continue;
            };
            let Some((_, out)) = result.tensor_mut(graph, name) else { continue };
            let copied = if tensor.shape() == shape {
                copy(&tensor, out).and_then(|()| all_finite(out))
            } else {
                Err(format!("expected shape {shape:?}, found {:?}", tensor.shape()))
            };
            if let Err(reason) = copied {
                mismatch.wrong.push(format!("{name}: {reason}"));
            }
        }

        let mut skipped = vec![];
        let missing: Vec<&str> = mismatch.missing.iter().map(String::as_str).collect();
        let mut found = file.names();
        found.sort_unstable();
        for name in found {
            if names.contains(name) || name.ends_with(".num_batches_tracked") {
                continue;
            }
            if skip(name) {
                skipped.push(name.to_owned());
            } else {
                mismatch.unexpected.push(match nearest_of(name, &missing) {
                    Some(near) => format!("{name} (did you mean `{near}`?)"),
                    None => name.to_owned(),
                });
            }
        }
        if !mismatch.is_empty() {
            let model = graph.name().to_owned();
            return Err(Error::Mismatch {
                path: self.0.path().to_owned(),
                model,
                mismatch: Box::new(mismatch),
            });
        }
        *weights = result;
        Ok(LoadReport { loaded: names.len(), skipped })
    }
}

/// Whether a tensor of this name belongs to one of our heads; all others are the backbone's.
pub fn is_head(name: &str) -> bool {
    name.starts_with("head.")
}

fn all_finite(values: &[f32]) -> std::result::Result<(), String> {
    match values.iter().filter(|v| !v.is_finite()).count() {
        0 => Ok(()),
        n => Err(format!("{n} of {} values are NaN or infinite", values.len())),
    }
}
