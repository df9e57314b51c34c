//! Annotation files to a [`Dataset`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::json::{self, Kind};
use super::super::locate::not_a_dataset_because;
use super::super::text::read_text;
use super::super::{
    ReadOptions, check_items, check_same_labels, check_states, coco, files_with_extension, require_folder,
    split_name, stays_inside,
};
use super::schema::{self, Annotations, Parsed};
use crate::dataset::{Dataset, Format, Item, LabelState, Split};
use crate::error::{Error, count, nearest, some_of};

/// Reads every `annotations/*.json` as the split of its name. `options` has nothing to say here.
pub(super) fn read(root: &Path, _options: &ReadOptions) -> Result<Dataset, Error> {
    let images = require_folder(root.join("images"))?;
    let mut notes = Vec::new();
    let mut splits: Vec<(PathBuf, Split)> = Vec::new();
    let mut labels: Vec<String> = Vec::new();
    let mut skipped = BTreeMap::new();
    for (subset, file) in files_with_extension(&root.join("annotations"), "json")? {
        if coco::is_official(&subset) || json::kind(&file) == Kind::Coco {
            notes.push(format!("passed over annotations/{subset}.json: a COCO file"));
            continue;
        }
        let annotations = match schema::parse(&file, &read_text(&file)?)? {
            Parsed::Datumaro(annotations) => annotations,
            Parsed::Other(what) => {
                notes.push(format!("passed over annotations/{subset}.json: {what}"));
                continue;
            }
        };
        let found = label_names(&file, &annotations)?;
        match splits.first() {
            Some((first, _)) => check_same_labels(first, &labels, &file, &found)?,
            None => {
                notes.extend(odd_categories(&annotations));
                labels = found;
            }
        }
        let name = split_name(&subset);
        if let Some((first, _)) = splits.iter().find(|(_, split)| split.name == name) {
            return Err(Error::SplitTwice { split: name, first: first.clone(), second: file });
        }
        check_states(&file, annotations.items.len(), labels.len())?;
        let by_name = labels.iter().enumerate().map(|(id, label)| (label.as_str(), id)).collect();
        let reader = ItemReader { file: &file, images: &images, subset: &subset, labels: &labels, by_name };
        let items = annotations.items.iter().enumerate();
        let items = items.map(|(i, item)| reader.read(i, item, &mut skipped)).collect::<Result<_, _>>()?;
        let split = Split { name, items };
        check_items(&split, &file)?;
        splits.push((file, split));
    }
    if splits.is_empty() {
        return Err(not_a_dataset_because(root, notes.join("; "), String::new()));
    }
    if !skipped.is_empty() {
        let kinds: Vec<String> = skipped.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let what = count(
            skipped.values().sum(),
            "annotation that is not a whole-image label",
            "annotations that are not whole-image labels",
        );
        notes.push(format!("passed over {what}: {}", kinds.join(", ")));
    }
    let splits = splits.into_iter().map(|(_, split)| split).collect();
    Ok(Dataset { root: root.to_owned(), format: Format::Datumaro, labels, splits, notes })
}

/// The label names of a file in the order of their ids; at least one, no two the same.
fn label_names(file: &Path, annotations: &Annotations) -> Result<Vec<String>, Error> {
    let labels: Vec<String> = annotations.categories.label.labels.iter().map(|l| l.name.clone()).collect();
    let wrong = |field: &str, problem: String| {
        Err(Error::Field { file: file.to_owned(), field: field.to_owned(), problem })
    };
    if labels.is_empty() {
        return wrong("categories.label.labels", "no labels; expected at least one".to_owned());
    }
    let mut seen = BTreeSet::new();
    for (i, label) in labels.iter().enumerate() {
        let field = format!("categories.label.labels[{i}].name");
        if label.trim().is_empty() {
            return wrong(&field, "the name is empty".to_owned());
        }
        if !seen.insert(label) {
            return wrong(&field, format!("the label `{label}` is listed a second time"));
        }
    }
    Ok(labels)
}

/// What is said about the labels and not used here.
fn odd_categories(annotations: &Annotations) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(media) = &annotations.media_type
        && media != 2
    {
        notes.push(format!("media_type is {media}; read as images all the same (2)"));
    }
    let categories = &annotations.categories.label;
    for group in categories.label_groups.iter().filter(|group| group.labels.len() > 1) {
        let (name, labels) = (&group.name, some_of(&group.labels));
        notes.push(format!("label group `{name}` makes {labels} exclude one another; read as independent"));
    }
    let parents = categories.labels.iter().filter(|l| l.parent.as_ref().is_some_and(|p| !p.is_empty()));
    let parents = parents.count();
    if parents > 0 {
        notes.push(format!(
            "{} a parent; the hierarchy is not used",
            count(parents, "label has", "labels have")
        ));
    }
    notes
}

/// What the items of one file have in common.
struct ItemReader<'a> {
    file: &'a Path,
    images: &'a Path,
    subset: &'a str,
    labels: &'a [String],
    by_name: HashMap<&'a str, usize>,
}

impl ItemReader<'_> {
    /// One item; annotations of other kinds are counted in `skipped`.
    fn read(
        &self,
        index: usize,
        item: &schema::Item,
        skipped: &mut BTreeMap<String, usize>,
    ) -> Result<Item, Error> {
        let place = format!("items[{index}] (id \"{}\")", item.id);
        let mut states = vec![LabelState::Absent; self.labels.len()];
        for (i, annotation) in item.annotations.iter().enumerate() {
            if annotation.kind == "label" {
                let field = format!("{place}.annotations[{i}].label_id");
                states[self.label_id(field, annotation.label_id.as_ref())?] = LabelState::Present;
            } else {
                *skipped.entry(annotation.kind.clone()).or_default() += 1;
            }
        }
        // After the annotations: an ignored label is unknown whether the item carries it or not.
        let ignored = item.attr.as_ref().and_then(|attr| attr.ignored_labels.as_deref()).unwrap_or_default();
        for (i, label) in ignored.iter().enumerate() {
            states[self.ignored_label(format!("{place}.attr.ignored_labels[{i}]"), label)?] =
                LabelState::Unknown;
        }
        let path = item.image.as_ref().and_then(|image| image.path.as_deref()).filter(|p| !p.is_empty());
        Ok(Item { id: item.id.clone(), image: self.image(&place, path, &item.id)?, states })
    }

    fn label_id(&self, field: String, value: Option<&Value>) -> Result<usize, Error> {
        let Some(Value::Number(id)) = value else {
            let found = value.map_or("nothing".to_owned(), Value::to_string);
            return Err(
                self.wrong(field, format!("found {found}; expected a label id, a whole number from 0"))
            );
        };
        match id.as_u64().and_then(|id| usize::try_from(id).ok()) {
            Some(id) if id < self.labels.len() => Ok(id),
            _ if id.is_f64() => Err(self.wrong(field, format!("found {id}; a label id is a whole number"))),
            _ => Err(Error::LabelIdOutOfRange {
                file: self.file.to_owned(),
                field,
                id: id.to_string(),
                labels: self.labels.len(),
            }),
        }
    }

    /// An ignored label, by name or by id.
    fn ignored_label(&self, field: String, value: &Value) -> Result<usize, Error> {
        match value {
            Value::String(name) => {
                self.by_name.get(name.as_str()).copied().ok_or_else(|| Error::UnknownLabel {
                    file: self.file.to_owned(),
                    field,
                    label: name.clone(),
                    nearest: nearest(name, self.labels),
                })
            }
            other => self.label_id(field, Some(other)),
        }
    }

    /// The image of an item: `path` or else `<id>.jpg`, in `images/<subset>` or else in `images`. The first
    /// that exists; where none does, the first, for the check of the images to report.
    fn image(&self, place: &str, path: Option<&str>, id: &str) -> Result<PathBuf, Error> {
        let by_id = format!("{id}.jpg");
        if let Some(outside) = path.or(Some(&by_id)).filter(|path| !stays_inside(path)) {
            let problem = format!("`{outside}` is not a path inside images/");
            return Err(self.wrong(format!("{place}.image.path"), problem));
        }
        let folders = [self.images.join(self.subset), self.images.to_owned()];
        let names = path.into_iter().chain(Some(by_id.as_str()).filter(|path| stays_inside(path)));
        let candidates = names.flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let candidates: Vec<PathBuf> = candidates.collect();
        Ok(candidates.iter().find(|path| path.is_file()).unwrap_or(&candidates[0]).clone())
    }

    fn wrong(&self, field: String, problem: String) -> Error {
        Error::Field { file: self.file.to_owned(), field, problem }
    }
}
