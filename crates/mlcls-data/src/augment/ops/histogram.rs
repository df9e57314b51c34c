//! Operations that follow from the values of each channel: one table of new values per channel.

use super::look_up::{Table, look_up};
use crate::image::Rgb;

fn table(value: impl Fn(usize) -> u8) -> Table {
    std::array::from_fn(value)
}

/// The least and the greatest value of each channel.
fn extremes(image: &Rgb) -> [(u8, u8); 3] {
    // Three registers of 16 bytes, in which each lane has its channel.
    let (mut least, mut greatest) = ([u8::MAX; 48], [u8::MIN; 48]);
    let (blocks, rest) = image.data().as_chunks::<48>();
    let mut see = |i: usize, value: u8| {
        least[i] = least[i].min(value);
        greatest[i] = greatest[i].max(value);
    };
    for block in blocks {
        for (i, &value) in block.iter().enumerate() {
            see(i, value);
        }
    }
    for (i, &value) in rest.iter().enumerate() {
        see(i, value);
    }
    std::array::from_fn(|channel| {
        let lanes = || (channel..48).step_by(3);
        (
            lanes().map(|i| least[i]).min().unwrap_or_default(),
            lanes().map(|i| greatest[i]).max().unwrap_or_default(),
        )
    })
}

fn histograms(image: &Rgb) -> [[u32; 256]; 3] {
    let mut histograms = [[0; 256]; 3];
    let (pixels, _) = image.data().as_chunks::<3>();
    for pixel in pixels {
        for (histogram, value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(*value)] += 1;
        }
    }
    histograms
}

pub(super) fn auto_contrast(image: &mut Rgb) {
    let stretch = |(low, high): (u8, u8)| {
        if high <= low {
            return table(|v| v as u8);
        }
        let scale = 255.0 / f64::from(high - low);
        let offset = -f64::from(low) * scale;
        table(|v| (v as f64 * scale + offset) as u8)
    };
    let tables = extremes(image).map(stretch);
    look_up(image, &tables);
}

pub(super) fn equalize(image: &mut Rgb) {
    let even_out = |histogram: [u32; 256]| {
        let total: u32 = histogram.iter().sum();
        let last = histogram.iter().rfind(|&&n| n > 0).copied().unwrap_or(0);
        let step = (total - last) / 255;
        if step == 0 {
            return table(|v| v as u8);
        }
        let mut below = step / 2;
        histogram.map(|n| {
            let value = (below / step).min(255) as u8;
            below += n;
            value
        })
    };
    let tables = histograms(image).map(even_out);
    look_up(image, &tables);
}
