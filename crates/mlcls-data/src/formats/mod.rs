//! The formats on disk: which one a folder holds, and what every reader shares.
//!
//! To add a format, write one file with a [`Reader`] and add it to [`READERS`].

mod datumaro;
mod locate;
mod observe;
mod text;
mod voc;
mod write;

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Format, Split};
use crate::error::Error;

pub use write::{Images, WriteFormat, write_dataset};

/// How one format is recognised and read.
struct Reader {
    format: Format,
    /// What it looks like, for messages.
    layout: &'static str,
    /// The folders it needs, for messages about those that are missing.
    folders: &'static [&'static str],
    /// The data sets of this format in a folder: itself, or folders in it that the format may be given by.
    /// Looks at names only.
    locate: fn(&Path) -> Vec<PathBuf>,
    /// Reads the data set in a folder that `locate` gave.
    read: fn(&Path, &ReadOptions) -> Result<Dataset, Error>,
}

/// All formats; where a folder holds two of them, the first is read.
const READERS: &[Reader] = &[datumaro::READER, voc::READER];

/// Choices that the annotations leave open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// What a label is whose objects are all marked `difficult`. Only PASCAL VOC has such marks.
    pub difficult: Difficult,
}

/// What PASCAL VOC's `difficult` mark means for a label that an image shows only in difficult objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Difficult {
    /// [`LabelState::Unknown`](crate::LabelState::Unknown): left out of loss and metrics, as in the official
    /// VOC evaluation.
    #[default]
    Unknown,
    /// [`LabelState::Present`](crate::LabelState::Present): the label counts as shown.
    Positive,
    /// [`LabelState::Absent`](crate::LabelState::Absent): the label counts as not shown.
    Negative,
}

impl Dataset {
    /// Reads the data set in a folder; its format is found by what the folder holds.
    ///
    /// - **Datumaro** (OTX's internal format): `annotations/<split>.json` and `images/`.
    ///   [`write_dataset`] writes it.
    /// - **PASCAL VOC**: `ImageSets/Main/<split>.txt`, `JPEGImages/` and `Annotations/*.xml`. The folder may
    ///   also be a `VOCdevkit` with one year inside.
    ///
    /// Split names are brought to `train`, `val` and `test` (from `valid`, `validation`, `training`,
    /// `testing`, in any case); other Datumaro splits keep theirs. Annotations are read and checked in full;
    /// images are not touched: [`verify_images`](crate::verify_images) does that.
    ///
    /// # VOC label states
    /// Where `ImageSets/Main` holds a file `<label>_<split>.txt` for every label and split, these are read:
    /// `1` is present, `-1` absent, `0` is [`ReadOptions::difficult`]. Otherwise the XML files are read: a
    /// label is present if an object of it is not difficult, and as `difficult` says if all its objects are.
    /// In the official data sets both ways give the same states; in subsets whose XML lost difficult objects
    /// the files per label still know them. Labels are in alphabetical order either way, as VOC's own are.
    ///
    /// `trainval.txt` holds the items of `train.txt` and `val.txt` once more. It is read, as `train`, only
    /// where neither of these exists. Lists of other names are left out with a note.
    ///
    /// # Errors
    /// See [`Error`]: a folder that is no data set, and annotations that are malformed or contradict
    /// themselves. Oddities that do not stand in the way are in [`Dataset::notes`].
    pub fn open(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Dataset, Error> {
        let located = locate::locate(path.as_ref())?;
        let mut dataset = (located.reader.read)(&located.root, options)?;
        dataset.splits.sort_by_key(|split| rank(&split.name));
        dataset.notes.splice(0..0, located.notes);
        dataset.notes.extend(observe::observe(&dataset));
        Ok(dataset)
    }
}

/// The position of a split among the others: train, val, test, others by name.
pub(crate) fn rank(split: &str) -> (usize, String) {
    let known = ["train", "val", "test"].iter().position(|name| *name == split);
    (known.unwrap_or(usize::MAX), split.to_owned())
}

/// The name of a split, by the name of its file.
fn split_name(stem: &str) -> String {
    match stem.to_ascii_lowercase().as_str() {
        "train" | "training" => "train".to_owned(),
        "val" | "valid" | "validation" => "val".to_owned(),
        "test" | "testing" => "test".to_owned(),
        _ => stem.to_owned(),
    }
}

/// Checks what must hold for a split of any format, `file` being what it was read from: it has items, and
/// their ids are unique.
fn check_items(split: &Split, file: &Path) -> Result<(), Error> {
    if split.items.is_empty() {
        return Err(Error::EmptySplit { file: file.to_owned() });
    }
    let mut seen = HashSet::new();
    let mut ids: Vec<String> =
        split.items.iter().filter(|item| !seen.insert(item.id.as_str())).map(|i| i.id.clone()).collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() { Ok(()) } else { Err(Error::DuplicateIds { file: file.to_owned(), ids }) }
}

/// The most label states that one split may have, a byte each. A file of some megabytes can list a million labels and a
/// million items, and ask for more memory than there is.
const MAX_STATES: usize = 1 << 32;

/// Checks, before they take memory, that the states of a split are not too many.
fn check_states(file: &Path, items: usize, labels: usize) -> Result<(), Error> {
    if items.checked_mul(labels).is_some_and(|states| states <= MAX_STATES) {
        return Ok(());
    }
    let problem = format!("{items} items with {labels} labels each are more than {MAX_STATES} label states");
    Err(Error::Field { file: file.to_owned(), field: "items".to_owned(), problem })
}

/// Whether a path that stands in an annotation stays inside the folder it is relative to.
fn stays_inside(path: &str) -> bool {
    !path.is_empty()
        && Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
}

/// Checks that a folder exists.
fn require_folder(path: PathBuf) -> Result<PathBuf, Error> {
    if path.is_dir() { Ok(path) } else { Err(locate::missing(&path, "folder")) }
}

/// The files of a folder that end in `.extension`, as (stem, path), by name.
fn files_with_extension(folder: &Path, extension: &str) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(Error::read(folder))? {
        let path = entry.map_err(Error::read(folder))?.path();
        let matches = path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
        if let (true, Some(stem)) = (matches && path.is_file(), path.file_stem().and_then(|s| s.to_str())) {
            files.push((stem.to_owned(), path));
        }
    }
    files.sort();
    Ok(files)
}
