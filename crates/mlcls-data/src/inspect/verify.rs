//! The check of a data set's image files, all of them, before a run depends on them.

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::each_image;
use crate::dataset::Dataset;
use crate::image::{ImageError, ImageProblem, check, decode_file};

/// How closely [`verify_images`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageCheck {
    /// The file is there, its format is known, its header is sound, and JPEG, PNG and WebP data reaches its
    /// end. Reads each file and decodes nothing: finds missing, empty, cut and non-image files.
    Quick,
    /// All pixels are decoded too: finds damage in the middle of a file, at the cost of an epoch's decoding.
    Full,
}

/// An image of a data set that cannot be used.
#[derive(Clone, Debug)]
pub struct BadImage {
    /// The split it belongs to.
    pub split: String,
    /// The id of its item.
    pub id: String,
    /// The file and what is wrong with it; shared by the items that show the same file.
    pub error: Arc<ImageError>,
    /// For a missing file: one beside it with the same name in another case or with another ending.
    pub nearest: Option<PathBuf>,
}

impl BadImage {
    /// The file and what is wrong with it, without split and id.
    pub(crate) fn problem(&self) -> String {
        match &self.nearest {
            Some(path) => format!("{}; did you mean `{}`?", self.error, path.display()),
            None => self.error.to_string(),
        }
    }

    /// Whether nothing lies at the path.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(&self.error.problem, ImageProblem::Read(e) if e.kind() == ErrorKind::NotFound)
    }
}

impl fmt::Display for BadImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`: {}", self.split, self.id, self.problem())
    }
}

impl std::error::Error for BadImage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error.problem)
    }
}

/// Checks every image of every split on all cores, and lists those that cannot be used in the order of the
/// data set. An empty list means that all are sound. A file that several items show is read once.
///
/// ```no_run
/// use mlcls_data::{Dataset, ImageCheck, ReadOptions, verify_images};
///
/// let dataset = Dataset::open("VOCdevkit/VOC2007", &ReadOptions::default())?;
/// for bad in verify_images(&dataset, ImageCheck::Quick) {
///     eprintln!("{bad}");
/// }
/// # Ok::<(), mlcls_data::Error>(())
/// ```
pub fn verify_images(dataset: &Dataset, depth: ImageCheck) -> Vec<BadImage> {
    let verified = each_image(dataset, &|_, _| (), |path| verify(path, depth));
    verified.into_iter().filter_map(Result::err).collect()
}

fn verify(path: &Path, depth: ImageCheck) -> Result<(), ImageError> {
    match depth {
        ImageCheck::Quick => std::fs::read(path)
            .map_err(ImageProblem::Read)
            .and_then(|bytes| check(&bytes))
            .map_err(|problem| ImageError { path: path.to_owned(), problem }),
        ImageCheck::Full => decode_file(path).map(drop),
    }
}

/// Fills in [`BadImage::nearest`]. Reads each folder once: thousands of files may be missing from one.
pub(super) fn name_nearest<'a>(bad: impl Iterator<Item = &'a mut BadImage>) {
    let mut folders: HashMap<PathBuf, HashMap<String, PathBuf>> = HashMap::new();
    for image in bad.filter(|image| image.is_missing()) {
        let path = &image.error.path;
        if let Some(folder) = path.parent() {
            let files = folders.entry(folder.to_owned()).or_insert_with(|| files_by_stem(folder));
            image.nearest = lower_stem(path).and_then(|stem| files.get(&stem)).cloned();
        }
    }
}

fn files_by_stem(folder: &Path) -> HashMap<String, PathBuf> {
    let Ok(entries) = folder.read_dir() else { return HashMap::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().filter_map(|path| Some((lower_stem(&path)?, path))).collect()
}

fn lower_stem(path: &Path) -> Option<String> {
    Some(path.file_stem()?.to_str()?.to_lowercase())
}
