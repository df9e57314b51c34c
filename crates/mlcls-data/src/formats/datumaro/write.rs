//! A [`Dataset`] to annotation files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::write::{WriteFormat, Writer, path_under, write_at_once};
use crate::dataset::{Dataset, Item, LabelState};
use crate::error::Error;

/// `annotations/<split>.json` under `root`, as OTX 1.x, OTX 2.x and Datumaro read it.
///
/// | field | content |
/// |---|---|
/// | `dm_format_version`, `media_type` | `"1.0"`, 2 (image) |
/// | `categories.label.labels[]` | `name`, `parent` (empty), `attributes` (empty); the position is the label id |
/// | `categories.label.label_groups[]` | one group per label, `Classification labels___<name>`, by which OTX knows multi-label data |
/// | `items[].id` | [`Item::id`] |
/// | `items[].image` | `path` relative to `images/<split>/` or `images/`, `size` `[height, width]` where the header can be read |
/// | `items[].annotations[]` | one of type `label` with its `label_id` per present label |
/// | `items[].attr.has_empty_label` | whether every label is known to be absent |
/// | `items[].attr.ignored_labels` | names of the unknown labels; left out where there are none |
///
/// The format has no field for unknown labels: `ignored_labels` is OTX's name for them, kept in the free
/// attributes of the item, where other readers pass over it and take the label as absent.
pub(in crate::formats) const WRITER: Writer =
    Writer { format: WriteFormat::Datumaro, image: |split, name| format!("images/{split}/{name}"), write };

fn write(dataset: &Dataset, root: &Path) -> Result<Vec<String>, Error> {
    let annotations = root.join("annotations");
    fs::create_dir_all(&annotations).map_err(Error::write(&annotations))?;
    for split in &dataset.splits {
        let file = annotations.join(format!("{}.json", split.name));
        let folder = root.join("images").join(&split.name);
        let item = |item| Ok(item_json(item, &path_in_images(item, &folder, &file)?, &dataset.labels));
        let items = split.items.iter().map(item).collect::<Result<Vec<_>, Error>>()?;
        let text = json!({
            "dm_format_version": "1.0",
            "media_type": 2,
            "infos": {},
            "categories": { "label": label_json(&dataset.labels) },
            "items": items,
        });
        write_at_once(&file, &format!("{text:#}\n"))?;
    }
    Ok(Vec::new())
}

fn label_json(labels: &[String]) -> Value {
    let groups = labels.iter().map(|name| {
        json!({"name": format!("Classification labels___{name}"), "group_type": "exclusive", "labels": [name]})
    });
    json!({
        "labels": labels.iter().map(|name| json!({"name": name, "parent": "", "attributes": []})).collect::<Value>(),
        "label_groups": groups.collect::<Value>(),
        "attributes": [],
    })
}

fn item_json(item: &Item, path: &str, labels: &[String]) -> Value {
    let present = item.states.iter().enumerate().filter(|(_, state)| **state == LabelState::Present);
    let annotations: Vec<Value> = present
        .map(|(label_id, _)| {
            json!({"id": 0, "type": "label", "attributes": {}, "group": 0, "label_id": label_id})
        })
        .collect();
    let unknown: Vec<&String> = item
        .states
        .iter()
        .zip(labels)
        .filter(|(state, _)| **state == LabelState::Unknown)
        .map(|(_, label)| label)
        .collect();
    let mut attr = json!({"has_empty_label": annotations.is_empty() && unknown.is_empty()});
    if !unknown.is_empty() {
        attr["ignored_labels"] = json!(unknown);
    }
    let mut image = json!({"path": path});
    if let Ok((width, height)) = image::image_dimensions(&item.image) {
        image["size"] = json!([height, width]);
    }
    json!({"id": item.id, "annotations": annotations, "attr": attr, "image": image})
}

/// The path of an image that lies under `folder` (`images/<split>`) or the folder above it, relative to that.
fn path_in_images(item: &Item, folder: &Path, file: &Path) -> Result<String, Error> {
    let images = folder.parent().unwrap_or(folder);
    path_under(&item.image, folder).or_else(|| path_under(&item.image, images)).ok_or_else(|| Error::Field {
        file: file.to_owned(),
        field: format!("image of item \"{}\"", item.id),
        problem: format!("{} does not lie under {}", item.image.display(), images.display()),
    })
}
