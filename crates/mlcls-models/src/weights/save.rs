//! Writing a graph's weights.

use std::collections::BTreeMap;
use std::path::Path;

use mlcls_engine::{Graph, Weights};

use super::tensors::write_tensors;
use crate::error::Result;

/// Writes weights as float32 under timm's names with [`write_tensors`].
///
/// # Errors
/// [`Error::Io`](crate::Error::Io); a file that was there before is then untouched.
pub fn save_weights(
    path: &Path,
    graph: &Graph,
    weights: &Weights,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    write_tensors(path, &weights.tensors(graph).collect::<Vec<_>>(), metadata)
}
