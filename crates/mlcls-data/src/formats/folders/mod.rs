//! A folder of images per label: `<label>/...` or `<split>/<label>/...`.
//!
//! The same picture in several label folders is one image with several labels.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{READERS, ReadOptions, Reader, check_items, ids_of_paths, is_image_name, usual_split};
use crate::dataset::{Dataset, Format, Item, LabelState, Split};
use crate::error::{Error, count, some_of};

pub(super) const READER: Reader = Reader {
    format: Format::Folders,
    layout: "<label>/ or <split>/<label>/ with images",
    folders: &[],
    locate,
    read,
};

/// What lies directly in a folder, by name, hidden things aside.
#[derive(Default)]
struct Content {
    folders: Vec<(String, PathBuf)>,
    images: Vec<PathBuf>,
    /// Files that are no images.
    others: usize,
}

impl Content {
    fn of(folder: &Path) -> Result<Self, Error> {
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

/// What a folder holds, at any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// At least as many images as other files.
    Images,
    Empty,
    Other,
}

/// Judges by the first folder on the way down that holds files.
fn kind(folder: &Path) -> Kind {
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
fn walk(folder: &Path, visit: &mut impl FnMut(Content) -> bool) -> Result<(), Error> {
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
        notes.push(format!("passed over {} no images", count(passed_over, "file that is", "files that are")));
    }
    Ok(Dataset { root: root.to_owned(), format: Format::Folders, labels, splits, notes })
}

/// The image files of one split.
struct Pictures {
    labels: BTreeSet<String>,
    /// Each with its label, if it lies in the folder of one; by path.
    files: Vec<(Option<String>, PathBuf)>,
}

impl Pictures {
    /// All images below a folder; those that lie in it directly have no label.
    fn below(folder: &Path, passed_over: &mut usize) -> Result<Self, Error> {
        let content = Content::of(folder)?;
        *passed_over += content.others;
        let mut files: Vec<(Option<String>, PathBuf)> =
            content.images.into_iter().map(|image| (None, image)).collect();
        let mut labels = BTreeSet::new();
        for (label, folder) in content.folders {
            walk(&folder, &mut |content| {
                *passed_over += content.others;
                files.extend(content.images.into_iter().map(|image| (Some(label.clone()), image)));
                true
            })?;
            labels.insert(label);
        }
        files.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(Self { labels, files })
    }

    /// One item per content, in the order of the first copies. Copies within a folder are counted in `again`.
    fn items(self, folder: &Path, labels: &[String], again: &mut usize) -> Vec<Item> {
        let contents = contents(&self.files);
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (file, first) in contents.into_iter().enumerate() {
            groups.entry(first).or_default().push(file);
        }
        let relative = |file: usize| {
            let path = &self.files[file].1;
            path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/")
        };
        let paths: Vec<String> = groups.keys().map(|first| relative(*first)).collect();
        let ids = ids_of_paths(paths.iter().map(String::as_str));
        let items = groups.into_iter().zip(ids).map(|((first, copies), id)| {
            let shown: BTreeSet<&String> = copies.iter().filter_map(|c| self.files[*c].0.as_ref()).collect();
            let folders: BTreeSet<&Option<String>> = copies.iter().map(|c| &self.files[*c].0).collect();
            *again += copies.len() - folders.len();
            let state = |label| if shown.contains(label) { LabelState::Present } else { LabelState::Absent };
            let states = labels.iter().map(state).collect();
            Item { id, image: self.files[first].1.clone(), states }
        });
        items.collect()
    }
}

/// For each file the number of the first with the same bytes. Only files that share their length are read; those
/// that are empty or cannot be read are like no other, and left to the check of the images.
fn contents(files: &[(Option<String>, PathBuf)]) -> Vec<usize> {
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let lengths: Vec<u64> = files.par_iter().map(|(_, path)| length(path)).collect();
    let mut sharing: HashMap<u64, usize> = HashMap::new();
    for length in &lengths {
        *sharing.entry(*length).or_default() += 1;
    }
    let hashes: Vec<Option<blake3::Hash>> = files
        .par_iter()
        .zip(&lengths)
        .map(|((_, path), length)| {
            let shared = *length > 0 && sharing[length] > 1;
            shared.then(|| fs::read(path).ok().map(|bytes| blake3::hash(&bytes))).flatten()
        })
        .collect();
    let mut first: HashMap<blake3::Hash, usize> = HashMap::new();
    hashes
        .iter()
        .enumerate()
        .map(|(i, hash)| hash.map_or(i, |hash| *first.entry(hash).or_insert(i)))
        .collect()
}
