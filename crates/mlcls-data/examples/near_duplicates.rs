//! The figures in the documentation of `near_duplicates`: how many changed copies it finds among real photos,
//! how many pairs it takes for the same that are not, and how long it takes.
//!
//! ```text
//! cargo run --release -p mlcls-data --example near_duplicates -- FOLDER...
//! ```
//! Each FOLDER holds photos. Every seventh is changed and compared with itself; the pairs found among all of them
//! are printed to be looked at. Without a FOLDER only the time is measured, on drawn images.

use std::io::Cursor;
use std::path::PathBuf;
use std::time::Instant;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageFormat, RgbImage};
use mlcls_data::{Fingerprint, NearPair, Resize, Rgb, decode_file, near_duplicates, resize};
use rayon::prelude::*;

type Change = (&'static str, fn(&RgbImage) -> RgbImage);

const CHANGES: &[Change] = &[
    ("JPEG quality 95", |i| jpeg(i, 95)),
    ("JPEG quality 70", |i| jpeg(i, 70)),
    ("JPEG quality 50", |i| jpeg(i, 50)),
    ("JPEG quality 30", |i| jpeg(i, 30)),
    ("0.5 times as large", |i| scaled(i, 0.5)),
    ("0.7 times as large", |i| scaled(i, 0.7)),
    ("1.5 times as large", |i| scaled(i, 1.5)),
    ("2 times as large", |i| scaled(i, 2.0)),
    ("15 % darker", |i| levels(i, 0.0, 0.85)),
    ("15 % brighter", |i| levels(i, 0.0, 1.15)),
    ("15 % less contrast", |i| levels(i, mean(i), 0.85)),
    ("15 % more contrast", |i| levels(i, mean(i), 1.15)),
    ("mirrored", imageops::flip_horizontal),
    ("2 % off, centre kept", |i| cropped(i, 0.02, 0.5)),
    ("5 % off, centre kept", |i| cropped(i, 0.05, 0.5)),
    ("3 % off, corner kept", |i| cropped(i, 0.03, 0.0)),
    ("5 % off, corner kept", |i| cropped(i, 0.05, 0.0)),
    ("mirrored, 5 % off, quality 60", |i| jpeg(&cropped(&imageops::flip_horizontal(i), 0.05, 0.5), 60)),
    ("3 % off, 0.6 times, 10 % brighter, quality 50", |i| {
        jpeg(&levels(&scaled(&cropped(i, 0.03, 0.5), 0.6), 0.0, 1.1), 50)
    }),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in std::env::args().skip(1) {
        let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        paths.extend(entries.collect::<std::io::Result<Vec<_>>>()?);
    }
    paths.sort();
    if paths.is_empty() {
        speed();
        return Ok(());
    }
    let photo = |path: &PathBuf| -> Result<RgbImage, Box<dyn std::error::Error + Send + Sync>> {
        let photo = decode_file(path)?;
        RgbImage::from_raw(photo.width(), photo.height(), photo.into_data()).ok_or_else(|| "no pixels".into())
    };
    let photos: Vec<RgbImage> =
        paths.par_iter().map(photo).collect::<Result<_, _>>().map_err(|e| e.to_string())?;

    compare_hashes(&photos);
    let sample: Vec<&RgbImage> = photos.iter().step_by(7).collect();
    println!("{} photos, {} of them changed:", photos.len(), sample.len());
    for (name, change) in CHANGES {
        let found = sample.par_iter().filter(|photo| {
            let prints = [print(photo), print(&change(photo))];
            !near_duplicates(&prints).is_empty()
        });
        println!("  {name:<46} {:6.2} %", 100.0 * found.count() as f64 / sample.len() as f64);
    }

    let prints: Vec<Fingerprint> = photos.par_iter().map(print).collect();
    let pairs = near_duplicates(&prints);
    println!("{} in {:.1} million pairs of photos:", pairs.len(), millions(photos.len()));
    for pair in pairs {
        let mirrored = if pair.mirrored { " mirrored" } else { "" };
        println!("  {} {}{mirrored}", paths[pair.first].display(), paths[pair.second].display());
    }

    let quarters: Vec<Fingerprint> =
        photos.par_iter().flat_map_iter(|photo| quarters(photo).map(|q| print(&q))).collect();
    let elsewhere = |pair: &NearPair| pair.first / 4 != pair.second / 4;
    let pairs = near_duplicates(&quarters).into_iter().filter(elsewhere).count();
    let millions = millions(quarters.len());
    println!(
        "{pairs} in {millions:.1} million pairs of quarters: {:.3} per million",
        pairs as f64 / millions
    );
    Ok(())
}

/// Why the hash is what it is: this one beside one of gradients, within the same number of bits.
fn compare_hashes(photos: &[RgbImage]) {
    const LIMIT: u32 = 11;
    let gradients = |photo: &RgbImage| {
        let small = resize(&rgb(photo), 9, 8, Resize::Antialias);
        let grey = |x: u32, y: u32| -> u32 {
            small.data()[(y * 9 + x) as usize * 3..][..3].iter().map(|&v| u32::from(v)).sum()
        };
        let bits = (0..64).map(|i| (i % 8, i / 8)).map(|(x, y)| u64::from(grey(x + 1, y) > grey(x, y)));
        bits.fold(0, |hash, bit| hash << 1 | bit)
    };
    type Hash<'a> = &'a (dyn Fn(&RgbImage) -> u64 + Sync);
    let hashes: [(&str, Hash<'_>); 2] = [("DCT", &|photo| print(photo).hash()), ("gradient", &gradients)];
    for (name, hash) in hashes {
        let all: Vec<u64> = photos.par_iter().map(hash).collect();
        let near =
            |(i, a): (usize, &u64)| all[i + 1..].iter().filter(|b| (*a ^ *b).count_ones() <= LIMIT).count();
        let passed: usize = all.par_iter().enumerate().map(near).sum();
        let crop = photos
            .par_iter()
            .zip(&all)
            .step_by(7)
            .filter(|(photo, own)| (hash(&cropped(photo, 0.05, 0.5)) ^ *own).count_ones() <= LIMIT);
        println!(
            "{name} hash, {LIMIT} bits: {:.1} of a million pairs pass, and {:.1} % of those with 5 % off",
            passed as f64 / millions(photos.len()),
            100.0 * crop.count() as f64 / photos.len().div_ceil(7) as f64
        );
    }
}

/// Times on 120,000 drawn images of four kinds.
fn speed() {
    const COUNT: u64 = 120_000;
    let drawn = |scene: u64, noise: u64| {
        let mut state = scene.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let pixels =
            (0..8 * 8 * 3u64).map(|i| (random() % 230 + noise.wrapping_mul(i * 7919 + 1) % 16) as u8);
        Rgb::new(8, 8, pixels.collect()).map(|image| Fingerprint::new(&image))
    };
    let flat = |level: u64| Rgb::new(8, 8, vec![level as u8; 192]).map(|image| Fingerprint::new(&image));
    type Draw<'a> = &'a (dyn Fn(u64) -> Option<Fingerprint> + Sync);
    let kinds: [(&str, Draw<'_>); 4] = [
        ("all different", &|i| drawn(i + 1, 0)),
        ("50,000 the same", &|i| drawn(i.saturating_sub(50_000) + 1, 0)),
        ("one scene with noise", &|i| drawn(1, i)),
        ("all of one colour", &|i| flat(i % 256)),
    ];
    for (name, kind) in kinds {
        let prints: Vec<Fingerprint> = (0..COUNT).into_par_iter().filter_map(kind).collect();
        let start = Instant::now();
        let pairs = near_duplicates(&prints).len();
        println!(
            "{name:<22} {} images: {pairs:>6} pairs in {:.2} s",
            prints.len(),
            start.elapsed().as_secs_f64()
        );
    }
}

fn print(image: &RgbImage) -> Fingerprint {
    Fingerprint::new(&rgb(image))
}

fn rgb(image: &RgbImage) -> Rgb {
    Rgb::new(image.width(), image.height(), image.as_raw().clone()).expect("an image has its pixels")
}

fn millions(images: usize) -> f64 {
    images as f64 * (images as f64 - 1.0) / 2e6
}

fn jpeg(image: &RgbImage, quality: u8) -> RgbImage {
    let mut bytes = Vec::new();
    let encoded = JpegEncoder::new_with_quality(Cursor::new(&mut bytes), quality).encode_image(image);
    let decoded = encoded.and_then(|()| image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg));
    decoded.expect("what was encoded can be decoded").into_rgb8()
}

fn scaled(image: &RgbImage, factor: f64) -> RgbImage {
    let side = |side: u32| (f64::from(side) * factor).round().max(1.0) as u32;
    imageops::resize(image, side(image.width()), side(image.height()), FilterType::CatmullRom)
}

fn mean(image: &RgbImage) -> f32 {
    image.as_raw().iter().map(|&v| f32::from(v)).sum::<f32>() / image.as_raw().len() as f32
}

fn levels(image: &RgbImage, fixed: f32, factor: f32) -> RgbImage {
    let mut out = image.clone();
    out.iter_mut().for_each(|v| *v = (fixed + (f32::from(*v) - fixed) * factor).round() as u8);
    out
}

/// Without `part` of each side; `at` 0 keeps the upper left corner, 0.5 the centre.
fn cropped(image: &RgbImage, part: f64, at: f64) -> RgbImage {
    let cut = |side: u32| (f64::from(side) * part).round() as u32;
    let (x, y) = (cut(image.width()), cut(image.height()));
    let offset = |cut: u32| (f64::from(cut) * at) as u32;
    imageops::crop_imm(image, offset(x), offset(y), image.width() - x, image.height() - y).to_image()
}

fn quarters(image: &RgbImage) -> [RgbImage; 4] {
    let (w, h) = (image.width() / 2, image.height() / 2);
    [(0, 0), (w, 0), (0, h), (w, h)].map(|(x, y)| imageops::crop_imm(image, x, y, w, h).to_image())
}
