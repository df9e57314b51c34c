//! What lies in a folder: folders, images and other files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::image_name::is_image_name;

/// What lies directly in a folder, by name, hidden things aside.
#[derive(Default)]
pub(super) struct Content {
    pub folders: Vec<(String, PathBuf)>,
    pub images: Vec<PathBuf>,
    /// Files that are no images.
    pub others: usize,
}

impl Content {
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let mut content = Self::default();
        let mut paths = Vec::new();
        for entry in folder.read_dir().map_err(Error::read(folder))? {
            paths.push(entry.map_err(Error::read(folder))?.path());
        }
        paths.sort();
        for path in paths {
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if name.starts_with('.') => {}
                Some(name) if path.is_dir() => content.folders.push((name.to_owned(), path)),
                Some(name) if is_image_name(name) => content.images.push(path),
                _ => content.others += 1,
            }
        }
        Ok(content)
    }
}

/// What a folder holds, at any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// At least as many images as other files.
    Images,
    Empty,
    Other,
}

/// Judges by the first folder on the way down that holds files.
pub(super) fn kind(folder: &Path) -> Kind {
    let judge = |content: &Content| match (content.images.len(), content.others) {
        (0, 0) => None,
        (images, others) if images >= others => Some(Kind::Images),
        _ => Some(Kind::Other),
    };
    let mut judged = None;
    let walked = walk(folder, &mut |content| {
        judged = judge(&content);
        judged.is_none()
    });
    judged.unwrap_or(if walked.is_ok() { Kind::Empty } else { Kind::Other })
}

/// Shows the content of a folder and of all below it, each real folder once, so that a link to a folder around it
/// ends. Stops where `visit` says so, with false.
pub(super) fn walk(folder: &Path, visit: &mut impl FnMut(Content) -> bool) -> Result<(), Error> {
    let mut ahead = vec![folder.to_owned()];
    let mut seen = HashSet::new();
    while let Some(folder) = ahead.pop() {
        if seen.insert(folder.canonicalize().map_err(Error::read(&folder))?) {
            let mut content = Content::of(&folder)?;
            let folders = std::mem::take(&mut content.folders);
            ahead.extend(folders.into_iter().rev().map(|(_, folder)| folder));
            if !visit(content) {
                break;
            }
        }
    }
    Ok(())
}
