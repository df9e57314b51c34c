//! A random window of an image, in the two ways that training code draws it.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::rng::uniform;
use crate::image::{Rgb, Window};

const ASPECT: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
const ATTEMPTS: usize = 10;

/// How the window is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropStyle {
    /// As in EfficientNet's training code and mmcls's `RandomResizedCrop(efficientnet_style=True)`, which OTX
    /// uses: the height is drawn uniformly between the least and the greatest that the area allows.
    Efficientnet,
    /// As in torchvision's `RandomResizedCrop`: the area is drawn uniformly, the aspect ratio log-uniformly.
    Torchvision,
}

/// A random window: part of the area within `area`, aspect ratio (width / height) within 3/4 .. 4/3, ten
/// attempts, then a fixed central window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomCrop {
    /// How the window is drawn.
    pub style: CropStyle,
    /// The least and the greatest area of the window, as parts of the image's area.
    pub area: [f64; 2],
    /// The side of the model's input in pixels; it decides the central window of the EfficientNet style.
    pub size: u32,
}

impl RandomCrop {
    /// Draws a window of `image`. It lies inside the image and is at least 1 x 1.
    pub fn draw(&self, image: &Rgb, rng: &mut impl Rng) -> Window {
        self.draw_within(image.width(), image.height(), rng)
    }

    /// The same from the sides of an image, 1 or more.
    pub(crate) fn draw_within(&self, width: u32, height: u32, rng: &mut impl Rng) -> Window {
        let attempt = |_| match self.style {
            CropStyle::Efficientnet => efficientnet_sides(width, height, self.area, rng),
            CropStyle::Torchvision => torchvision_sides(width, height, self.area, rng),
        };
        let sides = (0..ATTEMPTS).find_map(attempt);
        match sides {
            Some((w, h)) => Window {
                x: rng.random_range(0..=width - w),
                y: rng.random_range(0..=height - h),
                width: w,
                height: h,
            },
            None => self.central(width, height),
        }
    }

    fn central(&self, width: u32, height: u32) -> Window {
        match self.style {
            // EfficientNet's evaluation crop, with its padding of 32 pixels.
            CropStyle::Efficientnet => {
                let kept = f64::from(self.size) / (f64::from(self.size) + 32.0);
                let exact = kept * f64::from(width.min(height));
                let start = |side: u32| round((f64::from(side) - exact) / 2.0);
                let side = (exact as u32).max(1);
                Window { x: start(width), y: start(height), width: side, height: side }
            }
            // The largest window whose aspect ratio is allowed.
            CropStyle::Torchvision => {
                let ratio = f64::from(width) / f64::from(height);
                let (w, h) = if ratio < ASPECT.0 {
                    (width, round(f64::from(width) / ASPECT.0).clamp(1, height))
                } else if ratio > ASPECT.1 {
                    (round(f64::from(height) * ASPECT.1).clamp(1, width), height)
                } else {
                    (width, height)
                };
                Window { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h }
            }
        }
    }
}

/// Python's `round`: halves to even.
fn round(v: f64) -> u32 {
    v.round_ties_even() as u32
}

/// Width and height of one attempt, `None` where they do not fit.
///
/// The area is held twice, as in the original: by `area`, and by a fixed least cover of a tenth.
fn efficientnet_sides(
    width: u32,
    height: u32,
    [least, greatest]: [f64; 2],
    rng: &mut impl Rng,
) -> Option<(u32, u32)> {
    const LEAST_COVER: f64 = 0.1;
    let full = f64::from(width) * f64::from(height);
    let aspect = uniform(ASPECT.0, ASPECT.1, rng);
    let mut h_max = round((greatest * full / aspect).sqrt());
    if f64::from(h_max) * aspect > f64::from(width) {
        h_max = ((f64::from(width) + 0.5 - 1e-7) / aspect) as u32;
        if f64::from(h_max) * aspect > f64::from(width) {
            h_max -= 1;
        }
    }
    let h_max = h_max.min(height);
    let h_min = round((least * full / aspect).sqrt()).min(h_max);
    let h = round(uniform(f64::from(h_min), f64::from(h_max), rng));
    let w = round(f64::from(h) * aspect);
    let area = f64::from(w) * f64::from(h);
    let fits = w >= 1 && h >= 1 && w <= width && h <= height;
    let covers = area >= least * full && area <= greatest * full && area >= LEAST_COVER * full;
    (fits && covers).then_some((w, h))
}

fn torchvision_sides(
    width: u32,
    height: u32,
    [least, greatest]: [f64; 2],
    rng: &mut impl Rng,
) -> Option<(u32, u32)> {
    let full = f64::from(width) * f64::from(height);
    let area = full * uniform(least, greatest, rng);
    let aspect = uniform(ASPECT.0.ln(), ASPECT.1.ln(), rng).exp();
    let (w, h) = (round((area * aspect).sqrt()), round((area / aspect).sqrt()));
    ((1..=width).contains(&w) && (1..=height).contains(&h)).then_some((w, h))
}
