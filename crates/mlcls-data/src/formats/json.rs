//! JSON annotation files: which format one is in, and errors with a place.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::Track;

use super::text::without_mark;
use crate::error::Error;

/// The format of a JSON file, by its first keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Coco,
    Datumaro,
    /// None of these, or not JSON.
    Other,
}

/// How far a file is read before it counts as [`Kind::Other`].
const LOOKED_AT: u64 = 1 << 20;

/// Looks at the beginning of a file: both formats are objects; `items` are Datumaro's, `images` and
/// `annotations` COCO's, and `categories` are a list in COCO alone.
pub(super) fn kind(file: &Path) -> Kind {
    let mut kind = Kind::Other;
    let reader =
        File::open(file).map_err(Error::read(file)).and_then(|f| without_mark(f.take(LOOKED_AT), file));
    if let Ok(reader) = reader {
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(reader));
        // The result says nothing: the visitors stop in the middle of the file as soon as they know.
        let _ = json.deserialize_map(FirstKeys(&mut kind));
    }
    kind
}

struct FirstKeys<'a>(&'a mut Kind);

impl<'de> Visitor<'de> for FirstKeys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "images" | "annotations" => *self.0 = Kind::Coco,
                "items" | "dm_format_version" => *self.0 = Kind::Datumaro,
                "categories" => map.next_value_seed(ListOrObject(self.0))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if *self.0 != Kind::Other {
                break;
            }
        }
        Ok(())
    }
}

struct ListOrObject<'a>(&'a mut Kind);

impl<'de> DeserializeSeed<'de> for ListOrObject<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListOrObject<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        *self.0 = Kind::Coco;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        *self.0 = Kind::Datumaro;
        Ok(())
    }
}

/// Reads one JSON value to the end of the text. The error comes with the path to the field, empty where the
/// syntax breaks and there is no field yet.
pub(super) fn read_json<'de, R, S>(read: R, seed: S) -> Result<S::Value, (serde_json::Error, String)>
where
    R: serde_json::de::Read<'de>,
    S: DeserializeSeed<'de>,
{
    let mut json = serde_json::Deserializer::new(read);
    let mut track = Track::new();
    let value = seed
        .deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track))
        .and_then(|value| json.end().map(|()| value));
    value.map_err(|error| {
        let field = if error.is_data() { track.path().to_string() } else { String::new() };
        (error, if field == "." { String::new() } else { field })
    })
}

/// The error of [`read_json`] with its place at the front.
pub(super) fn malformed(file: &Path, (error, field): (serde_json::Error, String)) -> Error {
    if error.is_io() {
        return Error::Read { path: file.to_owned(), source: error.into() };
    }
    // The place is taken off the end of the message.
    let (line, column) = (error.line(), error.column());
    let problem = error.to_string();
    let problem = problem.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&problem);
    let colon = if field.is_empty() { "" } else { ": " };
    Error::Malformed { file: file.to_owned(), line, column, problem: format!("{field}{colon}{problem}") }
}
