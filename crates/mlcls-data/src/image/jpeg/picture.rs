//! From the bits of a scan to pixels, a row of MCUs at a time.

use super::bits::{Bits, Intervals};
use super::header::{Component, Header};
use super::idct::Transform;
use super::plane::Plane;
use super::upsample::Upsample;
use super::{BLOCK, block, colour, scaled};
use crate::image::avx2::Avx2;

/// A picture about to be decoded.
#[derive(Debug)]
pub(super) struct Picture {
    width: usize,
    height: usize,
    /// MCUs per row, and rows of them.
    mcus: (usize, usize),
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
    /// Gets ready for sides of `eighths` / 8 of the stored ones. `None` for what this decoder does not know.
    pub(super) fn new(header: Header<'_>, eighths: usize, simd: Option<Avx2>) -> Option<Self> {
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
        let upsample = Upsample { horizontal: full && across == 2, vertical: full && down == 2 };
        if upsample.horizontal && width <= 4 {
            return None; // libjpeg does not interpolate rows of one or two samples.
        }
        let channel = |component: Component| {
            // How often the component's samples fit into those of the luma.
            let (dx, dy) = (across / component.horizontal, down / component.vertical);
            let (columns, rows, samples) = if full {
                (BLOCK, BLOCK, (width.div_ceil(dx), height.div_ceil(dy)))
            } else {
                (eighths * dx, eighths * dy, (width, height))
            };
            let padded = mcus.0 * component.horizontal * columns;
            let plane = Plane::new(samples, padded, component.vertical * rows);
            let transform = Transform::new(columns, rows, component.quantisation, simd);
            Channel { component, transform, plane, mean: 0 }
        };
        let channels = header.components.into_iter().map(channel).collect();
        Some(Self { width, height, mcus, channels, upsample, intervals, interval })
    }

    /// RGB pixels; `None` for damaged data. All that it calls is inlined, so that a caller that is compiled for the
    /// processor's vectors makes use of them everywhere.
    #[inline(always)]
    pub(super) fn decode(self) -> Option<Vec<u8>> {
        let Self { width, height, mcus, mut channels, upsample, intervals, interval } = self;
        let mut rows = Rows::new(width, height, upsample);
        let mut intervals = intervals.iter();
        let mut bits = intervals.next()?;
        let mut left = interval;
        for mcu_row in 1..=mcus.1 {
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
                for channel in &mut channels {
                    channel.read(mcu, &mut bits)?;
                }
            }
            if bits.is_overrun() {
                return None;
            }
            rows.write(&channels, mcu_row == mcus.1);
            channels.iter_mut().for_each(|channel| channel.plane.advance());
        }
        Some(rows.pixels)
    }
}

impl Channel {
    /// Reads the component's blocks of an MCU.
    #[inline(always)]
    fn read(&mut self, mcu: usize, bits: &mut Bits) -> Option<()> {
        let (across, down) = (self.component.horizontal, self.component.vertical);
        for y in 0..down {
            for x in 0..across {
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

/// The pixels, and what is needed to make rows of them.
struct Rows {
    pixels: Vec<u8>,
    width: usize,
    height: usize,
    upsample: Upsample,
    /// Rows that are done.
    done: usize,
    /// A row of Cb and one of Cr, at the picture's resolution.
    chroma: [Vec<u8>; 2],
    sums: Vec<u16>,
}

impl Rows {
    fn new(width: usize, height: usize, upsample: Upsample) -> Self {
        let chroma = || vec![0; width + 1];
        Self {
            pixels: vec![0; width * height * 3],
            width,
            height,
            upsample,
            done: 0,
            chroma: [chroma(), chroma()],
            sums: Vec::with_capacity(width + 2),
        }
    }

    /// Writes the rows that the channels' bands complete: all when they are the last.
    #[inline(always)]
    fn write(&mut self, channels: &[Channel], last: bool) {
        let Some(luma) = channels.first() else { return };
        // The last rows of a band may need the chroma below them.
        let ready = luma.plane.end() - if self.upsample.vertical { 2 } else { 0 };
        let ready = if last { self.height } else { ready };
        let out = self.pixels.chunks_exact_mut(3 * self.width).enumerate();
        for (y, out) in out.take(ready).skip(self.done) {
            let luma = luma.plane.row(y);
            match channels {
                [_, blue, red] => {
                    for (channel, out) in [blue, red].into_iter().zip(&mut self.chroma) {
                        self.upsample.row(&channel.plane, y, &mut self.sums, out);
                    }
                    let [blue, red] = &self.chroma;
                    colour::to_rgb(luma, blue, red, out);
                }
                _ => colour::grey_to_rgb(luma, out),
            }
        }
        self.done = ready;
    }
}
