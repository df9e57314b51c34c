//! Operations in which a new value depends on the old value only. Plain arithmetic, which vectorises.

use crate::image::Rgb;

pub(super) fn posterize(image: &mut Rgb, bits: u8) {
    let mask = !(0xff_u16 >> bits.min(8)) as u8;
    for value in image.data_mut() {
        *value &= mask;
    }
}

pub(super) fn solarize(image: &mut Rgb, threshold: u16) {
    for value in image.data_mut() {
        *value = if u16::from(*value) < threshold { *value } else { 255 - *value };
    }
}
