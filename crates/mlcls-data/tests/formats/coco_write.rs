//! What is written as COCO: to the letter, and read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use mlcls_data::{Dataset, Format, Images, Item, LabelState, Split, WriteFormat, write_dataset};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Dir, items};

const NO_BOXES: &str =
    "the annotations have no bbox, area and segmentation: labels of whole images say nothing of them";

/// Data sets of one to four labels without unknown states. Labels are in no order, splits have usual names or not.
fn datasets() -> impl Strategy<Value = Dataset> {
    let labels = prop::collection::hash_set("\\PC*[^\\s\\pC]\\PC*", 1..5);
    labels.prop_flat_map(|labels| {
        let states = prop::collection::vec(prop::bool::ANY, labels.len());
        let split = prop::collection::btree_map("[^/\\\\\0]{1,12}", states, 1..6);
        let splits = prop::collection::btree_map("train|val|test|fold_[0-9]", split, 1..4);
        splits.prop_map(move |splits| {
            let item = |(id, states): (String, Vec<bool>)| Item {
                id,
                image: "source.jpg".into(),
                states: states
                    .iter()
                    .map(|s| if *s { LabelState::Present } else { LabelState::Absent })
                    .collect(),
            };
            let split = |(name, items): (String, BTreeMap<String, Vec<bool>>)| Split {
                name,
                items: items.into_iter().map(item).collect(),
            };
            Dataset {
                root: "images".into(),
                format: Format::Datumaro,
                labels: labels.iter().cloned().collect(),
                splits: splits.into_iter().map(split).collect(),
                notes: Vec::new(),
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_has_no_unknown_state_reads_back(mut dataset in datasets()) {
        let (from, to) = (Dir::new(), Dir::new());
        for (at, item) in dataset.splits.iter_mut().flat_map(|split| &mut split.items).enumerate() {
            item.image = from.join(&format!("{at}.jpg"));
            fs::write(&item.image, at.to_string()).unwrap();
        }
        let said = write_dataset(&dataset, to.path(), WriteFormat::Coco, Images::Copy).unwrap();
        prop_assert_eq!(said, [NO_BOXES]);
        let again = to.open();
        prop_assert_eq!((&again.labels, again.splits.len()), (&dataset.labels, dataset.splits.len()));
        for split in &dataset.splits {
            prop_assert_eq!(items(&again, &split.name), items(&dataset, &split.name));
            for (new, old) in again.split(&split.name).unwrap().items.iter().zip(&split.items) {
                prop_assert_eq!(fs::read(&new.image).unwrap(), fs::read(&old.image).unwrap());
            }
        }
    }
}

/// One split of three images, 4 by 3 pixels, and a file that is no image.
fn pets(dir: &Dir) -> Dataset {
    use LabelState::{Absent, Present, Unknown};
    let item = |id: &str, states: [LabelState; 2]| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(4, 3).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        dir.file(&format!("{id}.png"), bytes.into_inner());
        Item { id: id.into(), image: dir.join(&format!("{id}.png")), states: states.to_vec() }
    };
    let train = vec![
        item("a", [Present, Present]),
        item("sub/b", [Unknown, Unknown]),
        item("c", [Unknown, Absent]),
        item("d", [Absent, Present]),
    ];
    dir.file("d.png", "no image");
    Dataset {
        root: dir.path().to_owned(),
        format: Format::Datumaro,
        labels: vec!["zebra".into(), "ant".into()],
        splits: vec![Split { name: "train".into(), items: train }],
        notes: Vec::new(),
    }
}

#[test]
fn the_fields_are_cocos_and_what_is_lost_is_said() {
    let (from, to) = (Dir::new(), Dir::new());
    let dataset = pets(&from);
    let said = write_dataset(&dataset, to.path(), WriteFormat::Coco, Images::Symlink).unwrap();
    assert_eq!(said, [NO_BOXES, "3 unknown states of 2 images are written as absent"]);
    let text = fs::read(to.join("annotations/instances_train.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&text).unwrap(),
        json!({
            "images": [
                {"id": 1, "file_name": "a.png", "width": 4, "height": 3},
                {"id": 2, "file_name": "sub/b.png", "width": 4, "height": 3},
                {"id": 3, "file_name": "c.png", "width": 4, "height": 3},
                {"id": 4, "file_name": "d.png"},
            ],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0},
                {"id": 2, "image_id": 1, "category_id": 2, "iscrowd": 0},
                {"id": 3, "image_id": 4, "category_id": 2, "iscrowd": 0},
            ],
            "categories": [
                {"id": 1, "name": "zebra", "supercategory": ""},
                {"id": 2, "name": "ant", "supercategory": ""},
            ],
        })
    );
    let names: BTreeSet<String> =
        to.path().read_dir().unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
    assert_eq!(names.iter().collect::<Vec<_>>(), ["annotations", "train"]);
    assert_eq!(items(&to.open(), "train"), ["a ++", "sub/b --", "c --", "d -+"]);
}

#[test]
fn images_that_stay_must_lie_under_their_ids() {
    let dir = Dir::new();
    let mut dataset = pets(&dir);
    let write = |dataset: &Dataset| {
        let outcome = write_dataset(dataset, dir.path(), WriteFormat::Coco, Images::InPlace);
        outcome.map_err(|error| dir.relative(&error.to_string()))
    };
    let place = "ROOT/annotations/instances_train.json: image of item \"a\"";
    assert_eq!(write(&dataset).unwrap_err(), format!("{place}: ROOT/a.png is not ROOT/train/a.*"));
    for item in &mut dataset.splits[0].items {
        item.image = dir.join(&format!("train/{}.png", item.id));
    }
    assert!(write(&dataset).is_ok());
    dataset.splits[0].items[0].image = dir.join("train/x.png");
    assert_eq!(write(&dataset).unwrap_err(), format!("{place}: ROOT/train/x.png is not ROOT/train/a.*"));
}
