//! What can go wrong between a model's name and its weights.

use std::fmt;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate, with the place where it happened and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is not in the list.
    #[error("unknown {what} `{name}`: {hint}")]
    Unknown {
        /// What was looked for: a model, a head, a weight tag.
        what: &'static str,
        /// The name as it was given.
        name: String,
        /// The nearest name and all known ones.
        hint: String,
    },
    /// An option out of its range.
    #[error("{field}: expected {expected}, found {found}")]
    Option {
        /// Name of the option.
        field: &'static str,
        /// The range.
        expected: &'static str,
        /// The value as it was given.
        found: String,
    },
    /// The graph could not be built.
    #[error(transparent)]
    Graph(#[from] mlcls_engine::Error),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example "read".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not a whole safetensors file.
    #[error("{} is not a whole safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The tensors of a file are not those of the model.
    #[error("{} does not fit {model}:{mismatch}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Name of the model.
        model: String,
        /// All differences.
        mismatch: Box<Mismatch>,
    },
    /// Two models cannot share weights.
    #[error("cannot start from the other model's weights:{0}")]
    Transfer(Box<Mismatch>),
    /// The pretrained weights are not on this machine and may not or could not be downloaded.
    #[error(
        "no pretrained weights `{tag}` on this machine, and {reason}.\n\
         Put model.safetensors of {url} at\n  {}\n\
         or give its path as the pretrained option; `none` starts from random weights.",
        place.display()
    )]
    NoWeights {
        /// timm's name of the weights.
        tag: String,
        /// Why there was no download.
        reason: String,
        /// Page of the repository that has the file.
        url: String,
        /// Where this crate looks for the file first.
        place: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Tensors that a message shows per group; the value holds all of them.
const SHOWN: usize = 40;

/// How the tensors of a file differ from those of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors of the model that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the model lacks, with the nearest missing name where one is near.
    pub unexpected: Vec<String>,
    /// Tensors with another shape or an unreadable type: name, what was expected, what was found.
    pub wrong: Vec<String>,
}

impl Mismatch {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            ("missing in the file", &self.missing),
            ("not in the model", &self.unexpected),
            ("of another shape or type", &self.wrong),
        ];
        for (title, names) in groups.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "\n  {} {title}:", names.len())?;
            for name in names.iter().take(SHOWN) {
                write!(f, "\n    {name}")?;
            }
            if names.len() > SHOWN {
                write!(f, "\n    and {} more", names.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}

/// "did you mean `x`? Known: x, y, z"; without the question where nothing is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let list = format!("Known: {}", known.join(", "));
    match nearest_of(name, &known) {
        Some(best) => format!("did you mean `{best}`? {list}"),
        None => list,
    }
}

/// The most similar of `known`, if similar at all.
pub(crate) fn nearest_of<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let score = |k: &str| strsim::jaro_winkler(&name, &k.to_lowercase());
    let best = known.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) > 0.7).then_some(best)
}
