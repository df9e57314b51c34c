//! Reduced images in one file, for the next epoch and the next run.

mod error;
mod positioned;
mod record;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use error::FileCacheError;
pub(crate) use record::{Key, key};

use crate::image::Rgb;
use positioned::{read_exact_at, write_all_at};
use record::{HEADER, Header, MAGIC, decode, encode};

/// A file of decoded and reduced images, which any number of loaders, threads and processes use and fill at once.
///
/// An image is found by the content of its file and by what was done to it, so a replaced image is another image. What is read
/// is checked byte by byte against what was written: a damaged record is as good as none. Records are appended under a lock of
/// the file, so a process that is killed leaves at most one torn record, at the end, which the next one overwrites. The file grows
/// up to its limit; nothing is thrown out, so one that holds images of old runs is best deleted.
///
/// Positioned reads rather than a memory map: they are as fast here, and a file that somebody truncates is an error instead of
/// the end of the process.
#[derive(Clone, Debug)]
pub struct FileCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    limit: u64,
    /// Made with the first image that is stored.
    file: OnceLock<File>,
    index: RwLock<Index>,
    /// One thread of this process writes at a time; the file's own lock keeps other processes out.
    appending: Mutex<Appending>,
    damaged: u64,
}

/// What is known of the file.
#[derive(Debug)]
struct Index {
    places: HashMap<Key, Place>,
    /// The end of the last complete record.
    end: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self { places: HashMap::new(), end: MAGIC.len() as u64 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    offset: u64,
    len: u64,
}

#[derive(Debug, Default)]
struct Appending {
    /// Set when the file could not be written; nothing more is stored then.
    failed: bool,
    /// The reason, until somebody has asked for it.
    trouble: Option<FileCacheError>,
}

impl FileCache {
    /// A cache in the file `path`, which may exist and grows up to `limit` bytes.
    ///
    /// # Errors
    /// The file cannot be read, or is something else than a cache. A torn or damaged end is no error: see
    /// [`damaged_bytes`](Self::damaged_bytes).
    pub fn open(path: &Path, limit: u64) -> Result<Self, FileCacheError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() {
            return Err(FileCacheError::Folder { path: path.to_owned() });
        }
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(FileCacheError::NoFolder { path: path.to_owned(), folder: folder.to_owned() });
        }
        let mut inner = Inner {
            path: path.to_owned(),
            limit,
            file: OnceLock::new(),
            index: RwLock::default(),
            appending: Mutex::default(),
            damaged: 0,
        };
        if path.exists() {
            let failed = |action| move |source| FileCacheError::Io { action, path: path.to_owned(), source };
            let file = File::options().read(true).write(true).open(path).map_err(failed("opened"))?;
            {
                // No other process is in the middle of a record.
                let _shared = Locked::shared(&file).map_err(failed("locked"))?;
                check_magic(&file, path)?;
                let len = file.metadata().map_err(failed("read"))?.len();
                let index = inner.index.get_mut().unwrap_or_else(PoisonError::into_inner);
                let (found, end) = records(&file, index.end, len);
                (index.places, index.end) = (found.into_iter().collect(), end);
                inner.damaged = len.saturating_sub(end);
            }
            inner.file = OnceLock::from(file);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The most bytes that the file may have.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Images that are known to be in the file.
    pub fn images(&self) -> usize {
        self.0.index().places.len()
    }

    /// Bytes of the file that are known to be in use.
    pub fn bytes(&self) -> u64 {
        self.0.index().end
    }

    /// Bytes at the end of the file that were no complete records when it was opened: torn by a kill, or damaged. They are
    /// overwritten.
    pub fn damaged_bytes(&self) -> u64 {
        self.0.damaged
    }

    /// Why nothing more is stored, once: the disk is full, for example. What is in the file is still used.
    pub fn take_trouble(&self) -> Option<FileCacheError> {
        self.0.appending.lock().unwrap_or_else(PoisonError::into_inner).trouble.take()
    }

    /// The image, if it is there and sound.
    pub(super) fn get(&self, key: &Key) -> Option<Rgb> {
        let place = *self.0.index().places.get(key)?;
        let mut bytes = vec![0; place.len as usize];
        let read = read_exact_at(self.0.file.get()?, &mut bytes, place.offset);
        let image = read.ok().and_then(|()| decode(bytes, key));
        if image.is_none() {
            // Forgotten, so that it is stored again; of two records with one key the later one counts.
            let mut index = self.0.index_mut();
            if index.places.get(key) == Some(&place) {
                index.places.remove(key);
            }
        }
        image
    }

    /// Stores the image, if there is room for it and nobody else has stored it.
    pub(super) fn offer(&self, key: Key, image: &Rgb) {
        let mut appending = self.0.appending.lock().unwrap_or_else(PoisonError::into_inner);
        if appending.failed {
            return;
        }
        if let Err(error) = self.0.append(key, image) {
            *appending = Appending { failed: true, trouble: Some(error) };
        }
    }
}

impl Inner {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by one thread at a time. Others may read meanwhile.
    fn append(&self, key: Key, image: &Rgb) -> Result<(), FileCacheError> {
        let failed = |action| move |source| FileCacheError::Io { action, path: self.path.clone(), source };
        let full = |end: u64| end + (HEADER + image.data().len()) as u64 > self.limit;
        if full(self.index().end) {
            return Ok(());
        }
        let file = self.file().map_err(failed("made"))?;
        let _exclusive = Locked::exclusive(file).map_err(failed("locked"))?;
        self.catch_up(file)?;
        let end = self.index().end;
        if self.index().places.contains_key(&key) || full(end) {
            return Ok(());
        }
        let bytes = encode(key, image);
        write_all_at(file, &bytes, end).map_err(failed("written"))?;
        let place = Place { offset: end, len: bytes.len() as u64 };
        let mut index = self.index_mut();
        index.places.insert(key, place);
        index.end += place.len;
        Ok(())
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        // Another process may have been faster.
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// Takes in what other processes have written since, and cuts off what is no complete record. Under the lock.
    fn catch_up(&self, file: &File) -> Result<(), FileCacheError> {
        let failed = |action| move |source| FileCacheError::Io { action, path: self.path.clone(), source };
        let len = file.metadata().map_err(failed("read"))?.len();
        let mut start = self.index().end;
        if len == start && !self.index().places.is_empty() {
            return Ok(()); // Nobody else writes.
        }
        check_magic(file, &self.path)?;
        if len < MAGIC.len() as u64 {
            write_all_at(file, &MAGIC, 0).map_err(failed("written"))?;
        }
        if len < start {
            // Somebody has cut it.
            *self.index_mut() = Index::default();
            start = self.index().end;
        }
        let (found, end) = records(file, start, len);
        if len > end {
            file.set_len(end).map_err(failed("written"))?;
        }
        let mut index = self.index_mut();
        index.places.extend(found);
        index.end = end;
        Ok(())
    }
}

/// The complete records between two positions, and the end of the last of them.
fn records(file: &File, start: u64, len: u64) -> (Vec<(Key, Place)>, u64) {
    let (mut found, mut end) = (vec![], start);
    let mut bytes = [0; HEADER];
    while end + HEADER as u64 <= len && read_exact_at(file, &mut bytes, end).is_ok() {
        let Some(header) = Header::parse(&bytes) else { break };
        let place = Place { offset: end, len: header.record_len() };
        if place.len > len - end {
            break;
        }
        found.push((header.key, place));
        end += place.len;
    }
    (found, end)
}

/// Refuses a file that is no cache. An empty one, or one torn in its first bytes, is a cache without images.
fn check_magic(file: &File, path: &Path) -> Result<(), FileCacheError> {
    let failed = |source| FileCacheError::Io { action: "read", path: path.to_owned(), source };
    let len = file.metadata().map_err(failed)?.len();
    let mut start = vec![0; MAGIC.len().min(len as usize)];
    read_exact_at(file, &mut start, 0).map_err(failed)?;
    let name = MAGIC.len() - 1;
    if MAGIC.starts_with(&start) {
        Ok(())
    } else if start.len() == MAGIC.len() && start[..name] == MAGIC[..name] {
        Err(FileCacheError::Version { path: path.to_owned(), found: start[name], expected: MAGIC[name] })
    } else {
        let start: Vec<String> = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Err(FileCacheError::Foreign { path: path.to_owned(), start: start.join(" ") })
    }
}

/// A lock of a file, for other processes and other handles of this one; the system releases it when the process ends.
struct Locked<'a>(&'a File);

impl<'a> Locked<'a> {
    fn shared(file: &'a File) -> io::Result<Self> {
        file.lock_shared()?;
        Ok(Self(file))
    }

    fn exclusive(file: &'a File) -> io::Result<Self> {
        file.lock()?;
        Ok(Self(file))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Closing the file would release it too.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests;
