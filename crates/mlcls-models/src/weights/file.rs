//! Reading safetensors files by timm's tensor names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use mlcls_engine::{Graph, Weights};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Mismatch, Result, nearest_of};
use crate::model::Model;

/// A safetensors file in memory, checked to be whole.
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
pub struct WeightFile {
    path: PathBuf,
    bytes: Vec<u8>,
    metadata: BTreeMap<String, String>,
}

impl std::fmt::Debug for WeightFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightFile").field("path", &self.path).field("bytes", &self.bytes.len()).finish()
    }
}

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
    /// [`Error::Io`], or [`Error::Format`] where the file is truncated, has bytes too many or is something else.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let format = |e: safetensors::SafeTensorError| Error::Format {
            path: path.to_owned(),
            reason: format!("{e} ({} bytes)", bytes.len()),
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        SafeTensors::deserialize(&bytes).map_err(format)?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path: path.to_owned(), bytes, metadata })
    }

    /// The file's text metadata, by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
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
        let file = SafeTensors::deserialize(&self.bytes)
            .map_err(|e| Error::Format { path: self.path.clone(), reason: e.to_string() })?;
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
            if let Err(reason) = copy(&tensor, shape, out) {
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
            return Err(Error::Mismatch { path: self.path.clone(), model, mismatch: Box::new(mismatch) });
        }
        *weights = result;
        Ok(LoadReport { loaded: names.len(), skipped })
    }
}

/// Whether a tensor belongs to one of our heads.
pub(crate) fn is_head(name: &str) -> bool {
    name.starts_with("head.")
}

fn copy(tensor: &TensorView<'_>, shape: &[usize], out: &mut [f32]) -> std::result::Result<(), String> {
    if tensor.shape() != shape {
        return Err(format!("expected shape {shape:?}, found {:?}", tensor.shape()));
    }
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => convert(data, out, f32::from_le_bytes),
        Dtype::F16 => convert(data, out, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => convert(data, out, |b| bf16::from_le_bytes(b).to_f32()),
        other => return Err(format!("expected f32, f16 or bf16, found {other:?}")),
    }
    match out.iter().filter(|v| !v.is_finite()).count() {
        0 => Ok(()),
        n => Err(format!("{n} of {} values are NaN or infinite", out.len())),
    }
}

fn convert<const N: usize>(data: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    let (values, _) = data.as_chunks::<N>();
    for (out, bytes) in out.iter_mut().zip(values) {
        *out = decode(*bytes);
    }
}
