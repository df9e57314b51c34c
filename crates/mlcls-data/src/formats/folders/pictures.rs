//! The images of one split, copies in several label folders made one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::super::ids_of_paths;
use super::content::{Content, walk};
use crate::dataset::{Item, LabelState};
use crate::error::Error;

/// The image files of one split.
pub(super) struct Pictures {
    pub labels: BTreeSet<String>,
    /// Each with its label, if it lies in the folder of one; by path.
    files: Vec<(Option<String>, PathBuf)>,
}

impl Pictures {
    /// All images below a folder; those that lie in it directly have no label.
    pub fn below(folder: &Path, passed_over: &mut usize) -> Result<Self, Error> {
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
    pub fn items(self, folder: &Path, labels: &[String], again: &mut usize) -> Vec<Item> {
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
