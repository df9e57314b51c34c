//! What a multi-label data set is once it has been read, whatever its format on disk.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, nearest};

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

impl Item {
    /// How many labels of this image are in `state`.
    pub fn count(&self, state: LabelState) -> usize {
        self.states.iter().filter(|s| **s == state).count()
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// OTX's internal format: `annotations/<split>.json` and `images/<split>/`.
    Datumaro,
    /// PASCAL VOC: `JPEGImages`, `Annotations`, `ImageSets/Main`.
    Voc,
    /// COCO: `annotations/instances_<split>.json` and a folder of images per split.
    Coco,
    /// Roboflow's COCO export: `<split>/_annotations.coco.json` among the images.
    RoboflowCoco,
    /// Roboflow's multi-class export: `<split>/_classes.csv` among the images.
    RoboflowCsv,
    /// A table with a column of paths, and a column per label or one column of labels.
    Csv,
    /// A folder of images per label.
    Folders,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Datumaro => "Datumaro",
            Self::Voc => "PASCAL VOC",
            Self::Coco => "COCO",
            Self::RoboflowCoco => "Roboflow COCO",
            Self::RoboflowCsv => "Roboflow CSV",
            Self::Csv => "CSV",
            Self::Folders => "folder per label",
        })
    }
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

    /// The split of this name, for a caller that cannot go on without it.
    ///
    /// # Errors
    /// [`Error::NoSuchSplit`] with the names there are.
    pub fn require_split(&self, name: &str) -> Result<&Split, Error> {
        self.split(name).ok_or_else(|| {
            let splits: Vec<String> = self.splits.iter().map(|s| s.name.clone()).collect();
            let nearest = nearest(name, &splits);
            Error::NoSuchSplit { root: self.root.clone(), split: name.to_owned(), splits, nearest }
        })
    }

    /// The folder it was read from.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A hash of what the data set says: the BLAKE3 hash, in 64 hexadecimal digits, of its labels and of the
    /// name, ids and states of each split, all in order.
    ///
    /// Paths, notes and pixels do not enter: a data set that was moved or converted keeps its fingerprint, and
    /// one whose annotations changed does not.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // Every text and list goes in behind its length, so that no two data sets give the same bytes.
        let length = |n: usize| (n as u64).to_le_bytes();
        let text = |hasher: &mut blake3::Hasher, text: &str| {
            hasher.update(&length(text.len())).update(text.as_bytes());
        };
        hasher.update(&length(self.labels.len()));
        for label in &self.labels {
            text(&mut hasher, label);
        }
        hasher.update(&length(self.splits.len()));
        for split in &self.splits {
            text(&mut hasher, &split.name);
            hasher.update(&length(split.items.len()));
            for item in &split.items {
                text(&mut hasher, &item.id);
                let states: Vec<u8> = item.states.iter().map(|s| *s as u8).collect();
                hasher.update(&length(states.len())).update(&states);
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LabelState::{Absent, Present, Unknown};

    fn dataset() -> Dataset {
        let item = |id: &str, states| Item { id: id.into(), image: format!("{id}.jpg").into(), states };
        Dataset {
            root: "somewhere".into(),
            format: Format::Voc,
            labels: vec!["cat".into(), "dog".into()],
            splits: vec![
                Split {
                    name: "train".into(),
                    items: vec![item("a", vec![Present, Absent]), item("b", vec![Unknown, Present])],
                },
                Split { name: "val".into(), items: vec![item("c", vec![Absent, Absent])] },
            ],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_moved_or_converted_data_set_keeps_its_fingerprint() {
        let mut moved = dataset();
        moved.root = "elsewhere".into();
        moved.format = Format::Datumaro;
        moved.splits[0].items[0].image = "z.png".into();
        moved.notes.push("a note".into());
        assert_eq!(moved.fingerprint(), dataset().fingerprint());
        assert_eq!(moved.fingerprint().len(), 64);
    }

    #[test]
    fn every_change_of_content_changes_the_fingerprint() {
        let changes: [fn(&mut Dataset); 7] = [
            |d| d.labels[0] = "cow".into(),
            |d| d.labels.swap(0, 1),
            |d| d.labels = vec!["ca".into(), "tdog".into()],
            |d| d.splits[1].name = "test".into(),
            |d| d.splits[0].items[0].id = "aa".into(),
            |d| d.splits[0].items[1].states[0] = Absent,
            |d| {
                let moved = d.splits[0].items.pop().unwrap();
                d.splits[1].items.insert(0, moved);
            },
        ];
        let mut seen = std::collections::HashSet::from([dataset().fingerprint()]);
        for change in changes {
            let mut changed = dataset();
            change(&mut changed);
            assert!(seen.insert(changed.fingerprint()), "{changed:?}");
        }
    }

    #[test]
    fn a_missing_split_is_named_with_its_nearest_match() {
        let error = dataset().require_split("trian").unwrap_err().to_string();
        assert_eq!(
            error,
            "somewhere: no split `trian`; the splits here are `train`, `val`; did you mean `train`?"
        );
    }
}
