//! What an image looks like, in 272 bytes.

use std::fmt;
use std::sync::LazyLock;

use crate::image::{Resize, Rgb, resize};

/// Side of the grey picture that all is computed from.
const SIDE: usize = 32;
/// Frequencies per axis that enter the hash.
const FREQUENCIES: usize = 8;
/// Side of the thumbnail.
pub(super) const THUMB: usize = SIDE / 2;
/// Coefficients below this, in grey levels of the 32 x 32 picture, are taken as 0: drawn images have many
/// that are 0 but for rounding, and their signs would be noise.
const SILENCE: f32 = 0.5;
/// Below this standard deviation of the thumbnail, in grey levels, an image shows nothing that could be
/// compared. The lowest of 4,823 photos (VOC, COCO) is 7.7.
const BLANK: f32 = 3.0;

/// What an image looks like, whatever its size, compression and brightness: made to be compared by
/// [`near_duplicates`](crate::near_duplicates).
///
/// The image is squashed to 32 x 32 pixels ([`Resize::Antialias`]) and made grey (0.299 R + 0.587 G +
/// 0.114 B). Its discrete cosine transform (type II, orthonormal) gives the **hash**: bit `8 v + u` is 1 where
/// the coefficient of `u` half waves across and `v` half waves down, both below 8, is above 0.5; the mean, bit
/// 0, is left out. This is the perceptual hash of Zauner (*Implementation and benchmarking of perceptual image
/// hash functions*, 2010) with the sign in place of the median, so that the hash of the mirrored image follows
/// from the same coefficients. Means of 2 x 2 pixels give the **thumbnail** of 16 x 16 grey levels.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub(super) hash: u64,
    pub(super) mirrored_hash: u64,
    pub(super) thumb: [u8; THUMB * THUMB],
}

impl Fingerprint {
    /// The fingerprint of an image.
    pub fn new(image: &Rgb) -> Self {
        let small = resize(image, SIDE as u32, SIDE as u32, Resize::Antialias);
        let mut grey = [0.0; SIDE * SIDE];
        for (grey, &[r, g, b]) in grey.iter_mut().zip(small.data().as_chunks::<3>().0) {
            *grey = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
        }
        let mut thumb = [0; THUMB * THUMB];
        for (i, pixel) in thumb.iter_mut().enumerate() {
            let at = i / THUMB * 2 * SIDE + i % THUMB * 2;
            *pixel = ((grey[at] + grey[at + 1] + grey[at + SIDE] + grey[at + SIDE + 1]) / 4.0).round() as u8;
        }
        let coefficients = low_frequencies(&grey);
        let (mut hash, mut mirrored_hash) = (0, 0);
        for (i, &c) in coefficients.iter().enumerate().skip(1) {
            // Mirroring turns the waves with an odd number of half waves across upside down.
            let mirrored = if i % FREQUENCIES % 2 == 1 { -c } else { c };
            hash |= u64::from(c > SILENCE) << i;
            mirrored_hash |= u64::from(mirrored > SILENCE) << i;
        }
        Self { hash, mirrored_hash, thumb }
    }

    /// The 64-bit perceptual hash; images that look alike differ in few bits.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The hash of the image mirrored left to right.
    pub fn mirrored_hash(&self) -> u64 {
        self.mirrored_hash
    }

    /// 16 x 16 grey levels, row by row from the top.
    pub fn thumbnail(&self) -> &[u8; 256] {
        &self.thumb
    }

    /// Whether the image is of one colour or nearly: the standard deviation of its thumbnail is below 3 grey
    /// levels. Such an image shows nothing, and looks like no other.
    pub fn is_blank(&self) -> bool {
        let count = self.thumb.len() as f32;
        let mean = self.thumb.iter().map(|&p| f32::from(p)).sum::<f32>() / count;
        let variance = self.thumb.iter().map(|&p| (f32::from(p) - mean).powi(2)).sum::<f32>() / count;
        variance < BLANK * BLANK
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint {{ {:016x} }}", self.hash)
    }
}

/// The coefficients of the lowest 8 x 8 frequencies, `u` across running fastest.
fn low_frequencies(grey: &[f32; SIDE * SIDE]) -> [f32; FREQUENCIES * FREQUENCIES] {
    static WAVES: LazyLock<[[f32; SIDE]; FREQUENCIES]> = LazyLock::new(waves);
    let along =
        |values: &[f32], wave: &[f32; SIDE]| -> f32 { values.iter().zip(wave).map(|(v, w)| v * w).sum() };
    // Rows first: `across[u]` is one column of coefficients.
    let mut across = [[0.0; SIDE]; FREQUENCIES];
    for (u, wave) in WAVES.iter().enumerate() {
        for (y, row) in grey.chunks_exact(SIDE).enumerate() {
            across[u][y] = along(row, wave);
        }
    }
    let mut out = [0.0; FREQUENCIES * FREQUENCIES];
    for (v, wave) in WAVES.iter().enumerate() {
        for (u, column) in across.iter().enumerate() {
            out[v * FREQUENCIES + u] = along(column, wave);
        }
    }
    out
}

/// Row `k`: `k` half waves over the side, of length 1.
fn waves() -> [[f32; SIDE]; FREQUENCIES] {
    let mut waves = [[0.0; SIDE]; FREQUENCIES];
    for (k, wave) in waves.iter_mut().enumerate() {
        let energy = if k == 0 { 1.0 } else { 2.0 };
        let scale = (energy / SIDE as f64).sqrt();
        for (x, value) in wave.iter_mut().enumerate() {
            let angle = std::f64::consts::PI * k as f64 * (x as f64 + 0.5) / SIDE as f64;
            *value = (scale * angle.cos()) as f32;
        }
    }
    waves
}
