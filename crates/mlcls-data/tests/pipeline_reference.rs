//! Pixels against OpenCV 4.8 and Pillow 11: the fixtures of `xtask/reference/augment.py`.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::collections::HashMap;
use std::path::PathBuf;

use mlcls_data::augment::{AugMixChain, AugMixPlan, Op, flip_horizontal, rotate};
use mlcls_data::{Resize, Rgb, decode_file, resize};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment")
}

/// Every reference image by its name, in the order of the file.
fn cases() -> (Vec<String>, HashMap<String, Rgb>) {
    let list: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(fixtures().join("cases.json")).unwrap()).unwrap();
    let pixels = std::fs::read(fixtures().join("pixels.bin")).unwrap();
    let mut rest = pixels.as_slice();
    let mut names = Vec::new();
    let mut images = HashMap::new();
    for case in list {
        let side = |key: &str| case[key].as_u64().unwrap() as u32;
        let (here, after) = rest.split_at((side("width") * side("height") * 3) as usize);
        rest = after;
        let name = case["name"].as_str().unwrap().to_owned();
        images.insert(name.clone(), Rgb::new(side("width"), side("height"), here.to_vec()).unwrap());
        names.push(name);
    }
    assert!(rest.is_empty());
    (names, images)
}

/// The greatest and the mean difference of two images of one size.
fn difference(a: &Rgb, b: &Rgb) -> (u8, f64) {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let differences: Vec<u8> = a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: f64 = differences.iter().map(|&d| f64::from(d)).sum();
    (differences.iter().copied().max().unwrap(), sum / differences.len() as f64)
}

fn op(name: &str, value: f64) -> Option<Op> {
    Some(match name {
        "auto_contrast" => Op::AutoContrast,
        "equalize" => Op::Equalize,
        "color" => Op::Color(value as f32),
        "contrast" => Op::Contrast(value as f32),
        "brightness" => Op::Brightness(value as f32),
        "sharpness" => Op::Sharpness(value as f32),
        "posterize" => Op::Posterize(value as u8),
        "solarize" => Op::Solarize(value as u16),
        "shear_x" => Op::ShearX(value),
        "shear_y" => Op::ShearY(value),
        "translate_x" => Op::TranslateX(value),
        "translate_y" => Op::TranslateY(value),
        _ => return None,
    })
}

#[test]
fn resizing_equals_opencv_and_pillow_to_the_bit() {
    let (names, images) = cases();
    let input = &images["input"];
    let mut seen = 0;
    for name in &names {
        let words: Vec<&str> = name.split(' ').collect();
        let (method, source, sides) = match words[..] {
            [method, "window", w, h] => (method, cut(input, 3, 5, 31, 23), [w, h]),
            [method, w, h] if method == "bilinear" || method == "antialias" => {
                (method, input.clone(), [w, h])
            }
            _ => continue,
        };
        let method = if method == "bilinear" { Resize::Bilinear } else { Resize::Antialias };
        let [w, h] = sides.map(|side| side.parse().unwrap());
        assert_eq!(difference(&resize(&source, w, h, method), &images[name]), (0, 0.0), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 24);
}

fn cut(image: &Rgb, x: usize, y: usize, width: usize, height: usize) -> Rgb {
    let stride = image.width() as usize * 3;
    let row = |y: usize| image.data()[y * stride + x * 3..][..width * 3].to_vec();
    Rgb::new(width as u32, height as u32, (y..y + height).flat_map(row).collect()).unwrap()
}

#[test]
fn operations_equal_pillow_and_opencv_to_the_bit() {
    let (names, images) = cases();
    let mut seen = 0;
    for name in &names {
        let mut words = name.split(' ');
        let kind = words.next().unwrap();
        let value = words.next().map_or(0.0, |word| word.parse().unwrap_or(f64::NAN));
        let mut image = images["input"].clone();
        match kind {
            "rotate" => image = rotate(&image, value),
            "flip" => flip_horizontal(&mut image),
            _ => match op(kind, value) {
                Some(op) => op.apply(&mut image),
                None => continue,
            },
        }
        assert_eq!(difference(&image, &images[name]), (0, 0.0), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 2 + 5 * 4 + 4 + 3 + 5 * 4 + 6 + 1);
}

#[test]
fn augmix_mixes_its_chains_in_single_precision() {
    let (_, images) = cases();
    let plan = AugMixPlan {
        mix: 0.7,
        chains: vec![
            AugMixChain { weight: 0.5, ops: vec![Op::Equalize, Op::ShearX(0.15)] },
            AugMixChain { weight: 0.5, ops: vec![Op::Color(1.35)] },
        ],
    };
    let mut image = images["input"].clone();
    plan.apply(&mut image);
    assert_eq!(difference(&image, &images["augmix"]), (0, 0.0));
}

/// Lossless formats and baseline JPEGs are exact. Of the others we know the measured distance: the library that
/// decodes other JPEGs may round the cosine transform differently; 16 bits are rounded here, cut off in OpenCV.
#[test]
fn files_decode_as_opencv_reads_them() {
    let (names, images) = cases();
    let files: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix("decode ")).collect();
    assert_eq!(files.len(), 27);
    for file in files {
        let decoded = decode_file(&fixtures().join("decode").join(file)).unwrap();
        let (greatest, mean) = difference(&decoded, &images[&format!("decode {file}")]);
        let (most, most_mean) = match file {
            "progressive.jpg" | "cmyk.jpg" => (2, 0.02),
            "rgb16.png" | "grey16.png" => (1, 0.2),
            _ => (0, 0.0),
        };
        assert!(greatest <= most && mean <= most_mean, "{file}: greatest {greatest}, mean {mean}");
    }
}
