//! The fields of an annotation file that are read. Others (`infos`, `categories.mask`, annotation ids and
//! groups, image sizes) say nothing about which label an image has, and are passed over.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::de::StrRead;

use super::super::json::{malformed, read_json};
use crate::error::Error;

/// One file, which is one split.
#[derive(Deserialize)]
pub(super) struct Annotations {
    /// 2 is image; absent in older files.
    pub media_type: Option<Value>,
    pub categories: Categories,
    pub items: Vec<Item>,
}

#[derive(Deserialize)]
pub(super) struct Categories {
    pub label: LabelCategories,
}

#[derive(Deserialize)]
pub(super) struct LabelCategories {
    /// The position is the label id.
    pub labels: Vec<Label>,
    #[serde(default)]
    pub label_groups: Vec<LabelGroup>,
}

#[derive(Deserialize)]
pub(super) struct Label {
    pub name: String,
    pub parent: Option<String>,
}

/// Labels of which at most one applies; a multi-label data set has one group per label.
#[derive(Deserialize)]
pub(super) struct LabelGroup {
    pub name: String,
    #[serde(default)]
    pub labels: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Item {
    pub id: String,
    #[serde(default)]
    pub annotations: Vec<Annotation>,
    pub attr: Option<Attributes>,
    pub image: Option<Image>,
}

#[derive(Deserialize)]
pub(super) struct Annotation {
    /// `label`, or a kind that is not about whole images (`bbox`, `polygon`, ...).
    #[serde(rename = "type")]
    pub kind: String,
    pub label_id: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Attributes {
    /// Names or ids of labels that nobody knows the state of.
    pub ignored_labels: Option<Vec<Value>>,
}

#[derive(Deserialize)]
pub(super) struct Image {
    pub path: Option<String>,
}

/// What a JSON file turned out to be.
pub(super) enum Parsed {
    Datumaro(Annotations),
    /// Sound JSON of another kind, described.
    Other(String),
}

/// Reads the text of an annotation file. A Datumaro file is an object with `categories` and `items`.
///
/// # Errors
/// [`Error::Malformed`] with line, column and the path to the field.
pub(super) fn parse(file: &Path, text: &str) -> Result<Parsed, Error> {
    let failure = match read_json(StrRead::new(text), PhantomData) {
        Ok(annotations) => return Ok(Parsed::Datumaro(annotations)),
        Err(failure) => failure,
    };
    if failure.0.is_data()
        && let Some(description) = other_json(text)
    {
        return Ok(Parsed::Other(description));
    }
    Err(malformed(file, failure))
}

/// What a JSON text is that is not Datumaro's; nothing where it has Datumaro's keys or is not sound.
fn other_json(text: &str) -> Option<String> {
    let Ok(object) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text) else {
        let sound = serde_json::from_str::<IgnoredAny>(text).is_ok();
        return sound.then(|| "not an object with `categories` and `items`".to_owned());
    };
    let has = |key: &str| object.contains_key(key);
    if has("categories") && has("items") {
        None
    } else {
        let missing: Vec<&str> = ["categories", "items"].into_iter().filter(|key| !has(key)).collect();
        Some(format!("without `{}`", missing.join("` and `")))
    }
}
