//! Finding pretrained weights: a file, the Hugging Face cache, the hub.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hub::Hub;
use crate::error::{Error, Result, nearest};
use crate::registry::{WeightTag, find};

/// Where a model's first weights come from; as text `none`, `auto`, a path, or timm's name of a set of weights.
///
/// ```
/// use mlcls_models::Pretrained;
///
/// assert_eq!(Pretrained::from("auto"), Pretrained::Auto);
/// assert_eq!(Pretrained::from("weights/b0.safetensors"), Pretrained::File("weights/b0.safetensors".into()));
/// let tag = Pretrained::from("timm/mobilenetv3_large_100.miil_in21k");
/// assert_eq!(tag, Pretrained::Tag("mobilenetv3_large_100.miil_in21k".into()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Pretrained {
    /// Random weights.
    None,
    /// The model's default published weights.
    #[default]
    Auto,
    /// Published weights by timm's name, with or without `timm/` before it (see [`weight_tags`](crate::weight_tags)).
    Tag(String),
    /// A local safetensors file: text that ends in `.safetensors` or is the path of a file.
    File(PathBuf),
}

impl From<&str> for Pretrained {
    fn from(text: &str) -> Self {
        match text {
            "none" => Self::None,
            "auto" => Self::Auto,
            _ if text.ends_with(".safetensors") || Path::new(text).is_file() => Self::File(text.into()),
            _ => Self::Tag(text.strip_prefix("timm/").unwrap_or(text).to_owned()),
        }
    }
}

impl From<String> for Pretrained {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Pretrained> for String {
    fn from(p: Pretrained) -> Self {
        p.to_string()
    }
}

impl fmt::Display for Pretrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Auto => f.write_str("auto"),
            Self::Tag(tag) => f.write_str(tag),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Weights found on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The safetensors file.
    pub path: PathBuf,
    /// Which published weights they are; `None` for a file that the user named.
    pub tag: Option<&'static WeightTag>,
    /// Where they were found.
    pub source: Source,
}

/// Where weights were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A file that the user named, or put where the error message of an earlier try said.
    File,
    /// The Hugging Face cache.
    Cache,
    /// Downloaded just now, into the Hugging Face cache.
    Download,
}

impl Pretrained {
    /// Finds the weights of a model, downloading them if need be; `Ok(None)` for [`Pretrained::None`].
    ///
    /// `progress` gets the bytes so far and in all while a download runs.
    ///
    /// # Errors
    /// [`Error::Io`] where a named file is not there; [`Error::Unknown`] for weights that the model does not have;
    /// [`Error::NoWeights`] where they are not on this machine and could not be downloaded, with what to do.
    pub fn locate(
        &self,
        model: &str,
        hub: &Hub,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<Found>> {
        let entry = find(model)?;
        let tag = match self {
            Self::None => return Ok(None),
            Self::File(path) => {
                std::fs::File::open(path).map_err(Error::io("read", path))?;
                return Ok(Some(Found { path: path.clone(), tag: None, source: Source::File }));
            }
            Self::Auto => &entry.weights[0],
            Self::Tag(name) => {
                entry.weights.iter().find(|t| t.tag == name).ok_or_else(|| Error::Unknown {
                    what: "pretrained weights",
                    name: name.clone(),
                    hint: nearest(name, entry.weights.iter().map(|t| t.tag)),
                })?
            }
        };
        let found = |path, source| Ok(Some(Found { path, tag: Some(tag), source }));
        if let Some((path, source)) = hub.find(tag.tag) {
            return found(path, source);
        }
        match download(hub, tag.tag, progress) {
            Ok(path) => found(path, Source::Download),
            Err(reason) => {
                let (url, place) = (hub.page(tag.tag), hub.place(tag.tag));
                Err(Error::NoWeights { tag: tag.tag.to_owned(), reason, url, place })
            }
        }
    }
}

impl Found {
    /// The SHA-256 of the file, in small hexadecimal digits: what the hub shows beside each of its files.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read.
    pub fn sha256(&self) -> Result<String> {
        let bytes = std::fs::read(&self.path).map_err(Error::io("read", &self.path))?;
        Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Downloads weights into the hub's cache, or says why not.
#[cfg(not(feature = "hub"))]
fn download(_: &Hub, _: &str, _: &mut dyn FnMut(u64, u64)) -> std::result::Result<PathBuf, String> {
    Err("this build cannot download (feature `hub`)".to_owned())
}

/// Downloads weights into the hub's cache, or says why not.
#[cfg(feature = "hub")]
fn download(
    hub: &Hub,
    tag: &str,
    progress: &mut dyn FnMut(u64, u64),
) -> std::result::Result<PathBuf, String> {
    if hub.offline {
        return Err("HF_HUB_OFFLINE forbids a download".to_owned());
    }
    super::download::download(hub, tag, progress).map_err(|e| format!("the download failed: {e}"))
}
