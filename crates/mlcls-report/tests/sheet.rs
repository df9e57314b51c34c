//! A contact sheet shows what a training gets, pixel by pixel.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use mlcls_data::{AugmentRecipe, Item, LabelState, Loader, LoaderOptions, Rgb, load_image};
use mlcls_report::{SheetOptions, contact_sheet};

const SIZE: u32 = 32;
const GAP: u32 = 10;

/// Five noisy images with labels of all states and letters that no font has.
fn items(folder: &Path) -> Arc<[Item]> {
    let states = [LabelState::Present, LabelState::Absent, LabelState::Unknown];
    (0..5usize)
        .map(|i| {
            let path = folder.join(format!("{i}.png"));
            let noise = |x: u32, y: u32| image::Rgb([x, y, x * y + i as u32].map(|v| (v * 37 % 256) as u8));
            image::RgbImage::from_fn(50, 40, noise).save(&path).unwrap();
            Item {
                id: format!("图{i}\u{7}"),
                image: path,
                states: (0..3).map(|k| states[(i + k) % 3]).collect(),
            }
        })
        .collect()
}

fn options(images: usize, variants: usize) -> SheetOptions {
    let augment = AugmentRecipe::preset("table").unwrap();
    let loader = LoaderOptions {
        size: SIZE,
        seed: 3,
        source: augment.default_source(),
        augment,
        ..Default::default()
    };
    SheetOptions { images, variants, loader }
}

fn square(sheet: &Rgb, left: u32, top: u32) -> Vec<u8> {
    let row = |y: u32| {
        let start = 3 * (y * sheet.width() + left) as usize;
        &sheet.data()[start..start + 3 * SIZE as usize]
    };
    (top..top + SIZE).flat_map(row).copied().collect()
}

#[test]
fn variants_are_what_the_epochs_of_a_training_see() {
    let folder = tempfile::tempdir().unwrap();
    let items = items(folder.path());
    let labels = ["cat", "собака", "a label longer than its image"].map(String::from);
    let options = options(2, 2);
    let sheet = contact_sheet(&items, &labels, &options).unwrap();

    let training = LoaderOptions { batch: 3, shuffle: true, ..options.loader.clone() };
    let training = Loader::new(Arc::clone(&items), training);
    let in_epoch = |epoch: u64, image: usize| -> Vec<u8> {
        let bytes = (SIZE * SIZE * 3) as usize;
        training
            .epoch(epoch, 0)
            .map(Result::unwrap)
            .find_map(|batch| {
                let place = batch.indices.iter().position(|i| *i == image)?;
                Some(batch.pixels[place * bytes..(place + 1) * bytes].to_vec())
            })
            .unwrap()
    };
    let first = training.epoch(0, 0).next().unwrap().unwrap().indices[0];
    assert_eq!(
        square(&sheet, GAP, GAP),
        load_image(&items[first].image, SIZE, options.loader.resize).unwrap(),
        "the first is plain"
    );
    let column = |k: u32| square(&sheet, GAP + k * (SIZE + GAP / 2), GAP);
    assert_eq!([column(1), column(2)], [in_epoch(0, first), in_epoch(1, first)]);
    assert_ne!(column(1), column(2));
}

#[test]
fn a_sheet_is_as_large_as_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let items = items(folder.path());
    let labels = ["cat", "dog", "cow"].map(String::from);
    let sheet = |images, variants| contact_sheet(&items, &labels, &options(images, variants)).unwrap();
    assert_eq!(sheet(3, 0).width(), GAP + 3 * (SIZE + GAP));
    assert_eq!(sheet(99, 0).width(), GAP + 5 * (SIZE + GAP), "there are five");
    assert_eq!(contact_sheet(&Arc::from([]), &labels, &options(3, 1)).unwrap().height(), GAP);
}

#[test]
fn an_image_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let items = items(folder.path());
    std::fs::write(&items[2].image, "no image").unwrap();
    let error = contact_sheet(&items, &[], &options(5, 0)).unwrap_err().to_string();
    assert!(error.contains("2.png"), "{error}");
}
