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
mod lines;
mod scale;
mod scatter;
mod svg;

pub use bars::{Bar, StackedBars};
pub use columns::Columns;
pub use heat_map::{Cell, HeatMap};
pub use histogram::Histogram;
pub use intervals::{Interval, Intervals};
pub use lines::{Line, Lines};
pub use scale::Scale;
pub use scatter::{Point, Scatter};

use crate::page::escape;

/// Width of a plot in SVG units.
pub const WIDTH: f64 = 380.0;

/// Number of colours; series beyond it use them again.
const COLOURS: usize = 6;

/// A legend of names and their colours (positions of series), as HTML.
pub fn legend<'a>(entries: impl IntoIterator<Item = (usize, &'a str)>) -> String {
    let entry = |(colour, name): (usize, &str)| {
        format!("<li><i class=\"b{}\"></i>{}</li>", colour % COLOURS, escape(name))
    };
    format!("<ul class=\"legend\">{}</ul>\n", entries.into_iter().map(entry).collect::<String>())
}
