//! From the folder that the user named to the data set in it, or to advice on the folder they meant.

use std::path::{Path, PathBuf};

use super::{READERS, Reader, csv, folders};
use crate::error::{Error, nearest, some_of};

/// A folder that a reader can read.
pub(super) struct Located {
    pub reader: &'static Reader,
    pub root: PathBuf,
    /// What was decided on the way.
    pub notes: Vec<String>,
}

/// Folders looked into for advice, per level: enough for any real data set, few enough for a home folder.
const LOOKED_AT: usize = 64;

pub(super) fn locate(path: &Path) -> Result<Located, Error> {
    if !path.exists() {
        return Err(missing(path, "file or folder"));
    }
    let mut matches = READERS.iter().filter_map(|reader| {
        let roots = (reader.locate)(path);
        (!roots.is_empty()).then_some((reader, roots))
    });
    let Some((reader, mut roots)) = matches.next() else { return Err(not_a_dataset(path)) };
    let root = match roots.pop() {
        Some(root) if roots.is_empty() => root,
        last => {
            roots.extend(last);
            let found = roots.iter().map(|root| relative(root, path)).collect();
            return Err(Error::SeveralDatasets { root: path.to_owned(), found });
        }
    };
    let mut notes = Vec::new();
    if root != path {
        notes.push(format!("read from `{}`", root.display()));
    }
    for (other, roots) in matches {
        let (what, how) = match roots.as_slice() {
            [one] if one != path => (format!("`{}`", relative(one, path)), " (name it to read that)"),
            _ => ("this".to_owned(), ""),
        };
        notes.push(format!("read as {}; {what} is a {} data set too{how}", reader.format, other.format));
    }
    Ok(Located { reader, root, notes })
}

/// The error for a path at which nothing lies, with the most similar name beside it.
pub(super) fn missing(path: &Path, what: &'static str) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut beside = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => names(Path::new(".")),
        Some(parent) => names(parent),
        None => Vec::new(),
    };
    // There is one of this name where it is a link that leads nowhere.
    beside.retain(|other| *other != name);
    Error::Missing { path: path.to_owned(), what, nearest: nearest(&name, beside) }
}

/// The error for a folder without a data set: what it holds, what was expected, and where one lies near by.
pub(super) fn not_a_dataset(path: &Path) -> Error {
    let found = if path.is_file() {
        "this is a file".to_owned()
    } else {
        match names(path) {
            names if names.is_empty() => "the folder is empty".to_owned(),
            names => format!("the folder holds {}", some_of(&names)),
        }
    };
    if path.is_file() && is_archive(path) {
        let advice = " It is an archive: unpack it, and give the folder".to_owned();
        return not_a_dataset_because(path, found, advice);
    }
    let here = || [incomplete(path), csv::hint(path)].into_iter().flatten().reduce(|a, b| format!("{a}.{b}"));
    let advice = near_by(path).or_else(here).or_else(|| folders::hint(path)).unwrap_or_default();
    not_a_dataset_because(path, found, advice)
}

/// Whether a file is, by its ending, what data sets are shipped in.
fn is_archive(path: &Path) -> bool {
    const ENDINGS: [&str; 9] = ["zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar"];
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// The same error for a folder whose names promised a data set that its files do not hold.
pub(super) fn not_a_dataset_because(root: &Path, found: String, advice: String) -> Error {
    let expected = READERS.iter().map(|reader| format!("{}: {}", reader.format, reader.layout)).collect();
    Error::NotADataset { root: root.to_owned(), found, expected, advice }
}

/// Advice where the user went one or a few levels too deep, or not deep enough.
fn near_by(path: &Path) -> Option<String> {
    // Without this the parent of `.` could not be named.
    let path = path.canonicalize().ok()?;
    let holds = |folder: &Path| READERS.iter().find(|r| !(r.locate)(folder).is_empty());
    if let Some((above, reader)) = path.ancestors().skip(1).take(3).find_map(|p| Some((p, holds(p)?))) {
        return Some(format!(" `{}` above it is a {} data set: give that", above.display(), reader.format));
    }
    let children = folders_in(&path);
    let grandchildren: Vec<PathBuf> = children.iter().flat_map(|c| folders_in(c)).take(LOOKED_AT).collect();
    let below: Vec<String> = children
        .iter()
        .chain(&grandchildren)
        .filter(|folder| holds(folder).is_some())
        .map(|folder| relative(folder, &path))
        .collect();
    (!below.is_empty()).then(|| format!(" Below it, a data set lies in {}: give that", some_of(&below)))
}

/// Advice where some folders of a format are there, or nearly, and others are not: for the format that most
/// of them speak for.
fn incomplete(path: &Path) -> Option<String> {
    let names = names(path);
    let expected_by_any = |name: &str| READERS.iter().flat_map(|r| r.folders).any(|f| top(f) == name);
    let strangers: Vec<&String> = names.iter().filter(|name| !expected_by_any(name)).collect();
    let (reader, missing, similar) = READERS
        .iter()
        .map(|reader| {
            let missing: Vec<&str> =
                reader.folders.iter().filter(|f| !path.join(f).is_dir()).copied().collect();
            let similar: Vec<String> = missing
                .iter()
                .filter_map(|folder| {
                    let close = nearest(top(folder), &strangers)?;
                    Some(format!("; rename `{close}` if it is `{}`", top(folder)))
                })
                .collect();
            (reader, missing, similar)
        })
        .max_by_key(|(reader, missing, similar)| reader.folders.len() - missing.len() + similar.len())
        .filter(|(reader, missing, similar)| missing.len() < reader.folders.len() || !similar.is_empty())?;
    let verb = if missing.len() == 1 { "is" } else { "are" };
    // `annotations` without a .json file: nothing is missing that could be named here.
    (!missing.is_empty())
        .then(|| format!(" For {}, {} {verb} missing{}", reader.format, some_of(&missing), similar.concat()))
}

/// The first folder of a path with slashes.
fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// The names in a folder, sorted; none where it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The folders in a folder, sorted, as far as they are looked at.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    names(folder).iter().map(|name| folder.join(name)).filter(|p| p.is_dir()).take(LOOKED_AT).collect()
}

fn relative(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).display().to_string()
}
