//! A [`Dataset`] to lists and annotations.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use image::{ImageDecoder, ImageReader};
use rayon::prelude::*;

use crate::dataset::{Dataset, Item, LabelState};
use crate::error::{Error, count, shown, some_of};
use crate::formats::write::{WriteFormat, Writer, path_under, write_at_once};
use crate::formats::{stays_inside, usual_split};
use crate::image_name::is_image_name;

/// Lists, marks and annotations as the development kits of VOC 2007 to 2012 have them:
///
/// | file | content |
/// |---|---|
/// | `ImageSets/Main/<split>.txt` | an id per line |
/// | `ImageSets/Main/<label>_<split>.txt` | per line an id and `1` (present), `-1` (absent) or `0` (unknown) |
/// | `Annotations/<id>.xml` | `folder`, `filename`, `size`, and an `object` per label: present ones with `difficult` 0, unknown ones with 1 |
///
/// Objects have no `bndbox`. A label that cannot be part of a file name leaves its state to the annotations, and
/// so then do all others, as readers take one source or the other.
pub(in crate::formats) const WRITER: Writer =
    Writer { format: WriteFormat::Voc, image: |_, name| format!("JPEGImages/{}", voc_name(name)), write };

fn write(dataset: &Dataset, root: &Path) -> Result<Vec<String>, Error> {
    check_names(dataset, root)?;
    let images = images(dataset, root)?;
    let lists = root.join("ImageSets/Main");
    let annotations = root.join("Annotations");
    for folder in [&lists, &annotations, &root.join("JPEGImages")] {
        fs::create_dir_all(folder).map_err(Error::write(folder))?;
    }
    let in_lists = dataset.labels.iter().all(|label| can_be_file_name(label));
    for split in dataset.splits.iter().filter(|split| !split.items.is_empty()) {
        let ids: String = split.items.iter().map(|item| voc_name(&item.id) + "\n").collect();
        write_at_once(&lists.join(format!("{}.txt", split.name)), &ids)?;
        for (label, name) in dataset.labels.iter().enumerate().filter(|_| in_lists) {
            let marks = split.items.iter().map(|item| {
                let mark = match item.states[label] {
                    LabelState::Present => " 1",
                    LabelState::Absent => "-1",
                    LabelState::Unknown => " 0",
                };
                format!("{} {mark}\n", voc_name(&item.id))
            });
            write_at_once(&lists.join(format!("{name}_{}.txt", split.name)), &marks.collect::<String>())?;
        }
    }
    let folder = root.file_name().unwrap_or_default().to_string_lossy();
    let written: Vec<Result<(), Error>> = images
        .par_iter()
        .map(|(id, item)| {
            write_at_once(&annotations.join(format!("{id}.xml")), &annotation(&folder, item, &dataset.labels))
        })
        .collect();
    written.into_iter().collect::<Result<(), Error>>()?;
    Ok(changes(dataset, in_lists))
}

/// Refuses labels that no VOC file can hold, and splits that no VOC reader looks for.
fn check_names(dataset: &Dataset, root: &Path) -> Result<(), Error> {
    let wrong = |field: String, problem: &str| {
        Err(Error::Field { file: root.to_owned(), field, problem: problem.to_owned() })
    };
    for label in &dataset.labels {
        if label.trim() != label || label.is_empty() || label.chars().any(|c| !is_xml(c) || c.is_control()) {
            let problem = "PASCAL VOC cannot hold the name of this label: white space around it or control characters \
                           in it";
            return wrong(format!("label {}", shown(label)), problem);
        }
    }
    for split in &dataset.splits {
        if usual_split(&split.name) != Some(split.name.as_str()) {
            let problem = "PASCAL VOC knows train, val and test only; divide the data set with `mlcls data split` \
                           first";
            return wrong(format!("split {}", shown(&split.name)), problem);
        }
    }
    Ok(())
}

/// The items by their ids in VOC, which keeps the images of all splits together.
fn images<'d>(dataset: &'d Dataset, root: &Path) -> Result<Vec<(String, &'d Item)>, Error> {
    let mut by_id: HashMap<String, &Item> = HashMap::new();
    let mut images = Vec::new();
    let items = dataset.splits.iter().flat_map(|split| &split.items);
    for item in items {
        let wrong = |problem: String| {
            Err(Error::Field { file: root.to_owned(), field: format!("item \"{}\"", item.id), problem })
        };
        let id = voc_name(&item.id);
        let name = path_under(&item.image, &root.join("JPEGImages"));
        let named_by_id = |name: &str| {
            is_image_name(name)
                && name.rsplit_once('.').is_some_and(|(stem, _)| stem == id)
                && stays_inside(&id)
        };
        if !name.as_deref().is_some_and(named_by_id) {
            let image = item.image.display();
            return wrong(format!(
                "its image is {image}; PASCAL VOC needs JPEGImages/{id} and the ending of an image"
            ));
        }
        match by_id.insert(id.clone(), item) {
            None => images.push((id, item)),
            Some(other) if other.image == item.image && other.states == item.states => {}
            Some(other) => {
                let which = if other.id == item.id {
                    "in another split".to_owned()
                } else {
                    format!("\"{}\"", other.id)
                };
                return wrong(format!(
                    "there is an item {which} with the same id in PASCAL VOC, `{id}`, and other labels or another image; \
                     ids must be unique over all splits"
                ));
            }
        }
    }
    Ok(images)
}

/// What reads back differently, in words.
fn changes(dataset: &Dataset, in_lists: bool) -> Vec<String> {
    let items = || dataset.splits.iter().flat_map(|split| &split.items);
    let mut changes =
        vec!["the annotations have no boxes: labels of whole images say nothing of places".to_owned()];
    if !dataset.labels.is_sorted() {
        changes.push("labels have no order in PASCAL VOC and are read back in alphabetical order".to_owned());
    }
    let renamed: Vec<&str> = items().map(|item| item.id.as_str()).filter(|id| voc_name(id) != **id).collect();
    if let Some(id) = renamed.first() {
        changes.push(format!(
            "{} white space or a slash and became another: {} is {}",
            count(renamed.len(), "id has", "ids have"),
            shown(id),
            shown(&voc_name(id))
        ));
    }
    if !in_lists {
        let odd: Vec<&String> = dataset.labels.iter().filter(|label| !can_be_file_name(label)).collect();
        changes.push(format!(
            "{} cannot be part of a file name, so no label has lists of its own; the states are in Annotations/*.xml",
            some_of(&odd)
        ));
        let told = |label: usize| items().any(|item| item.states[label] != LabelState::Absent);
        let gone = dataset.labels.iter().enumerate().filter(|(label, _)| !told(*label));
        let gone: Vec<&String> = gone.map(|(_, name)| name).collect();
        if !gone.is_empty() {
            let noun = count(gone.len(), "label", "labels");
            changes.push(format!("{noun} of no image, which only lists could name: {}", some_of(&gone)));
        }
    }
    let empty: Vec<&String> = dataset.splits.iter().filter(|s| s.items.is_empty()).map(|s| &s.name).collect();
    if !empty.is_empty() {
        changes.push(format!("splits without images are not written: {}", some_of(&empty)));
    }
    changes
}

/// One `Annotations/<id>.xml`.
fn annotation(folder: &str, item: &Item, labels: &[String]) -> String {
    let name = item.image.file_name().unwrap_or_default().to_string_lossy();
    let mut xml = format!(
        "<annotation>\n\t<folder>{}</folder>\n\t<filename>{}</filename>\n",
        escaped(folder),
        escaped(&name)
    );
    if let Some((width, height, depth)) = size(&item.image) {
        xml += &format!(
            "\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>{depth}</depth>\n\t</size>\n"
        );
    }
    for (label, state) in labels.iter().zip(&item.states) {
        let difficult = match state {
            LabelState::Present => 0,
            LabelState::Unknown => 1,
            LabelState::Absent => continue,
        };
        let label = escaped(label);
        xml += &format!(
            "\t<object>\n\t\t<name>{label}</name>\n\t\t<difficult>{difficult}</difficult>\n\t</object>\n"
        );
    }
    xml + "</annotation>\n"
}

/// Width, height and channels, from the header of an image; nothing where that cannot be read.
fn size(image: &Path) -> Option<(u32, u32, u8)> {
    let decoder = ImageReader::open(image).ok()?.with_guessed_format().ok()?.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    Some((width, height, decoder.color_type().channel_count()))
}

/// A name as VOC's lists can hold it, which end names at white space and lie in one folder.
fn voc_name(name: &str) -> String {
    // A byte order mark at the head of a list would be taken for the mark of the file.
    let kept =
        |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '\u{feff}')) && is_xml(c);
    name.chars().map(|c| if kept(c) { c } else { '_' }).collect()
}

fn can_be_file_name(label: &str) -> bool {
    // 255 is the longest name of most file systems, and `_train.txt.part` is put behind it.
    !label.contains(['/', '\\']) && label.len() <= 240
}

/// Whether XML 1.0 can hold a character at all.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.chars().map(|c| if is_xml(c) { c } else { '_' }).collect()
}
