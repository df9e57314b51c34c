//! What can be wrong with a configuration.

use std::path::PathBuf;

/// A setting that cannot be used, with the key and where its value came from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not valid YAML, or not a mapping of groups.
    #[error("{origin}: {}{message}", place(*line, *column))]
    Syntax {
        /// File or flag.
        origin: String,
        /// Line from 1; 0 when unknown.
        line: usize,
        /// Column from 1; 0 when unknown.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A key that no setting has.
    #[error("{origin}: unknown key `{key}`{}", hint(nearest.as_deref()))]
    UnknownKey {
        /// File or flag.
        origin: String,
        /// Full path, for example `optim.learning_rate`.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A value of the wrong type or out of range.
    #[error("{origin}: `{key}` is {found}: {problem}")]
    Value {
        /// File or flag.
        origin: String,
        /// Full path, for example `optim.lr`.
        key: String,
        /// What was found.
        found: String,
        /// What is wrong, or what would be right.
        problem: String,
    },
    /// A model that is not known.
    #[error(transparent)]
    Model(#[from] mlcls_models::Error),
    /// A model that is not trained.
    #[error(
        "{model} stays frozen, so it has no recipe; train a head on it with: mlcls probe DATA --backbone {model}"
    )]
    Frozen {
        /// Our name of it.
        model: &'static str,
    },
    /// A recipe or a model without a template.
    #[error("there is no {what} `{found}`{}; known: {}", hint(nearest.as_deref()), known.join(", "))]
    UnknownTemplate {
        /// `recipe` or `model`.
        what: &'static str,
        /// What was asked for.
        found: String,
        /// The known name that is most like it.
        nearest: Option<String>,
        /// All known names.
        known: Vec<String>,
    },
}

fn place(line: usize, column: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}, column {column}: ") }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |n| format!("; did you mean `{n}`?"))
}
