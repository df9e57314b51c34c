//! Single precision to bytes.

/// `value` cut to 0..=255 and truncated, NaN as 0: what `as u8` gives, in operations that vectorise (that one does not).
#[inline(always)]
pub(super) fn floor_byte(value: f32) -> u8 {
    // The last bit of numbers from here on is 1, so that adding it rounds, and the lowest byte is the whole number.
    const WHOLE: f32 = 8_388_608.0;
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    let rounded = value + WHOLE;
    (rounded.to_bits() as u8).wrapping_sub(u8::from(rounded - WHOLE > value))
}

#[cfg(test)]
mod tests {
    use super::floor_byte;

    #[test]
    fn it_equals_the_cast() {
        let near = |n: i32| {
            let n = n as f32;
            [n, n.next_up(), n.next_down(), n + 0.5, (n + 0.5).next_up(), (n + 0.5).next_down()]
        };
        let edges = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40, 1e30, -0.0];
        for value in (-300..600).flat_map(near).chain(edges) {
            assert_eq!(floor_byte(value), value as u8, "{value}");
        }
    }
}
