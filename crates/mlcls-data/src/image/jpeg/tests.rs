//! The files of `xtask/reference/jpeg.py`: Pillow's pixels, smaller scales, and damage. Nothing here catches a panic.

use std::path::Path;

use rand::{RngExt, SeedableRng};

use super::picture::Picture;
use super::{Decoded, Jpeg, header};
use crate::image::Window;

const LIMIT: u64 = 1 << 27;

struct Case {
    name: String,
    file: Vec<u8>,
    width: u32,
    height: u32,
    crc32: u32,
    baseline: bool,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/jpeg");
    let list: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let files = std::fs::read(folder.join("files.bin")).unwrap();
    let mut rest = files.as_slice();
    let case = |case: serde_json::Value| {
        let number = |key: &str| case[key].as_u64().unwrap() as u32;
        let (file, after) = rest.split_at(number("bytes") as usize);
        rest = after;
        Case {
            name: case["name"].as_str().unwrap().to_owned(),
            file: file.to_vec(),
            width: number("width"),
            height: number("height"),
            crc32: number("crc32"),
            baseline: case["baseline"].as_bool().unwrap(),
        }
    };
    list.into_iter().map(case).collect()
}

fn decode(file: &[u8], least: Option<u64>, limit: u64) -> Option<Decoded> {
    Jpeg::open(file, limit, least)?.decode()
}

fn full(file: &[u8]) -> Option<Decoded> {
    decode(file, None, LIMIT)
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn pixels_are_those_of_libjpeg_to_the_bit() {
    let mut seen = 0;
    for case in cases() {
        let Some(decoded) = full(&case.file) else {
            assert!(!case.baseline, "{} {} x {} is refused", case.name, case.width, case.height);
            continue;
        };
        assert!(case.baseline, "{}", case.name);
        assert_eq!((decoded.width, decoded.height), (case.width, case.height), "{}", case.name);
        assert_eq!(crc32(&decoded.rgb), case.crc32, "{} {} x {}", case.name, case.width, case.height);
        seen += 1;
    }
    assert_eq!(seen, 111);
}

/// What runs on processors without wide vectors.
#[test]
fn pixels_do_not_depend_on_the_processor() {
    for case in cases().iter().filter(|case| case.baseline) {
        for (eighths, least) in [(8, None), (1, Some(0))] {
            let header = header::read(&case.file).unwrap();
            let plain = Picture::new(header, eighths, None, None).unwrap().decode().unwrap();
            assert!(plain == decode(&case.file, least, LIMIT).unwrap().rgb, "{}", case.name);
        }
    }
}

/// Every window of the small files would take long: corners, borders, single pixels, and many at random.
#[test]
fn a_window_has_the_pixels_of_the_whole() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    for case in cases().iter().filter(|case| case.baseline) {
        for round in 0..60 {
            let short = case.width.min(case.height);
            // One in three at a smaller scale.
            let least = (round % 3 == 0).then(|| u64::from((short * rng.random_range(1..=4)).div_ceil(8)));
            let whole = decode(&case.file, least, LIMIT).unwrap();
            let mut range = |side: u32| {
                let len = match round % 4 {
                    0 => 1,
                    1 => side,
                    _ => rng.random_range(1..=side),
                };
                (rng.random_range(0..=side - len), len)
            };
            let ((x, width), (y, height)) = (range(whole.width), range(whole.height));
            let window = Window { x, y, width, height };
            let rows =
                whole.rgb.chunks_exact(3 * whole.width as usize).skip(y as usize).take(height as usize);
            let expected: Vec<u8> =
                rows.flat_map(|row| &row[3 * x as usize..3 * (x + width) as usize]).copied().collect();
            let jpeg = Jpeg::open(&case.file, LIMIT, least).unwrap();
            assert_eq!(jpeg.sides(), (whole.width, whole.height));
            assert!(jpeg.window(window).unwrap() == expected, "{} {least:?}: {window:?}", case.name);
        }
        let outside = Window { x: 1, y: 0, width: case.width, height: 1 };
        assert!(Jpeg::open(&case.file, LIMIT, None).unwrap().window(outside).is_none());
    }
}

/// The slope is known at every point, so also between its pixels. Few samples cannot follow it exactly and colours
/// are rounded, so single samples may be off; but not their mean, which shows the least shift: half a pixel of the
/// file is 1.5 levels of red. The last block is left out: it ends in a step, as it is not whole.
#[test]
fn a_smaller_scale_shows_the_same_picture() {
    let mut seen = 0;
    for case in cases().iter().filter(|case| case.name.starts_with("slope")) {
        let mean = |picture: &Decoded, eighths: u32| {
            let place = |at: u32| (f64::from(at) + 0.5) * 8.0 / f64::from(eighths) - 0.5;
            let whole = |side: u32| side / 16 * 2 * eighths;
            let (columns, rows) = (whole(case.width), whole(case.height));
            let mut sums = [0.0; 3];
            for (x, y) in (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))) {
                let expected = [20.0 + 3.0 * place(x), 200.0 - 2.0 * place(y), 60.0 + place(x) + place(y)];
                let pixel = &picture.rgb[3 * (y * picture.width + x) as usize..][..3];
                for ((&value, expected), sum) in pixel.iter().zip(expected).zip(&mut sums) {
                    let apart = f64::from(value) - expected;
                    assert!(apart.abs() < 4.0, "{} {eighths}/8 {x} {y}: {value}, not {expected}", case.name);
                    *sum += apart;
                }
            }
            sums.map(|sum| sum / f64::from(columns * rows))
        };
        let expected = mean(&full(&case.file).unwrap(), 8);
        for eighths in 1..=4 {
            let least = u64::from((case.width.min(case.height) * eighths).div_ceil(8));
            let small = decode(&case.file, Some(least), LIMIT).unwrap();
            assert_eq!(small.width, (case.width * eighths).div_ceil(8));
            assert_eq!(small.height, (case.height * eighths).div_ceil(8));
            for (mean, expected) in mean(&small, eighths).into_iter().zip(expected) {
                assert!((mean - expected).abs() < 0.4, "{} {eighths}/8: {mean}, not {expected}", case.name);
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 16);
}

#[test]
fn the_smallest_scale_that_is_enough_is_taken() {
    let slope = cases().into_iter().find(|case| case.name == "slope 420").unwrap();
    let sides = |least| decode(&slope.file, least, LIMIT).map(|d| (d.width, d.height)).unwrap();
    assert_eq!(sides(None), (70, 61));
    assert_eq!(sides(Some(0)), (9, 8));
    assert_eq!(sides(Some(8)), (9, 8));
    assert_eq!(sides(Some(9)), (18, 16));
    assert_eq!(sides(Some(17)), (27, 23));
    assert_eq!(sides(Some(31)), (35, 31));
    assert_eq!(sides(Some(32)), (70, 61), "more than a half is not worth it");
    assert_eq!(sides(Some(u64::MAX)), (70, 61));
}

/// One sound file of each sampling, with and without restart markers.
fn sound() -> Vec<Vec<u8>> {
    let mut cases: Vec<Case> = cases().into_iter().filter(|case| case.baseline).collect();
    let kind = |name: &str| (name[..3].to_owned(), name.ends_with("restart 0"));
    cases.sort_by_key(|case| (kind(&case.name), case.file.len()));
    cases.dedup_by_key(|case| kind(&case.name));
    assert!(cases.len() >= 10);
    cases.into_iter().map(|case| case.file).collect()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for file in sound() {
        assert!(full(&file).is_some());
        for end in 0..file.len() {
            assert!(full(&file[..end]).is_none());
        }
    }
}

#[test]
fn changed_bytes_never_panic() {
    let files = sound();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut decoded = 0;
    for round in 0..20_000 {
        let mut file = files[round % files.len()].clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..file.len());
            file[at] = rng.random();
        }
        let least = [None, Some(1), Some(20)][rng.random_range(0..3)];
        // Little room, as a change of the header would else be given much.
        if let Some(picture) = decode(&file, least, 1 << 16) {
            assert_eq!(picture.rgb.len(), picture.width as usize * picture.height as usize * 3);
            decoded += 1;
        }
    }
    assert!(decoded > 1000, "{decoded}: the changes must reach the pixels");
}

/// The place of the first segment with this marker: of the marker's own first byte.
fn segment(file: &[u8], marker: u8) -> usize {
    let mut at = 2;
    while file[at + 1] != marker {
        at += 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
    }
    at
}

#[test]
fn headers_that_lie_are_refused() {
    let with_restarts = |case: &Case| case.name.starts_with("420") && case.name.ends_with("restart 1");
    let original = cases().into_iter().find(with_restarts).unwrap().file;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = original.clone();
        change(&mut file);
        assert_ne!(file, original);
        full(&file).is_some()
    };
    let place = |marker| segment(&original, marker);
    let [frame, huffman, quantisation, scan] = [0xc0, 0xc4, 0xdb, 0xda].map(place);
    let scan_end = scan + 14;
    let restart = |number: u8| memchr::memmem::find(&original, &[0xff, 0xd0 + number]).unwrap();
    assert!(full(&original).is_some());

    let sides = |sides: [u16; 2]| {
        move |file: &mut Vec<u8>| {
            file[frame + 5..frame + 9].copy_from_slice(&sides.map(u16::to_be_bytes).concat());
        }
    };
    for wrong in [[0, 28], [28, 0], [0, 0], [65535, 65535], [1, 65535], [11585, 11585]] {
        assert!(!changed(&sides(wrong)), "{wrong:?}");
    }
    // Precision, number of components, sampling, identity of components, of tables.
    for (at, value) in [(4, 12), (9, 2), (9, 4), (9, 0), (11, 0x41), (11, 0), (14, 0x21), (13, 9), (12, 3)] {
        assert!(!changed(&|file| file[frame + at] = value), "frame {at}");
    }
    // A single component has no use for its factors, but factors that are no JPEG's are no file's either.
    let grey = cases().into_iter().find(|case| case.name.starts_with("grey") && case.baseline).unwrap().file;
    let factors = segment(&grey, 0xc0) + 11;
    for (value, sound) in
        [(0x11, true), (0x22, true), (0x41, true), (0x38, false), (0x01, false), (0x51, false)]
    {
        let mut file = grey.clone();
        file[factors] = value;
        assert_eq!(full(&file).is_some(), sound, "{value:x}");
    }
    // Class, lengths of codes.
    for (at, value) in [(4, 0x20), (4, 4), (5, 3), (6, 255), (20, 255)] {
        assert!(!changed(&|file| file[huffman + at] = value), "Huffman table {at}");
    }
    for (at, value) in [(4, 0x30), (4, 7), (3, 66), (3, 1), (2, 255)] {
        assert!(!changed(&|file| file[quantisation + at] = value), "quantisation {at}");
    }
    // Number of components, their tables, spectral selection, approximation.
    for (at, value) in [(4, 1), (5, 7), (6, 0x33), (6, 0x04), (11, 1), (12, 62), (13, 0x10)] {
        assert!(!changed(&|file| file[scan + at] = value), "scan {at}");
    }
    for marker in [0xc0, 0xc4, 0xdb, 0xda, 0xdd] {
        let at = place(marker);
        assert!(
            !changed(&|file| drop(
                file.drain(at..at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]])))
            )),
            "no {marker:x}"
        );
    }
    // A second frame, the frame behind the scan, another process, another scan, a number of lines.
    assert!(!changed(&|file| drop(file.splice(scan..scan, original[frame..frame + 19].to_vec()))));
    assert!(!changed(&|file| {
        let moved: Vec<u8> = file.drain(frame..frame + 19).collect();
        file.splice(scan_end - 19..scan_end - 19, moved);
    }));
    for process in [0xc1 + 1, 0xc3, 0xc9, 0xca] {
        assert!(!changed(&|file| file[frame + 1] = process));
    }
    let end = original.len() - 2;
    assert!(!changed(&|file| drop(file.splice(end..end, original[scan..].to_vec()))));
    assert!(!changed(&|file| drop(file.splice(end..end, [0xff, 0xdc, 0, 4, 0, 28]))));
    // Restart markers out of turn, too many, too few.
    assert!(!changed(&|file| file[restart(1) + 1] = 0xd2));
    assert!(!changed(&|file| file[restart(0) + 1] = 0xd1));
    assert!(!changed(&|file| drop(file.drain(restart(1)..restart(1) + 2))));
    assert!(!changed(&|file| drop(file.splice(end..end, [0xff, 0xd0]))));
    // Data that end too early, between sound markers.
    assert!(!changed(&|file| drop(file.drain(scan_end..restart(0)))));

    // What does no harm: fill bytes, comments, bytes behind the end.
    assert!(changed(&|file| drop(file.splice(scan..scan, [0xff, 0xff]))));
    assert!(changed(&|file| drop(file.splice(2..2, [0xff, 0xfe, 0, 4, b'h', b'i']))));
    assert!(changed(&|file| drop(file.splice(restart(0)..restart(0), [0xff]))));
    assert!(changed(&|file| file.extend([0; 30])));
}
