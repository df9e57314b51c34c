//! What can go wrong between an address and an unpacked data set.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::catalogue::{Archive, Checksum};

/// A data set that could not be fetched, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A file or folder on this machine could not be used.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// What was tried, for example "be written".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process fetches into the same folder.
    #[error("{}: another fetch is at work in this folder; wait for it, or choose another with --to", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// An archive could not be downloaded.
    #[error("{url}: the download failed: {problem}.\n{advice}")]
    Download {
        /// Its address.
        url: String,
        /// Why.
        problem: DownloadProblem,
        /// Where to get what is missing by hand, and where to put it.
        advice: Advice,
    },
    /// A downloaded archive is not the published one.
    #[error("{url}: {difference}. What was received is kept as {}; run the command again to fetch it anew", kept.display())]
    WrongContent {
        /// Its address.
        url: String,
        /// What was expected and what was found.
        difference: Difference,
        /// Where the file is now.
        kept: PathBuf,
    },
    /// An archive is damaged, or holds something that has no place in a data set.
    #[error("{}: {problem}", archive.display())]
    Archive {
        /// The file.
        archive: PathBuf,
        /// The entry and what is wrong with it.
        problem: String,
    },
    /// A folder of the data set is there and not whole.
    #[error("{}: holds {found} files; expected {expected}. Remove or rename {}, then run the command again",
        folder.display(), tree.display())]
    Incomplete {
        /// The folder.
        folder: PathBuf,
        /// Files in it.
        found: usize,
        /// Files that belong there.
        expected: usize,
        /// What is in the way of a whole one.
        tree: PathBuf,
    },
}

impl FetchError {
    /// For `map_err`, with what could not be done to `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadProblem {
    /// There is no way to the server, or it broke too often.
    #[error("{0}")]
    Network(String),
    /// The server refused.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// The server has another file than the published one.
    #[error("the server's file has {found} bytes; expected {expected}")]
    Size {
        /// The published size.
        expected: u64,
        /// What the server said or sent.
        found: u64,
    },
    /// The connection ended early.
    #[error("the connection ended after {found} of {expected} bytes")]
    Cut {
        /// The published size.
        expected: u64,
        /// Bytes on this machine now.
        found: u64,
    },
    /// The server resumed at another place than it was asked to.
    #[error("the server's answer to a request for bytes {from} and up is {found:?}")]
    Range {
        /// The place that was asked for.
        from: u64,
        /// The server's `Content-Range`.
        found: String,
    },
}

/// How a file differs from the published one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Another size.
    #[error("the file has {found} bytes; expected {expected}")]
    Size {
        /// The published size.
        expected: u64,
        /// The size found.
        found: u64,
    },
    /// Another checksum.
    #[error("the checksum is {found}; expected {expected}")]
    Checksum {
        /// The published checksum.
        expected: Checksum,
        /// The digits found.
        found: String,
    },
}

/// The archives that are missing on this machine, and where to put them.
#[derive(Clone, Debug)]
pub struct Advice {
    pub(super) folder: PathBuf,
    pub(super) missing: Vec<&'static Archive>,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (these, them) =
            if self.missing.len() == 1 { ("this file", "it") } else { ("these files", "them") };
        write!(
            f,
            "Get {these} another way, put {them} into {}, and run the command again, which checks and unpacks {them}:",
            self.folder.display()
        )?;
        for archive in &self.missing {
            write!(f, "\n  {}\n    {} bytes, {}", archive.url, archive.bytes, archive.checksum)?;
        }
        Ok(())
    }
}
