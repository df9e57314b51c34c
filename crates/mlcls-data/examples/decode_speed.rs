//! How fast images are decoded on one core: whole, at the scale for 224 pixels, and by the `image` crate.
//!
//! ```text
//! cargo run --release -p mlcls-data --example decode_speed -- FOLDER [IMAGES [ROUNDS]]
//! ```
//! The first IMAGES (default 256) files by name are read first; then the three take turns for ROUNDS (default 5) rounds.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use mlcls_data::{decode, decode_for};

/// A way to decode a file; gives the pixels that it made.
type Way = (&'static str, fn(&[u8]) -> Option<u64>);

const WAYS: [Way; 3] = [
    ("whole", |file| decode(file).ok().map(|image| sides(black_box(&image)))),
    ("for 224", |file| decode_for(file, Some(224)).ok().map(|image| sides(black_box(&image)))),
    ("image crate", |file| {
        let image = image::load_from_memory(file).ok()?.into_rgb8();
        Some(u64::from(black_box(&image).width()) * u64::from(image.height()))
    }),
];

fn sides(image: &mlcls_data::Rgb) -> u64 {
    u64::from(image.width()) * u64::from(image.height())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: decode_speed FOLDER [IMAGES [ROUNDS]]")?;
    let limit = args.next().map_or(Ok(256), |n| n.parse())?;
    let rounds: usize = args.next().map_or(Ok(5), |n| n.parse())?;
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    paths.truncate(limit);
    let files: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<std::io::Result<_>>()?;
    let pixels: u64 = files.iter().filter_map(|file| decode(file).ok()).map(|image| sides(&image)).sum();

    let mut seconds = [const { Vec::new() }; WAYS.len()];
    for _ in 0..rounds.max(1) {
        for ((name, way), seconds) in WAYS.iter().zip(&mut seconds) {
            let start = Instant::now();
            for (file, path) in files.iter().zip(&paths) {
                way(file).ok_or_else(|| format!("{name}: {} cannot be decoded", path.display()))?;
            }
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    println!("{} images, medians of {rounds} rounds on one core", files.len());
    println!("{:<12} {:>10} {:>10}", "", "images/s", "Mpixels/s");
    for ((name, _), mut seconds) in WAYS.iter().zip(seconds) {
        seconds.sort_by(f64::total_cmp);
        let median = seconds[seconds.len() / 2];
        println!("{name:<12} {:>10.0} {:>10.0}", files.len() as f64 / median, pixels as f64 / median / 1e6);
    }
    Ok(())
}
