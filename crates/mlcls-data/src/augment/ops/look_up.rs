//! New values from a table.

use crate::image::Rgb;

/// The new value of each old one.
pub(super) type Table = [u8; 256];

/// Changes every pixel by the tables of its channels.
pub(super) fn look_up(image: &mut Rgb, [red, green, blue]: &[Table; 3]) {
    // Four pixels a turn, so that the processor has work while it waits for the tables.
    let (four, _) = image.data_mut().as_chunks_mut::<12>();
    let done = four.len() * 12;
    for values in four {
        let [r0, g0, b0, r1, g1, b1, r2, g2, b2, r3, g3, b3] = values.map(usize::from);
        *values = [
            red[r0], green[g0], blue[b0], red[r1], green[g1], blue[b1], //
            red[r2], green[g2], blue[b2], red[r3], green[g3], blue[b3],
        ];
    }
    for [r, g, b] in image.data_mut()[done..].as_chunks_mut::<3>().0 {
        [*r, *g, *b] = [red[usize::from(*r)], green[usize::from(*g)], blue[usize::from(*b)]];
    }
}
