//! What is written as Datumaro reads back as the same data set.

use std::collections::BTreeSet;
use std::fs;

use mlcls_data::{Dataset, Format, Images, Item, LabelState, ReadOptions, Split, WriteFormat, write_dataset};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{Dir, states};

fn state() -> impl Strategy<Value = LabelState> {
    prop_oneof![Just(LabelState::Absent), Just(LabelState::Present), Just(LabelState::Unknown)]
}

/// Data sets of one to five labels and splits of some items, with names of any letters.
fn datasets() -> impl Strategy<Value = Dataset> {
    prop::collection::btree_set("\\PC*[^\\s\\pC]\\PC*", 1..5).prop_flat_map(|labels: BTreeSet<String>| {
        let item = ("[^/\\\\]{0,12}", prop::collection::vec(state(), labels.len()));
        let split = prop::collection::btree_map(item.0, item.1, 1..6);
        prop::collection::vec(split, 1..4).prop_map(move |splits| {
            let split = |(name, items): (&str, std::collections::BTreeMap<String, Vec<LabelState>>)| Split {
                name: name.to_owned(),
                items: items
                    .into_iter()
                    .enumerate()
                    .map(|(i, (id, states))| Item { id, image: format!("{name}/{i}.jpg").into(), states })
                    .collect(),
            };
            Dataset {
                root: "images".into(),
                format: Format::Datumaro,
                labels: labels.iter().cloned().collect(),
                splits: ["train", "val", "test"].into_iter().zip(splits).map(split).collect(),
                notes: Vec::new(),
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back(mut dataset in datasets()) {
        let dir = Dir::new();
        for split in &mut dataset.splits {
            dir.folder(&format!("images/{}", split.name));
            for item in &mut split.items {
                item.image = dir.join("images").join(&item.image);
                fs::write(&item.image, "").unwrap();
            }
        }
        write_dataset(&dataset, dir.path(), WriteFormat::Datumaro, Images::InPlace).unwrap();
        let again = dir.open();
        prop_assert_eq!(again.fingerprint(), dataset.fingerprint());
        prop_assert_eq!(&again.labels, &dataset.labels);
        prop_assert_eq!(&again.splits, &dataset.splits);
    }
}

fn pets(dir: &Dir) -> Dataset {
    let item = |id: &str, image: &str, states: [LabelState; 2]| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(4, 3).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        dir.file(image, bytes.into_inner());
        Item { id: id.into(), image: dir.join(image), states: states.to_vec() }
    };
    use LabelState::{Absent, Present, Unknown};
    let train = vec![
        item("a", "images/train/first.png", [Present, Present]),
        item("sub/b", "images/second.png", [Unknown, Absent]),
        item("c", "images/train/third.png", [Absent, Absent]),
    ];
    Dataset {
        root: dir.path().to_owned(),
        format: Format::Voc,
        labels: vec!["cat".into(), "dog".into()],
        splits: vec![Split { name: "train".into(), items: train }],
        notes: Vec::new(),
    }
}

#[test]
fn the_fields_are_those_that_otx_reads() {
    let dir = Dir::new();
    write_dataset(&pets(&dir), dir.path(), WriteFormat::Datumaro, Images::InPlace).unwrap();
    let written: Value =
        serde_json::from_slice(&fs::read(dir.join("annotations/train.json")).unwrap()).unwrap();
    let expected: Value = serde_json::from_str(
        r#"{
            "dm_format_version": "1.0",
            "media_type": 2,
            "infos": {},
            "categories": {"label": {
                "labels": [
                    {"name": "cat", "parent": "", "attributes": []},
                    {"name": "dog", "parent": "", "attributes": []}
                ],
                "label_groups": [
                    {"name": "Classification labels___cat", "group_type": "exclusive", "labels": ["cat"]},
                    {"name": "Classification labels___dog", "group_type": "exclusive", "labels": ["dog"]}
                ],
                "attributes": []
            }},
            "items": [
                {
                    "id": "a",
                    "annotations": [
                        {"id": 0, "type": "label", "attributes": {}, "group": 0, "label_id": 0},
                        {"id": 0, "type": "label", "attributes": {}, "group": 0, "label_id": 1}
                    ],
                    "attr": {"has_empty_label": false},
                    "image": {"path": "first.png", "size": [3, 4]}
                },
                {
                    "id": "sub/b",
                    "annotations": [],
                    "attr": {"has_empty_label": false, "ignored_labels": ["cat"]},
                    "image": {"path": "second.png", "size": [3, 4]}
                },
                {
                    "id": "c",
                    "annotations": [],
                    "attr": {"has_empty_label": true},
                    "image": {"path": "third.png", "size": [3, 4]}
                }
            ]
        }"#,
    )
    .unwrap();
    assert_eq!(written, expected);
}

#[test]
fn copied_images_are_found_again() {
    let (from, to) = (Dir::new(), Dir::new());
    let dataset = pets(&from);
    write_dataset(&dataset, to.path(), WriteFormat::Datumaro, Images::Copy).unwrap();
    let again = to.open();
    assert_eq!(again.fingerprint(), dataset.fingerprint());
    let images: Vec<_> =
        again.splits[0].items.iter().map(|item| to.relative(item.image.to_str().unwrap())).collect();
    assert_eq!(images, ["ROOT/images/train/a.png", "ROOT/images/train/sub/b.png", "ROOT/images/train/c.png"]);
    for (old, new) in dataset.splits[0].items.iter().zip(&again.splits[0].items) {
        assert_eq!(fs::read(&old.image).unwrap(), fs::read(&new.image).unwrap());
        assert_eq!(states(old), states(new));
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let (from, to) = (Dir::new(), Dir::new());
    let mut dataset = pets(&from);
    let error =
        write_dataset(&dataset, to.path(), WriteFormat::Datumaro, Images::InPlace).unwrap_err().to_string();
    assert_eq!(
        to.relative(&error),
        format!(
            "ROOT/annotations/train.json: image of item \"a\": {} does not lie under ROOT/images",
            from.join("images/train/first.png").display()
        )
    );
    dataset.splits[0].items[1].id = "../b".into();
    let error =
        write_dataset(&dataset, to.path(), WriteFormat::Datumaro, Images::Copy).unwrap_err().to_string();
    assert!(error.contains("the id cannot be a file name inside the data set"), "{error}");
    dataset.splits[0].items[1].id = "b".into();
    dataset.splits[0].items[1].image = from.join("gone.png");
    let error =
        write_dataset(&dataset, to.path(), WriteFormat::Datumaro, Images::Copy).unwrap_err().to_string();
    assert!(error.contains("gone.png: cannot be read"), "{error}");
    let file = from.join("images/second.png");
    let error = write_dataset(&dataset, &file, WriteFormat::Datumaro, Images::Copy).unwrap_err().to_string();
    assert!(error.contains("cannot be written"), "{error}");
}

#[test]
fn voc_converted_to_datumaro_keeps_its_fingerprint() {
    let (voc, datumaro) = (Dir::new(), Dir::new());
    voc.file("ImageSets/Main/train.txt", "1\n2\n").file("JPEGImages/1.jpg", "").file("JPEGImages/2.jpg", "");
    voc.file("ImageSets/Main/cat_train.txt", "1 1\n2 0\n")
        .file("ImageSets/Main/dog_train.txt", "1 1\n2 -1\n");
    let dataset = Dataset::open(voc.path(), &ReadOptions::default()).unwrap();
    write_dataset(&dataset, datumaro.path(), WriteFormat::Datumaro, Images::Copy).unwrap();
    assert_eq!(datumaro.open().fingerprint(), dataset.fingerprint());
}

#[test]
fn images_are_copied_or_linked_and_two_never_become_one() {
    let from = Dir::new();
    let mut dataset = pets(&from);
    for images in [Images::Copy, Images::HardLink, Images::Symlink] {
        let to = Dir::new();
        for _ in 0..2 {
            // The second time everything is there already.
            write_dataset(&dataset, to.path(), WriteFormat::Datumaro, images).unwrap();
        }
        assert_eq!(to.open().fingerprint(), dataset.fingerprint());
        let copy = to.join("images/train/a.png");
        assert_eq!(copy.is_symlink(), images == Images::Symlink);
        assert_eq!(fs::read(copy).unwrap(), fs::read(from.join("images/train/first.png")).unwrap());
    }
    dataset.splits[0].items[1].id = "a".into();
    let to = Dir::new();
    let error = write_dataset(&dataset, to.path(), WriteFormat::Datumaro, Images::Copy).unwrap_err();
    assert!(error.to_string().contains("would replace"), "{error}");
    assert!(!to.join("annotations").exists());
}
