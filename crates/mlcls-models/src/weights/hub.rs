//! Where the Hugging Face hub and its cache are.

use std::path::PathBuf;

use super::pretrained::Source;

/// Name of the weights' file in timm's repositories.
pub(crate) const FILE: &str = "model.safetensors";

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

    /// The file of `tag` on this machine, if it is there: put there by hand, or in the cache.
    pub fn find(&self, tag: &str) -> Option<(PathBuf, Source)> {
        let place = self.place(tag);
        if place.is_file() {
            return Some((place, Source::File));
        }
        self.cached(tag).map(|path| (path, Source::Cache))
    }

    /// The page of the repository that has `tag`; its file is `resolve/main/model.safetensors` under it.
    pub fn page(&self, tag: &str) -> String {
        format!("{}/timm/{tag}", self.endpoint)
    }

    /// The file in the hub's cache, by the layout of Hugging Face's libraries.
    pub fn cached(&self, tag: &str) -> Option<PathBuf> {
        let repo = self.cache.join(format!("models--timm--{tag}"));
        let commit = std::fs::read_to_string(repo.join("refs").join("main")).ok()?;
        let path = repo.join("snapshots").join(commit.trim()).join(FILE);
        path.is_file().then_some(path)
    }
}
