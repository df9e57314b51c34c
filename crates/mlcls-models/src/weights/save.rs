//! Writing safetensors files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use mlcls_engine::{Graph, Weights};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Writes weights as float32 under timm's names, with text metadata; the file appears whole or not at all.
///
/// The same weights and metadata give the same bytes. The format is safetensors 0.x: the header's length as u64, the
/// header as JSON padded to 8 bytes, then the tensors, all little-endian. (The safetensors crate's own writer keeps
/// metadata in a hash map, so its bytes differ from run to run.)
///
/// # Errors
/// [`Error::Io`]; a file that was there before is then untouched.
pub fn save_weights(
    path: &Path,
    graph: &Graph,
    weights: &Weights,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let header = header(graph, weights, metadata);
    write_atomic(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for (_, _, values) in weights.tensors(graph) {
            for value in values {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        Ok(())
    })
}

fn header(graph: &Graph, weights: &Weights, metadata: &BTreeMap<String, String>) -> String {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut start = 0;
    for (name, shape, values) in weights.tensors(graph) {
        let end = start + 4 * values.len();
        header.insert(name.to_owned(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
        start = end;
    }
    let mut text = Value::Object(header).to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    text
}

/// Writes a file so that at any moment, even after a power cut, `path` holds all of the old content or all of the new:
/// a temporary file in the same folder, fsync, rename, fsync of the folder.
///
/// # Errors
/// [`Error::Io`]; the temporary file is removed and what was at `path` is untouched.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let temporary = temporary_name(path);
    let result = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&temporary, path)?;
        // A rename is only lasting once its folder is; other systems than Unix cannot open a folder.
        if cfg!(unix) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    })();
    result.map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path)(source)
    })
}

fn temporary_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}
