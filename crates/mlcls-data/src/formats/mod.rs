//! The formats on disk: which one a folder holds, and what every reader shares.
//!
//! To add a format, write one file with a [`Reader`] and add it to [`READERS`].

mod coco;
mod csv;
mod datumaro;
mod folders;
mod json;
mod labels;
mod locate;
mod observe;
mod roboflow_csv;
mod text;
mod voc;
mod write;

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Format, LabelState, Split};
use crate::error::Error;
use crate::image_name::is_image_name;

pub(crate) use observe::observe;
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
const READERS: &[Reader] = &[
    datumaro::READER,
    voc::READER,
    coco::READER,
    coco::ROBOFLOW,
    roboflow_csv::READER,
    csv::READER,
    folders::READER,
];

/// Choices that the annotations leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// What a label is whose objects are all marked `difficult`, as PASCAL VOC does. Unknown by default, as in
    /// the official VOC evaluation.
    pub difficult: Doubtful,
    /// What a label is whose objects are all crowd regions (`iscrowd`), as in COCO. Positive by default, as
    /// multi-label papers on COCO have it.
    pub crowd: Doubtful,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { difficult: Doubtful::Unknown, crowd: Doubtful::Positive }
    }
}

/// What a label is that an image shows only in objects with a mark against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doubtful {
    /// [`LabelState::Unknown`]: left out of loss and metrics.
    Unknown,
    /// [`LabelState::Present`]: the label counts as shown.
    Positive,
    /// [`LabelState::Absent`]: the label counts as not shown.
    Negative,
}

impl Doubtful {
    /// The state of such a label.
    fn state(self) -> LabelState {
        match self {
            Self::Unknown => LabelState::Unknown,
            Self::Positive => LabelState::Present,
            Self::Negative => LabelState::Absent,
        }
    }
}

impl Dataset {
    /// Reads the data set in a folder or file; its format is found by what lies there.
    ///
    /// - **Datumaro** (OTX's internal format): `annotations/<split>.json` and `images/`.
    ///   [`write_dataset`] writes it.
    /// - **PASCAL VOC**: `ImageSets/Main/<split>.txt`, `JPEGImages/` and `Annotations/*.xml`. The folder may
    ///   also be a `VOCdevkit` with one year inside.
    /// - **COCO**: `annotations/instances_<split>.json` and the images in `<split>/`, `images/<split>/` or
    ///   `images/`, as COCO's own archives unpack; or JSON of this form under other names, in `annotations/` or
    ///   among the images; or one such file.
    /// - **Roboflow's COCO export**: `<split>/_annotations.coco.json` among the images.
    /// - **Roboflow CSV** (the export Multi-Class Classification): `train|valid|test/_classes.csv` among the
    ///   images.
    /// - **CSV** or TSV: one table, or `train.csv`, `val.csv`, `test.csv`; see below.
    /// - **A folder per label**: `<label>/` or `<split>/<label>/` with images at any depth. Files of the same
    ///   content in several label folders of a split are one image with several labels; images beside the label
    ///   folders have none.
    ///
    /// Split names are brought to `train`, `val` and `test` (from `valid`, `validation`, `training`,
    /// `testing`, in any case, and in COCO from names with a year, as `train2014`); others keep theirs. Where
    /// nothing tells splits, there is one, `all`. Annotations are read and checked in full; images are not touched:
    /// [`verify_images`](crate::verify_images) does that.
    ///
    /// # Tables
    /// The first line names the columns; commas, tabs or semicolons separate them. [`Dataset::notes`] say which
    /// column was taken for what.
    /// - One column of image paths, called `image`, `path`, `filename` or similarly. Paths are relative to the
    ///   folder of the table, to `images` or `JPEGImages` in it, or to a folder `<split>` in one of these; the
    ///   ending may be left out.
    /// - Optionally `id` and `split`, before the labels. A split column may stand elsewhere, and be called
    ///   `subset`, `set` and the like, if it says train, val or test in every row.
    /// - Then a column per label, with 1, 0, or nothing, `-1` or `?` for unknown; or one column called `labels` (or
    ///   `tags`, `class` and the like) with the names of labels, separated by `|`, `;`, `,` or spaces. Rows of
    ///   the same image are joined then; in a table with a column per label a second row must say the same.
    ///
    /// The first column of a kind is taken for it, so labels may have any name behind `id,image,split`.
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
    /// # COCO label states
    /// A label is present if the image has an object of it, as [`ReadOptions::crowd`] says if all of these are
    /// crowd regions, and absent otherwise: an image without objects is a negative. Labels are in the order of
    /// their ids, which may have gaps. Roboflow's category 0, the group of all others, is left out with a note
    /// where no object is one. The id of an item is its file name without extension. Files are read in one pass
    /// that keeps labels alone, so that the memory for it does not grow with polygons.
    ///
    /// # Errors
    /// See [`Error`]: a folder that is no data set, and annotations that are malformed or contradict
    /// themselves. Oddities that do not stand in the way are in [`Dataset::notes`].
    pub fn open(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Dataset, Error> {
        let located = locate::locate(path.as_ref())?;
        let mut dataset = (located.reader.read)(&located.root, options)?;
        dataset.splits.sort_by_key(|split| rank(&split.name));
        dataset.notes.splice(0..0, located.notes);
        dataset.notes.extend(observe(&dataset));
        Ok(dataset)
    }
}

/// The position of a split among the others: train, val, test, others by name.
pub(crate) fn rank(split: &str) -> (usize, String) {
    let known = ["train", "val", "test"].iter().position(|name| *name == split);
    (known.unwrap_or(usize::MAX), split.to_owned())
}

/// The usual splits in all their spellings, each with the one that is ours.
const SPLIT_NAMES: &[(&str, &str)] = &[
    ("train", "train"),
    ("training", "train"),
    ("val", "val"),
    ("valid", "val"),
    ("validation", "val"),
    ("test", "test"),
    ("testing", "test"),
];

/// Train, val or test, where this is a spelling of one.
fn usual_split(name: &str) -> Option<&'static str> {
    SPLIT_NAMES.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(name)).map(|(_, name)| *name)
}

/// The name of a split, by the name of its file.
fn split_name(stem: &str) -> String {
    usual_split(stem).unwrap_or(stem).to_owned()
}

/// The ids of the images of a split, by their paths: without the ending, unless two would be the same.
fn ids_of_paths<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let paths: Vec<&str> = paths.collect();
    let stem = |path: &&'a str| match path.rsplit_once('.') {
        Some((stem, _)) if is_image_name(path) => stem,
        _ => path,
    };
    let stems: Vec<&str> = paths.iter().map(stem).collect();
    let different: HashSet<&str> = stems.iter().copied().collect();
    let ids = if different.len() == paths.len() { stems } else { paths };
    ids.into_iter().map(str::to_owned).collect()
}

/// Checks that a second annotation file lists the labels of the first.
fn check_same_labels(first: &Path, known: &[String], second: &Path, found: &[String]) -> Result<(), Error> {
    if known == found {
        return Ok(());
    }
    let difference = labels::difference(known, found);
    Err(Error::LabelsDiffer { first: first.to_owned(), second: second.to_owned(), difference })
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

/// Whether a name can be that of one file or folder, on every system.
fn is_plain_name(name: &str) -> bool {
    stays_inside(name) && !name.contains(['/', '\\', '\0']) && name != "."
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
