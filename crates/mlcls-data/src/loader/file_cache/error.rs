//! Why a cache file cannot be used.

use std::path::PathBuf;

/// A cache file that cannot be used. It is never overwritten: delete it, or name another one.
#[derive(Debug, thiserror::Error)]
pub enum FileCacheError {
    /// The system refuses.
    #[error("the cache file {} cannot be {action}: {source}", path.display())]
    Io {
        /// What was tried, for example "opened".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The folder that the file would lie in is not there.
    #[error("the cache file {} cannot be made: there is no folder {}", path.display(), folder.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// A folder, not a file.
    #[error("the cache file {} is a folder: name a file in it, such as {}", path.display(), path.join("images.cache").display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file is something else.
    #[error(
        "{} is no image cache (it starts with {start}): delete it if it is not needed, or name another cache file",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        start: String,
    },
    /// The file is a cache with another layout.
    #[error(
        "the cache file {} was written by another version of mlcls (layout {found}, expected {expected}): delete it, or name \
         another one",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u8,
        /// The layout that this program reads.
        expected: u8,
    },
}
