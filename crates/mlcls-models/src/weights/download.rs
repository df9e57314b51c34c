//! Downloading from the Hugging Face hub into its cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo};

use super::hub::{FILE, Hub};

const ATTEMPTS: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    #[error("{url}: {source}")]
    Api { url: String, source: ApiError },
    #[error("{url}: expected {expected} bytes, received {found}")]
    Size { url: String, expected: u64, found: u64 },
    #[error("{url}: the server's {header} header is not a file name: {value:?}")]
    Header { url: String, header: &'static str, value: String },
}

impl DownloadError {
    /// Whether a second try may go better: not where the server understood and refused.
    fn may_pass(&self) -> bool {
        match self {
            Self::Api { source: ApiError::RequestError(e), .. } => {
                !matches!(**e, ureq::Error::StatusCode(400..=499))
            }
            Self::Header { .. } => false,
            _ => true,
        }
    }
}

/// Fetches the weights of `tag` and returns their path in the cache; a broken connection is resumed.
pub(super) fn download(
    hub: &Hub,
    tag: &str,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, DownloadError> {
    let repo = Repo::model(format!("timm/{tag}"));
    let cache = Cache::new(hub.cache.clone());
    let cached = cache.repo(repo.clone());
    let api = ApiBuilder::from_cache(cache)
        .with_endpoint(hub.endpoint.clone())
        .with_token(hub.token.clone())
        .with_progress(false)
        .build()
        .map_err(|source| DownloadError::Api { url: hub.endpoint.clone(), source })?;
    let remote = api.repo(repo);
    let url = remote.url(FILE);

    let mut attempt = 1;
    loop {
        let metadata =
            || api.metadata(&url).map_err(|source| DownloadError::Api { url: url.clone(), source });
        match metadata().and_then(|m| fetch(&remote, &cached, &url, &m, progress)) {
            Err(e) if e.may_pass() && attempt < ATTEMPTS => {
                std::thread::sleep(Duration::from_millis(200) * attempt);
                attempt += 1;
            }
            result => return result,
        }
    }
}

fn fetch(
    remote: &ApiRepo,
    cached: &CacheRepo,
    url: &str,
    metadata: &hf_hub::api::sync::Metadata,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, DownloadError> {
    // Both become file names in the cache.
    for (header, value) in [("etag", metadata.etag()), ("commit", metadata.commit_hash())] {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if value.is_empty() || !value.chars().all(plain) {
            return Err(DownloadError::Header { url: url.to_owned(), header, value: value.to_owned() });
        }
    }
    let expected = metadata.size() as u64;
    let blob = cached.blob_path(metadata.etag());
    let partial = blob.with_extension("part");
    // hf-hub appends to a partial file; one that is already as long cannot be resumed.
    if length(&partial).is_some_and(|n| n >= expected) {
        let _ = std::fs::remove_file(&partial);
    }

    let sink = Sink { done: 0, total: expected, report: progress };
    let path = remote
        .download_with_progress(FILE, sink)
        .map_err(|source| DownloadError::Api { url: url.to_owned(), source })?;
    // hf-hub trusts the connection's end; a proxy may have cut it.
    let found = length(&path).unwrap_or(0);
    if found != expected {
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_file(&blob);
        return Err(DownloadError::Size { url: url.to_owned(), expected, found });
    }
    Ok(path)
}

fn length(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|m| m.len())
}

struct Sink<'a> {
    done: u64,
    total: u64,
    report: &'a mut dyn FnMut(u64, u64),
}

impl Progress for Sink<'_> {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.done = 0;
    }

    fn update(&mut self, bytes: usize) {
        self.done += bytes as u64;
        (self.report)(self.done, self.total);
    }

    fn finish(&mut self) {}
}
