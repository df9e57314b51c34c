//! From the path in a cell to the file of the image.

use std::path::{Path, PathBuf};

use crate::error::shown;
use crate::formats::{IMAGE_ENDINGS, SPLIT_NAMES, is_image_name, stays_inside};

/// A path of a table relative to the folder of the table, or what is wrong with it.
pub(super) fn relative(cell: &str, folder: &Path) -> Result<String, String> {
    if cell.contains("://") {
        return Err(format!("{} is an address; download the images and write their paths", shown(cell)));
    }
    let is_drive = cell.get(1..3).is_some_and(|two| matches!(two, ":\\" | ":/"));
    if Path::new(cell).is_absolute() || is_drive {
        let folders = [Some(folder.to_owned()), std::path::absolute(folder).ok(), folder.canonicalize().ok()];
        let under =
            folders.iter().flatten().find_map(|folder| Path::new(cell).strip_prefix(folder).ok()?.to_str());
        return under.filter(|path| stays_inside(path)).map(str::to_owned).ok_or_else(|| {
            let folder = folder.display();
            format!("{} lies outside the folder of this table; write paths relative to {folder}", shown(cell))
        });
    }
    let path = cell.strip_prefix("./").unwrap_or(cell);
    // A table made under Windows, read elsewhere.
    if path.is_empty() || !stays_inside(path) || !stays_inside(&path.replace('\\', "/")) {
        return Err(format!(
            "{} is not a path inside the folder of this table; put the table into the folder that holds the images \
             and write paths relative to it",
            shown(cell)
        ));
    }
    Ok(path.to_owned())
}

/// The file of an image of a split: `path` under the folder of the table, its `images`, the folder of the split,
/// or `images/<split>`, with a usual ending where it has none. The first that exists; where none does, the first,
/// for the check of the images to report.
pub(super) fn find(path: &str, folder: &Path, split: &str) -> PathBuf {
    let slashes = path.replace('\\', "/");
    let paths = [path, slashes.as_str()];
    let paths = &paths[..if slashes == path { 1 } else { 2 }];
    let spellings = SPLIT_NAMES.iter().filter(|(_, name)| *name == split).map(|(spelling, _)| *spelling);
    let folders: Vec<PathBuf> = [folder.to_owned(), folder.join("images")].into();
    let of_split = spellings.chain([split]).flat_map(|split| folders.iter().map(move |f| f.join(split)));
    let candidates = folders.iter().cloned().chain(of_split);
    let candidates = candidates.flat_map(|folder| paths.iter().map(move |path| folder.join(path)));
    let mut first = None;
    for candidate in candidates {
        if candidate.is_file() {
            return candidate;
        }
        if let Some(with_ending) = (!is_image_name(path)).then(|| with_ending(&candidate)).flatten() {
            return with_ending;
        }
        first = first.or(Some(candidate));
    }
    first.unwrap_or_else(|| folder.join(path))
}

/// The file of this name and a usual ending, in small or in capital letters.
fn with_ending(path: &Path) -> Option<PathBuf> {
    let endings = IMAGE_ENDINGS.iter().flat_map(|ending| [(*ending).to_owned(), ending.to_uppercase()]);
    endings
        .map(|ending| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{ending}"));
            PathBuf::from(name)
        })
        .find(|path| path.is_file())
}
