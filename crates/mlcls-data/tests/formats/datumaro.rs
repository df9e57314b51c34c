//! Datumaro JSON: every field that is read, and the rules for paths and names.

use serde_json::{Value, json};

use crate::support::{Dir, items};

/// An annotation file as OTX 2.x's test data has it, with these labels and items.
pub fn annotations(labels: &[&str], items: Value) -> String {
    let groups = labels.iter().map(|name| {
        json!({"name": format!("Classification labels___{name}"), "group_type": "exclusive", "labels": [name]})
    });
    json!({
        "dm_format_version": "1.0",
        "media_type": 2,
        "infos": {"GetiProjectTask": "classification"},
        "categories": {
            "label": {
                "labels": labels.iter().map(|n| json!({"name": n, "parent": "", "attributes": []})).collect::<Value>(),
                "label_groups": groups.collect::<Value>(),
                "attributes": [],
            },
            "mask": {"colormap": [{"label_id": 0, "r": 241, "g": 91, "b": 133}]},
        },
        "items": items,
    })
    .to_string()
}

pub fn label(id: impl Into<Value>) -> Value {
    json!({"id": 0, "type": "label", "attributes": {}, "group": 0, "label_id": id.into()})
}

pub fn item(id: &str, annotations: Value) -> Value {
    json!({
        "id": id,
        "annotations": annotations,
        "attr": {"has_empty_label": false},
        "image": {"path": format!("{id}.jpg"), "size": [720, 1280]},
    })
}

/// A data set of one split `train` with the labels cat and dog.
pub fn train(items: Value) -> Dir {
    let dir = Dir::new();
    dir.folder("images").file("annotations/train.json", annotations(&["cat", "dog"], items));
    dir
}

#[test]
fn items_are_read_in_order() {
    let dir = train(json!([
        item("b", json!([label(1)])),
        item("a", json!([label(0), label(1)])),
        item("none", json!([])),
    ]));
    let dataset = dir.open();
    assert_eq!(dataset.labels, ["cat", "dog"]);
    assert_eq!(items(&dataset, "train"), ["b -+", "a ++", "none --"]);
    assert_eq!(dataset.notes, [""; 0]);
}

#[test]
fn a_label_annotated_twice_is_present_once() {
    let dir = train(json!([item("a", json!([label(0), label(1), label(0), label(0)]))]));
    assert_eq!(items(&dir.open(), "train"), ["a ++"]);
}

#[test]
fn optional_fields_may_be_left_out_or_null() {
    let dir = train(json!([
        {"id": "bare"},
        {"id": "nulls", "annotations": [label(0), label(1)], "attr": null, "image": null},
        {"id": "empty", "attr": {}, "image": {}},
        {"id": "odd", "attr": {"has_empty_label": "yes", "ignored_labels": null}, "image": {"path": null}},
    ]));
    let dataset = dir.open();
    assert_eq!(items(&dataset, "train"), ["bare --", "nulls ++", "empty --", "odd --"]);
    assert_eq!(dataset.splits[0].items[0].image, dir.join("images/train/bare.jpg"));
}

#[test]
fn other_annotations_are_passed_over_and_counted() {
    let dir = train(json!([
        item("a", json!([label(0), {"type": "bbox", "label_id": 1, "bbox": [0, 0, 5, 5]}])),
        item("b", json!([label(1), {"type": "bbox", "label_id": null}, {"type": "caption", "caption": "b"}])),
    ]));
    let dataset = dir.open();
    assert_eq!(items(&dataset, "train"), ["a +-", "b -+"]);
    assert_eq!(
        dataset.notes,
        ["passed over 3 annotations that are not whole-image labels: 2 bbox, 1 caption"]
    );
}

#[test]
fn ignored_labels_are_unknown_by_name_and_by_id_carried_or_not() {
    let with = |id: &str, carried: Value, ignored: Value| {
        let mut item = item(id, carried);
        item["attr"]["ignored_labels"] = ignored;
        item
    };
    let dir = train(json!([
        item("sound", json!([label(0), label(1)])),
        with("name", json!([label(1)]), json!(["cat"])),
        with("id", json!([label(0)]), json!([0])),
        with("all", json!([]), json!(["dog", "cat", "dog"])),
        with("none", json!([label(0)]), json!([])),
    ]));
    assert_eq!(items(&dir.open(), "train"), ["sound ++", "name ?+", "id ?-", "all ??", "none +-"]);
}

#[test]
fn images_are_looked_up_by_path_and_then_by_id_in_the_subset_and_then_above_it() {
    let named = |id: &str, path: &str| json!({"id": id, "annotations": [], "image": {"path": path}});
    let dir = Dir::new();
    let content = json!([
        named("1", "both.png"),
        named("2", "above.png"),
        named("3", "gone.png"),
        named("4", "gone.png"),
        named("5", "deep/er.png"),
        named("6", "nowhere.png"),
        named("7", ""),
    ]);
    dir.file("annotations/validation.json", annotations(&["cat"], content));
    for path in ["validation/both.png", "both.png", "above.png", "validation/3.jpg", "4.jpg"] {
        dir.file(&format!("images/{path}"), "");
    }
    dir.file("images/validation/deep/er.png", "");
    let dataset = dir.open();
    let found: Vec<_> = dataset.split("val").unwrap().items.iter().map(|item| &item.image).collect();
    let expected = [
        "validation/both.png",
        "above.png",
        "validation/3.jpg",
        "4.jpg",
        "validation/deep/er.png",
        "validation/nowhere.png",
        "validation/7.jpg",
    ];
    assert_eq!(found, expected.map(|path| dir.join("images").join(path)).each_ref());
}

#[test]
fn split_names_are_brought_to_train_val_test() {
    for (stem, name) in [
        ("train", "train"),
        ("Training", "train"),
        ("valid", "val"),
        ("VAL", "val"),
        ("validation", "val"),
        ("testing", "test"),
        ("Holdout", "Holdout"),
    ] {
        let dir = Dir::new();
        dir.file(&format!("annotations/{stem}.json"), annotations(&["cat"], json!([item("a", json!([]))])));
        dir.file(&format!("images/{stem}/a.jpg"), "");
        let dataset = dir.open();
        assert_eq!(dataset.splits[0].name, name);
        assert_eq!(dataset.splits[0].items[0].image, dir.join(&format!("images/{stem}/a.jpg")));
    }
}

#[test]
fn splits_come_in_the_order_train_val_test_others() {
    let dir = Dir::new();
    dir.folder("images");
    for stem in ["extra", "test", "blind", "valid", "train"] {
        let content = json!([item("a", json!([label(0)]))]);
        dir.file(&format!("annotations/{stem}.json"), annotations(&["cat"], content));
    }
    let dataset = dir.open();
    let names: Vec<_> = dataset.splits.iter().map(|split| split.name.as_str()).collect();
    assert_eq!(names, ["train", "val", "test", "blind", "extra"]);
}

#[test]
fn groups_that_exclude_labels_parents_and_other_media_are_noted() {
    let dir = Dir::new();
    let content = json!({
        "media_type": 6,
        "categories": {"label": {
            "labels": [{"name": "cat", "parent": "pet"}, {"name": "dog"}],
            "label_groups": [{"name": "kind", "group_type": "exclusive", "labels": ["cat", "dog"]}],
        }},
        "items": [{"id": "a", "annotations": [label(0), label(1)]}],
    });
    dir.folder("images").file("annotations/train.json", content.to_string());
    assert_eq!(
        dir.open().notes,
        [
            "media_type is 6; read as images all the same (2)",
            "label group `kind` makes `cat`, `dog` exclude one another; read as independent",
            "1 label has a parent; the hierarchy is not used",
        ]
    );
}

#[test]
fn labels_that_train_never_shows_and_labels_spelled_twice_are_noted() {
    let dir = Dir::new();
    let labels = ["cat", "Cat", "dog"];
    dir.folder("images");
    dir.file("annotations/train.json", annotations(&labels, json!([item("a", json!([label(0), label(1)]))])));
    dir.file("annotations/test.json", annotations(&labels, json!([item("a", json!([label(2)]))])));
    assert_eq!(
        dir.open().notes,
        [
            "warning: 1 label is never positive in train and cannot be learned: `dog`",
            "warning: the labels `cat` and `Cat` differ only in case or white space",
        ]
    );
}

#[test]
fn an_image_in_two_splits_is_noted() {
    let dir = train(json!([item("a", json!([label(0), label(1)])), item("b", json!([]))]));
    dir.file("annotations/val.json", annotations(&["cat", "dog"], json!([item("b", json!([]))])));
    dir.file("images/b.jpg", "");
    assert_eq!(dir.open().notes, ["warning: train and val share 1 image: `b`"]);
}
