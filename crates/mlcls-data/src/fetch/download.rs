//! One file over HTTP, continued where an earlier try broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body};

use super::error::DownloadProblem;

/// Tries in a row that bring nothing before a download is given up.
const ATTEMPTS: u32 = 4;
/// The wait before the second try; the third waits twice as long, and so on.
const PAUSE: Duration = Duration::from_millis(250);

/// What stopped a download.
#[derive(Debug)]
pub(super) enum Failure {
    /// The network or the server.
    Remote(DownloadProblem),
    /// A file here could not be written.
    Local { path: PathBuf, source: io::Error },
}

impl From<DownloadProblem> for Failure {
    fn from(problem: DownloadProblem) -> Self {
        Self::Remote(problem)
    }
}

impl Failure {
    /// Whether a second try may go better: not where the server understood and refused.
    fn may_pass(&self) -> bool {
        match self {
            Self::Remote(DownloadProblem::Status(status)) => {
                matches!(status, 408 | 416 | 429 | 500..=599)
            }
            Self::Remote(DownloadProblem::Size { .. }) | Self::Local { .. } => false,
            Self::Remote(_) => true,
        }
    }
}

/// Downloads `url` to `path`, which appears when all `bytes` are there. Until then they are in `<path>.part`, and
/// `<path>.part.tag` says which version of the server's file they come from. `timeout` is for connecting and for each
/// wait for data; `on` gets the bytes so far.
pub(super) fn download(
    url: &str,
    bytes: u64,
    path: &Path,
    timeout: Duration,
    on: &mut dyn FnMut(u64),
) -> Result<(), Failure> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(timeout))
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout))
        .timeout_per_read(Some(timeout));
    let transfer = Transfer {
        agent: config.build().new_agent(),
        url,
        bytes,
        part: with_ending(path, ".part"),
        tag: with_ending(path, ".part.tag"),
    };
    let mut failures = 0;
    loop {
        let before = length(&transfer.part);
        match transfer.attempt(on) {
            Ok(()) => break,
            Err(failure) if !failure.may_pass() => return Err(failure),
            Err(failure) => {
                failures = if length(&transfer.part) > before { 1 } else { failures + 1 };
                if failures >= ATTEMPTS {
                    return Err(failure);
                }
                sleep(PAUSE * failures);
            }
        }
    }
    fs::rename(&transfer.part, path).map_err(local(path))?;
    transfer.forget_tag()
}

struct Transfer<'a> {
    agent: Agent,
    url: &'a str,
    bytes: u64,
    part: PathBuf,
    /// Holds the server's name for the version that `part` is a piece of.
    tag: PathBuf,
}

impl Transfer<'_> {
    /// One request. Afterwards `part` is as long as what was received, whether it was all or not.
    fn attempt(&self, on: &mut dyn FnMut(u64)) -> Result<(), Failure> {
        // Without a tag nobody can tell whether the server's file is still the same: start over.
        let tag = fs::read_to_string(&self.tag).ok().filter(|tag| !tag.is_empty());
        let have = if tag.is_some() { length(&self.part) } else { 0 };
        if have == self.bytes {
            return Ok(());
        }
        // Compressed on the way, the ranges would be those of another file.
        let mut request = self.agent.get(self.url).header("Accept-Encoding", "identity");
        if let Some(tag) = tag.as_ref().filter(|_| have > 0 && have < self.bytes) {
            request = request.header("Range", format!("bytes={have}-")).header("If-Range", tag);
        }
        let response = request.call().map_err(|e| DownloadProblem::Network(e.to_string()))?;
        let have = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => {
                self.check_range(have, response.headers(), tag.as_deref())?;
                have
            }
            status => {
                if status == StatusCode::RANGE_NOT_SATISFIABLE {
                    self.forget_tag()?;
                }
                return Err(DownloadProblem::Status(status.as_u16()).into());
            }
        };
        if have > 0 {
            let file = OpenOptions::new().append(true).open(&self.part).map_err(local(&self.part))?;
            return self.receive(response, file, have, on);
        }
        self.check_length(response.headers())?;
        // In this order: no tag ever stands beside a piece of another version.
        self.forget_tag()?;
        let file = File::create(&self.part).map_err(local(&self.part))?;
        if let Some(tag) = version(response.headers()) {
            fs::write(&self.tag, tag).map_err(local(&self.tag))?;
        }
        self.receive(response, file, 0, on)
    }

    /// Checks that a partial answer begins where this file ends, and belongs to the same version.
    fn check_range(&self, have: u64, headers: &HeaderMap, tag: Option<&str>) -> Result<(), Failure> {
        let found = text(headers, "content-range").unwrap_or_default();
        let fits = found.strip_prefix("bytes ").and_then(|range| {
            let (span, total) = range.split_once('/')?;
            Some(span.split_once('-')?.0.parse() == Ok(have) && total.parse() == Ok(self.bytes))
        });
        let same_version = version(headers).is_none_or(|found| Some(found) == tag);
        if fits == Some(true) && same_version {
            return Ok(());
        }
        self.forget_tag()?;
        Err(DownloadProblem::Range { from: have, found: found.to_owned() }.into())
    }

    fn check_length(&self, headers: &HeaderMap) -> Result<(), Failure> {
        match text(headers, "content-length").and_then(|n| n.parse().ok()) {
            Some(found) if found != self.bytes => {
                Err(DownloadProblem::Size { expected: self.bytes, found }.into())
            }
            _ => Ok(()),
        }
    }

    fn receive(
        &self,
        response: Response<Body>,
        mut file: File,
        have: u64,
        on: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 18];
        let mut found = have;
        on(found);
        loop {
            let n = body.read(&mut buffer).map_err(|e| DownloadProblem::Network(e.to_string()))?;
            if n == 0 {
                break;
            }
            found += n as u64;
            if found > self.bytes {
                self.forget_tag()?;
                return Err(DownloadProblem::Size { expected: self.bytes, found }.into());
            }
            file.write_all(&buffer[..n]).map_err(local(&self.part))?;
            on(found);
        }
        file.sync_all().map_err(local(&self.part))?;
        if found < self.bytes {
            return Err(DownloadProblem::Cut { expected: self.bytes, found }.into());
        }
        Ok(())
    }

    fn forget_tag(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.tag) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(local(&self.tag)(e)),
            _ => Ok(()),
        }
    }
}

/// What names the version of a file: a strong entity tag, or the time of its last change (RFC 9110, 13.1.5).
fn version(headers: &HeaderMap) -> Option<&str> {
    text(headers, "etag").filter(|tag| tag.starts_with('"')).or_else(|| text(headers, "last-modified"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn local(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::Local { path, source }
}
