//! A [`Dataset`] to annotation files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::stays_inside;
use crate::dataset::{Dataset, Item, LabelState};
use crate::error::Error;

/// What [`write_datumaro`] does about the image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// They lie under `<root>/images/` already, and stay there.
    InPlace,
    /// Each is copied to `<root>/images/<split>/<id>.<extension>`.
    Copy,
}

/// Writes a data set as OTX 1.x, OTX 2.x and Datumaro read it: `annotations/<split>.json` under `root`, and
/// the images under `root/images/`. Annotation files that are there already are replaced, each at once.
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
///
/// ```
/// use mlcls_data::{Dataset, Format, Images, Item, LabelState, ReadOptions, Split, write_datumaro};
///
/// let root = tempfile::tempdir()?;
/// std::fs::create_dir_all(root.path().join("images/train"))?;
/// let dataset = Dataset {
///     root: root.path().to_owned(),
///     format: Format::Datumaro,
///     labels: vec!["cat".into(), "dog".into()],
///     splits: vec![Split {
///         name: "train".into(),
///         items: vec![Item {
///             id: "a".into(),
///             image: root.path().join("images/train/a.jpg"),
///             states: vec![LabelState::Present, LabelState::Unknown],
///         }],
///     }],
///     notes: vec![],
/// };
/// write_datumaro(&dataset, root.path(), Images::InPlace)?;
/// let again = Dataset::open(root.path(), &ReadOptions::default())?;
/// assert_eq!(again.fingerprint(), dataset.fingerprint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Write`] for a file that cannot be written, [`Error::Read`] for an image that cannot be copied,
/// [`Error::Field`] for an id that cannot be a file name ([`Images::Copy`]), or an image that does not lie
/// under `root/images/` ([`Images::InPlace`]).
pub fn write_datumaro(dataset: &Dataset, root: &Path, images: Images) -> Result<(), Error> {
    let annotations = root.join("annotations");
    fs::create_dir_all(&annotations).map_err(Error::write(&annotations))?;
    for split in &dataset.splits {
        let file = annotations.join(format!("{}.json", split.name));
        let folder = root.join("images").join(&split.name);
        let mut items = Vec::with_capacity(split.items.len());
        for item in &split.items {
            let path = match images {
                Images::InPlace => path_in_place(item, &folder, &file)?,
                Images::Copy => copy_image(item, &folder, &file)?,
            };
            items.push(item_json(item, &path, &dataset.labels));
        }
        let text = json!({
            "dm_format_version": "1.0",
            "media_type": 2,
            "infos": {},
            "categories": { "label": label_json(&dataset.labels) },
            "items": items,
        });
        write_at_once(&file, &format!("{text:#}\n"))?;
    }
    Ok(())
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
fn path_in_place(item: &Item, folder: &Path, file: &Path) -> Result<String, Error> {
    let images = folder.parent().unwrap_or(folder);
    let relative = item.image.strip_prefix(folder).or_else(|_| item.image.strip_prefix(images));
    let text = relative.ok().and_then(|path| path.to_str());
    text.filter(|path| stays_inside(path)).map(|path| path.replace('\\', "/")).ok_or_else(|| Error::Field {
        file: file.to_owned(),
        field: format!("image of item \"{}\"", item.id),
        problem: format!("{} does not lie under {}", item.image.display(), images.display()),
    })
}

/// Copies an image into `folder` and gives its path there.
fn copy_image(item: &Item, folder: &Path, file: &Path) -> Result<String, Error> {
    let extension = item.image.extension().and_then(|e| e.to_str()).unwrap_or("jpg");
    let name = format!("{}.{extension}", item.id);
    if !stays_inside(&name) {
        return Err(Error::Field {
            file: file.to_owned(),
            field: format!("item \"{}\"", item.id),
            problem: "the id cannot be a file name inside images/".to_owned(),
        });
    }
    let target: PathBuf = folder.join(&name);
    let parent = target.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(Error::write(parent))?;
    let bytes = fs::read(&item.image).map_err(Error::read(&item.image))?;
    fs::write(&target, bytes).map_err(Error::write(&target))?;
    Ok(name)
}

/// Writes a file so that it is either the old one or the new one at any time.
fn write_at_once(file: &Path, text: &str) -> Result<(), Error> {
    let temporary = file.with_extension("json.part");
    fs::write(&temporary, text).map_err(Error::write(&temporary))?;
    fs::rename(&temporary, file).map_err(Error::write(file))
}
