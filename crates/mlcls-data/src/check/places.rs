//! Findings about where image files lie.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::finding::{Detail, Finding, FindingKind, ItemRef, Severity};
use crate::dataset::{Dataset, Split};
use crate::error::count;
use crate::image_name::is_image_name;

pub(super) fn findings(dataset: &Dataset) -> Vec<Finding> {
    let mut findings = outside(dataset);
    findings.extend(unused(dataset));
    findings
}

/// Items whose image lies in the folder of another split: the folder where most of that split's images are, and
/// that of no other split.
fn outside(dataset: &Dataset) -> Vec<Finding> {
    let homes: Vec<Option<&Path>> = dataset.splits.iter().map(home).collect();
    let owner = |folder: &Path| {
        let mut owners = (0..homes.len()).filter(|&split| homes[split] == Some(folder));
        owners.next().filter(|_| owners.next().is_none())
    };
    let mut findings = Vec::new();
    for (at, split) in dataset.splits.iter().enumerate() {
        let mut by_owner: BTreeMap<usize, Vec<Detail>> = BTreeMap::new();
        for item in &split.items {
            if let Some(owner) = item.image.parent().and_then(owner).filter(|owner| *owner != at) {
                let text = format!("`{}`: {}", item.id, item.image.display());
                by_owner.entry(owner).or_default().push(Detail::of([ItemRef::new(&split.name, item)], text));
            }
        }
        let finding = |(owner, details): (usize, Vec<Detail>)| {
            let owner = dataset.splits[owner].name.as_str();
            let images = count(details.len(), "image of", "images of");
            let message = format!("{images} {} in the folder of {owner}", split.name);
            let advice = "Most likely an item was moved and its image was not, or the other way round. `--fix OUT` writes a \
                          copy where each image lies with its split.";
            let splits = [split.name.as_str(), owner];
            Finding::of(Severity::Warning, FindingKind::OutsideSplit, &splits, message, advice, details)
        };
        findings.extend(by_owner.into_iter().filter_map(finding));
    }
    findings
}

/// The folder that holds more than half of a split's images.
fn home(split: &Split) -> Option<&Path> {
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    for folder in split.items.iter().filter_map(|item| item.image.parent()) {
        *counts.entry(folder).or_default() += 1;
    }
    counts.into_iter().find(|(_, count)| 2 * count > split.items.len()).map(|(folder, _)| folder)
}

/// Image files that no item uses, in the folders where the images of the data set lie and those between them.
fn unused(dataset: &Dataset) -> Option<Finding> {
    let used: BTreeSet<&Path> =
        dataset.splits.iter().flat_map(|s| s.items.iter().map(|item| item.image.as_path())).collect();
    let mut files = Vec::new();
    walk(&common_folder(&used)?, &mut files);
    files.retain(|file| !used.contains(file.as_path()));
    let message = format!("no annotation mentions {}", count(files.len(), "image file", "image files"));
    let advice = "They are not used. If they should be, add them to the annotations.";
    let details = files.iter().map(|file| Detail::file(file)).collect();
    Finding::of(Severity::Note, FindingKind::UnusedImage, &[], message, advice, details)
}

/// The deepest folder that holds all of these files, if there is one.
fn common_folder(files: &BTreeSet<&Path>) -> Option<PathBuf> {
    // The common start of the first and the last is that of all between them.
    let (first, last) = (files.first()?.parent()?, files.last()?.parent()?);
    let common = first.components().zip(last.components()).take_while(|(a, b)| a == b).map(|(a, _)| a);
    let common: PathBuf = common.collect();
    common.is_dir().then_some(common)
}

/// Adds the image files of a folder and of those below it, by name; folders that cannot be listed are passed over.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = folder.read_dir() else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        // A link to a folder could lead round in a circle.
        if path.is_dir() && !path.is_symlink() {
            walk(&path, files);
        } else if path.file_name().and_then(|name| name.to_str()).is_some_and(is_image_name) && path.is_file()
        {
            files.push(path);
        }
    }
}
