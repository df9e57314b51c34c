//! Features on disk, by the content of the image files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The beginning of a file; its last byte is the version of the layout.
const MAGIC: [u8; 16] = *b"mlcls features \x01";

/// Bytes before the first record: the magic number and the width.
const HEADER: u64 = 24;

/// The BLAKE3 hash of an image file's bytes.
pub type ContentHash = [u8; 32];

/// The features of one backbone, in one file that any number of processes use and fill at once.
///
/// ```text
/// file    MAGIC [16], width u64, then records of equal length
/// record  content hash [32], features f32 [width], checksum [8]
/// ```
/// Numbers are little-endian; the checksum is the beginning of BLAKE3 over what precedes it. A record that is damaged is passed
/// over. Records are added under a lock of the file, so a process that is killed leaves at most one torn record, at the end,
/// which the next one overwrites. The file is named for what the features depend on, and nothing in it ever becomes wrong; to
/// make room, remove it.
#[derive(Debug)]
pub struct FeatureCache {
    path: PathBuf,
    width: usize,
}

impl FeatureCache {
    /// The cache at `path`, which is made with the first features that are added. They have `width` numbers each.
    pub fn new(path: PathBuf, width: usize) -> Self {
        Self { path, width }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The features of those images that `wanted` holds and the file too.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn read(&self, wanted: &HashMap<ContentHash, usize>) -> Result<Vec<(usize, Vec<f32>)>> {
        let io = |e| Error::io("read", &self.path)(e);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(io(e)),
        };
        let records = self.records(&file)?;
        let mut file = BufReader::with_capacity(1 << 20, file);
        file.seek(SeekFrom::Start(HEADER)).map_err(io)?;
        let mut found = vec![];
        let mut record = vec![0; self.record_len()];
        for _ in 0..records {
            file.read_exact(&mut record).map_err(io)?;
            let Some(index) = record.first_chunk().and_then(|hash: &ContentHash| wanted.get(hash)) else {
                continue;
            };
            found.extend(self.decode(&record).map(|features| (*index, features)));
        }
        Ok(found)
    }

    /// Adds features. Those that another process has added meanwhile are then there twice, which harms nothing.
    ///
    /// # Errors
    /// The file cannot be written, or is something else.
    pub fn add<'f>(&self, features: impl Iterator<Item = (&'f ContentHash, &'f [f32])>) -> Result<()> {
        let bytes: Vec<u8> = features.flat_map(|(hash, features)| self.encode(hash, features)).collect();
        if bytes.is_empty() {
            return Ok(());
        }
        let io = |e| Error::io("write", &self.path)(e);
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        let options = File::options().read(true).write(true).create(true).truncate(false).open(&self.path);
        let mut file = options.map_err(io)?;
        // Until the file is closed.
        file.lock().map_err(io)?;
        if file.metadata().map_err(io)?.len() < HEADER {
            file.set_len(0).map_err(io)?;
            file.write_all(&MAGIC).map_err(io)?;
            file.write_all(&(self.width as u64).to_le_bytes()).map_err(io)?;
        }
        let end = HEADER + self.records(&file)? * self.record_len() as u64;
        file.seek(SeekFrom::Start(end)).map_err(io)?;
        file.write_all(&bytes).map_err(io)
    }

    /// Whole records in the file.
    fn records(&self, mut file: &File) -> Result<u64> {
        let io = |e| Error::io("read", &self.path)(e);
        let len = file.metadata().map_err(io)?.len();
        if len < HEADER {
            return Ok(0); // Killed before its first record.
        }
        let mut header = [0; HEADER as usize];
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        file.read_exact(&mut header).map_err(io)?;
        let refuse = |reason: String| Error::Cache { path: self.path.clone(), reason };
        let width = header.strip_prefix(&MAGIC).and_then(|w| w.try_into().ok()).map(u64::from_le_bytes);
        match width {
            None => Err(refuse("this is no cache of features".to_owned())),
            Some(width) if width != self.width as u64 => {
                Err(refuse(format!("it holds features of {width} numbers, expected {}", self.width)))
            }
            Some(_) => Ok((len - HEADER) / self.record_len() as u64),
        }
    }

    fn record_len(&self) -> usize {
        32 + 4 * self.width + 8
    }

    fn encode(&self, hash: &ContentHash, features: &[f32]) -> Vec<u8> {
        debug_assert_eq!(features.len(), self.width);
        let mut record = hash.to_vec();
        record.extend(features.iter().flat_map(|v| v.to_le_bytes()));
        record.extend(checksum(&record));
        record
    }

    /// `None` unless every byte is as it was written.
    fn decode(&self, record: &[u8]) -> Option<Vec<f32>> {
        let (content, check) = record.split_last_chunk()?;
        let (values, _) = content[32..].as_chunks();
        (checksum(content) == *check).then(|| values.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

fn checksum(content: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(content);
    std::array::from_fn(|i| hash.as_bytes()[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &Path) -> FeatureCache {
        FeatureCache::new(folder.join("new/f.features"), 3)
    }

    fn all() -> HashMap<ContentHash, usize> {
        (0..4).map(|i| ([i as u8; 32], i)).collect()
    }

    fn fill(cache: &FeatureCache) {
        for i in 0..3 {
            cache.add([(&[i; 32], &[f32::from(i), 0.5, -1.0][..])].into_iter()).unwrap();
        }
    }

    fn found(cache: &FeatureCache) -> Vec<usize> {
        let found = cache.read(&all()).unwrap();
        found.iter().for_each(|(i, features)| assert_eq!(*features, [*i as f32, 0.5, -1.0]));
        found.into_iter().map(|(i, _)| i).collect()
    }

    #[test]
    fn what_was_added_is_found_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        assert!(found(&cache).is_empty(), "there is no file yet");
        fill(&cache);
        assert_eq!(found(&cache), [0, 1, 2]);
        assert_eq!(cache.read(&[([1; 32], 7)].into()).unwrap(), [(7, vec![1.0, 0.5, -1.0])]);
    }

    #[test]
    fn a_torn_end_is_overwritten_and_damage_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        fill(&cache);
        let whole = std::fs::read(cache.path()).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(cache.path(), &whole[..cut]).unwrap();
            let left = cut.saturating_sub(HEADER as usize) / cache.record_len();
            assert_eq!(found(&cache).len(), left, "cut at {cut}");
            fill(&cache);
            assert_eq!(found(&cache).len(), left + 3, "cut at {cut} and filled");
        }
        for byte in HEADER as usize..whole.len() {
            let mut damaged = whole.clone();
            damaged[byte] ^= 4;
            std::fs::write(cache.path(), damaged).unwrap();
            assert_eq!(found(&cache).len(), 2, "byte {byte}");
        }
    }

    #[test]
    fn other_files_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache::new(folder.path().join("thesis.tex"), 3);
        std::fs::write(cache.path(), [b'x'; 100]).unwrap();
        let refused = cache.read(&all()).unwrap_err().to_string();
        assert!(refused.contains("no cache of features"), "{refused}");
        assert!(cache.add([(&[0; 32], &[0.0; 3][..])].into_iter()).is_err());
        assert_eq!(std::fs::read(cache.path()).unwrap(), [b'x'; 100]);

        let narrow = FeatureCache::new(folder.path().join("narrow"), 2);
        narrow.add([(&[0; 32], &[0.0; 2][..])].into_iter()).unwrap();
        let wide = FeatureCache::new(folder.path().join("narrow"), 3);
        let refused = wide.read(&all()).unwrap_err().to_string();
        assert!(refused.contains("features of 2 numbers, expected 3"), "{refused}");
    }
}
