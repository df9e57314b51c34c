//! Images of a batch, without those that cannot be used.

use std::path::Path;

use mlcls_data::{ImageError, Resize, load_image};
use rayon::prelude::*;

/// Images that go through a network at once.
pub(crate) const BATCH: usize = 32;

/// The pixels of those files that are usable images.
pub(crate) struct Readable {
    /// One after another, as the network takes them.
    pub pixels: Vec<u8>,
    /// Their places in the batch.
    pub places: Vec<usize>,
    /// What is wrong with the others.
    pub problems: Vec<ImageError>,
}

impl Readable {
    /// Reads a batch on all cores.
    pub fn load(paths: &[&Path], size: usize, resize: Resize) -> Self {
        let images: Vec<_> = paths.par_iter().map(|path| load_image(path, size as u32, resize)).collect();
        let mut all = Self { pixels: vec![], places: vec![], problems: vec![] };
        for (place, image) in images.into_iter().enumerate() {
            match image {
                Ok(pixels) => {
                    all.pixels.extend(pixels);
                    all.places.push(place);
                }
                Err(problem) => all.problems.push(problem),
            }
        }
        all
    }
}
