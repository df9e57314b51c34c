//! Where the files of a COCO data set lie, by the names that makers and exporters give them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::json::{self, Kind};
use super::super::{files_with_extension, split_name};

/// The annotations that COCO's own archives hold beside `instances_*.json`: none of them labels whole images.
const OTHERS: [&str; 5] = ["captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_"];

/// The beginning of the names of those that do.
const INSTANCES: &str = "instances_";

/// JSON files that are looked into where names do not tell, per folder.
const LOOKED_AT: usize = 64;

/// One annotation file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub file: PathBuf,
    /// The split that it is.
    pub split: String,
    /// The folders that its file names may be relative to, likeliest first.
    pub folders: Vec<PathBuf>,
}

/// The annotation files of a data set.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub sources: Vec<Source>,
    /// The years in the names of `instances_train2014.json` and its like; more than one are several data sets.
    pub years: BTreeSet<String>,
    /// The names of other JSON files beside them.
    pub passed_over: Vec<String>,
}

/// Whether a file of this name, without its ending, is one of COCO's own archives, or is called like one.
pub(in crate::formats) fn is_official(stem: &str) -> bool {
    is_instances(stem) || OTHERS.iter().any(|other| stem.starts_with(other))
}

fn is_instances(stem: &str) -> bool {
    stem.starts_with(INSTANCES)
}

/// The data set at a path: the path itself, or the folder around an `annotations`.
pub(super) fn locate(path: &Path) -> Vec<PathBuf> {
    let holds_ours = |root: &Path| find(root).sources.iter().any(|source| source.file.parent() == Some(path));
    let around = path.parent().filter(|root| path.ends_with("annotations") && holds_ours(root));
    let root = around.or_else(|| (!find(path).sources.is_empty()).then_some(path));
    root.map(Path::to_owned).into_iter().collect()
}

/// The annotation files of a data set in a folder: in its `annotations`, or else among the images; or the one file.
pub(super) fn find(root: &Path) -> Files {
    if root.is_file() {
        return single(root);
    }
    let mut folders = vec![root.join("annotations")];
    // COCO's archives where each was unpacked into a folder of its own name.
    let beside = subfolders(root).into_iter().filter(|(name, _)| name.starts_with("annotations_"));
    folders.extend(beside.map(|(_, folder)| folder.join("annotations")));
    let files = |folder: &PathBuf| files_with_extension(folder, "json").unwrap_or_default();
    let found = choose(root, folders.iter().flat_map(files).collect());
    if found.sources.is_empty() { choose(root, files(&root.to_owned())) } else { found }
}

/// Of the JSON files of a folder those called `instances_*`, or else those that are COCO's.
fn choose(root: &Path, files: Vec<(String, PathBuf)>) -> Files {
    let named = files.iter().any(|(stem, _)| is_instances(stem));
    let mut looked_at = 0;
    let (ours, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|(stem, file)| {
        if named || is_official(stem) {
            return is_instances(stem);
        }
        looked_at += 1;
        looked_at <= LOOKED_AT && is_coco(stem, file)
    });
    let sources = ours.iter().map(|(stem, file)| source(root, stem, file, ours.len() == 1)).collect();
    let year_of_split = |name| year(name).filter(|_| known_split(name).is_some());
    let years = ours.iter().filter_map(|(stem, _)| year_of_split(stem.strip_prefix(INSTANCES)?));
    let years = years.map(|(_, year)| year.to_owned());
    let passed_over = others.into_iter().map(|(stem, _)| format!("{stem}.json")).collect();
    Files { sources, years: years.collect(), passed_over }
}

/// A file that the user names; images are looked for as if it were found in its folder.
fn single(file: &Path) -> Files {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_json = file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    if !is_json || !(is_instances(stem) || is_coco(stem, file)) {
        return Files::default();
    }
    let folder = file.parent().unwrap_or(file);
    let root = folder.parent().filter(|_| folder.ends_with("annotations")).unwrap_or(folder);
    Files { sources: vec![source(root, stem, file, true)], ..Files::default() }
}

fn is_coco(stem: &str, file: &Path) -> bool {
    stem.ends_with(".coco") || json::kind(file) == Kind::Coco
}

fn source(root: &Path, stem: &str, file: &Path, alone: bool) -> Source {
    let folder = file.parent().unwrap_or(root);
    let name = stem.strip_prefix(INSTANCES).unwrap_or(stem);
    let split = match known_split(name) {
        Some(split) => split,
        // CVAT's name for images of no split.
        None if is_instances(stem) && name != "default" => name.to_owned(),
        None => split_word(name)
            .or_else(|| known_split(folder.file_name()?.to_str()?).filter(|_| alone))
            .unwrap_or_else(|| if alone { "all" } else { name }.to_owned()),
    };
    let mut folders = Vec::new();
    for name in [name, &split] {
        folders.extend([root.join(name), root.join("images").join(name), root.join(name).join(name)]);
    }
    folders.extend([root.join("images"), root.join("data"), root.to_owned(), folder.to_owned()]);
    let around = root.parent().filter(|around| !around.as_os_str().is_empty());
    folders.extend(around.map(|around| around.join(name)));
    Source { file: file.to_owned(), split, folders }
}

/// `train`, `val` or `test`, for these names with a year or without: `train2014` is `train`.
fn known_split(name: &str) -> Option<String> {
    let split = split_name(year(name).map_or(name, |(name, _)| name));
    matches!(split.as_str(), "train" | "val" | "test").then_some(split)
}

/// The split that one word of a name tells: `lvis_v1_train` is `train`.
fn split_word(name: &str) -> Option<String> {
    let mut words = name.split(|c: char| !c.is_alphanumeric()).filter_map(known_split);
    words.next().filter(|_| words.next().is_none())
}

/// A name that ends in a year, in its two parts.
fn year(name: &str) -> Option<(&str, &str)> {
    let (name, year) = name.split_at_checked(name.len().checked_sub(4)?)?;
    (year.starts_with("20") && year.bytes().all(|b| b.is_ascii_digit())).then_some((name, year))
}

/// Roboflow's: a folder per split with the images and `_annotations.coco.json`.
pub(super) fn find_roboflow(root: &Path) -> Vec<Source> {
    let source = |(name, folder): (String, PathBuf)| {
        let file = folder.join("_annotations.coco.json");
        let split = split_name(&name);
        file.is_file().then(|| Source { file, split, folders: vec![folder] })
    };
    subfolders(root).into_iter().filter_map(source).collect()
}

/// The folders in a folder with their names, by name; none where it cannot be read.
fn subfolders(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut folders: Vec<(String, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(_, path)| path.is_dir())
        .collect();
    folders.sort();
    folders
}
