//! The cache file: what is read is what was written, whoever else writes, wherever it is cut, whatever is changed in it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use super::record::MAGIC;
use super::*;
use crate::image::{PIXELS_VERSION, Resize, decode_file};
use crate::loader::SourceSize;

const LIMIT: u64 = 1 << 30;

/// An image that its number determines.
fn image(number: u64) -> Rgb {
    let (width, height) = (1 + number as u32 % 5, 1 + number as u32 % 3);
    let mut data = vec![0; (width * height * 3) as usize];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut data);
    Rgb::new(width, height, data).unwrap()
}

fn number_key(number: u64) -> Key {
    key(&number.to_le_bytes(), 224, Resize::Bilinear, SourceSize::Squash)
}

fn fill(path: &Path, numbers: std::ops::Range<u64>) -> FileCache {
    let cache = FileCache::open(path, LIMIT).unwrap();
    for number in numbers {
        cache.offer(number_key(number), &image(number));
    }
    assert!(cache.take_trouble().is_none());
    cache
}

/// How many of the images are there; those must be right.
fn sound(cache: &FileCache, numbers: std::ops::Range<u64>) -> u64 {
    let found = numbers.filter_map(|n| cache.get(&number_key(n)).map(|found| assert_eq!(found, image(n))));
    found.count() as u64
}

#[test]
fn what_was_stored_is_found_by_this_cache_and_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.cache");
    let cache = FileCache::open(&path, LIMIT).unwrap();
    assert!(!path.exists(), "made with the first image");
    assert_eq!((cache.images(), cache.get(&number_key(0))), (0, None));
    drop(fill(&path, 0..20));
    let cache = fill(&path, 10..30);
    assert_eq!((sound(&cache, 0..40), cache.images(), cache.damaged_bytes()), (30, 30, 0));
    assert_eq!(cache.bytes(), fs::metadata(&path).unwrap().len());
}

#[test]
fn another_content_or_preparation_is_another_image() {
    let base = key(b"bytes", 224, Resize::Bilinear, SourceSize::Squash);
    for other in [
        key(b"Bytes", 224, Resize::Bilinear, SourceSize::Squash),
        key(b"bytes", 225, Resize::Bilinear, SourceSize::Squash),
        key(b"bytes", 224, Resize::Antialias, SourceSize::Squash),
        key(b"bytes", 224, Resize::Bilinear, SourceSize::ShortSide(224)),
    ] {
        assert_ne!(base, other);
    }
}

/// Decoding or resizing that gives other pixels must raise `PIXELS_VERSION`, or caches of before would be believed. If this test
/// fails after such a change: raise it, and put the new hash here.
#[test]
fn the_version_of_pixels_belongs_to_these_pixels() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/augment/decode");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hash = blake3::Hasher::new();
    for file in files {
        let image = decode_file(&file).unwrap();
        for method in [Resize::Bilinear, Resize::Antialias] {
            hash.update(crate::image::resize(&image, 30, 20, method).data());
        }
        hash.update(image.data());
    }
    let hash = hash.finalize().to_hex();
    assert_eq!(
        (PIXELS_VERSION, hash.as_str()),
        (1, "1c1eee425e6696da22ed8ac824efb65bd9f40091722d169e0e61315ecbd40661")
    );
}

#[test]
fn a_file_cut_anywhere_keeps_its_complete_records_and_takes_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.cache");
    fill(&path, 0..3);
    let before_last = fill(&path, 0..3).bytes();
    fill(&path, 3..4);
    let whole = fs::read(&path).unwrap();
    for len in (0..MAGIC.len() + 1).chain(before_last as usize..whole.len()) {
        fs::write(&path, &whole[..len]).unwrap();
        let cache = FileCache::open(&path, LIMIT).unwrap();
        let kept = if len < before_last as usize { 0 } else { 3 };
        assert_eq!(sound(&cache, 0..4), kept, "{len}");
        let end = if kept == 0 { MAGIC.len() } else { before_last as usize };
        assert_eq!(cache.damaged_bytes(), len.saturating_sub(end) as u64);
        for number in 3..6 {
            cache.offer(number_key(number), &image(number));
        }
        assert_eq!(sound(&FileCache::open(&path, LIMIT).unwrap(), 0..6), kept + 3, "{len}");
    }
}

#[test]
fn a_file_cut_or_emptied_while_it_is_open_gives_no_wrong_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.cache");
    let cache = fill(&path, 0..4);
    let len = fs::metadata(&path).unwrap().len();
    for cut in [len - 1, 20, 0] {
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
        sound(&cache, 0..4);
        for number in 0..4 {
            cache.offer(number_key(number), &image(number));
        }
        assert_eq!((sound(&cache, 0..4), cache.images()), (4, 4), "cut to {cut}");
        assert_eq!(sound(&FileCache::open(&path, LIMIT).unwrap(), 0..4), 4);
    }
}

#[test]
fn the_file_stays_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.cache");
    let cache = FileCache::open(&path, 1000).unwrap();
    for number in 0..100 {
        cache.offer(number_key(number), &image(number));
    }
    let len = fs::metadata(&path).unwrap().len();
    assert!(len > 800 && len <= 1000 && cache.images() < 12, "{len}");
    assert!(cache.take_trouble().is_none());
}

#[test]
fn a_file_that_is_no_cache_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.cache");
    let refused = |path: &Path| FileCache::open(path, LIMIT).unwrap_err().to_string();
    for (content, says) in [
        (&b"my only copy of the thesis"[..], "is no image cache (it starts with 6d 79 20 6f"),
        (b"m!", "is no image cache"),
        (b"mlcls image v  \x07 and more", "layout 7, expected 1"),
    ] {
        fs::write(&path, content).unwrap();
        let message = refused(&path);
        assert!(message.contains(says) && message.contains("images.cache"), "{message}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert!(refused(folder.path()).contains("is a folder"));
    assert!(refused(&folder.path().join("no/images.cache")).contains("there is no folder"));
    // Written by somebody else after the cache was opened.
    fs::remove_file(&path).unwrap();
    let cache = FileCache::open(&path, LIMIT).unwrap();
    fs::write(&path, "a letter").unwrap();
    cache.offer(number_key(0), &image(0));
    assert!(cache.take_trouble().unwrap().to_string().contains("is no image cache"));
    assert!(cache.take_trouble().is_none(), "said once");
    assert_eq!(fs::read(&path).unwrap(), b"a letter");
}

/// Not a test by itself: the process that the next two tests start, and kill.
#[test]
fn writer_process() {
    let Ok(path) = std::env::var("MLCLS_TEST_CACHE_WRITER") else { return };
    let numbers = std::env::var("MLCLS_TEST_CACHE_NUMBERS").unwrap();
    let (from, to) = numbers.split_once(' ').unwrap();
    fill(Path::new(&path), from.parse().unwrap()..to.parse().unwrap());
}

fn start_writer(path: &Path, from: u64, to: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "loader::file_cache::tests::writer_process"])
        .env("MLCLS_TEST_CACHE_WRITER", path)
        .env("MLCLS_TEST_CACHE_NUMBERS", format!("{from} {to}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn processes_fill_one_file_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.cache");
    let mut writers = [(0, 400), (200, 600), (0, 600)].map(|(from, to)| start_writer(&path, from, to));
    let here = fill(&path, 300..500);
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    let cache = FileCache::open(&path, LIMIT).unwrap();
    assert_eq!((sound(&cache, 0..600), cache.damaged_bytes()), (600, 0));
    let expected: u64 = (0..600).map(|n| (HEADER + image(n).data().len()) as u64).sum();
    assert_eq!(cache.bytes(), MAGIC.len() as u64 + expected, "nothing is there twice");
    assert_eq!(sound(&here, 300..500), 200);
}

#[test]
fn a_writer_that_is_killed_leaves_a_usable_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images.cache");
    let (mut from, mut most) = (0, 0);
    for round in 0..12 {
        let mut writer = start_writer(&path, from, u64::MAX);
        std::thread::sleep(Duration::from_millis(20 + 7 * round));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let Ok(cache) = FileCache::open(&path, LIMIT) else { panic!("round {round}") };
        let images = cache.images() as u64;
        assert_eq!(sound(&cache, 0..images), images, "in order, each complete");
        assert!(images >= most);
        (from, most) = (images, images);
        drop(cache);
    }
    assert!(most > 100, "the writers were killed before they wrote");
    assert_eq!(sound(&fill(&path, most..most + 5), most..most + 5), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn changed_bytes_never_give_wrong_pixels(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        opened_before: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.cache");
        let before = fill(&path, 0..6);
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        fs::write(&path, bytes).unwrap();
        let Ok(cache) = (if opened_before { Ok(before) } else { FileCache::open(&path, LIMIT) }) else {
            return Ok(()); // The first bytes were hit.
        };
        sound(&cache, 0..6);
        for number in 0..6 {
            cache.offer(number_key(number), &image(number));
        }
        if cache.take_trouble().is_none() {
            prop_assert_eq!(sound(&cache, 0..6), 6);
        }
    }
}
