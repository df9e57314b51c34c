//! A table of shares as colours.

use super::svg::{Svg, fit, gutter};

/// A cell of a [`HeatMap`].
#[derive(Clone, Debug)]
pub struct Cell {
    /// 0 to 1; `None` leaves the cell blank.
    pub value: Option<f64>,
    /// What shows when one points at it.
    pub title: String,
}

/// A square table of values from 0 to 1: the darker, the more.
#[derive(Clone, Debug)]
pub struct HeatMap<'a> {
    /// Names of the rows, and of the columns.
    pub names: &'a [String],
    /// Row by row.
    pub cells: &'a [Vec<Cell>],
}

impl HeatMap<'_> {
    /// Up to this many rows a heat map can be read in a card among others; it then shrinks to fit.
    pub const FITS: usize = 24;

    /// The plot. It has a size of its own; a page lets one scroll where a large one is wider than its card.
    pub fn to_svg(&self) -> String {
        let n = self.names.len();
        let cell = (360.0 / n as f64).clamp(12.5, 36.0);
        let left = gutter(self.names.iter().map(String::as_str), 110.0);
        let end = left + n as f64 * cell;
        let mut svg = Svg::new(end.max(left + 190.0) + 2.0, end + 34.0).fixed(n <= Self::FITS);
        for (i, name) in self.names.iter().enumerate() {
            let (middle, name) = (left + (i as f64 + 0.5) * cell + 4.0, fit(name, left - 8.0));
            svg.text("end", (left - 5.0, middle), &name);
            svg.text_upwards("", (middle, left - 5.0), &name);
        }
        let place = |i: usize| left + i as f64 * cell;
        for (row, cells) in self.cells.iter().enumerate() {
            for (column, Cell { value, title }) in cells.iter().enumerate() {
                let (corner, size) = ((place(column), place(row)), (cell - 1.0, cell - 1.0));
                match value.filter(|v| v.is_finite()) {
                    Some(value) if value > 0.0 => {
                        svg.faint_rect("heat", corner, size, value.clamp(0.04, 1.0), title);
                    }
                    Some(_) => svg.rect("cell", corner, size, ""),
                    None => {}
                }
            }
        }
        let y = end + 14.0;
        for step in 0..=20 {
            let share = f64::from(step) / 20.0;
            svg.faint_rect("heat", (left + 24.0 + f64::from(step) * 6.0, y), (6.0, 10.0), share, "");
        }
        svg.text("soft end", (left + 20.0, y + 9.0), "0%");
        svg.text("soft", (left + 154.0, y + 9.0), "100%");
        svg.finish(&format!("table of {n} by {n}"))
    }
}
