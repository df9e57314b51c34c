//! All findings of a check, for the eye and for programs.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::finding::{Finding, FindingKind, Severity};
use crate::dataset::{Dataset, Format};
use crate::error::{Error, count};
use crate::formats::observe;

/// What [`Inspection::report`](super::Inspection::report) found. [`Display`](fmt::Display) gives it to a person,
/// with up to 8 instances of each finding; serialised, it has all.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// [`Dataset::root`].
    pub root: PathBuf,
    /// [`Dataset::format`]; none where the annotations cannot be read.
    pub format: Option<Format>,
    /// How many labels there are.
    pub labels: usize,
    /// The splits and how many images each has.
    pub splits: Vec<CheckedSplit>,
    /// How many findings are errors.
    pub errors: usize,
    /// How many findings are warnings.
    pub warnings: usize,
    /// How many findings are notes.
    pub notes: usize,
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
}

/// The size of one split.
#[derive(Clone, Debug, Serialize)]
pub struct CheckedSplit {
    /// Its name.
    pub name: String,
    /// How many images it has.
    pub images: usize,
}

impl CheckReport {
    pub(super) fn new(dataset: &Dataset, findings: Vec<Finding>) -> Self {
        let split = |s: &crate::Split| CheckedSplit { name: s.name.clone(), images: s.items.len() };
        Self {
            root: dataset.root.clone(),
            format: Some(dataset.format),
            labels: dataset.labels.len(),
            splits: dataset.splits.iter().map(split).collect(),
            ..Self::of(findings)
        }
    }

    /// The report on a data set in `root` that could not be opened: its annotations are what is wrong.
    ///
    /// # Errors
    /// Gives `error` back where it says that no data set was found, so that there is nothing to report on.
    pub fn unreadable(root: &Path, error: Error) -> Result<Self, Error> {
        let kind = match error {
            Error::Missing { .. } | Error::NotADataset { .. } | Error::SeveralDatasets { .. } => {
                return Err(error);
            }
            Error::LabelsDiffer { .. } => FindingKind::LabelsDiffer,
            _ => FindingKind::Annotations,
        };
        let finding = Finding {
            severity: Severity::Error,
            kind,
            splits: Vec::new(),
            message: error.to_string(),
            advice: "Correct the annotations and check again; the images were not looked at.".to_owned(),
            details: Vec::new(),
        };
        Ok(Self { root: root.to_owned(), ..Self::of(vec![finding]) })
    }

    fn of(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.severity);
        let number = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            root: PathBuf::new(),
            format: None,
            labels: 0,
            splits: Vec::new(),
            errors: number(Severity::Error),
            warnings: number(Severity::Warning),
            notes: number(Severity::Note),
            findings,
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())?;
        if let Some(format) = self.format {
            let splits: Vec<String> =
                self.splits.iter().map(|s| format!("{} {}", s.name, s.images)).collect();
            let labels = count(self.labels, "label", "labels");
            let images = count(self.splits.iter().map(|s| s.images).sum(), "image", "images");
            write!(f, ": {format}, {labels}, {images} ({})", splits.join(", "))?;
        }
        writeln!(f, "\n")?;
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        if self.findings.is_empty() {
            return writeln!(f, "nothing to complain about");
        }
        let numbers = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")];
        let numbers = numbers.iter().map(|(n, noun)| count(*n, noun, &format!("{noun}s")));
        writeln!(f, "{}", numbers.collect::<Vec<_>>().join(", "))
    }
}

/// What the reader had to say, less what the check says itself; and splits that a run would miss.
pub(super) fn notes(dataset: &Dataset) -> Vec<Finding> {
    let note = |kind, message: String, advice: &str| Finding {
        severity: Severity::Note,
        kind,
        splits: Vec::new(),
        message,
        advice: advice.to_owned(),
        details: Vec::new(),
    };
    let observed = observe(dataset);
    let read = dataset.notes.iter().filter(|said| !observed.contains(said));
    let mut notes: Vec<Finding> = read.map(|said| note(FindingKind::Reader, said.clone(), "")).collect();
    for name in ["train", "val"] {
        if dataset.split(name).is_none() {
            let advice = "`mlcls train` needs both, train and val; `mlcls data split` makes them.";
            notes.push(note(FindingKind::MissingSplit, format!("there is no split `{name}`"), advice));
        }
    }
    notes
}
