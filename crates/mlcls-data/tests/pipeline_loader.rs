//! The loader: the same batches whatever the threads, the cache and the start; every image, every label, every error.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::sync::Arc;

use mlcls_data::{
    AugmentRecipe, Batch, Item, LabelState, LoadError, Loader, LoaderOptions, Part, Resize, SourceSize,
    decode_for, load_image, resize,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const SIZE: u32 = 24;

/// A folder of noise in PNG and JPEG files of various sizes, and its items with three labels.
fn folder(images: usize) -> (TempDir, Arc<[Item]>) {
    use LabelState::{Absent, Present, Unknown};
    let folder = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let item = |i: usize| {
        // One JPEG is large enough to be decoded at a smaller scale.
        let scale = if i == 5 { 5 } else { 1 };
        let (width, height) = (scale * (20 + (i as u32 * 7) % 30), scale * (16 + (i as u32 * 11) % 40));
        let mut data = vec![0; (width * height * 3) as usize];
        rng.fill_bytes(&mut data);
        let path = folder.path().join(format!("{i:02}.{}", if i % 4 == 1 { "jpg" } else { "png" }));
        image::RgbImage::from_raw(width, height, data).unwrap().save(&path).unwrap();
        let states = vec![[Absent, Present, Unknown][i % 3], Present, [Unknown, Absent][i % 2]];
        Item { id: i.to_string(), image: path, states }
    };
    let items: Vec<Item> = (0..images).map(item).collect();
    (folder, items.into())
}

fn options(recipe: &str) -> LoaderOptions {
    LoaderOptions {
        size: SIZE,
        batch: 5,
        shuffle: true,
        seed: 3,
        augment: AugmentRecipe::preset(recipe).unwrap(),
        ..LoaderOptions::default()
    }
}

fn epoch(loader: &Loader, epoch: u64) -> Vec<Batch> {
    loader.epoch(epoch, 0).collect::<Result<_, _>>().unwrap()
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() {
    let (_folder, items) = folder(23);
    for recipe in AugmentRecipe::PRESETS {
        let options = LoaderOptions { repeats: 2, prefetch: 3, ..options(recipe) };
        let on_the_global_pool = epoch(&Loader::new(items.clone(), options.clone()), 1);
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let inside = pool.install(|| epoch(&Loader::new(items.clone(), options.clone()), 1));
            assert!(inside == on_the_global_pool, "{recipe}, {threads} threads");
        }
    }
}

#[test]
fn batches_do_not_depend_on_the_cache() {
    let (files, items) = folder(12);
    let sources = [SourceSize::Squash, SourceSize::ShortSide(16), SourceSize::Original];
    let recipes = ["plateau", "crop_flip", "table"];
    let cases = sources.into_iter().flat_map(|source| recipes.map(|recipe| (source, recipe)));
    let methods = [Resize::Bilinear, Resize::Antialias];
    for ((source, recipe), resize) in cases.flat_map(|case| methods.map(|method| (case, method))) {
        let run = |cache_bytes| {
            let options = LoaderOptions { cache_bytes, source, resize, ..options(recipe) };
            let loader = Loader::new(items.clone(), options);
            let epochs = [epoch(&loader, 0), epoch(&loader, 1)];
            assert!(loader.cached_bytes() <= cache_bytes);
            (epochs, loader)
        };
        let (plain, _) = run(0);
        let (some, loader) = run(5_000);
        assert!(some == plain && loader.cached_bytes() > 0);
        let (all, _) = run(10_000_000);
        assert!(all == plain);
    }
    // A full cache needs no files any more.
    let loader = Loader::new(items, LoaderOptions { cache_bytes: 1_000_000, ..options("plateau") });
    epoch(&loader, 0);
    files.close().unwrap();
    epoch(&loader, 1);
}

#[test]
fn an_epoch_goes_on_from_any_batch() {
    let (_folder, items) = folder(23);
    let loader = Loader::new(items, options("table"));
    let all = epoch(&loader, 4);
    assert_eq!(all.len(), loader.batches_per_epoch());
    for start in 0..=all.len() + 1 {
        let rest = loader.epoch(4, start);
        assert_eq!(rest.len(), all.len().saturating_sub(start));
        let rest: Vec<Batch> = rest.collect::<Result<_, _>>().unwrap();
        assert!(rest == all[start.min(all.len())..], "from batch {start}");
    }
}

#[test]
fn epochs_are_fresh_permutations_with_repeats_side_by_side() {
    let (_folder, items) = folder(11);
    let loader = Loader::new(items, LoaderOptions { repeats: 3, ..options("plateau") });
    let indices = |e| epoch(&loader, e).into_iter().flat_map(|b| b.indices).collect::<Vec<_>>();
    let (first, second) = (indices(0), indices(1));
    assert_ne!(first, second);
    for order in [first, second] {
        assert_eq!(order.len(), loader.samples_per_epoch());
        assert!(order.chunks(3).all(|copies| copies.iter().all(|i| *i == copies[0])));
        let mut once: Vec<usize> = order.into_iter().step_by(3).collect();
        once.sort_unstable();
        assert_eq!(once, (0..11).collect::<Vec<_>>());
    }
    // Copies of an image are augmented differently.
    let bytes = (SIZE * SIZE * 3) as usize;
    let pixels: Vec<u8> = epoch(&loader, 0).into_iter().flat_map(|b| b.pixels).collect();
    assert_ne!(pixels[..bytes], pixels[bytes..2 * bytes]);
}

#[test]
fn without_augmentation_images_are_those_that_prediction_reads() {
    let (_folder, items) = folder(7);
    for resize in [Resize::Bilinear, Resize::Antialias] {
        let options = LoaderOptions { resize, shuffle: false, ..options("none") };
        let batches = epoch(&Loader::new(items.clone(), options), 0);
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [5, 2]);
        let pixels: Vec<u8> = batches.into_iter().flat_map(|b| b.pixels).collect();
        let expected = items.iter().flat_map(|item| load_image(&item.image, SIZE, resize).unwrap());
        assert!(pixels.into_iter().eq(expected));
    }
}

/// A JPEG of more than four times the input is read smaller by all alike, but for a source as in the file.
#[test]
fn training_sees_a_large_photo_as_prediction_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.jpg");
    let wave = |x: u32, y: u32| image::Rgb([(x * 7 % 256) as u8, (y * 5 % 256) as u8, ((x ^ y) % 256) as u8]);
    image::RgbImage::from_fn(240, 200, wave).save(&path).unwrap();
    let file = std::fs::read(&path).unwrap();
    let small = decode_for(&file, Some(SIZE)).unwrap();
    assert_eq!((small.width(), small.height()), (60, 50), "two eighths: 50 is more than twice 24");
    let large = decode_for(&file, None).unwrap();
    assert_eq!((large.width(), large.height()), (240, 200));

    let items: Arc<[Item]> = vec![Item { id: "0".into(), image: path.clone(), states: vec![] }].into();
    let method = Resize::Antialias;
    let squashed = |image| resize(image, SIZE, SIZE, method).into_data();
    let loaded = |source| {
        let options = LoaderOptions { resize: method, source, ..options("none") };
        epoch(&Loader::new(items.clone(), options), 0).remove(0).pixels
    };
    assert_eq!(load_image(&path, SIZE, method).unwrap(), squashed(&small));
    assert_eq!(loaded(SourceSize::Squash), squashed(&small));
    assert_eq!(loaded(SourceSize::Original), squashed(&large));
    assert_ne!(squashed(&small), squashed(&large));
    let short = resize(&decode_for(&file, Some(20)).unwrap(), 24, 20, method);
    assert_eq!(loaded(SourceSize::ShortSide(20)), squashed(&short));
}

#[test]
fn targets_and_mask_follow_the_states() {
    let (_folder, items) = folder(3);
    let batch = epoch(&Loader::new(items, LoaderOptions { shuffle: false, ..options("none") }), 0).remove(0);
    assert_eq!(batch.indices, [0, 1, 2]);
    assert_eq!(batch.targets, [0., 1., 0., 1., 1., 0., 0., 1., 0.]);
    assert_eq!(batch.mask, [1., 1., 0., 1., 1., 1., 0., 1., 0.]);
}

#[test]
fn a_last_single_image_is_left_out_only_when_asked() {
    for (images, batch, drop_last_single, expected) in [
        (11, 5, true, 10),
        (11, 5, false, 11),
        (12, 5, true, 12),
        (3, 1, true, 3),
        (1, 5, true, 0),
        (0, 5, true, 0),
    ] {
        let (_folder, items) = folder(images);
        let loader = Loader::new(items, LoaderOptions { batch, drop_last_single, ..options("none") });
        let sizes: Vec<usize> = epoch(&loader, 0).iter().map(Batch::len).collect();
        assert_eq!(sizes.iter().sum::<usize>(), expected);
        assert_eq!((loader.samples_per_epoch(), loader.batches_per_epoch()), (expected, sizes.len()));
    }
}

#[test]
fn parts_of_batches_make_the_batches() {
    let (_folder, items) = folder(23);
    for (batch, of) in [(5, 1), (5, 2), (7, 3), (12, 4), (23, 4)] {
        let options = LoaderOptions { batch, repeats: 2, ..options("table") };
        let parts: Vec<Vec<Batch>> = (0..of)
            .map(|index| LoaderOptions { part: Part { index, of }, ..options.clone() })
            .map(|options| epoch(&Loader::new(items.clone(), options), 1))
            .collect();
        for (number, whole) in epoch(&Loader::new(items.clone(), options), 1).into_iter().enumerate() {
            let parts: Vec<&Batch> = parts.iter().map(|part| &part[number]).collect();
            let smallest = parts.iter().map(|part| part.len()).min().unwrap();
            assert!(parts.iter().all(|part| part.len() <= smallest + 1));
            let all =
                |of: fn(&Batch) -> &[f32]| parts.iter().flat_map(|p| of(p)).copied().collect::<Vec<_>>();
            assert_eq!(all(|part| &part.targets), whole.targets);
            assert_eq!(all(|part| &part.mask), whole.mask);
            assert!(parts.iter().flat_map(|part| &part.indices).eq(&whole.indices));
            assert!(parts.iter().flat_map(|part| &part.pixels).eq(&whole.pixels));
        }
    }
}

#[test]
fn a_last_batch_of_which_a_part_is_too_small_is_left_out_by_all() {
    for (images, batch, of, expected) in
        [(23, 10, 2, 20), (24, 10, 2, 24), (25, 10, 3, 20), (26, 10, 3, 26), (7, 3, 2, 7)]
    {
        let (_folder, items) = folder(images);
        for index in 0..of {
            let part = Part { index, of };
            let options = LoaderOptions { batch, part, drop_last_single: true, ..options("none") };
            let loader = Loader::new(items.clone(), options);
            assert_eq!(loader.samples_per_epoch(), expected);
            let here = epoch(&loader, 0);
            assert_eq!(here.len(), expected.div_ceil(batch));
            assert!(here.iter().all(|batch| batch.len() <= loader.largest_batch()));
        }
    }
}

#[test]
fn every_broken_image_of_a_batch_is_named_and_the_next_batches_follow() {
    let (_folder, items) = folder(12);
    std::fs::write(&items[6].image, b"no image").unwrap();
    std::fs::remove_file(&items[8].image).unwrap();
    let loader = Loader::new(items, LoaderOptions { shuffle: false, repeats: 1, ..options("none") });
    let batches: Vec<Result<Batch, LoadError>> = loader.epoch(2, 0).collect();
    let error = batches[1].as_ref().unwrap_err();
    assert_eq!((error.epoch, error.batch, error.failures.len()), (2, 1, 2));
    let message = error.to_string();
    assert!(message.starts_with("2 images of batch 1 in epoch 2 cannot be used:\n"), "{message}");
    assert!(
        message.contains("06.png: is not a JPEG") && message.contains("08.png: cannot be read"),
        "{message}"
    );
    assert!(batches[0].is_ok() && batches[2].is_ok());
}

#[test]
fn dropping_an_epoch_early_frees_everything() {
    let (_folder, items) = folder(23);
    let watch = Arc::downgrade(&items);
    let loader = Loader::new(items, LoaderOptions { prefetch: 4, ..options("table") });
    for e in 0..20 {
        let mut batches = loader.epoch(e, 0);
        batches.next().unwrap().unwrap();
    }
    assert_eq!(epoch(&loader, 0).len(), 5);
    drop(loader);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while watch.strong_count() > 0 {
        assert!(std::time::Instant::now() < deadline, "a job still holds the items");
        std::thread::yield_now();
    }
}

#[test]
fn recycled_buffers_carry_nothing_over() {
    let (_folder, items) = folder(23);
    let loader = Loader::new(items, options("plateau"));
    let expected = epoch(&loader, 0);
    let mut batches = loader.epoch(0, 0);
    for expected in &expected {
        let mut batch = batches.next().unwrap().unwrap();
        assert!(batch == *expected);
        batch.pixels.fill(77);
        batches.recycle(batch);
    }
    assert!(batches.next().is_none());
    assert!(batches.waited() > std::time::Duration::ZERO);
}

/// A consumer that computes on the pool between batches, on a pool of one thread.
#[test]
fn one_thread_serves_both_loading_and_computing() {
    use rayon::prelude::*;
    let (_folder, items) = folder(23);
    let loader = Loader::new(items, options("plateau"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let images: usize = pool.install(|| {
        let sum = |batch: Batch| batch.pixels.par_iter().map(|&v| u64::from(v)).sum::<u64>();
        loader.epoch(0, 0).map(|batch| usize::from(sum(batch.unwrap()) > 0)).sum()
    });
    assert_eq!(images, 5);
}
