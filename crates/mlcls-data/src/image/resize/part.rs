//! A window of a resized picture, without the rest of it.

use std::ops::Range;

use super::{Axis, Resize, Source};
use crate::image::{Rgb, Window};

/// A window of a picture at a new size. It has the pixels that it would have if all of the picture were resized, and then cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Width and height of the picture.
    pub picture: (u32, u32),
    /// Width and height that it is resized to.
    pub resized: (u32, u32),
    /// What is wanted of the resized picture.
    pub window: Window,
    /// How it is resized.
    pub method: Resize,
}

impl Part {
    /// The window of the picture that it is made of.
    pub(crate) fn reach(&self) -> Window {
        if self.picture == self.resized {
            return self.window;
        }
        let [columns, rows] = self.axes().map(|axis| self.method.reach(&axis));
        let side = |range: &Range<usize>| (range.start as u32, range.len() as u32);
        let ((x, width), (y, height)) = (side(&columns), side(&rows));
        Window { x, y, width, height }
    }

    /// Its pixels, from those of its [`reach`](Self::reach).
    pub(crate) fn pixels(&self, reach: Rgb) -> Rgb {
        if self.picture == self.resized {
            return reach;
        }
        let Window { x, y, .. } = self.reach();
        let [columns, rows] = self.axes();
        let columns = Axis { start: x as usize, ..columns };
        let rows = Axis { start: y as usize, ..rows };
        let mut out = Rgb::black(self.window.width, self.window.height);
        self.method.apply(&Source::new(&reach, reach.window()), &columns, &rows, out.data_mut());
        out
    }

    /// Columns and rows, for a source that is the whole picture.
    fn axes(&self) -> [Axis; 2] {
        let axis = |from: u32, to: u32, start: u32, len: u32| Axis {
            wanted: start as usize..(start + len) as usize,
            ..Axis::whole(from as usize, to as usize)
        };
        let Window { x, y, width, height } = self.window;
        [axis(self.picture.0, self.resized.0, x, width), axis(self.picture.1, self.resized.1, y, height)]
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};

    use super::*;
    use crate::image::resize;

    fn cut(image: &Rgb, window: Window) -> Rgb {
        let rows = image.data().chunks_exact(3 * image.width() as usize);
        let rows = rows.skip(window.y as usize).take(window.height as usize);
        let columns = 3 * window.x as usize..3 * (window.x + window.width) as usize;
        let data = rows.flat_map(|row| &row[columns.clone()]).copied().collect();
        Rgb::new(window.width, window.height, data).unwrap()
    }

    fn window_of(rng: &mut impl Rng, (width, height): (u32, u32)) -> Window {
        let (x, y) = (rng.random_range(0..width), rng.random_range(0..height));
        Window { x, y, width: rng.random_range(1..=width - x), height: rng.random_range(1..=height - y) }
    }

    #[test]
    fn a_part_has_the_pixels_of_the_whole() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for _ in 0..400 {
            let mut side = || rng.random_range(1..50);
            let (picture, mut resized) = ((side(), side()), (side(), side()));
            if rng.random_range(0..4) == 0 {
                resized.0 = picture.0; // An axis that keeps its size.
            }
            let mut image = Rgb::black(picture.0, picture.1);
            rng.fill_bytes(image.data_mut());
            let window = window_of(&mut rng, resized);
            for method in [Resize::Bilinear, Resize::Antialias] {
                let whole = resize(&image, resized.0, resized.1, method);
                let part = Part { picture, resized, window, method };
                let found = part.pixels(cut(&image, part.reach()));
                assert!(found == cut(&whole, window), "{part:?}");
            }
        }
    }
}
