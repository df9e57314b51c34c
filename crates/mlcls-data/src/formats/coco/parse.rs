//! The text of a COCO file to what it says about labels, in one pass that keeps nothing else: boxes, polygons,
//! addresses and licences are passed over where they stand.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Read};
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde_json::Value;
use serde_json::de::IoRead;

use super::super::json::{malformed, read_json};
use super::super::text::without_mark;
use super::id::Id;
use super::table::Table;
use crate::error::Error;

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// What one file says.
#[derive(Debug)]
pub(super) struct Annotations {
    /// File names with their numbers, in the order of the file.
    pub images: Vec<(u32, Box<str>)>,
    /// Categories with their numbers, in the order of the file.
    pub categories: Vec<(u32, Category)>,
    /// What the images show.
    pub shown: Vec<Shown>,
}

/// The objects of one category in one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    /// The number of the image.
    pub image: u32,
    /// The number of the category.
    pub category: u32,
    /// Whether one of them at least is no crowd.
    pub certain: bool,
}

/// An entry of `categories`.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Category {
    pub id: Id,
    pub name: String,
    /// A text where anything is said.
    #[serde(default)]
    pub supercategory: Value,
}

#[derive(serde::Deserialize)]
struct Image {
    id: Id,
    file_name: Box<str>,
}

#[derive(serde::Deserialize)]
struct Object {
    image_id: Id,
    category_id: Id,
    #[serde(default)]
    iscrowd: Crowd,
}

/// Whether an object is a crowd region: 0 or 1 in COCO's own files, true or false in others; nothing is 0.
#[derive(Default)]
struct Crowd(bool);

/// Reads a file; `file` is for messages. The keys may come in any order. Besides what is returned it holds a
/// buffer and the ids, so memory grows with the images and labels and not with the text.
///
/// # Errors
/// [`Error::Malformed`] with line, column and field, [`Error::Read`], and [`Error::Field`] for an id that is
/// listed twice and one that is not listed.
pub(super) fn parse(reader: impl Read, file: &Path) -> Result<Annotations, Error> {
    let reader = BufReader::with_capacity(BUFFER, without_mark(reader, file)?);
    let lists = Lists::default();
    let lists = read_json(IoRead::new(reader), lists).map_err(|failure| malformed(file, failure))?;
    let shown =
        lists.objects.into_iter().map(|((image, category), certain)| Shown { image, category, certain });
    Ok(Annotations {
        // First, and the table that it comes from goes: it is larger.
        shown: shown.collect(),
        images: lists.images.finish(file, "image_id")?,
        categories: lists.categories.finish(file, "category_id")?,
    })
}

/// The lists that count, as they fill.
struct Lists {
    images: Table<Box<str>>,
    categories: Table<Category>,
    objects: HashMap<(u32, u32), bool>,
}

impl Default for Lists {
    fn default() -> Self {
        let (images, categories) = (Table::new("images"), Table::new("categories"));
        Self { images, categories, objects: HashMap::new() }
    }
}

#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Images,
    Annotations,
    Categories,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Lists {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self, D::Error> {
        value.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Lists {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `images`, `annotations` and `categories`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        let names =
            [(Key::Images, "images"), (Key::Annotations, "annotations"), (Key::Categories, "categories")];
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<Key>()? {
            if seen.contains(&key) {
                let name = names.iter().find(|(named, _)| *named == key).map_or("", |(_, name)| name);
                return Err(A::Error::duplicate_field(name));
            }
            match key {
                Key::Images => map.next_value_seed(Each::of(|_, image: Image| {
                    self.images.add(image.id, image.file_name)
                }))?,
                Key::Categories => map.next_value_seed(Each::of(|_, category: Category| {
                    self.categories.add(category.id.clone(), category)
                }))?,
                Key::Annotations => map.next_value_seed(Each::of(|at, object: Object| {
                    let image = self.images.number(object.image_id, at)?;
                    let category = self.categories.number(object.category_id, at)?;
                    *self.objects.entry((image, category)).or_default() |= !object.iscrowd.0;
                    Some(())
                }))?,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            }
            seen.push(key);
        }
        match names.iter().find(|(key, _)| !seen.contains(key)) {
            Some((_, name)) => Err(A::Error::missing_field(name)),
            None => Ok(self),
        }
    }
}

/// A list of which each element goes, with its position, to a function as soon as it is read. The function says
/// None where there is no room for it.
struct Each<T, F> {
    take: F,
    element: PhantomData<T>,
}

impl<T, F: FnMut(usize, T) -> Option<()>> Each<T, F> {
    fn of(take: F) -> Self {
        Self { take, element: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(usize, T) -> Option<()>> DeserializeSeed<'de> for Each<T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(usize, T) -> Option<()>> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut at = 0;
        while let Some(element) = list.next_element()? {
            (self.take)(at, element).ok_or_else(|| A::Error::custom("more ids than 2^32"))?;
            at += 1;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Crowd {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(CrowdVisitor)
    }
}

struct CrowdVisitor;

impl Visitor<'_> for CrowdVisitor {
    type Value = Crowd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0 or 1")
    }

    fn visit_bool<E>(self, crowd: bool) -> Result<Crowd, E> {
        Ok(Crowd(crowd))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Crowd, E> {
        match number {
            0 | 1 => Ok(Crowd(number == 1)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_unit<E>(self) -> Result<Crowd, E> {
        Ok(Crowd(false))
    }
}
