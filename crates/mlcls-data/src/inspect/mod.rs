//! One look at every image file: whether it decodes, its size, what it holds, and which others look the same.

mod content;
mod duplicates;
mod fingerprint;
mod near;
mod verify;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub use duplicates::{DuplicatePair, Duplicates, Likeness, find_duplicates};
pub use fingerprint::Fingerprint;
pub use near::{NearPair, near_duplicates};
pub use verify::{BadImage, ImageCheck, verify_images};

use crate::dataset::{Dataset, Item};
use crate::image::{ImageError, ImageProblem, decode};

/// What one image file turned out to be. About 340 bytes: 120,000 images take 40 MB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// Columns, after the EXIF orientation is applied.
    pub width: u32,
    /// Rows, after the EXIF orientation is applied.
    pub height: u32,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 hash of the file's bytes.
    pub hash: [u8; 32],
    /// What it looks like.
    pub fingerprint: Fingerprint,
}

impl ImageFacts {
    /// The smaller of width and height.
    pub fn shorter_side(&self) -> u32 {
        self.width.min(self.height)
    }
}

/// Reads and decodes every image of every split on all cores, each file once, and gives the facts of each
/// item, or what is wrong with its image, in the order of the data set: all items of the first split, then
/// those of the next.
///
/// `progress` is called from all threads with the number of files done and their total. The result does not
/// depend on the number of threads; pixels are let go at once.
///
/// ```no_run
/// use mlcls_data::{Dataset, ReadOptions, find_duplicates, inspect_images};
///
/// let dataset = Dataset::open("VOCdevkit/VOC2007", &ReadOptions::default())?;
/// let images = inspect_images(&dataset, &|done, total| eprint!("\r{done}/{total}"));
/// for group in find_duplicates(&images).groups() {
///     println!("{} images are the same or nearly", group.len());
/// }
/// # Ok::<(), mlcls_data::Error>(())
/// ```
pub fn inspect_images(
    dataset: &Dataset,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Result<ImageFacts, BadImage>> {
    each_image(dataset, progress, inspect)
}

fn inspect(path: &Path) -> Result<ImageFacts, ImageError> {
    let facts = || -> Result<ImageFacts, ImageProblem> {
        let bytes = std::fs::read(path).map_err(ImageProblem::Read)?;
        let pixels = decode(&bytes)?;
        Ok(ImageFacts {
            width: pixels.width(),
            height: pixels.height(),
            bytes: bytes.len() as u64,
            hash: blake3::hash(&bytes).into(),
            fingerprint: Fingerprint::new(&pixels),
        })
    };
    facts().map_err(|problem| ImageError { path: path.to_owned(), problem })
}

/// Calls `look` once for each file of the data set, on all cores, and gives each item what was seen in its own.
fn each_image<T: Clone + Send + Sync>(
    dataset: &Dataset,
    progress: &(dyn Fn(usize, usize) + Sync),
    look: impl Fn(&Path) -> Result<T, ImageError> + Sync,
) -> Vec<Result<T, BadImage>> {
    let items: Vec<(&str, &Item)> =
        dataset.splits.iter().flat_map(|s| s.items.iter().map(|item| (s.name.as_str(), item))).collect();
    let mut files: Vec<&Path> = Vec::new();
    let mut position: HashMap<&Path, usize> = HashMap::new();
    let file_of_item: Vec<usize> = items
        .iter()
        .map(|(_, item)| {
            *position.entry(&item.image).or_insert_with(|| {
                files.push(&item.image);
                files.len() - 1
            })
        })
        .collect();
    let done = AtomicUsize::new(0);
    let seen: Vec<Result<T, Arc<ImageError>>> = files
        .par_iter()
        .map(|path| {
            let seen = look(path).map_err(Arc::new);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, files.len());
            seen
        })
        .collect();
    let of_item = |((split, item), file): (&(&str, &Item), usize)| {
        seen[file].clone().map_err(|error| BadImage {
            split: (*split).to_owned(),
            id: item.id.clone(),
            error,
            nearest: None,
        })
    };
    let mut all: Vec<Result<T, BadImage>> = items.iter().zip(file_of_item).map(of_item).collect();
    verify::name_nearest(all.iter_mut().filter_map(|image| image.as_mut().err()));
    all
}
