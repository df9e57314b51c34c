//! The check of the image files.

use std::fs;
use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use mlcls_data::{Dataset, Format, ImageCheck, Item, LabelState, Split, verify_images};

use crate::support::Dir;

/// A picture with noise, so that its data has some length in every format.
fn encoded(format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(40, 30, |x, y| {
        let noise = (x * 7919 + y * 104_729) % 251;
        image::Rgb([noise as u8, (x * 6) as u8, (y * 8) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn dataset(dir: &Dir, names: &[&str]) -> Dataset {
    let item = |name: &&str| Item {
        id: (*name).to_owned(),
        image: dir.join(name),
        states: vec![LabelState::Present],
    };
    let half = names.len() / 2;
    let split =
        |name: &str, names: &[&str]| Split { name: name.into(), items: names.iter().map(item).collect() };
    Dataset {
        root: dir.path().to_owned(),
        format: Format::Datumaro,
        labels: vec!["cat".into()],
        splits: vec![split("train", &names[..half]), split("val", &names[half..])],
        notes: Vec::new(),
    }
}

fn problems(dir: &Dir, names: &[&str], check: ImageCheck) -> Vec<String> {
    verify_images(&dataset(dir, names), check).iter().map(|bad| dir.relative(&bad.to_string())).collect()
}

const FORMATS: [(&str, ImageFormat); 6] = [
    ("jpg", ImageFormat::Jpeg),
    ("png", ImageFormat::Png),
    ("webp", ImageFormat::WebP),
    ("bmp", ImageFormat::Bmp),
    ("gif", ImageFormat::Gif),
    ("tiff", ImageFormat::Tiff),
];

#[test]
fn sound_images_pass_also_under_a_wrong_ending_and_with_bytes_behind_them() {
    let dir = Dir::new();
    for (ending, format) in FORMATS {
        let mut bytes = encoded(format);
        dir.file(&format!("a.{ending}"), &bytes);
        bytes.extend([0; 100]);
        dir.file(&format!("padded.{ending}"), &bytes);
    }
    dir.file("png_inside.jpg", encoded(ImageFormat::Png));
    let names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names.len(), 13);
    for check in [ImageCheck::Quick, ImageCheck::Full] {
        assert_eq!(problems(&dir, &names, check), [""; 0], "{check:?}");
    }
}

#[test]
fn every_bad_file_is_listed_in_order() {
    let dir = Dir::new();
    let jpeg = encoded(ImageFormat::Jpeg);
    dir.file("good.jpg", &jpeg)
        .file("empty.jpg", "")
        .file("page.jpg", "<!DOCTYPE html><html>not found</html>")
        .file("cut.jpg", &jpeg[..jpeg.len() / 2])
        .file("photo.JPG", &jpeg)
        .folder("folder.jpg");
    let names = ["gone.jpg", "cut.jpg", "good.jpg", "empty.jpg", "page.jpg", "photo.png", "folder.jpg"];
    for check in [ImageCheck::Quick, ImageCheck::Full] {
        let found = problems(&dir, &names, check);
        let expected = [
            "train `gone.jpg`: ROOT/gone.jpg: cannot be read: No such file or directory (os error 2)",
            "train `cut.jpg`: ROOT/cut.jpg: is truncated: the JPEG data ends before the image does",
            "val `empty.jpg`: ROOT/empty.jpg: is empty (0 bytes)",
            "val `page.jpg`: ROOT/page.jpg: is not a JPEG, PNG, WebP, BMP, GIF or TIFF image (it starts with \
             3c 21 44 4f 43 54 59 50)",
            "val `photo.png`: ROOT/photo.png: cannot be read: No such file or directory (os error 2); did you \
             mean `ROOT/photo.JPG`?",
            "val `folder.jpg`: ROOT/folder.jpg: cannot be read: Is a directory (os error 21)",
        ];
        assert_eq!(found, expected, "{check:?}");
    }
}

#[test]
fn cut_files_are_found_at_every_length() {
    for (ending, format) in
        [("jpg", ImageFormat::Jpeg), ("png", ImageFormat::Png), ("webp", ImageFormat::WebP)]
    {
        let dir = Dir::new();
        let bytes = encoded(format);
        // A PNG ends with the 4 bytes of a checksum that nobody misses.
        let whole = if format == ImageFormat::Png { bytes.len() - 4 } else { bytes.len() };
        let names: Vec<String> =
            (0..whole).step_by(37).chain([whole - 1]).map(|n| format!("{n}.{ending}")).collect();
        for name in &names {
            let length: usize = name.split('.').next().unwrap().parse().unwrap();
            dir.file(name, &bytes[..length]);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(problems(&dir, &names, ImageCheck::Quick).len(), names.len(), "{ending}");
    }
}

#[test]
fn the_full_check_finds_damage_inside() {
    let dir = Dir::new();
    let mut png = encoded(ImageFormat::Png);
    let middle = png.len() / 2;
    png[middle..middle + 16].fill(0xa5);
    dir.file("damaged.png", png).file("good.png", encoded(ImageFormat::Png));
    let names = ["damaged.png", "good.png"];
    assert_eq!(problems(&dir, &names, ImageCheck::Quick), [""; 0]);
    let found = problems(&dir, &names, ImageCheck::Full);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("train `damaged.png`: ROOT/damaged.png: cannot be decoded: "), "{found:?}");
}
