//! Finding pretrained weights: a file, the Hugging Face cache, the hub.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, nearest};
use crate::registry::{WeightTag, find};

/// Name of the weights' file in timm's repositories.
pub(crate) const FILE: &str = "model.safetensors";

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
        let place = hub.place(tag.tag);
        if place.is_file() {
            return found(place, Source::File);
        }
        if let Some(path) = hub.cached(tag.tag) {
            return found(path, Source::Cache);
        }
        match hub.download(tag.tag, progress) {
            Ok(path) => found(path, Source::Download),
            Err(reason) => {
                let url = format!("{}/timm/{}", hub.endpoint, tag.tag);
                Err(Error::NoWeights { tag: tag.tag.to_owned(), reason, url, place })
            }
        }
    }
}

/// The Hugging Face hub and its cache on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Folder of everything from Hugging Face, `~/.cache/huggingface`; files put there by hand go to `mlcls/` in it.
    pub home: PathBuf,
    /// Folder of the hub's cache, usually `hub/` in `home`.
    pub cache: PathBuf,
    /// Never use the network.
    pub offline: bool,
    /// The user's access token.
    pub token: Option<String>,
}

impl Hub {
    /// As the environment says, with the variables and defaults of Hugging Face's Python library: `HF_ENDPOINT`,
    /// `HF_HOME` (else `XDG_CACHE_HOME`), `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_TOKEN`.
    pub fn from_env() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let user_cache = || std::env::home_dir().unwrap_or_default().join(".cache");
        let home = var("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            var("XDG_CACHE_HOME").map_or_else(user_cache, PathBuf::from).join("huggingface")
        });
        let home = std::path::absolute(&home).unwrap_or(home);
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let offline = var("HF_HUB_OFFLINE").unwrap_or_default();
        let token = var("HF_TOKEN").or_else(|| std::fs::read_to_string(home.join("token")).ok());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: var("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            home,
            offline: ["1", "true", "yes", "on"].iter().any(|y| offline.eq_ignore_ascii_case(y)),
            token: token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()),
        }
    }

    /// Where a file put there by hand is looked for first.
    pub fn place(&self, tag: &str) -> PathBuf {
        self.home.join("mlcls").join(format!("{tag}.safetensors"))
    }

    /// The file in the hub's cache, by the layout of Hugging Face's libraries.
    pub fn cached(&self, tag: &str) -> Option<PathBuf> {
        let repo = self.cache.join(format!("models--timm--{tag}"));
        let commit = std::fs::read_to_string(repo.join("refs").join("main")).ok()?;
        let path = repo.join("snapshots").join(commit.trim()).join(FILE);
        path.is_file().then_some(path)
    }

    #[cfg(not(feature = "hub"))]
    fn download(&self, _: &str, _: &mut dyn FnMut(u64, u64)) -> std::result::Result<PathBuf, String> {
        Err("this build cannot download (feature `hub`)".to_owned())
    }

    #[cfg(feature = "hub")]
    fn download(
        &self,
        tag: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> std::result::Result<PathBuf, String> {
        if self.offline {
            return Err("HF_HUB_OFFLINE forbids a download".to_owned());
        }
        super::hub::download(self, tag, progress).map_err(|e| format!("the download failed: {e}"))
    }
}
