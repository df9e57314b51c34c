//! The text of a CSV or TSV file as a header and rows of cells, each with its place.

use std::io::{Chain, Read};
use std::path::Path;

use ::csv::{Reader, ReaderBuilder, StringRecord};

use crate::error::{Error, count};

/// Stands behind the text for the parser: a quote that is still open swallows it, which is how that is seen.
const END: &[u8] = b"\nend";

/// A table: quotes as in RFC 4180, any line ends, blank lines passed over.
pub(in crate::formats) struct Table<'a> {
    file: &'a Path,
    text: &'a str,
    delimiter: u8,
    /// The names of the columns.
    pub header: StringRecord,
    /// A blank follows each delimiter of the header, as in `filename, cat, dog`: it belongs to no cell.
    blanks: bool,
}

/// One row, as long as the header.
pub(in crate::formats) struct Row {
    record: StringRecord,
    start: usize,
}

impl<'a> Table<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Malformed`] where there is none or a quote in it is not closed.
    pub fn new(file: &'a Path, text: &'a str, delimiter: u8) -> Result<Self, Error> {
        let mut table = Self { file, text, delimiter, header: StringRecord::new(), blanks: false };
        let first = Records::new(&table).next().transpose()?;
        let Some(header) = first.filter(|row| !row.record.is_empty()) else {
            let problem = "the file is empty; expected a header such as `image,cat,dog`".to_owned();
            return Err(Error::Malformed { file: file.to_owned(), line: 1, column: 1, problem });
        };
        let header = header.record;
        table.blanks = header.len() > 1 && header.iter().skip(1).all(|name| name.starts_with(' '));
        table.header = header.iter().map(|name| table.trimmed(name)).collect();
        Ok(table)
    }

    /// The rows that hold something, from the first again at every call.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a row of another length than the header and for a quote that is not closed.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row, Error>> {
        Records::new(self).skip(1).filter_map(|row| match row {
            Ok(row) if row.record.iter().all(str::is_empty) => None,
            Ok(row) if row.record.len() != self.header.len() => {
                let (cells, names) = (row.record.len(), self.header.len());
                let problem =
                    format!("this row has {} and the header {names}", count(cells, "cell", "cells"));
                Some(Err(self.malformed(&row, cells.min(names), problem)))
            }
            row => Some(row),
        })
    }

    /// A cell of a row, by the number of its column from 0.
    pub fn cell<'r>(&self, row: &'r Row, column: usize) -> &'r str {
        self.trimmed(row.record.get(column).unwrap_or_default())
    }

    fn trimmed<'r>(&self, cell: &'r str) -> &'r str {
        if self.blanks { cell.trim() } else { cell }
    }

    /// The error for the cell of a row.
    pub fn malformed(&self, row: &Row, column: usize, problem: String) -> Error {
        let before: usize = row.record.iter().take(column).map(|cell| cell.matches('\n').count()).sum();
        let line = self.line(row) + before;
        Error::Malformed { file: self.file.to_owned(), line, column: column + 1, problem }
    }

    /// The line that a row begins in, from 1.
    pub fn line(&self, row: &Row) -> usize {
        self.line_at(row.start)
    }

    /// The line of a place in the text, from 1, with line ends of all systems.
    pub fn line_at(&self, start: usize) -> usize {
        let before = &self.text.as_bytes()[..start.min(self.text.len())];
        let returns = before.iter().filter(|byte| **byte == b'\r').count();
        let feeds = before.iter().filter(|byte| **byte == b'\n').count();
        let both = before.windows(2).filter(|pair| pair == b"\r\n").count();
        returns + feeds - both + 1
    }
}

impl Row {
    /// Where it begins in the text; see [`Table::line_at`].
    pub fn start(&self) -> usize {
        self.start
    }
}

/// All records of a table, the header first.
struct Records<'t, 'a> {
    table: &'t Table<'a>,
    reader: Reader<Chain<&'a [u8], &'static [u8]>>,
}

impl<'t, 'a> Records<'t, 'a> {
    fn new(table: &'t Table<'a>) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(table.delimiter);
        Self { table, reader: builder.from_reader(table.text.as_bytes().chain(END)) }
    }
}

impl Iterator for Records<'_, '_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.table.text;
        let before = self.reader.position().byte() as usize;
        let mut record = StringRecord::new();
        let read = self.reader.read_record(&mut record);
        // The parser passes over blank lines before a record.
        let blank = text.get(before..)?.bytes().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let start = before + blank;
        if start >= text.len() {
            return None;
        }
        let row = Row { record, start };
        match read {
            Err(error) => Some(Err(self.table.malformed(&row, 0, error.to_string()))),
            Ok(_) if self.reader.position().byte() as usize > text.len() + 1 => {
                let column = row.record.len().saturating_sub(1);
                Some(Err(self.table.malformed(&row, column, "this quote is never closed".to_owned())))
            }
            Ok(_) => {
                let end = (self.reader.position().byte() as usize).min(text.len());
                Some(match stray_text(&text[start..end], self.table.delimiter) {
                    None => Ok(row),
                    Some((column, offset)) => Err(Error::Malformed {
                        file: self.table.file.to_owned(),
                        line: self.table.line_at(start + offset),
                        column: column + 1,
                        problem: "text behind a closing quote; a quote within quotes is written twice"
                            .to_owned(),
                    }),
                })
            }
        }
    }
}

/// The cell of a record, and the place in it, where a quoted part ends and more text follows: most likely a quote
/// that was left open earlier, so that several rows would be read as one.
fn stray_text(record: &str, delimiter: u8) -> Option<(usize, usize)> {
    if !record.contains('"') {
        return None;
    }
    let bytes = record.as_bytes();
    let is_end = |byte: u8| byte == delimiter || matches!(byte, b'\r' | b'\n');
    let (mut i, mut column) = (0, 0);
    while i < bytes.len() {
        if bytes[i] == b'"' {
            i += 1;
            while i < bytes.len() && (bytes[i] != b'"' || bytes.get(i + 1) == Some(&b'"')) {
                i += if bytes[i] == b'"' { 2 } else { 1 };
            }
            i += 1;
            if bytes.get(i).is_some_and(|byte| !is_end(*byte)) {
                return Some((column, i));
            }
        }
        i += bytes[i.min(bytes.len())..].iter().take_while(|byte| !is_end(**byte)).count();
        column += 1;
        // The delimiter, or the end of the line.
        i += 1;
    }
    None
}
