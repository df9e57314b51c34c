//! The Datumaro JSON that OTX 1.x and Geti write: `annotations/<split>.json` beside `images/`.

mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use super::json::{self, Kind};
use super::{Reader, coco, files_with_extension};
use crate::dataset::Format;

pub(super) use write::WRITER;

pub(super) const READER: Reader = Reader {
    format: Format::Datumaro,
    layout: "annotations/<split>.json and images/",
    folders: &["annotations", "images"],
    locate,
    read: read::read,
};

/// The folder itself where one of its annotation files may be Datumaro's: by its name and first keys it is
/// not COCO's.
fn locate(folder: &Path) -> Vec<PathBuf> {
    let files = files_with_extension(&folder.join("annotations"), "json").unwrap_or_default();
    let ours = |(stem, file): &(String, PathBuf)| !coco::is_official(stem) && json::kind(file) != Kind::Coco;
    if files.iter().any(ours) { vec![folder.to_owned()] } else { Vec::new() }
}
