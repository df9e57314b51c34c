//! Counts of a small data set by hand, and sizes of files from their headers.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use image::{DynamicImage, ImageFormat};
use mlcls_data::{Dataset, Format, ImageSize, Item, LabelState, Split, Stats};

use LabelState::{Absent, Present, Unknown};

fn item(id: &str, image: &Path, states: [LabelState; 3]) -> Item {
    Item { id: id.into(), image: image.to_owned(), states: states.to_vec() }
}

fn stats(splits: Vec<(&str, Vec<Item>)>) -> Stats {
    let splits = splits.into_iter().map(|(name, items)| Split { name: name.into(), items }).collect();
    let labels = ["cat", "dog", "cow"].map(String::from).to_vec();
    Dataset { root: "pets".into(), format: Format::Voc, labels, splits, notes: vec![] }.stats()
}

#[test]
fn counts_are_right() {
    let none = Path::new("no/such/file.jpg");
    let stats = stats(vec![
        (
            "train",
            vec![
                item("a", none, [Present, Present, Absent]),
                item("b", none, [Present, Unknown, Absent]),
                item("c", none, [Present, Absent, Absent]),
                item("d", none, [Absent, Absent, Absent]),
            ],
        ),
        ("val", vec![item("e", none, [Unknown, Present, Absent])]),
    ]);
    assert_eq!(stats.labels_per_image, [vec![1, 2, 1], vec![0, 1]]);
    assert_eq!(stats.prevalence[0], [Some(0.75), Some(1.0 / 3.0), Some(0.0)]);
    assert_eq!(stats.prevalence[1], [None, Some(1.0), Some(0.0)]);
    assert_eq!(stats.imbalance, [Some(1.0), Some(1.5), None]);
    assert_eq!(stats.mean_imbalance(), Some(1.25));
    assert_eq!(stats.cooccurrence.both, [[3, 1, 0], [1, 2, 0], [0, 0, 0]]);
    // Of the three cats, one is not known to be with a dog or not; one dog is not known to be with a cat.
    assert_eq!(stats.cooccurrence.known, [[3, 2, 3], [1, 2, 2], [0, 0, 0]]);
    assert_eq!(stats.cooccurrence.given(0, 1), Some(0.5));
    assert_eq!(stats.cooccurrence.given(2, 1), None);
    assert_eq!(stats.cooccurrence.overlap(0, 1), 0.25);
    // `cat` is not known of any image of val.
    let drift: Vec<(usize, f64)> = stats.drift.iter().map(|d| (d.label, d.difference)).collect();
    assert_eq!(drift, [(1, 1.0 - 1.0 / 3.0), (2, 0.0)]);
    assert_eq!((stats.images.unreadable, stats.images.width), (5, None));
}

#[test]
fn an_empty_data_set_has_stats() {
    let stats = stats(vec![]);
    assert_eq!((stats.image_count(), stats.mean_imbalance()), (0, None));
    assert!(serde_json::to_string(&stats).unwrap().contains("\"cooccurrence\""));
}

/// An APP1 segment that says how the image is turned.
fn exif(orientation: u8) -> Vec<u8> {
    let tiff = [&b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat();
    let body = [&b"Exif\0\0"[..], &tiff].concat();
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&[0xff, 0xe1][..], &length, &body].concat()
}

#[test]
fn sizes_come_from_headers_and_are_turned() {
    let folder = tempfile::tempdir().unwrap();
    let encode = |format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::new_rgb8(30, 20).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let jpeg = encode(ImageFormat::Jpeg);
    let turned = |orientation| [&jpeg[..2], &exif(orientation), &jpeg[2..]].concat();
    // A comment that pushes the frame header out of the first 64 KiB.
    let comments = [&[0xff, 0xfe, 0xff, 0xff][..], &[b' '; 0xfffd]].concat().repeat(2);
    let files = [
        ("plain.jpg", jpeg.clone(), Some((30, 20))),
        ("turned.jpg", turned(6), Some((20, 30))),
        ("mirrored.jpg", turned(2), Some((30, 20))),
        ("damaged exif.jpg", [&jpeg[..2], &exif(6)[..12], &jpeg[2..]].concat(), None),
        ("late header.jpg", [&jpeg[..2], &comments, &jpeg[2..]].concat(), Some((30, 20))),
        ("pixels are cut.jpg", jpeg[..jpeg.len() - 20].to_vec(), Some((30, 20))),
        ("a.png", encode(ImageFormat::Png), Some((30, 20))),
        ("a.webp", encode(ImageFormat::WebP), Some((30, 20))),
        ("a.bmp", encode(ImageFormat::Bmp), Some((30, 20))),
        ("a.gif", encode(ImageFormat::Gif), Some((30, 20))),
        ("a.tiff", encode(ImageFormat::Tiff), Some((30, 20))),
        ("empty.jpg", vec![], None),
        ("text.jpg", b"hello".to_vec(), None),
        ("header is cut.jpg", jpeg[..30].to_vec(), None),
    ];
    let mut items = Vec::new();
    let mut expected = Vec::new();
    for (name, bytes, sides) in &files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        items.push(item(name, &path, [Absent; 3]));
        let bytes = bytes.len() as u64;
        expected.extend(sides.map(|(width, height)| ImageSize { width, height, bytes }));
    }
    let sizes = stats(vec![("train", items)]).images;
    assert_eq!(sizes.each, expected);
    assert_eq!(sizes.unreadable, 4);
    assert_eq!(sizes.width.unwrap().min, 20.0);
}
