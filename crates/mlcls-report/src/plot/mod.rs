//! Plots: numbers in, SVG text out. The colours and letters are those of [`Page`](crate::Page), so that a plot
//! follows the reader's light or dark setting.
//!
//! Plots are [`WIDTH`] units wide and take the width of their card; at a phone's width a unit is about a pixel.
//! What is not finite is left out.

mod bars;
mod columns;
mod heat_map;
mod histogram;
mod intervals;
mod scale;
mod scatter;
mod svg;

pub use bars::{Bar, StackedBars};
pub use columns::Columns;
pub use heat_map::{Cell, HeatMap};
pub use histogram::Histogram;
pub use intervals::{Interval, Intervals};
pub use scale::Scale;
pub use scatter::{Point, Scatter};

use crate::page::escape;

/// Width of a plot in SVG units.
pub const WIDTH: f64 = 380.0;

/// Number of colours; series beyond it use them again.
const COLOURS: usize = 6;

/// A legend for series in the order of their colours, as HTML.
pub fn legend<S: AsRef<str>>(names: &[S]) -> String {
    let entry = |(i, name): (usize, &S)| {
        format!("<li><i class=\"b{}\"></i>{}</li>", i % COLOURS, escape(name.as_ref()))
    };
    format!("<ul class=\"legend\">{}</ul>\n", names.iter().enumerate().map(entry).collect::<String>())
}
