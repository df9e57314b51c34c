//! A folder of images per label: `<label>/...` or `<split>/<label>/...`.
//!
//! The same picture in several label folders is one image with several labels.

mod content;
mod pictures;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{READERS, ReadOptions, Reader, check_items, usual_split};
use crate::dataset::{Dataset, Format, LabelState, Split};
use crate::error::{Error, count, some_of};
use content::{Content, Kind, kind};
use pictures::Pictures;

pub(super) const READER: Reader = Reader {
    format: Format::Folders,
    layout: "<label>/ or <split>/<label>/ with images",
    folders: &[],
    locate,
    read,
};

/// The folder itself, if its folders speak for nothing else: see [`layout`].
fn locate(folder: &Path) -> Vec<PathBuf> {
    let found = Content::of(folder).ok().and_then(|content| layout(&content));
    if found.is_some() { vec![folder.to_owned()] } else { Vec::new() }
}

enum Layout {
    /// The folders are labels.
    Labels,
    /// Some folders are splits, of labels.
    Splits,
}

/// How the folders of a data set are to be read, if it is one.
///
/// - Folders named for splits that hold folders of images are splits.
/// - Otherwise two or more folders with images are labels, if there is no folder without images beside them,
///   none that another format is known by, and if not all of them are called like splits (COCO's `train2017` and
///   `val2017`).
fn layout(content: &Content) -> Option<Layout> {
    let labels_in = |folder: &PathBuf| {
        let content = Content::of(folder).ok();
        content.is_some_and(|c| c.folders.iter().any(|(_, label)| kind(label) == Kind::Images))
    };
    let mut splits = content.folders.iter().filter(|(name, _)| usual_split(name).is_some());
    if splits.any(|(_, folder)| labels_in(folder)) {
        return Some(Layout::Splits);
    }
    let of_another = |name: &str| {
        let mut tops = READERS.iter().flat_map(|reader| reader.folders).filter_map(|f| f.split('/').next());
        tops.any(|top| top.eq_ignore_ascii_case(name))
    };
    if content.folders.iter().any(|(name, _)| of_another(name))
        || content.folders.iter().all(|(name, _)| called_like_a_split(name))
    {
        return None;
    }
    let mut with_images = 0;
    for (_, folder) in &content.folders {
        match kind(folder) {
            Kind::Images => with_images += 1,
            Kind::Empty => {}
            Kind::Other => return None,
        }
    }
    (with_images >= 2).then_some(Layout::Labels)
}

/// `train2017`, `val_images`, `test` and the like.
fn called_like_a_split(name: &str) -> bool {
    let word: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
    usual_split(&word).is_some() || word.eq_ignore_ascii_case("trainval")
}

/// Advice where images lie in a folder, and nothing says what they show: one sentence after a space.
pub(super) fn hint(folder: &Path) -> Option<String> {
    let content = Content::of(folder).ok()?;
    let deeper = content.folders.iter().filter(|(_, folder)| kind(folder) == Kind::Images);
    let with_images: Vec<&String> = deeper.map(|(name, _)| name).collect();
    if !with_images.is_empty() {
        return Some(format!(
            " There are images in {}, and nothing says what they show: add their annotations, or sort them into a \
             folder per label",
            some_of(&with_images)
        ));
    }
    let images = count(content.images.len(), "image lies", "images lie");
    (!content.images.is_empty()).then(|| {
        format!(" {images} here, and nothing says what they show: add a table `labels.csv`, or sort them into a folder \
             per label")
    })
}

fn read(root: &Path, _options: &ReadOptions) -> Result<Dataset, Error> {
    let content = Content::of(root)?;
    let mut notes = Vec::new();
    let mut folders: Vec<(String, PathBuf)> = Vec::new();
    if let Some(Layout::Splits) = layout(&content) {
        let mut left_out = Vec::new();
        for (name, folder) in content.folders {
            let Some(split) = usual_split(&name) else {
                left_out.push(name);
                continue;
            };
            if let Some((_, first)) = folders.iter().find(|(known, _)| known == split) {
                let first = first.clone();
                return Err(Error::SplitTwice { split: split.to_owned(), first, second: folder });
            }
            folders.push((split.to_owned(), folder));
        }
        if !left_out.is_empty() {
            notes.push(format!("left out beside the splits: {}", some_of(&left_out)));
        }
        if !content.images.is_empty() {
            let images = count(content.images.len(), "image", "images");
            notes.push(format!("left out beside the splits: {images}"));
        }
    } else {
        folders.push(("all".to_owned(), root.to_owned()));
    }
    let mut passed_over = 0;
    let mut found = Vec::new();
    for (split, folder) in folders {
        let images = Pictures::below(&folder, &mut passed_over)?;
        found.push((split, folder, images));
    }
    let labels: BTreeSet<String> = found.iter().flat_map(|(_, _, p)| p.labels.iter().cloned()).collect();
    let labels: Vec<String> = labels.into_iter().collect();
    let mut splits = Vec::new();
    let (mut several, mut again) = (0, 0);
    for (name, folder, pictures) in found {
        let items = pictures.items(&folder, &labels, &mut again);
        several += items.iter().filter(|item| item.count(LabelState::Present) > 1).count();
        let split = Split { name, items };
        check_items(&split, &folder)?;
        splits.push(split);
    }
    notes.push(match several {
        0 => "no image lies in two label folders: every image has one label at most".to_owned(),
        _ => format!(
            "{} in several label folders, found by content",
            count(several, "image lies", "images lie")
        ),
    });
    if again > 0 {
        let copies =
            count(again, "copy of an image in its folder is", "copies of images in their folders are");
        notes.push(format!("{copies} left out"));
    }
    if passed_over > 0 {
        notes.push(format!(
            "passed over {}",
            count(passed_over, "file that is no image", "files that are no images")
        ));
    }
    Ok(Dataset { root: root.to_owned(), format: Format::Folders, labels, splits, notes })
}
