//! Batches of images for training and evaluation, prepared on all cores ahead of their use.

mod batches;
mod cache;
mod file_cache;
mod order;
mod part;
mod samples;
mod source_size;

use std::sync::{Arc, OnceLock};

pub use batches::Batches;
pub use file_cache::{FileCache, FileCacheError};
pub use part::Part;
pub use source_size::{InvalidSourceSize, SourceSize};

use crate::augment::AugmentRecipe;
use crate::dataset::Item;
use crate::image::{ImageError, Resize};
use cache::Cache;
use file_cache::Key;

/// What a [`Loader`] does with the images. The default is for evaluation: 224 pixels squashed, batches of 64, in
/// the order of the items, no augmentation, no cache.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderOptions {
    /// Side of the square images in a batch, in pixels, at least 1.
    pub size: u32,
    /// Images per batch, in all its parts, at least 1. The last batch of an epoch may have fewer.
    pub batch: usize,
    /// Whether each epoch has its own random order.
    pub shuffle: bool,
    /// How many times an epoch uses each image, each time augmented anew; at least 1.
    pub repeats: usize,
    /// Which part of each batch is prepared here; the whole, unless several processes share the work.
    pub part: Part,
    /// Whether the last batch is left out when it, or any part of it, holds fewer than two images: batch statistics cannot be taken
    /// on them.
    pub drop_last_single: bool,
    /// Decides, with the epoch and the image, every random number.
    pub seed: u64,
    /// What is changed at random.
    pub augment: AugmentRecipe,
    /// How images are resized.
    pub resize: Resize,
    /// What augmentation starts from, and the cache keeps.
    pub source: SourceSize,
    /// The most bytes of pixels that the cache holds; 0 is no cache. The batches do not depend on it.
    pub cache_bytes: u64,
    /// Batches prepared ahead of the one in use, at least 1. Each takes `batch * size * size * 3` bytes.
    pub prefetch: usize,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            size: 224,
            batch: 64,
            shuffle: false,
            repeats: 1,
            part: Part::WHOLE,
            drop_last_single: false,
            seed: 0,
            augment: AugmentRecipe::default(),
            resize: Resize::default(),
            source: SourceSize::default(),
            cache_bytes: 0,
            prefetch: 2,
        }
    }
}

/// Some images with their labels, ready for a model. N images, C labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The position of each image in the loader's items, `[N]`.
    pub indices: Vec<usize>,
    /// Side of the images in pixels.
    pub size: u32,
    /// RGB pixels, 0 to 255, `[N, size, size, 3]`.
    pub pixels: Vec<u8>,
    /// 1 where a label is present, else 0, `[N, C]`.
    pub targets: Vec<f32>,
    /// 0 where a label is unknown, else 1, `[N, C]`.
    pub mask: Vec<f32>,
}

impl Batch {
    /// The number of images, N.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no images. A [`Loader`] gives no such batch.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// A batch that cannot be made, with every image of it that is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{} of batch {batch} in epoch {epoch} cannot be used:{}", count(failures), list(failures))]
pub struct LoadError {
    /// The epoch, as given to [`Loader::epoch`].
    pub epoch: u64,
    /// The batch in the epoch, from 0.
    pub batch: usize,
    /// The images at fault and why, in the order of the batch.
    pub failures: Vec<ImageError>,
}

fn count(failures: &[ImageError]) -> String {
    format!("{} image{}", failures.len(), if failures.len() == 1 { "" } else { "s" })
}

fn list(failures: &[ImageError]) -> String {
    failures.iter().map(|failure| format!("\n  {failure}")).collect()
}

/// Items and what is done with them; it starts epochs.
///
/// Decoding and augmentation run on rayon's pool (the current one when called inside a pool, else the global one).
/// The batches of an epoch depend on the items, the options and the epoch alone: not on the number of threads, on
/// timing, on the cache, or on the batch that the epoch is started from. The parts of a batch, from as many loaders, make the batch.
///
/// ```no_run
/// use std::sync::Arc;
/// use mlcls_data::{Item, Loader, LoaderOptions};
///
/// # fn items() -> Vec<Item> { vec![] }
/// let items: Arc<[Item]> = items().into();
/// let loader = Loader::new(items, LoaderOptions { batch: 32, shuffle: true, ..Default::default() });
/// for batch in loader.epoch(0, 0) {
///     let batch = batch?;
///     println!("{} images, {} bytes", batch.len(), batch.pixels.len());
/// }
/// # Ok::<(), mlcls_data::LoadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader(Arc<Shared>);

/// What the loader and its jobs on the pool have in common.
#[derive(Debug)]
struct Shared {
    items: Arc<[Item]>,
    options: LoaderOptions,
    cache: Cache,
    file_cache: Option<FileCache>,
    /// The key of each image in the file cache, once its file has been read.
    keys: Vec<OnceLock<Key>>,
}

impl Loader {
    /// A loader over `items`. Nothing is read yet. Options below their least value are raised to it.
    pub fn new(items: Arc<[Item]>, options: LoaderOptions) -> Self {
        Self::with_file_cache(items, options, None)
    }

    /// The same with a file of images that outlives it. The batches do not depend on that either: each image file is read once, as
    /// its content is the key; what is saved is decoding and reducing it, and all of that in later epochs.
    pub fn with_file_cache(
        items: Arc<[Item]>,
        mut options: LoaderOptions,
        file_cache: Option<FileCache>,
    ) -> Self {
        options.size = options.size.max(1);
        let LoaderOptions { batch, repeats, prefetch, part, .. } = &mut options;
        for least_one in [batch, repeats, prefetch, &mut part.of] {
            *least_one = (*least_one).max(1);
        }
        let cache = Cache::new(items.len(), options.cache_bytes);
        let keys = if file_cache.is_some() { vec![OnceLock::new(); items.len()] } else { vec![] };
        Self(Arc::new(Shared { items, options, cache, file_cache, keys }))
    }

    /// The items.
    pub fn items(&self) -> &[Item] {
        &self.0.items
    }

    /// The options in force.
    pub fn options(&self) -> &LoaderOptions {
        &self.0.options
    }

    /// Images that an epoch uses in all parts of its batches, repeats counted, after leaving out a last batch that is too small
    /// where that is asked for.
    pub fn samples_per_epoch(&self) -> usize {
        let LoaderOptions { batch, repeats, part, drop_last_single, .. } = self.0.options;
        let samples = self.0.items.len() * repeats;
        let (last, least) = (samples % batch, 2 * part.of);
        if drop_last_single && last < least && least <= batch { samples - last } else { samples }
    }

    /// The most images that a batch has here.
    pub fn largest_batch(&self) -> usize {
        let LoaderOptions { batch, part, .. } = self.0.options;
        batch.div_ceil(part.of)
    }

    /// Batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.samples_per_epoch().div_ceil(self.0.options.batch)
    }

    /// Bytes of pixels in the cache.
    pub fn cached_bytes(&self) -> u64 {
        self.0.cache.used()
    }

    /// Starts an epoch at batch `start_batch` (0 for all of it) and begins to prepare its first batches.
    pub fn epoch(&self, epoch: u64, start_batch: usize) -> Batches {
        Batches::start(self, epoch, start_batch)
    }
}
