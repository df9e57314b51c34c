//! Operations in which a new value depends on the old value of the same channel only: one table per channel.

use super::blend::{blend, grey};
use crate::image::Rgb;

type Table = [u8; 256];

fn table(value: impl Fn(usize) -> u8) -> Table {
    std::array::from_fn(value)
}

fn look_up(image: &mut Rgb, tables: &[Table; 3]) {
    let (pixels, _) = image.data_mut().as_chunks_mut::<3>();
    for pixel in pixels {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[usize::from(*value)];
        }
    }
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
    let stretch = |histogram: [u32; 256]| {
        let low = histogram.iter().position(|&n| n > 0).unwrap_or(0);
        let high = histogram.iter().rposition(|&n| n > 0).unwrap_or(0);
        if high <= low {
            return table(|v| v as u8);
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        table(|v| (v as f64 * scale + offset) as u8)
    };
    let tables = histograms(image).map(stretch);
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

pub(super) fn posterize(image: &mut Rgb, bits: u8) {
    let mask = !(0xff_u16 >> bits.min(8)) as u8;
    look_up(image, &[table(|v| v as u8 & mask); 3]);
}

pub(super) fn solarize(image: &mut Rgb, threshold: u16) {
    let value = |v| if v < usize::from(threshold) { v as u8 } else { 255 - v as u8 };
    look_up(image, &[table(value); 3]);
}

pub(super) fn brightness(image: &mut Rgb, factor: f32) {
    look_up(image, &[table(|v| blend(0, v as u8, factor)); 3]);
}

pub(super) fn contrast(image: &mut Rgb, factor: f32) {
    let (pixels, _) = image.data().as_chunks::<3>();
    let total: u64 = pixels.iter().map(|pixel| u64::from(grey(pixel))).sum();
    let mean = (total as f64 / pixels.len() as f64 + 0.5) as u8;
    look_up(image, &[table(|v| blend(mean, v as u8, factor)); 3]);
}
