//! One thing that a check found.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dataset::Item;

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A run on this data set breaks.
    Error,
    /// A run goes through, and its result is spoiled or its numbers flatter.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// What a [`Finding`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// The annotations cannot be read.
    Annotations,
    /// Two splits list different labels.
    LabelsDiffer,
    /// An image file is not there.
    MissingImage,
    /// An image file is empty, damaged, of no known format, or cannot be opened.
    UnreadableImage,
    /// An image file ends before the image does.
    TruncatedImage,
    /// An image has more than [`MAX_PIXELS`](crate::MAX_PIXELS) pixels.
    TooLargeImage,
    /// The shorter side of an image has fewer than 32 pixels.
    TinyImage,
    /// The shorter side of an image has 2048 pixels or more.
    HugeImage,
    /// An image is of one colour.
    BlankImage,
    /// One image is in two splits.
    DuplicateAcrossSplits,
    /// Images in two splits look alike.
    NearDuplicateAcrossSplits,
    /// One image is several times in a split.
    DuplicateInSplit,
    /// Images in one split look alike.
    NearDuplicateInSplit,
    /// Annotations of one image contradict each other.
    ContradictingLabels,
    /// No image of a split shows a label.
    LabelWithoutPositives,
    /// Labels differ only in case or white space.
    LabelSpelling,
    /// The image of one split lies in the folder of another.
    OutsideSplit,
    /// No annotation mentions an image file.
    UnusedImage,
    /// There is no split to train on, or none to validate on.
    MissingSplit,
    /// The reader passed something over, or found it odd.
    Reader,
}

/// An item that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemRef {
    /// Its split.
    pub split: String,
    /// Its id.
    pub id: String,
    /// Its image file.
    pub image: PathBuf,
}

impl ItemRef {
    pub(super) fn new(split: &str, item: &Item) -> Self {
        Self { split: split.to_owned(), id: item.id.clone(), image: item.image.clone() }
    }
}

impl fmt::Display for ItemRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.split, self.id)
    }
}

/// One instance of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The items concerned: one, two that are alike, or all copies of one image; none where it is about labels or
    /// files that no item uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemRef>,
    /// In words.
    pub text: String,
}

impl Detail {
    pub(super) fn of(items: impl Into<Vec<ItemRef>>, text: String) -> Self {
        Self { items: items.into(), text }
    }

    pub(super) fn file(path: &Path) -> Self {
        Self { items: Vec::new(), text: path.display().to_string() }
    }

    pub(super) fn label(label: &str) -> Self {
        Self { items: Vec::new(), text: format!("`{label}`") }
    }
}

/// One kind of fault and all its instances in one split, pair of splits, or the whole data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub kind: FindingKind,
    /// The split it is about, or the first and the second; none where it is about the whole.
    pub splits: Vec<String>,
    /// What was found, in words.
    pub message: String,
    /// What to do about it, in words; may be empty.
    pub advice: String,
    /// Its instances, all of them.
    pub details: Vec<Detail>,
}

impl Finding {
    /// A finding on some splits; none where there is no instance of it.
    pub(super) fn of(
        severity: Severity,
        kind: FindingKind,
        splits: &[&str],
        message: String,
        advice: &str,
        details: Vec<Detail>,
    ) -> Option<Self> {
        let splits = splits.iter().map(ToString::to_string).collect();
        (!details.is_empty()).then(|| Self {
            severity,
            kind,
            splits,
            message,
            advice: advice.to_owned(),
            details,
        })
    }
}

/// Instances that [`Display`](fmt::Display) lists.
const SHOWN: usize = 8;

impl fmt::Display for Finding {
    /// The message, up to 8 instances, and the advice, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity, self.message)?;
        for detail in self.details.iter().take(SHOWN) {
            writeln!(f, "    {}", detail.text)?;
        }
        if self.details.len() > SHOWN {
            writeln!(f, "    and {} more", self.details.len() - SHOWN)?;
        }
        if self.advice.is_empty() { Ok(()) } else { writeln!(f, "  {}", self.advice) }
    }
}
