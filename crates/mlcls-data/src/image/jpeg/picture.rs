//! From the bits of a scan to pixels, a row of MCUs at a time.

use std::ops::Range;

use super::bits::{Bits, Intervals};
use super::header::{Component, Header};
use super::idct::Transform;
use super::plane::Plane;
use super::upsample::Upsample;
use super::{BLOCK, block, colour, scaled};
use crate::image::Window;
use crate::image::avx2::Avx2;

/// Samples around a window that interpolation reads.
const REACH: usize = 2;

/// A picture about to be decoded.
#[derive(Debug)]
pub(super) struct Picture {
    window: Window,
    /// MCUs per row, and rows of them.
    mcus: (usize, usize),
    /// Those that the window needs, in both directions.
    needed: [Range<usize>; 2],
    channels: Vec<Channel>,
    upsample: Upsample,
    intervals: Intervals,
    /// MCUs in an interval.
    interval: usize,
}

/// A component and what becomes of it.
#[derive(Debug)]
struct Channel {
    component: Component,
    transform: Transform,
    plane: Plane,
    /// The first coefficient of the last block.
    mean: i32,
}

impl Picture {
    /// Gets ready for sides of `eighths` / 8 of the stored ones, and a window of that or all of it. `None` for what this
    /// decoder does not know, and for a window that does not fit.
    pub(super) fn new(
        header: Header<'_>,
        eighths: usize,
        window: Option<Window>,
        simd: Option<Avx2>,
    ) -> Option<Self> {
        let luma = header.components.first()?;
        let (across, down) = (luma.horizontal, luma.vertical);
        let mcus = (header.width.div_ceil(BLOCK * across), header.height.div_ceil(BLOCK * down));
        let count = mcus.0 * mcus.1;
        let interval = if header.restart_interval == 0 { count } else { header.restart_interval };
        let intervals = Intervals::read(header.scan)?;
        if intervals.len() != count.div_ceil(interval) {
            return None;
        }
        let full = eighths == BLOCK;
        let (width, height) = (scaled(header.width, eighths), scaled(header.height, eighths));
        let window = window.unwrap_or(Window { x: 0, y: 0, width: width as u32, height: height as u32 });
        let [columns, rows] = ranges(window);
        if columns.is_empty() || rows.is_empty() || columns.end > width || rows.end > height {
            return None;
        }
        let needed = [(&columns, across), (&rows, down)].map(|(range, blocks)| {
            let side = eighths * blocks;
            range.start.saturating_sub(REACH) / side..(range.end + REACH).div_ceil(side)
        });
        let upsample = Upsample { horizontal: full && across == 2, vertical: full && down == 2 };
        if upsample.horizontal && width <= 4 {
            return None; // libjpeg does not interpolate rows of one or two samples.
        }
        let channel = |component: Component| {
            // How often the component's samples fit into those of the luma.
            let (dx, dy) = (across / component.horizontal, down / component.vertical);
            let (side, samples, height) = if full {
                let samples = if dx == 2 {
                    // With the neighbours that interpolation needs.
                    (columns.start / 2).saturating_sub(1)
                        ..(columns.end.div_ceil(2) + 1).min(width.div_ceil(2))
                } else {
                    columns.clone()
                };
                ((BLOCK, BLOCK), samples, height.div_ceil(dy))
            } else {
                ((eighths * dx, eighths * dy), columns.clone(), height)
            };
            let padded = mcus.0 * component.horizontal * side.0;
            let plane = Plane::new(samples, height, padded, component.vertical * side.1);
            let transform = Transform::new(side.0, side.1, component.quantisation, simd);
            Channel { component, transform, plane, mean: 0 }
        };
        let channels = header.components.into_iter().map(channel).collect();
        Some(Self { window, mcus, needed, channels, upsample, intervals, interval })
    }

    /// RGB pixels; `None` for damaged data. All that it calls is inlined, so that a caller that is compiled for the
    /// processor's vectors makes use of them everywhere.
    #[inline(always)]
    pub(super) fn decode(self) -> Option<Vec<u8>> {
        let Self { window, mcus, needed, mut channels, upsample, intervals, interval } = self;
        let mut rows = Rows::new(window, upsample);
        let mut intervals = intervals.iter();
        let mut bits = intervals.next()?;
        let mut left = interval;
        for mcu_row in 0..mcus.1 {
            for mcu in 0..mcus.0 {
                if left == 0 {
                    if bits.is_overrun() {
                        return None;
                    }
                    bits = intervals.next()?;
                    left = interval;
                    channels.iter_mut().for_each(|channel| channel.mean = 0);
                }
                left -= 1;
                // All of the scan is read, so that damage outside of the window is noticed too.
                let needed = needed[0].contains(&mcu) && needed[1].contains(&mcu_row);
                for channel in &mut channels {
                    channel.read(mcu, needed, &mut bits)?;
                }
            }
            if bits.is_overrun() {
                return None;
            }
            rows.write(&channels, mcu_row + 1 == mcus.1);
            channels.iter_mut().for_each(|channel| channel.plane.advance());
        }
        Some(rows.pixels)
    }
}

impl Channel {
    /// Reads the component's blocks of an MCU, and makes samples of them where they are needed.
    #[inline(always)]
    fn read(&mut self, mcu: usize, needed: bool, bits: &mut Bits) -> Option<()> {
        let (across, down) = (self.component.horizontal, self.component.vertical);
        for y in 0..down {
            for x in 0..across {
                if !needed {
                    block::skip(bits, &self.component, &mut self.mean)?;
                    continue;
                }
                let mut coefficients = [0; 72];
                let last = block::read(bits, &self.component, &mut self.mean, &mut coefficients)?;
                let Transform { columns, rows, .. } = self.transform;
                let (stride, out) = self.plane.at((mcu * across + x) * columns, y * rows);
                self.transform.apply(&coefficients, last, out, stride);
            }
        }
        Some(())
    }
}

/// A window's columns and rows.
fn ranges(window: Window) -> [Range<usize>; 2] {
    [(window.x, window.width), (window.y, window.height)]
        .map(|(start, len)| start as usize..start as usize + len as usize)
}

/// The pixels, and what is needed to make rows of them.
struct Rows {
    pixels: Vec<u8>,
    width: usize,
    /// The next row, and the one behind the last.
    left: Range<usize>,
    /// The window's first row.
    first: usize,
    upsample: Upsample,
    /// A row of Cb and one of Cr, at the picture's resolution, and where the window begins in them.
    chroma: [Vec<u8>; 2],
    start: usize,
    sums: Vec<u16>,
}

impl Rows {
    fn new(window: Window, upsample: Upsample) -> Self {
        let [columns, rows] = ranges(window);
        let width = columns.len();
        let chroma = || vec![0; width + 2 * REACH + 2];
        let start =
            if upsample.horizontal { columns.start - 2 * (columns.start / 2).saturating_sub(1) } else { 0 };
        Self {
            pixels: vec![0; width * rows.len() * 3],
            width,
            first: rows.start,
            left: rows,
            upsample,
            chroma: [chroma(), chroma()],
            start,
            sums: Vec::with_capacity(width + 2),
        }
    }

    /// Writes the rows of the window that the channels' bands complete: all when they are the last.
    #[inline(always)]
    fn write(&mut self, channels: &[Channel], last: bool) {
        let Some(luma) = channels.first() else { return };
        // The last rows of a band may need the chroma below them.
        let ready = luma.plane.end() - if self.upsample.vertical { 2 } else { 0 };
        let ready = if last { self.left.end } else { ready.min(self.left.end) };
        let out = self.pixels.chunks_exact_mut(3 * self.width).skip(self.left.start - self.first);
        for (y, out) in (self.left.start..ready).zip(out) {
            let luma = luma.plane.row(y);
            match channels {
                [_, blue, red] => {
                    for (channel, out) in [blue, red].into_iter().zip(&mut self.chroma) {
                        self.upsample.row(&channel.plane, y, &mut self.sums, out);
                    }
                    let [blue, red] = &self.chroma;
                    colour::to_rgb(luma, &blue[self.start..], &red[self.start..], out);
                }
                _ => colour::grey_to_rgb(luma, out),
            }
        }
        self.left.start = self.left.start.max(ready);
    }
}
