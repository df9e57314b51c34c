//! How the cache file lies on disk.
//!
//! ```text
//! file    MAGIC, then records one after another
//! record  key [32], width u32, height u32, checksum [32], header checksum [8], pixels [width * height * 3]
//! ```
//! Numbers are little-endian. The checksum is BLAKE3 over key, sides and pixels; the header checksum is the beginning of
//! BLAKE3 over what precedes it, so that a length is never believed by chance.

use crate::image::{MAX_PIXELS, PIXELS_VERSION, Rgb};
use crate::{Resize, SourceSize};

/// The beginning of a cache file; its last byte is the version of the layout.
pub(super) const MAGIC: [u8; 16] = *b"mlcls image v  \x01";

/// Which image, prepared how.
pub(crate) type Key = [u8; 32];

/// Bytes before the pixels.
pub(super) const HEADER: usize = 80;

/// The key of a file's content under a loader's options. Another decoder or another way to reduce makes another key, and so does
/// a changed file; a copy or a renamed one does not.
pub(crate) fn key(bytes: &[u8], size: u32, resize: Resize, source: SourceSize) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key("mlcls image cache: key");
    hasher.update(format!("{PIXELS_VERSION} {size} {resize:?} {source}\n").as_bytes());
    *hasher.update(bytes).finalize().as_bytes()
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub key: Key,
    pub width: u32,
    pub height: u32,
    checksum: [u8; 32],
}

impl Header {
    fn new(key: Key, width: u32, height: u32, pixels: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("mlcls image cache: pixels");
        hasher.update(&key).update(&width.to_le_bytes()).update(&height.to_le_bytes()).update(pixels);
        Self { key, width, height, checksum: *hasher.finalize().as_bytes() }
    }

    /// `None` for bytes that are no header.
    pub fn parse(bytes: &[u8; HEADER]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (width, rest) = rest.split_first_chunk()?;
        let (height, rest) = rest.split_first_chunk()?;
        let (checksum, _) = rest.split_first_chunk()?;
        let header = Self {
            key: *key,
            width: u32::from_le_bytes(*width),
            height: u32::from_le_bytes(*height),
            checksum: *checksum,
        };
        let sound = header.to_bytes() == *bytes && (1..=MAX_PIXELS).contains(&header.pixels());
        sound.then_some(header)
    }

    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..32].copy_from_slice(&self.key);
        bytes[32..36].copy_from_slice(&self.width.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.height.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.checksum);
        let check = blake3::derive_key("mlcls image cache: header", &bytes[..72]);
        bytes[72..].copy_from_slice(&check[..8]);
        bytes
    }

    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Bytes of the whole record.
    pub fn record_len(&self) -> u64 {
        HEADER as u64 + self.pixels() * 3
    }
}

/// A record as it is written.
pub(super) fn encode(key: Key, image: &Rgb) -> Vec<u8> {
    let header = Header::new(key, image.width(), image.height(), image.data());
    let mut bytes = Vec::with_capacity(HEADER + image.data().len());
    bytes.extend(header.to_bytes());
    bytes.extend(image.data());
    bytes
}

/// The image of a record; `None` unless every byte is as it was written, under this key.
pub(super) fn decode(mut bytes: Vec<u8>, key: &Key) -> Option<Rgb> {
    let header = Header::parse(bytes.first_chunk()?)?;
    bytes.drain(..HEADER);
    let sound = header.key == *key && header == Header::new(*key, header.width, header.height, &bytes);
    if sound { Rgb::new(header.width, header.height, bytes) } else { None }
}
