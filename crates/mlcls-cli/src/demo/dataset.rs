//! The demo's data set: many scenes as JPEG files, and a Datumaro file per split.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use mlcls_data::{Dataset, Format, Images, Item, LabelState, Split, WriteFormat, write_dataset};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::scene::Scene;
use super::shape::Shape;

/// How many scenes to draw, and how large.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Images of the splits train, val and test.
    pub images: [usize; 3],
    /// Side of an image in pixels, about.
    pub side: usize,
}

/// Draws the data set into `root`; the same seed gives the same files.
pub fn draw(root: &Path, size: Size, seed: u64) -> Result<Dataset> {
    let mut splits = Vec::new();
    for (stream, (name, count)) in ["train", "val", "test"].into_iter().zip(size.images).enumerate() {
        let folder = root.join("images").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let draw_one = |index: usize| {
            // One stream of random numbers for each image, so that no image depends on another.
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(((stream as u64) << 32) | index as u64);
            draw_item(&folder, size.side, index, &mut rng)
        };
        let items = (0..count).into_par_iter().map(draw_one).collect::<Result<_>>()?;
        splits.push(Split { name: name.to_owned(), items });
    }
    let labels = Shape::ALL.map(|s| s.name().to_owned()).to_vec();
    let dataset =
        Dataset { root: root.to_owned(), format: Format::Datumaro, labels, splits, notes: Vec::new() };
    write_dataset(&dataset, root, WriteFormat::Datumaro, Images::InPlace)?;
    Ok(dataset)
}

fn draw_item(folder: &Path, side: usize, index: usize, rng: &mut ChaCha8Rng) -> Result<Item> {
    let scene = Scene::random(side, rng);
    let (width, height, pixels) = scene.render(rng);
    let id = format!("scene{index:05}");
    let path = folder.join(format!("{id}.jpg"));
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, rng.random_range(80..=95))
        .encode(&pixels, width as u32, height as u32, ExtendedColorType::Rgb8)
        .with_context(|| format!("cannot encode {}", path.display()))?;
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    let state = |shown| if shown { LabelState::Present } else { LabelState::Absent };
    Ok(Item { id, image: path, states: scene.labels().map(state).to_vec() })
}
