//! Published data sets, from their makers' addresses to folders that [`Dataset::open`](crate::Dataset::open) reads.
//!
//! [`fetch`] downloads the archives of a [`Source`], checks them against published checksums and unpacks them. What is
//! there and whole is not fetched again, and what broke off is continued, so a run that failed is run again.

mod catalogue;
mod checksum;
mod download;
mod error;
mod unpack;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use catalogue::{Archive, COCO2014, Checksum, SOURCES, Source, Tree, VOC2007};
pub use error::{Advice, Difference, DownloadProblem, FetchError};

use download::{Failure, with_ending};

/// How often its own size an archive may unpack to. Photos do not shrink when packed; COCO's annotations do 3.3 times.
const EXPANSION: u64 = 8;
/// Where archives are unpacked, until their content can take its place at once.
const STAGING: &str = ".unpacking";

/// Choices about the network.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// An address that offers the archives under their own names, asked in place of their makers'.
    pub mirror: Option<String>,
    /// How long to wait for a connection, and each time for data.
    pub timeout: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { mirror: None, timeout: Duration::from_secs(30) }
    }
}

/// What is going on with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It comes over the network.
    Download,
    /// Its checksum is computed.
    Check,
    /// It is unpacked.
    Unpack,
}

/// What [`fetch`] has to say on the way.
#[derive(Clone, Copy, Debug)]
pub enum FetchEvent<'a> {
    /// How far one stage of one archive is.
    Progress {
        /// The stage.
        stage: Stage,
        /// The archive's file name.
        file: &'a str,
        /// Bytes of the archive that are done.
        done: u64,
        /// Bytes of the archive.
        total: u64,
    },
    /// A file in the way is not the published archive, and was renamed.
    SetAside {
        /// Its new name.
        path: &'a Path,
        /// How it differs.
        difference: &'a Difference,
    },
}

/// Makes `folder` hold a data set: downloads what is missing, checks and unpacks it. Says whether there was anything to
/// do.
///
/// Archives are looked for in `folder` first, so they may be put there by hand; they stay there, and are not needed once
/// this has succeeded. A broken download is continued where it ended if the server's file is still the same (`If-Range`).
/// Each [`Tree`] appears in `folder` at once and whole, or not at all.
///
/// ```no_run
/// use mlcls_data::fetch::{FetchOptions, VOC2007, fetch};
/// use mlcls_data::{Dataset, ReadOptions};
///
/// fetch(&VOC2007, "voc2007".as_ref(), &FetchOptions::default(), &mut |_| ())?;
/// let dataset = Dataset::open("voc2007", &ReadOptions::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`FetchError`]. Without a network the message lists the archives that are missing, with sizes and checksums.
pub fn fetch(
    source: &Source,
    folder: &Path,
    options: &FetchOptions,
    on: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<bool, FetchError> {
    fs::create_dir_all(folder).map_err(FetchError::io("be made", folder))?;
    let _lock = lock(folder)?;
    let mut missing = Vec::new();
    for tree in source.trees {
        let place = folder.join(tree.folder);
        match shortage(tree, folder) {
            None => {}
            Some(_) if !place.exists() => missing.push(tree),
            Some((folder, found, expected)) => {
                return Err(FetchError::Incomplete { folder, found, expected, tree: place });
            }
        }
    }
    let wanted: Vec<&Archive> = missing.iter().flat_map(|tree| tree.archives).collect();
    for tree in &missing {
        for archive in tree.archives {
            obtain(archive, &wanted, folder, options, on)?;
        }
        unpack_tree(tree, folder, on)?;
    }
    Ok(!missing.is_empty())
}

/// Holds other processes back from this folder until the file is closed.
fn lock(folder: &Path) -> Result<File, FetchError> {
    let path = folder.join(".fetch.lock");
    let file = File::create(&path).map_err(FetchError::io("be written", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FetchError::Busy { folder: folder.to_owned() }),
        // Some network file systems have no locks; the rest works there.
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(e)) => Err(FetchError::io("be locked", &path)(e)),
    }
}

/// The first folder of a tree below `root` that holds too few files: its path, files found, files expected.
fn shortage(tree: &Tree, root: &Path) -> Option<(PathBuf, usize, usize)> {
    tree.holds.iter().find_map(|&(path, expected)| {
        let folder = root.join(path);
        let found = folder.read_dir().map_or(0, |entries| entries.flatten().count());
        (found < expected).then_some((folder, found, expected))
    })
}

/// Makes sure that an archive lies in `folder`, whole. `wanted` are all that this run needs, for advice.
fn obtain(
    archive: &Archive,
    wanted: &[&'static Archive],
    folder: &Path,
    options: &FetchOptions,
    on: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<(), FetchError> {
    let path = folder.join(archive.file_name());
    if path.exists() {
        let Some(difference) = check(archive, &path, on)? else { return Ok(()) };
        let kept = set_aside(&path)?;
        on(FetchEvent::SetAside { path: &kept, difference: &difference });
    }
    let url = match &options.mirror {
        Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), archive.file_name()),
        None => archive.url.to_owned(),
    };
    download(archive, &url, &path, options.timeout, on).map_err(|failure| match failure {
        Failure::Local { path, source } => FetchError::io("be written", &path)(source),
        Failure::Remote(problem) => {
            let missing = wanted.iter().copied().filter(|a| !folder.join(a.file_name()).exists()).collect();
            let advice = Advice { folder: folder.to_owned(), missing };
            FetchError::Download { url: url.clone(), problem, advice }
        }
    })?;
    match check(archive, &path, on)? {
        None => Ok(()),
        Some(difference) => Err(FetchError::WrongContent { url, difference, kept: set_aside(&path)? }),
    }
}

fn download(
    archive: &Archive,
    url: &str,
    path: &Path,
    timeout: Duration,
    on: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<(), Failure> {
    download::download(url, archive.bytes, path, timeout, &mut reporter(Stage::Download, archive, on))
}

fn check(
    archive: &Archive,
    path: &Path,
    on: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<Option<Difference>, FetchError> {
    checksum::difference(path, archive, &mut reporter(Stage::Check, archive, on))
}

/// Renames a file that is not what its name says; an older one of the new name is replaced.
fn set_aside(path: &Path) -> Result<PathBuf, FetchError> {
    let kept = with_ending(path, ".wrong");
    fs::rename(path, &kept).map_err(FetchError::io("be renamed", path))?;
    Ok(kept)
}

/// Unpacks the archives of a tree, and moves it to its place in `folder`.
fn unpack_tree(tree: &Tree, folder: &Path, on: &mut dyn FnMut(FetchEvent<'_>)) -> Result<(), FetchError> {
    let staging = folder.join(STAGING);
    remove(&staging)?;
    fs::create_dir(&staging).map_err(FetchError::io("be made", &staging))?;
    let outcome = unpack_into(&staging, tree, folder, on);
    // Of two failures the first is worth saying.
    let removed = remove(&staging);
    outcome.and(removed)
}

fn unpack_into(
    staging: &Path,
    tree: &Tree,
    folder: &Path,
    on: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<(), FetchError> {
    for archive in tree.archives {
        let path = folder.join(archive.file_name());
        let limit = archive.bytes.saturating_mul(EXPANSION);
        unpack::unpack(&path, staging, limit, &mut reporter(Stage::Unpack, archive, on))?;
    }
    if let Some((short, found, expected)) = shortage(tree, staging) {
        let short = short.strip_prefix(staging).unwrap_or(&short).display();
        let problem = format!("unpacked, {short} holds {found} files; expected {expected}");
        return Err(FetchError::Archive { archive: folder.join(tree.folder), problem });
    }
    let (from, to) = (staging.join(tree.folder), folder.join(tree.folder));
    fs::rename(&from, &to).map_err(FetchError::io("be moved to its place", &from))
}

/// Removes a folder and what is in it, if it is there.
fn remove(folder: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(FetchError::io("be removed", folder)(e)),
        _ => Ok(()),
    }
}

/// Turns counts of bytes into events.
fn reporter(stage: Stage, archive: &Archive, on: &mut dyn FnMut(FetchEvent<'_>)) -> impl FnMut(u64) {
    let (file, total) = (archive.file_name(), archive.bytes);
    move |done| on(FetchEvent::Progress { stage, file, done, total })
}
