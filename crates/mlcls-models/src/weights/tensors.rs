//! Files of named float32 tensors: safetensors with a hash of the content, written as one change.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use super::atomic::write_atomic;
use crate::error::{Error, Result};

/// Metadata key of the content's hash: BLAKE3 of all bytes after the header, in hexadecimal.
const HASH: &str = "blake3";

/// A tensor to be written: name, shape and row-major values.
pub type NamedTensor<'a> = (&'a str, &'a [usize], &'a [f32]);

/// Writes tensors as float32 with text metadata; the file appears whole or not at all.
///
/// The same tensors and metadata give the same bytes. The format is safetensors 0.x: the header's length as u64, the
/// header as JSON padded to 8 bytes, then the tensors in the order given, all little-endian. The metadata gains an entry
/// `blake3`, the hash of the tensors' bytes, by which [`TensorFile::open`] finds damage. (The safetensors crate's own
/// writer keeps metadata in a hash map, so its bytes differ from run to run.)
///
/// # Errors
/// [`Error::Io`]; a file that was there before is then untouched.
pub fn write_tensors(
    path: &Path,
    tensors: &[NamedTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut hasher = blake3::Hasher::new();
    let hashed = for_bytes(tensors, |bytes| {
        hasher.update(bytes);
        Ok(())
    });
    hashed.map_err(Error::io("write", path))?;
    let mut metadata = metadata.clone();
    metadata.insert(HASH.to_owned(), hasher.finalize().to_string());
    let header = header(tensors, &metadata);
    write_atomic(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for_bytes(tensors, |bytes| out.write_all(bytes))
    })
}

fn header(tensors: &[NamedTensor<'_>], metadata: &BTreeMap<String, String>) -> String {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut start = 0;
    for (name, shape, values) in tensors {
        let end = start + 4 * values.len();
        header.insert(
            (*name).to_owned(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}),
        );
        start = end;
    }
    let mut text = Value::Object(header).to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    text
}

/// Hands out the little-endian bytes of all values, some thousand at a time.
fn for_bytes(tensors: &[NamedTensor<'_>], mut f: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = vec![];
    for values in tensors.iter().flat_map(|(_, _, values)| values.chunks(1 << 14)) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        f(&bytes)?;
    }
    Ok(())
}

/// A safetensors file in memory, checked to be whole; where it carries a hash of its content, that fits.
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
    metadata: BTreeMap<String, String>,
}

impl std::fmt::Debug for TensorFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TensorFile").field("path", &self.path).field("bytes", &self.bytes.len()).finish()
    }
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] where the file is truncated, has bytes too many, is something else, or holds
    /// other content than was written.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let format = |reason: String| Error::Format { path: path.to_owned(), reason };
        let whole = |e: safetensors::SafeTensorError| format(format!("{e} ({} bytes)", bytes.len()));
        let (header_len, header) = SafeTensors::read_metadata(&bytes).map_err(whole)?;
        SafeTensors::deserialize(&bytes).map_err(whole)?;
        let metadata: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        if let Some(expected) = metadata.get(HASH) {
            // The header is preceded by its length, a u64.
            let found = blake3::hash(&bytes[8 + header_len..]).to_string();
            if found != *expected {
                return Err(format(format!(
                    "its content has changed since it was written (its {HASH} is {found}, expected {expected}); copy it \
                     again from where it was good, or use another checkpoint"
                )));
            }
        }
        Ok(Self { path: path.to_owned(), bytes, metadata })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text metadata, by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    pub(crate) fn parse(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| self.fail(e.to_string()))
    }

    /// Copies one tensor of float32, float16 or bfloat16 into `out`, which must have its length.
    ///
    /// # Errors
    /// [`Error::Format`] where the tensor is missing, or of another length or type.
    pub fn fill(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let file = self.parse()?;
        let tensor = file.tensor(name).map_err(|_| self.fail(format!("it lacks the tensor `{name}`")))?;
        if tensor.shape().iter().product::<usize>() != out.len() {
            let reason = format!("`{name}` has shape {:?}, expected {} values", tensor.shape(), out.len());
            return Err(self.fail(reason));
        }
        copy(&tensor, out).map_err(|reason| self.fail(format!("{name}: {reason}")))
    }

    fn fail(&self, reason: String) -> Error {
        Error::Format { path: self.path.clone(), reason }
    }
}

/// Copies a tensor that has the length of `out`.
pub(crate) fn copy(tensor: &TensorView<'_>, out: &mut [f32]) -> std::result::Result<(), String> {
    use half::{bf16, f16};
    use safetensors::Dtype;
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => convert(data, out, f32::from_le_bytes),
        Dtype::F16 => convert(data, out, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => convert(data, out, |b| bf16::from_le_bytes(b).to_f32()),
        other => return Err(format!("expected f32, f16 or bf16, found {other:?}")),
    }
    Ok(())
}

fn convert<const N: usize>(data: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    let (values, _) = data.as_chunks::<N>();
    for (out, bytes) in out.iter_mut().zip(values) {
        *out = decode(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_the_content_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let tensors: [NamedTensor<'_>; 2] = [("a", &[2, 1], &[1.0, -2.5]), ("b", &[1], &[7.0])];
        write_tensors(&path, &tensors, &[("who".to_owned(), "me".to_owned())].into()).unwrap();

        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.metadata()["who"], "me");
        let mut values = [0.0; 2];
        file.fill("a", &mut values).unwrap();
        assert_eq!(values, [1.0, -2.5]);
        assert!(file.fill("b", &mut values).unwrap_err().to_string().contains("expected 2 values"));
        assert!(file.fill("c", &mut values).unwrap_err().to_string().contains("lacks the tensor `c`"));

        let whole = std::fs::read(&path).unwrap();
        for byte in whole.len() - 12..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[byte] ^= 1 << bit;
                std::fs::write(&path, damaged).unwrap();
                let message = TensorFile::open(&path).unwrap_err().to_string();
                assert!(message.contains("its content has changed"), "{message}");
            }
        }
    }
}
