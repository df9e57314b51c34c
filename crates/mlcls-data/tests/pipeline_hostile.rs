//! Image files that are not what they claim to be: an error that names the file, never a panic.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::path::{Path, PathBuf};

use mlcls_data::{ImageProblem, decode, decode_file, decode_for};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment/decode").join(name)
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(fixture("")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn half_a_file_is_truncated_whatever_the_format() {
    for file in files() {
        let bytes = std::fs::read(&file).unwrap();
        // An animation's first frame may be complete in its first half.
        if file.ends_with("two_frames.gif") {
            continue;
        }
        assert!(decode(&bytes[..bytes.len() / 2]).is_err(), "{}", file.display());
    }
}

#[test]
fn a_jpeg_without_its_last_bytes_is_truncated_though_decoders_would_fill_it_up() {
    for name in ["rgb.jpg", "progressive.jpg", "grey.jpg", "orientation6.jpg"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for end in [bytes.len() - 1, bytes.len() - 40, bytes.len() * 3 / 4, 30, 4, 3] {
            assert!(matches!(decode(&bytes[..end]), Err(ImageProblem::Truncated("JPEG"))), "{name} {end}");
        }
    }
}

#[test]
fn bytes_behind_the_end_of_an_image_do_no_harm() {
    for file in files() {
        let mut bytes = std::fs::read(&file).unwrap();
        let expected = decode(&bytes).unwrap();
        bytes.extend([0; 64]);
        assert!(decode(&bytes).is_ok_and(|image| image == expected), "{}", file.display());
    }
}

#[test]
fn errors_name_the_file_and_say_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let message = decode_file(&path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        message
    };
    assert!(message("missing.jpg", None).contains("cannot be read"));
    assert!(message("empty.jpg", Some(b"")).contains("is empty (0 bytes)"));
    let text = message("text.jpg", Some(b"<html>not found</html>"));
    assert!(
        text.contains("is not a JPEG, PNG, WebP, BMP, GIF or TIFF image (it starts with 3c 68"),
        "{text}"
    );
    let mut png = std::fs::read(fixture("rgba.png")).unwrap();
    png[60] ^= 0xff;
    let damaged = message("damaged.png", Some(&png));
    assert!(damaged.contains("cannot be decoded"), "{damaged}");
    assert!(decode_file(folder.path()).unwrap_err().to_string().contains("cannot be read"));
}

/// A code table that no sound file has, though this image makes no use of the odd code: libjpeg and the library refuse
/// it, and so does our decoder. Found by fuzzing.
#[test]
fn a_mean_of_more_than_15_bits_is_refused() {
    let mut jpeg = std::fs::read(fixture("rgb.jpg")).unwrap();
    assert!(decode(&jpeg).is_ok());
    // The marker, the length, class 0 table 0, then 16 counts; the last of the 12 usual symbols follows 11 others.
    let table = jpeg.windows(5).position(|w| w == [0xff, 0xc4, 0x00, 0x1f, 0x00]).unwrap();
    let last = table + 5 + 16 + 11;
    assert_eq!(jpeg[last], 11);
    jpeg[last] = 0x34;
    assert!(decode(&jpeg).is_err());
}

/// Photos are turned after they were made smaller.
#[test]
fn a_smaller_scale_is_turned_as_the_whole() {
    for orientation in 2..=8 {
        let bytes = std::fs::read(fixture(&format!("orientation{orientation}.jpg"))).unwrap();
        let image = |side| decode_for(&bytes, side).map(|image| (image.width(), image.height())).unwrap();
        let (whole, small) = if orientation < 5 { ((48, 32), (24, 16)) } else { ((32, 48), (16, 24)) };
        assert_eq!((image(None), image(Some(8))), (whole, small));
    }
}

/// Headers changed to 60,000 x 60,000 pixels on files of a few kilobytes.
#[test]
fn a_decompression_bomb_is_refused_by_its_header() {
    let mut png = std::fs::read(fixture("rgba.png")).unwrap();
    png[16..24].copy_from_slice(&[60_000u32.to_be_bytes(); 2].concat());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let mut bmp = std::fs::read(fixture("rgb.bmp")).unwrap();
    bmp[18..26].copy_from_slice(&[60_000u32.to_le_bytes(); 2].concat());
    let mut jpeg = std::fs::read(fixture("rgb.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[60_000u16.to_be_bytes(); 2].concat());
    for bomb in [png, bmp, jpeg] {
        match decode(&bomb) {
            Err(ImageProblem::TooLarge { width: 60_000, height: 60_000, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_give_an_image_or_an_error(
        which in 0usize..27,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in 0.2f64..1.0,
    ) {
        let mut bytes = std::fs::read(&files()[which]).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        if let Ok(image) = decode(&bytes) {
            prop_assert_eq!(image.data().len(), image.width() as usize * image.height() as usize * 3);
        }
    }
}
