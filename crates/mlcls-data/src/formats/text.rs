//! Annotation files as text: UTF-8, with or without a byte order mark.

use std::path::Path;

use crate::error::Error;

/// The text of a file without its byte order mark.
///
/// # Errors
/// [`Error::Read`], and [`Error::Malformed`] at the first byte that is not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(Error::read(path))?;
    let malformed = |line, column, problem: &str| Error::Malformed {
        file: path.to_owned(),
        line,
        column,
        problem: problem.to_owned(),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(malformed(1, 1, "this is UTF-16 text; expected UTF-8, so save it as that"));
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        let byte = e.as_bytes()[before.len()];
        malformed(line, column, &format!("byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8"))
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// The lines of a list that hold something, without the white space around it, with their numbers from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())).filter(|(_, line)| !line.is_empty())
}
