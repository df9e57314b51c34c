//! The Datumaro JSON that OTX 1.x and Geti write: `annotations/<split>.json` beside `images/`.

mod read;
mod schema;
mod write;

use std::path::{Path, PathBuf};

use super::{Reader, files_with_extension};
use crate::dataset::Format;

pub(super) use write::WRITER;

pub(super) const READER: Reader = Reader {
    format: Format::Datumaro,
    layout: "annotations/<split>.json and images/",
    folders: &["annotations", "images"],
    locate,
    read: read::read,
};

fn locate(folder: &Path) -> Vec<PathBuf> {
    let files = files_with_extension(&folder.join("annotations"), "json");
    if files.is_ok_and(|files| !files.is_empty()) { vec![folder.to_owned()] } else { Vec::new() }
}
