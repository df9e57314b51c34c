//! A [`Dataset`] to annotation files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::write::{WriteFormat, Writer, path_under, write_at_once};
use super::read::without_extension;
use crate::dataset::{Dataset, Item, LabelState, Split};
use crate::error::{Error, count};

/// `annotations/instances_<split>.json` under `root`.
///
/// | field | content |
/// |---|---|
/// | `categories[]` | `id` from 1 in the order of the labels, `name`, `supercategory` (empty) |
/// | `images[]` | `id` from 1, `file_name` relative to `<split>/`, `width` and `height` where the header can be read |
/// | `annotations[]` | `id` from 1, `image_id`, `category_id`, `iscrowd` 0: one per present label |
///
/// COCO's annotations are objects. What a label of a whole image does not know of one (`bbox`, `area`,
/// `segmentation`) is left out rather than made up: pycocotools and torchvision load the file, and a program that
/// needs boxes says that there are none.
pub(in crate::formats) const WRITER: Writer =
    Writer { format: WriteFormat::Coco, image: |split, name| format!("{split}/{name}"), write };

fn write(dataset: &Dataset, root: &Path) -> Result<Vec<String>, Error> {
    let annotations = root.join("annotations");
    fs::create_dir_all(&annotations).map_err(Error::write(&annotations))?;
    for split in &dataset.splits {
        let file = annotations.join(format!("instances_{}.json", split.name));
        let text = split_json(split, &dataset.labels, &file, &root.join(&split.name))?;
        write_at_once(&file, &format!("{text}\n"))?;
    }
    let unknown = || dataset.splits.iter().flat_map(|s| &s.items).map(|item| item.count(LabelState::Unknown));
    let (states, images) = (unknown().sum(), unknown().filter(|n| *n > 0).count());
    let mut lost = vec![
        "the annotations have no bbox, area and segmentation: labels of whole images say nothing of them"
            .to_owned(),
    ];
    if states > 0 {
        let (states, verb) =
            (count(states, "unknown state", "unknown states"), if states == 1 { "is" } else { "are" });
        lost.push(format!("{states} of {} {verb} written as absent", count(images, "image", "images")));
    }
    Ok(lost)
}

fn split_json(split: &Split, labels: &[String], file: &Path, folder: &Path) -> Result<Value, Error> {
    let categories =
        labels.iter().zip(1..).map(|(name, id)| json!({"id": id, "name": name, "supercategory": ""}));
    let mut images = Vec::new();
    let mut annotations = Vec::new();
    for (item, image_id) in split.items.iter().zip(1..) {
        images.push(image_json(item, image_id, file, folder)?);
        for (state, category_id) in item.states.iter().zip(1..) {
            if *state == LabelState::Present {
                let id = annotations.len() + 1;
                annotations
                    .push(json!({"id": id, "image_id": image_id, "category_id": category_id, "iscrowd": 0}));
            }
        }
    }
    Ok(json!({"images": images, "annotations": annotations, "categories": categories.collect::<Value>()}))
}

/// The entry of an image that lies in `folder` under its id.
fn image_json(item: &Item, image_id: usize, file: &Path, folder: &Path) -> Result<Value, Error> {
    let name = path_under(&item.image, folder).filter(|name| without_extension(name) == item.id);
    let name = name.ok_or_else(|| Error::Field {
        file: file.to_owned(),
        field: format!("image of item \"{}\"", item.id),
        problem: format!("{} is not {}.*", item.image.display(), folder.join(&item.id).display()),
    })?;
    let mut image = json!({"id": image_id, "file_name": name});
    if let Ok((width, height)) = image::image_dimensions(&item.image) {
        image["width"] = json!(width);
        image["height"] = json!(height);
    }
    Ok(image)
}
