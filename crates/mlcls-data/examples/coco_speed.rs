//! A COCO file of the size of COCO-2014's train, and the time and memory that reading one takes.
//!
//! ```text
//! cargo run --release -p mlcls-data --example coco_speed -- generate FOLDER
//! cargo run --release -p mlcls-data --example coco_speed -- read FILE
//! ```
//! `generate` writes `FOLDER/annotations/instances_train2014.json`: 82,783 images, 604,907 objects of 80
//! categories with ids from 1 to 90, 450 MB. `read` prints JSON: seconds, peak memory, the labels' own size (the
//! states, ids and paths of all items), and what was read. `cargo xtask bench-coco` runs both.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use mlcls_data::{Dataset, ReadOptions};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const IMAGES: u32 = 82_783;
const OBJECTS: u32 = 604_907;
/// The numbers that COCO leaves out between 1 and 90.
const GAPS: [u32; 10] = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", folder] => generate(Path::new(folder)),
        ["read", file] => read(Path::new(file)),
        _ => Err("usage: coco_speed generate FOLDER | read FILE".into()),
    }
}

fn read(file: &Path) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let dataset = Dataset::open(file, &ReadOptions::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_mb = peak_mb()?;
    let items = dataset.splits.iter().flat_map(|split| &split.items);
    let own: usize =
        items.map(|i| i.states.len() + i.id.len() + i.image.as_os_str().as_encoded_bytes().len()).sum();
    let summary = dataset.summary();
    let split = &summary.splits[0];
    let result = serde_json::json!({
        "seconds": seconds,
        "peak_mb": peak_mb,
        "own_mb": own as f64 / 1e6,
        "images": split.images,
        "empty": split.empty,
        "positives": split.positives.iter().sum::<usize>(),
    });
    println!("{result}");
    Ok(())
}

/// The most memory that this process has held so far, MB (10^6 bytes).
fn peak_mb() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / 1e6)
}

/// Writes the file: keys in the order of the official one, objects in no order, polygons of some 30 corners, one
/// object in 100 a crowd with run lengths.
fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let file = folder.join("annotations/instances_train2014.json");
    fs::create_dir_all(folder.join("annotations"))?;
    fs::create_dir_all(folder.join("train2014"))?;
    let part = file.with_extension("part");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
    let mut rng = ChaCha8Rng::seed_from_u64(2014);
    write!(
        out,
        r#"{{"info": {{"description": "generated", "url": "", "version": "1.0", "year": 2014, "contributor": "", "date_created": "2015-01-27 09:11:52.357475"}}, "images": ["#
    )?;
    // Ids of seven digits or less in no order, none twice: a step that shares no factor with the number of ids.
    let id = |image: u32| u64::from(image) * 361_631 % 581_921 + 9;
    for image in 0..IMAGES {
        let (id, comma) = (id(image), if image == 0 { "" } else { ", " });
        write!(
            out,
            r#"{comma}{{"license": {}, "file_name": "COCO_train2014_{id:012}.jpg", "coco_url": "http://images.cocodataset.org/train2014/COCO_train2014_{id:012}.jpg", "height": 480, "width": 640, "date_captured": "2013-11-14 16:28:13", "flickr_url": "http://farm4.staticflickr.com/3153/{}_{:010x}_z.jpg", "id": {id}}}"#,
            rng.random_range(1..9),
            rng.random_range(1_000_000_000..9_999_999_999_u64),
            rng.random_range(0..1_u64 << 40),
        )?;
    }
    write!(
        out,
        r#"], "licenses": [{{"url": "http://flickr.com/commons/usage/", "id": 7, "name": "No known copyright restrictions"}}], "annotations": ["#
    )?;
    let ids: Vec<u32> = (1..=90).filter(|id| !GAPS.contains(id)).collect();
    for object in 0..OBJECTS {
        // One image in 118 has no object, and an image has objects of some three categories, as in COCO.
        let image = loop {
            let image = rng.random_range(0..IMAGES);
            if image % 118 != 0 {
                break image;
            }
        };
        let of_image = image * 6 + rng.random_range(0..1 + image % 6);
        // A number between 0 and 1 that is the image's own; most categories are rare.
        let share = f64::from(of_image.wrapping_mul(2_654_435_769)) / f64::from(u32::MAX);
        let category = ids[((share.powi(3) * ids.len() as f64) as usize).min(ids.len() - 1)];
        let comma = if object == 0 { "" } else { ", " };
        write!(out, r#"{comma}{{"segmentation": "#)?;
        let crowd = object % 100 == 99;
        if crowd {
            runs(&mut out, &mut rng)?;
        } else {
            polygon(&mut out, &mut rng)?;
        }
        write!(
            out,
            r#", "area": {}.{:010}, "iscrowd": {}, "image_id": {}, "bbox": [{}], "category_id": {category}, "id": {}}}"#,
            rng.random_range(100..90_000),
            rng.random_range(0..10_000_000_000_u64),
            u8::from(crowd),
            id(image),
            Numbers((0..4).map(|_| rng.random_range(0..64_000)).collect()),
            object + 86,
        )?;
    }
    write!(out, r#"], "categories": ["#)?;
    for (i, id) in ids.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(out, r#"{comma}{{"supercategory": "group {}", "id": {id}, "name": "category {id}"}}"#, i / 7)?;
    }
    out.write_all(b"]}")?;
    out.into_inner()?.sync_all()?;
    fs::rename(part, &file)?;
    println!("{}: {} bytes", file.display(), fs::metadata(&file)?.len());
    Ok(())
}

/// Hundredths as decimal numbers with commas between.
struct Numbers(Vec<u32>);

impl std::fmt::Display for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, n) in self.0.iter().enumerate() {
            write!(f, "{}{}.{:02}", if i == 0 { "" } else { ", " }, n / 100, n % 100)?;
        }
        Ok(())
    }
}

/// `[[x, y, x, y, ...]]`: half of the polygons are short, a few are very long.
fn polygon(out: &mut impl Write, rng: &mut impl Rng) -> io::Result<()> {
    let corners = (7.0
        * (1.4 * (rng.random::<f32>() + rng.random::<f32>() + rng.random::<f32>() - 0.6)).exp())
        as usize;
    write!(out, "[[{}]]", Numbers((0..2 * corners.max(3)).map(|_| rng.random_range(0..64_000)).collect()))
}

/// `{"counts": [...], "size": [480, 640]}`
fn runs(out: &mut impl Write, rng: &mut impl Rng) -> io::Result<()> {
    write!(out, r#"{{"counts": ["#)?;
    for i in 0..rng.random_range(200..3_000) {
        write!(out, "{}{}", if i == 0 { "" } else { ", " }, rng.random_range(1..500))?;
    }
    write!(out, r#"], "size": [480, 640]}}"#)
}
