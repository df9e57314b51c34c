//! What a multi-label data set is once it has been read, whatever its format on disk.

use std::path::{Path, PathBuf};

/// What is known about one label of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LabelState {
    /// The label does not apply.
    Absent,
    /// The label applies.
    Present,
    /// Nobody knows: the label adds nothing to the loss or to a metric.
    Unknown,
}

/// One image and what is known about each label of the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Identifier, unique within its split.
    pub id: String,
    /// Where the image lies.
    pub image: PathBuf,
    /// One state per label, in the order of [`Dataset::labels`].
    pub states: Vec<LabelState>,
}

/// A named part of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// `train`, `val`, `test`, or the name found on disk where it is none of these.
    pub name: String,
    /// Its items in the order of the annotations.
    pub items: Vec<Item>,
}

/// The format that a data set was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// OTX's internal format: `annotations/<split>.json` and `images/<split>/`.
    Datumaro,
    /// PASCAL VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`.
    Voc,
}

/// A multi-label data set in memory; pixels stay on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Where it was read from.
    pub root: PathBuf,
    /// How it was stored there.
    pub format: Format,
    /// Label names; the position is the class index.
    pub labels: Vec<String>,
    /// Its splits, in the order train, val, test, others.
    pub splits: Vec<Split>,
    /// What the reader passed over or found odd, in words, for the user.
    pub notes: Vec<String>,
}

impl Dataset {
    /// The split of this name, if there is one.
    pub fn split(&self, name: &str) -> Option<&Split> {
        self.splits.iter().find(|s| s.name == name)
    }

    /// The folder it was read from.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
