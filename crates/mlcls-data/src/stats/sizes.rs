//! What the image files are like, by their headers.

use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::Item;
use crate::image::image_size;

/// The size of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ImageSize {
    /// Pixels per row, as a viewer shows the image: after its EXIF orientation.
    pub width: u32,
    /// Number of rows, likewise.
    pub height: u32,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Sizes of many images. The quantiles are `None` where no image can be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageSizes {
    /// Pixels per row.
    pub width: Option<Quantiles>,
    /// Number of rows.
    pub height: Option<Quantiles>,
    /// Width by height.
    pub aspect: Option<Quantiles>,
    /// Bytes per file.
    pub bytes: Option<Quantiles>,
    /// Images whose header cannot be read.
    pub unreadable: usize,
    /// Each readable image, in order. Not part of the JSON.
    #[serde(skip)]
    pub each: Vec<ImageSize>,
}

/// Five points of a distribution, interpolated between the two nearest values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// The smallest value.
    pub min: f64,
    /// 5 % of the values are smaller.
    pub p5: f64,
    /// The middle.
    pub median: f64,
    /// 5 % of the values are larger.
    pub p95: f64,
    /// The largest value.
    pub max: f64,
}

impl ImageSizes {
    pub(super) fn of<'a>(items: impl Iterator<Item = &'a Item>) -> Self {
        let items: Vec<&Item> = items.collect();
        let each: Vec<ImageSize> = items.par_iter().filter_map(|item| image_size(&item.image).ok()).collect();
        let quantiles = |value: fn(&ImageSize) -> f64| Quantiles::of(each.iter().map(value).collect());
        Self {
            width: quantiles(|i| f64::from(i.width)),
            height: quantiles(|i| f64::from(i.height)),
            aspect: quantiles(|i| f64::from(i.width) / f64::from(i.height)),
            bytes: quantiles(|i| i.bytes as f64),
            unreadable: items.len() - each.len(),
            each,
        }
    }
}

impl Quantiles {
    /// Of at least one value.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let place = q * (values.len().checked_sub(1)?) as f64;
            let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
            Some(below + (above - below) * place.fract())
        };
        Some(Self { min: at(0.0)?, p5: at(0.05)?, median: at(0.5)?, p95: at(0.95)?, max: at(1.0)? })
    }
}
