//! A table of images: a column of paths, and a column per label or one column of their names.

mod columns;
mod images;
mod labels;
mod read;
mod state;
mod table;
mod write;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{ReadOptions, Reader, files_with_extension, usual_split};
use crate::dataset::Format;

pub(super) use labels::cell_state;
pub(super) use table::Table;
pub(super) use write::WRITER;

pub(super) const READER: Reader = Reader {
    format: Format::Csv,
    layout: "labels.csv (or train.csv, val.csv, test.csv) with a column `image` and a column per label",
    folders: &[],
    locate,
    read: read::read,
};

/// A table itself; a folder with tables named for splits; or the other tables of a folder that have a column of
/// image paths.
fn locate(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return if is_table(path) { vec![path.to_owned()] } else { Vec::new() };
    }
    if split_tables(path).iter().any(|file| promises_labels(file)) {
        return vec![path.to_owned()];
    }
    tables(path).into_iter().filter(|file| promises_labels(file)).collect()
}

/// Why the tables of a folder are no data set, where it has some: one sentence after a space.
pub(super) fn hint(folder: &Path) -> Option<String> {
    let table = tables(folder).into_iter().next()?;
    match read::read(&table, &ReadOptions::default()) {
        Ok(_) => Some(format!(" If `{}` lists the images and their labels, give that", table.display())),
        Err(error) => Some(format!(" The table in it is none: {error}")),
    }
}

/// The tables of a folder that are named for splits, by name.
fn split_tables(folder: &Path) -> Vec<PathBuf> {
    tables(folder).into_iter().filter(|file| stem(file).and_then(usual_split).is_some()).collect()
}

/// The tables of a folder, by name. Roboflow's `_classes.csv` belongs to the folder above.
fn tables(folder: &Path) -> Vec<PathBuf> {
    let with = |extension| files_with_extension(folder, extension).unwrap_or_default();
    let mut files: Vec<PathBuf> =
        [with("csv"), with("tsv")].concat().into_iter().map(|(_, file)| file).collect();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    files.retain(|file| !(usual_split(&name).is_some() && stem(file) == Some("_classes")));
    files.sort();
    files
}

fn stem(file: &Path) -> Option<&str> {
    file.file_stem()?.to_str()
}

fn is_table(file: &Path) -> bool {
    file.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv") || e.eq_ignore_ascii_case("tsv"))
}

/// Whether a file begins with the header of a table of labelled images.
fn promises_labels(file: &Path) -> bool {
    // A longer header has its paths within this.
    const HEAD: u64 = 1 << 16;
    let mut head = Vec::new();
    let read = File::open(file).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let text = String::from_utf8_lossy(&head);
    let table = columns::open(file, text.trim_start_matches('\u{feff}'));
    read.is_ok() && table.is_ok_and(|table| columns::promises_labels(&table))
}
