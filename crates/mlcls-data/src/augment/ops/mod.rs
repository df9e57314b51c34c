//! The twelve image operations that AugMix chains.

mod blend;
mod histogram;
mod look_up;
mod pointwise;
mod sharpness;
mod shift;

use crate::image::Rgb;

/// An image operation without its strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The names are those of Pillow's and AugMix's operations; see `Op`.
pub enum OpKind {
    AutoContrast,
    Color,
    Contrast,
    Brightness,
    Sharpness,
    Equalize,
    Posterize,
    Solarize,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

impl OpKind {
    /// Every operation.
    pub const ALL: [Self; 12] = [
        Self::AutoContrast,
        Self::Color,
        Self::Contrast,
        Self::Brightness,
        Self::Sharpness,
        Self::Equalize,
        Self::Posterize,
        Self::Solarize,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
    ];

    /// The operation at a level between 0 (weak) and 10 (strong). `raise` chooses the direction of those that
    /// have one: more or less colour, right or left.
    ///
    /// The strengths are OTX's: a factor of 1 ± 0.09 level, a shear of ± 0.03 level, a shift by ± 0.045 level
    /// of the side, 4 - floor(0.4 level) bits, a threshold of 256 - floor(25.6 level).
    pub fn at_level(self, level: f64, raise: bool) -> Op {
        let level = level.clamp(0.0, 10.0);
        let sign = if raise { 1.0 } else { -1.0 };
        let factor = (1.0 + sign * 0.9 * level / 10.0) as f32;
        let shear = sign * 0.3 * level / 10.0;
        let shift = sign * 0.45 * level / 10.0;
        match self {
            Self::AutoContrast => Op::AutoContrast,
            Self::Color => Op::Color(factor),
            Self::Contrast => Op::Contrast(factor),
            Self::Brightness => Op::Brightness(factor),
            Self::Sharpness => Op::Sharpness(factor),
            Self::Equalize => Op::Equalize,
            Self::Posterize => Op::Posterize(4 - (0.4 * level) as u8),
            Self::Solarize => Op::Solarize(256 - (25.6 * level) as u16),
            Self::ShearX => Op::ShearX(shear),
            Self::ShearY => Op::ShearY(shear),
            Self::TranslateX => Op::TranslateX(shift),
            Self::TranslateY => Op::TranslateY(shift),
        }
    }
}

/// An image operation with its strength. The size of the image stays.
///
/// Those on colours equal Pillow's to the bit; those on geometry equal `cv2.warpAffine` (bilinear, black border)
/// of OpenCV 4.8 to the bit (5.0 computes positions in floating point: up to 3 levels apart). OTX computes two of them slightly otherwise: its sharpness reads pixels that
/// it has already changed, and its `TranslateX` also moves the image by one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Stretches each channel to the full range (`ImageOps.autocontrast`).
    AutoContrast,
    /// Mixes the image with its grey version: 0 is grey, 1 the image, more is more colourful
    /// (`ImageEnhance.Color`).
    Color(f32),
    /// Mixes the image with its mean grey (`ImageEnhance.Contrast`).
    Contrast(f32),
    /// Mixes the image with black (`ImageEnhance.Brightness`).
    Brightness(f32),
    /// Mixes the image with a smoothed version: 0 is smooth, 1 the image, more is sharper
    /// (`ImageEnhance.Sharpness`).
    Sharpness(f32),
    /// Evens out each channel's histogram (`ImageOps.equalize`).
    Equalize,
    /// Keeps this many high bits of each value, 0 to 8 (`ImageOps.posterize`).
    Posterize(u8),
    /// Inverts the values from this threshold on, 0 to 256 (`ImageOps.solarize`).
    Solarize(u16),
    /// Row y reads its pixels from `shear * y` further right.
    ShearX(f64),
    /// Column x reads its pixels from `shear * x` further down.
    ShearY(f64),
    /// Each pixel is read from this part of the width further right.
    TranslateX(f64),
    /// Each pixel is read from this part of the height further down.
    TranslateY(f64),
}

impl Op {
    /// Changes the image in place.
    pub fn apply(self, image: &mut Rgb) {
        match self {
            Self::AutoContrast => histogram::auto_contrast(image),
            Self::Color(factor) => blend::color(image, factor),
            Self::Contrast(factor) => blend::contrast(image, factor),
            Self::Brightness(factor) => blend::brightness(image, factor),
            Self::Sharpness(factor) => sharpness::sharpness(image, factor),
            Self::Equalize => histogram::equalize(image),
            Self::Posterize(bits) => pointwise::posterize(image, bits),
            Self::Solarize(threshold) => pointwise::solarize(image, threshold),
            Self::ShearX(shear) => shift::shift_rows(image, |y| shear * y),
            Self::ShearY(shear) => shift::shift_columns(image, |x| shear * x),
            Self::TranslateX(part) => {
                let shift = part * f64::from(image.width());
                shift::shift_rows(image, |_| shift);
            }
            Self::TranslateY(part) => {
                let shift = part * f64::from(image.height());
                shift::shift_columns(image, |_| shift);
            }
        }
    }
}
