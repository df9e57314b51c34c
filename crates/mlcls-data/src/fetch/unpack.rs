//! Tar and zip archives to files. What is not a plain file or folder inside the target is refused: no absolute path,
//! no `..`, no link, no device, no file twice, and no more bytes than allowed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use super::error::FetchError;

/// Files and folders that one archive may hold: ten times as many as any that is fetched.
const MAX_ENTRIES: usize = 1 << 20;

/// Unpacks an archive (by its ending: `.zip`, else tar) into a folder that exists. No more than `limit` bytes are
/// written. `on` gets the bytes of the archive that are done.
pub(super) fn unpack(
    archive: &Path,
    into: &Path,
    limit: u64,
    on: &mut dyn FnMut(u64),
) -> Result<(), FetchError> {
    let file = File::open(archive).map_err(FetchError::io("be read", archive))?;
    let reader = BufReader::with_capacity(1 << 20, file);
    let target = Target { archive, into, left: limit, seen: HashSet::new() };
    if archive.extension().is_some_and(|ending| ending == "zip") {
        unpack_zip(reader, target, on)
    } else {
        unpack_tar(reader, target, on)
    }
}

fn unpack_tar(reader: impl Read, mut target: Target<'_>, on: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
    let mut archive = tar::Archive::new(reader);
    let path = target.archive;
    for entry in archive.entries().map_err(|e| damaged(path, &e))? {
        let mut entry = entry.map_err(|e| damaged(path, &e))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (kind, size) = (entry.header().entry_type(), entry.size());
        on(entry.raw_file_position());
        if kind.is_dir() || name.ends_with('/') {
            target.folder(&name)?;
        } else if kind.is_file() {
            target.file(&name, size, &mut entry)?;
        } else if !kind.is_pax_global_extensions() {
            return Err(target.refuse(&name, format!("is of kind {kind:?}; expected a file or a folder")));
        }
    }
    Ok(())
}

fn unpack_zip(
    reader: impl Read + Seek,
    mut target: Target<'_>,
    on: &mut dyn FnMut(u64),
) -> Result<(), FetchError> {
    let mut archive = zip::ZipArchive::new(reader).map_err(|e| damaged(target.archive, &e))?;
    let mut done = 0;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|e| damaged(target.archive, &e))?;
        let name = entry.name().map_err(|e| damaged(target.archive, &e))?.into_owned();
        let (size, packed) = (entry.size(), entry.compressed_size());
        /// Kind of file, in the upper bits of a Unix mode; 0 where the archive's maker has none.
        const KIND: u32 = 0o170_000;
        const FILE: u32 = 0o100_000;
        let kind = entry.unix_mode().unwrap_or(0) & KIND;
        if entry.is_dir() {
            target.folder(&name)?;
        } else if kind == 0 || kind == FILE {
            target.file(&name, size, &mut entry)?;
        } else {
            return Err(target.refuse(&name, format!("is of kind {kind:o}; expected a file or a folder")));
        }
        done += packed;
        on(done);
    }
    Ok(())
}

/// Where entries go, and what is still allowed.
struct Target<'a> {
    archive: &'a Path,
    into: &'a Path,
    /// Bytes that may still be written.
    left: u64,
    /// Files and folders so far.
    seen: HashSet<PathBuf>,
}

impl Target<'_> {
    fn folder(&mut self, name: &str) -> Result<(), FetchError> {
        let path = self.place(name)?;
        fs::create_dir_all(&path).map_err(FetchError::io("be made", &path))?;
        self.seen.insert(path);
        Ok(())
    }

    fn file(&mut self, name: &str, size: u64, content: &mut impl Read) -> Result<(), FetchError> {
        let path = self.place(name)?;
        if size > self.left {
            return Err(
                self.refuse(name, format!("claims {size} bytes; {} are left of the limit", self.left))
            );
        }
        let parent = path.parent().unwrap_or(self.into);
        fs::create_dir_all(parent).map_err(FetchError::io("be made", parent))?;
        // An archive that shares the folder may have brought the same file; one archive may not do so twice.
        let mut file = File::create(&path).map_err(FetchError::io("be written", &path))?;
        if !self.seen.insert(path.clone()) {
            return Err(self.refuse(name, "is there twice".to_owned()));
        }
        // One byte more than is claimed, so that a longer entry is seen, and so that a zip file's sum is checked at its end.
        let written = io::copy(&mut content.take(size.saturating_add(1)), &mut file)
            .map_err(|e| self.refuse(name, format!("cannot be unpacked: {e}")))?;
        if written != size {
            let more = if written > size { " or more" } else { "" };
            return Err(self.refuse(name, format!("has {written}{more} bytes; expected {size}")));
        }
        self.left -= written;
        Ok(())
    }

    /// The path of an entry.
    fn place(&self, name: &str) -> Result<PathBuf, FetchError> {
        if self.seen.len() >= MAX_ENTRIES {
            return Err(self.refuse(name, format!("is one more than {MAX_ENTRIES} entries")));
        }
        let mut path = self.into.to_owned();
        for part in name.split('/') {
            match part {
                // `./a`, `a//b`, and the slash behind a folder's name.
                "" | "." if !name.starts_with('/') => {}
                // A backslash or a colon is a separator or a drive on some systems.
                "" | "." | ".." => {
                    return Err(self.refuse(name, "is not a path inside the archive".to_owned()));
                }
                part if part.contains(['\\', ':', '\0']) => {
                    return Err(self.refuse(name, "is not a path inside the archive".to_owned()));
                }
                part => path.push(part),
            }
        }
        Ok(path)
    }

    fn refuse(&self, name: &str, problem: String) -> FetchError {
        FetchError::Archive {
            archive: self.archive.to_owned(),
            problem: format!("the entry {name:?} {problem}"),
        }
    }
}

fn damaged(archive: &Path, error: &dyn std::error::Error) -> FetchError {
    FetchError::Archive { archive: archive.to_owned(), problem: format!("the archive is damaged: {error}") }
}
