//! Aligned columns of text.

use std::fmt;

/// Rows under a header; numbers are right-aligned, words left-aligned.
///
/// ```text
/// label     AP  positives
/// circle  98.1         61
/// ```
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![header.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &'_ Vec<String>, i: usize| row.get(i).cloned().unwrap_or_default();
        let width = |i: usize| self.rows.iter().map(|r| cell(r, i).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let numeric: Vec<bool> = (0..columns)
            .map(|i| self.rows.iter().skip(1).all(|r| is_number(&cell(r, i))) && self.rows.len() > 1)
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (i, width) in widths.iter().enumerate() {
                let text = cell(row, i);
                if i > 0 {
                    line.push_str("  ");
                }
                line.push_str(&if numeric[i] {
                    format!("{text:>width$}")
                } else {
                    format!("{text:<width$}")
                });
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    let body = cell.trim_end_matches(['%', '*', 's', ' ']);
    body.is_empty() || body == "-" || body.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn numbers_are_right_aligned_and_no_line_ends_in_blanks() {
        let mut table = Table::new(["label", "AP", "note"]);
        table.row(["circle", "98.1", ""]);
        table.row(["square", "-", "no positives"]);
        assert_eq!(table.to_string(), "label     AP  note\ncircle  98.1\nsquare     -  no positives\n");
    }
}
