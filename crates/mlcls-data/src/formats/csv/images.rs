//! From the path in a cell to the file of the image.

use std::path::{Component, Path, PathBuf};

use crate::error::shown;
use crate::formats::{SPLIT_NAMES, stays_inside};
use crate::image_name::{IMAGE_ENDINGS, is_image_name};

/// A path of a table relative to the folder of the table, or what is wrong with it.
pub(super) fn relative(cell: &str, folder: &Path) -> Result<String, String> {
    if cell.contains("://") {
        return Err(format!("{} is an address; download the images and write their paths", shown(cell)));
    }
    let is_drive = cell.get(1..3).is_some_and(|two| matches!(two, ":\\" | ":/"));
    if Path::new(cell).is_absolute() || is_drive {
        let folders = [Some(folder.to_owned()), std::path::absolute(folder).ok(), folder.canonicalize().ok()];
        let under = folders.iter().flatten().find_map(|folder| Path::new(cell).strip_prefix(folder).ok());
        return under.and_then(plain).ok_or_else(|| {
            let folder = folder.display();
            format!("{} lies outside the folder of this table; write paths relative to {folder}", shown(cell))
        });
    }
    // A table made under Windows and read elsewhere has backslashes.
    let inside = stays_inside(&cell.replace('\\', "/")).then(|| plain(Path::new(cell))).flatten();
    inside.ok_or_else(|| {
        format!(
            "{} is not a path inside the folder of this table; put the table into the folder that holds the images \
             and write paths relative to it",
            shown(cell)
        )
    })
}

/// A path without `.` and without slashes that say nothing; none where it leads out or nowhere.
fn plain(path: &Path) -> Option<String> {
    let parts = path.components().filter(|part| *part != Component::CurDir).map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let parts: Vec<&str> = parts.collect::<Option<_>>()?;
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The file of an image of a split: `path` under the folder of the table, `images` or VOC's `JPEGImages` in it, or
/// the folder of the split in one of these, with a usual ending where it has none. The first that exists; where none does, the first,
/// for the check of the images to report.
pub(super) fn find(path: &str, folder: &Path, split: &str) -> PathBuf {
    let slashes = path.replace('\\', "/");
    let paths = [path, slashes.as_str()];
    let paths = &paths[..if slashes == path { 1 } else { 2 }];
    let spellings = SPLIT_NAMES.iter().filter(|(_, name)| *name == split).map(|(spelling, _)| *spelling);
    let folders = [folder.to_owned(), folder.join("images"), folder.join("JPEGImages")];
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
