//! PASCAL VOC: `ImageSets/Main/<split>.txt`, `JPEGImages/` and `Annotations/*.xml`.

mod lists;
mod read;
mod write;
mod xml;

use std::path::{Path, PathBuf};

use super::Reader;
use crate::dataset::Format;

pub(super) use write::WRITER;

pub(super) const READER: Reader = Reader {
    format: Format::Voc,
    layout: "ImageSets/Main/<split>.txt, JPEGImages/ and Annotations/",
    folders: &["ImageSets/Main", "JPEGImages", "Annotations"],
    locate,
    read: read::read,
};

/// The folder itself, or the years in a `VOCdevkit` or in the folder around one.
fn locate(folder: &Path) -> Vec<PathBuf> {
    if folder.join("ImageSets/Main").is_dir() {
        return vec![folder.to_owned()];
    }
    let mut years = years(folder);
    if years.is_empty() {
        years = self::years(&folder.join("VOCdevkit"));
    }
    years.sort();
    years
}

fn years(devkit: &Path) -> Vec<PathBuf> {
    let Ok(entries) = devkit.read_dir() else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("VOC"))
        .map(|entry| entry.path())
        .filter(|path| path.join("ImageSets/Main").is_dir())
        .collect()
}
