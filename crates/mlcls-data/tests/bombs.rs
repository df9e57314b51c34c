//! Small image files that claim to be huge: refused by their headers, before any memory is taken. A test binary of its own,
//! since it looks at the peak memory of the process.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::io::Write;
use std::path::Path;

use flate2::write::ZlibEncoder;
use mlcls_data::{ImageProblem, MAX_PIXELS, decode};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment/decode").join(name))
        .unwrap()
}

/// The most memory that this process had so far, in bytes; none on systems that do not say.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(kind);
    sum.update(content);
    [&(content.len() as u32).to_be_bytes()[..], kind, content, &sum.sum().to_be_bytes()].concat()
}

/// A whole, sound PNG of `side` x `side` black pixels, one bit each.
fn black_png(side: u32) -> Vec<u8> {
    let mut rows = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let row = vec![0; 1 + side.div_ceil(8) as usize];
    for _ in 0..side {
        rows.write_all(&row).unwrap();
    }
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[1, 0, 0, 0, 0]].concat();
    let chunks = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", &rows.finish().unwrap()),
        chunk(b"IEND", b""),
    ];
    chunks.concat()
}

/// A TIFF of `side` x `side` pixels of four 32-bit floats, whose header is sound.
fn float_tiff(side: u32) -> Vec<u8> {
    // Tag, type (3 is u16, 4 is u32), count, value or where it lies.
    let entries: [(u16, u16, u32, u32); 11] = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 4, 146), // bits per sample
        (259, 3, 1, 8),   // deflate
        (262, 3, 1, 2),   // RGB
        (273, 4, 1, 162), // where the strip is
        (277, 3, 1, 4),   // samples per pixel
        (278, 4, 1, side),
        (279, 4, 1, 8),   // bytes of the strip
        (338, 3, 1, 2),   // the fourth is alpha
        (339, 3, 4, 154), // floats
    ];
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    assert_eq!(file.len(), 146);
    file.extend([32, 0].repeat(4));
    file.extend([3, 0].repeat(4));
    file.extend([0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]); // nothing, deflated
    file
}

/// A file with other bytes at some places.
fn patched(name: &str, patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut file = fixture(name);
    for (at, bytes) in patches {
        file[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    file
}

#[test]
fn huge_images_are_refused_before_memory_is_taken() {
    let jpeg = fixture("rgb.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let side = 20_000u32;
    let png = black_png(side);
    assert!(png.len() < 100_000 && u64::from(side).pow(2) > MAX_PIXELS, "{}", png.len());
    let (most, tall) = (&[0xff; 4][..], &60_000u32.to_le_bytes()[..]);
    let bombs: [(&str, Vec<u8>, u32); 7] = [
        ("PNG", png, side),
        ("BMP", patched("rgb.bmp", &[(18, &[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0])]), 60_000),
        ("GIF", patched("still.gif", &[(6, most)]), 65_535),
        // 14 bits for each side, less one.
        ("lossless WebP", patched("lossless.webp", &[(21, &[0xfe, 0xbf, 0xff, 0x0f])]), 16_383),
        ("lossy WebP", patched("lossy.webp", &[(26, &[0xff, 0x3f, 0xff, 0x3f])]), 16_383),
        ("TIFF", patched("grey.tif", &[(18, tall), (30, tall), (90, tall)]), 60_000),
        ("JPEG", patched("rgb.jpg", &[(frame + 5, &[0xff, 0xdc, 0xff, 0xdc])]), 65_500),
    ];
    let before = peak();
    for (format, bomb, side) in bombs {
        match decode(&bomb) {
            Err(ImageProblem::TooLarge { width, height, .. }) => {
                assert_eq!((width, height), (side, side), "{format}")
            }
            other => panic!("{format}: {other:?}"),
        }
    }
    // Few enough pixels, 2 GB for them.
    let side = MAX_PIXELS.isqrt() as u32;
    match decode(&float_tiff(side)) {
        Err(ImageProblem::Decode(problem)) => {
            assert!(problem.contains("Memory limit exceeded"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
    match (before, peak()) {
        (Some(before), Some(after)) => assert!(after - before < 10 << 20, "{} bytes", after - before),
        _ => println!("skipped: this system does not tell the peak memory of a process"),
    }
}
