//! Annotation files as text: UTF-8, with or without a byte order mark.

use std::io::{Cursor, Read};
use std::path::Path;

use crate::error::Error;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file without its byte order mark.
///
/// # Errors
/// [`Error::Read`], and [`Error::Malformed`] at the first byte that is not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(Error::read(path))?;
    refuse_utf16(path, &bytes)?;
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        let byte = e.as_bytes()[before.len()];
        let problem = format!("byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8");
        Error::Malformed { file: path.to_owned(), line, column, problem }
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

/// What `reader` gives behind the byte order mark, if there is one; `path` is for messages.
///
/// # Errors
/// [`Error::Read`], and [`Error::Malformed`] for UTF-16.
pub(super) fn without_mark<R: Read>(mut reader: R, path: &Path) -> Result<impl Read + use<R>, Error> {
    let mut mark = [0; BYTE_ORDER_MARK.len_utf8()];
    BYTE_ORDER_MARK.encode_utf8(&mut mark);
    let mut head = Vec::new();
    reader.by_ref().take(mark.len() as u64).read_to_end(&mut head).map_err(Error::read(path))?;
    refuse_utf16(path, &head)?;
    if head == mark {
        head.clear();
    }
    Ok(Cursor::new(head).chain(reader))
}

fn refuse_utf16(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if !bytes.starts_with(&[0xff, 0xfe]) && !bytes.starts_with(&[0xfe, 0xff]) {
        return Ok(());
    }
    let problem = "this is UTF-16 text; expected UTF-8, so save it as that".to_owned();
    Err(Error::Malformed { file: path.to_owned(), line: 1, column: 1, problem })
}

/// The lines of a list that hold something, without the white space around it, with their numbers from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())).filter(|(_, line)| !line.is_empty())
}
