//! Saliency maps over images.

use mlcls_data::Rgb;

/// A map laid over an image in the colours of `jet`, blue for 0 over green and yellow to red for 1: `weight` of the image and
/// `1 - weight` of the colours, as OTX blends them.
///
/// The map has `rows` rows of equal length, from the top, and is enlarged to the image as OpenCV's `INTER_LINEAR` does.
///
/// ```
/// use mlcls_data::Rgb;
/// use mlcls_report::overlay;
///
/// let image = Rgb::new(2, 1, vec![100; 6]).unwrap();
/// let over = overlay(&image, &[0.0, 1.0], 1, 0.5);
/// assert_eq!(over.data(), [50, 50, 114, 114, 50, 50]); // half of grey, half of dark blue and dark red
/// ```
///
/// # Panics
/// The map has no rows, or rows that are not equally long.
pub fn overlay(image: &Rgb, map: &[f32], rows: usize, weight: f32) -> Rgb {
    assert!(
        rows > 0 && !map.is_empty() && map.len().is_multiple_of(rows),
        "{} values in {rows} rows",
        map.len()
    );
    let columns = map.len() / rows;
    let mut out = image.clone();
    let (width, height) = (image.width() as usize, image.height() as usize);
    let across: Vec<Between> = (0..width).map(|x| Between::new(x, width, columns)).collect();
    for (y, line) in out.data_mut().chunks_exact_mut(3 * width).enumerate() {
        let down = Between::new(y, height, rows);
        let (above, below) = (&map[down.low * columns..], &map[down.high * columns..]);
        for (pixel, at) in line.chunks_exact_mut(3).zip(&across) {
            let value = mix(at.of(above), at.of(below), down.share);
            for (channel, colour) in pixel.iter_mut().zip(jet(value)) {
                *channel = (weight * f32::from(*channel) + (1.0 - weight) * 255.0 * colour).round() as u8;
            }
        }
    }
    out
}

/// Two neighbours in a row of values, and the share of the second.
struct Between {
    low: usize,
    high: usize,
    share: f32,
}

impl Between {
    /// Those around pixel `at` of `size`, over `values` values; pixels and values have their centres in their middle.
    fn new(at: usize, size: usize, values: usize) -> Self {
        let place = ((at as f32 + 0.5) * values as f32 / size as f32 - 0.5).clamp(0.0, (values - 1) as f32);
        let low = place as usize;
        Self { low, high: (low + 1).min(values - 1), share: place - low as f32 }
    }

    fn of(&self, row: &[f32]) -> f32 {
        mix(row[self.low], row[self.high], self.share)
    }
}

fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// Red, green and blue from 0 to 1: each a trapezium around its own place.
fn jet(value: f32) -> [f32; 3] {
    [3.0, 2.0, 1.0].map(|place| (1.5 - (4.0 * value.clamp(0.0, 1.0) - place).abs()).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32) -> Rgb {
        Rgb::new(width, height, vec![100; (3 * width * height) as usize]).unwrap()
    }

    #[test]
    fn the_weight_is_the_images() {
        let image = grey(5, 3);
        let map = [0.1, 0.9, 0.4, 0.0];
        assert_eq!(overlay(&image, &map, 2, 1.0), image);
        assert_ne!(overlay(&image, &map, 2, 0.9), image);
        let pure = overlay(&image, &[0.5; 4], 2, 0.0);
        assert!(pure.data().chunks_exact(3).all(|p| p == [128, 255, 128]));
    }

    #[test]
    fn a_map_is_enlarged_about_its_centres() {
        // `cv2.resize(numpy.float32([[0, 1]]), (8, 1))`, OpenCV 4.10: 0 0 .125 .375 .625 .875 1 1.
        let values: Vec<f32> = (0..8).map(|x| Between::new(x, 8, 2).of(&[0.0, 1.0])).collect();
        assert_eq!(values, [0.0, 0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0]);
        // A map of one value, and an image smaller than its map.
        assert!(overlay(&grey(4, 4), &[1.0], 1, 0.0).data().chunks_exact(3).all(|p| p == [128, 0, 0]));
        assert_eq!(overlay(&grey(1, 1), &[0.5; 9], 3, 0.0).data(), [128, 255, 128]);
    }

    #[test]
    fn rows_are_rows() {
        let over = overlay(&grey(1, 2), &[0.0, 1.0], 2, 0.0);
        assert_eq!(over.data(), [0, 0, 128, 128, 0, 0]);
    }
}
