//! Operations that follow from the histogram of each channel: one table of new values per channel.

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
