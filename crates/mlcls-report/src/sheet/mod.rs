//! A contact sheet: images as the network gets them, with their labels.

mod canvas;
mod caption;

use std::sync::Arc;

use mlcls_data::{AugmentRecipe, Batch, Item, LoadError, Loader, LoaderOptions, Rgb};

use canvas::Canvas;
use caption::Caption;

/// What [`contact_sheet`] shows.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetOptions {
    /// How many images; fewer where there are not so many.
    pub images: usize,
    /// 0: each image once, augmented. More: a row per image, first plain, then this many times augmented.
    pub variants: usize,
    /// Size, augmentation, source, resizing and seed, as a training has them. Batches, order, repeats and cache are
    /// of no account.
    pub loader: LoaderOptions,
}

/// Width that a sheet does not exceed, unless a single row of variants does.
const WIDTH: u32 = 1600;
/// White between and around the images, in pixels.
const GAP: u32 = 10;

/// Draws a sheet of images as a [`Loader`] gives them, so that what is seen is what is trained on: the images that the
/// first epoch of a training with this seed begins with, and as variants what that epoch and those after it make of
/// each (for a training with `repeats` 1). Below each stand its id, its present labels, and the unknown ones with a
/// question mark.
///
/// Letters are those of font8x8 (Latin, Greek, Hiragana); others are shown as a box.
///
/// # Errors
/// Images that cannot be used, as a training would report them.
pub fn contact_sheet(
    items: &Arc<[Item]>,
    labels: &[String],
    options: &SheetOptions,
) -> Result<Rgb, LoadError> {
    let size = options.loader.size.max(1);
    let shown = first_of_epoch(items, options)?;
    let columns = options.variants as u32 + 1;
    let cell = size * columns + (columns - 1) * GAP / 2;
    let scale = (size / 224).max(1);
    let captions: Vec<Caption> =
        shown.iter().map(|i| Caption::new(&items[*i], labels, cell, scale)).collect();

    let across = ((WIDTH - GAP) / (cell + GAP)).clamp(1, shown.len().max(1) as u32) as usize;
    let rows: Vec<&[usize]> = shown.chunks(across).collect();
    let heights: Vec<u32> = captions
        .chunks(across)
        .map(|row| size + row.iter().map(Caption::height).max().unwrap_or(0))
        .collect();
    let mut canvas = Canvas::white(
        GAP + across as u32 * (cell + GAP),
        GAP + heights.iter().map(|height| height + GAP).sum::<u32>(),
    );
    let mut top = GAP;
    for ((row, height), captions) in rows.iter().zip(heights).zip(captions.chunks(across)) {
        for (column, (index, caption)) in row.iter().zip(captions).enumerate() {
            let left = GAP + column as u32 * (cell + GAP);
            for (k, pixels) in looks(items, *index, options)?.iter().enumerate() {
                canvas.image(left + k as u32 * (size + GAP / 2), top, size, pixels);
            }
            caption.draw(&mut canvas, left, top + size);
        }
        top += height + GAP;
    }
    Ok(canvas.into_rgb())
}

/// The images that a shuffled epoch begins with, in its order.
fn first_of_epoch(items: &Arc<[Item]>, options: &SheetOptions) -> Result<Vec<usize>, LoadError> {
    let first = LoaderOptions {
        batch: options.images.max(1),
        shuffle: true,
        repeats: 1,
        drop_last_single: false,
        cache_bytes: 0,
        prefetch: 1,
        augment: AugmentRecipe::default(),
        ..options.loader.clone()
    };
    let batch = Loader::new(Arc::clone(items), first).epoch(0, 0).next().transpose()?;
    Ok(batch.map_or_else(Vec::new, |batch| batch.indices))
}

/// The pixels of one image, plain and augmented as asked for.
fn looks(items: &Arc<[Item]>, index: usize, options: &SheetOptions) -> Result<Vec<Vec<u8>>, LoadError> {
    let one = LoaderOptions {
        batch: 1,
        shuffle: false,
        repeats: 1,
        drop_last_single: false,
        cache_bytes: 0,
        prefetch: 1,
        ..options.loader.clone()
    };
    let plain = LoaderOptions { augment: AugmentRecipe::default(), ..one.clone() };
    let take = |options: &LoaderOptions, epoch: u64| {
        let batch = Loader::new(Arc::clone(items), options.clone()).epoch(epoch, index).next();
        batch.transpose().map(|batch: Option<Batch>| batch.map_or_else(Vec::new, |batch| batch.pixels))
    };
    if options.variants == 0 {
        return Ok(vec![take(&one, 0)?]);
    }
    let augmented = (0..options.variants as u64).map(|epoch| take(&one, epoch));
    std::iter::once(take(&plain, 0)).chain(augmented).collect()
}
