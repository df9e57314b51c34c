//! Datumaro JSON: every field that is read, the rules for paths and names, and what is refused.

use serde_json::{Value, json};

use crate::support::{Dir, items};

/// An annotation file as OTX 2.x's test data has it, with these labels and items.
fn annotations(labels: &[&str], items: Value) -> String {
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

fn label(id: impl Into<Value>) -> Value {
    json!({"id": 0, "type": "label", "attributes": {}, "group": 0, "label_id": id.into()})
}

fn item(id: &str, annotations: Value) -> Value {
    json!({
        "id": id,
        "annotations": annotations,
        "attr": {"has_empty_label": false},
        "image": {"path": format!("{id}.jpg"), "size": [720, 1280]},
    })
}

/// A data set of one split `train` with the labels cat and dog.
fn train(items: Value) -> Dir {
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
fn an_unknown_name_among_the_ignored_labels_is_refused_with_the_nearest() {
    let dir = train(json!([{"id": "a", "attr": {"ignored_labels": ["cat", "dgo"]}}]));
    assert_eq!(
        dir.error(),
        "ROOT/annotations/train.json: items[0] (id \"a\").attr.ignored_labels[1]: \
         there is no label `dgo`; did you mean `dog`?"
    );
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
fn two_files_for_one_split_are_refused() {
    let dir = train(json!([item("a", json!([]))]));
    dir.file("annotations/training.json", annotations(&["cat", "dog"], json!([item("b", json!([]))])));
    assert_eq!(
        dir.error(),
        "ROOT/annotations/train.json and ROOT/annotations/training.json are both the split `train`; \
         keep one of them"
    );
}

#[test]
fn a_label_id_out_of_range_is_refused_with_its_place() {
    for id in [json!(2), json!(-1), json!(u64::MAX), json!(1_000_000)] {
        let dir = train(json!([item("a", json!([])), item("b", json!([label(0), label(id.clone())]))]));
        assert_eq!(
            dir.error(),
            format!(
                "ROOT/annotations/train.json: items[1] (id \"b\").annotations[1].label_id: label id {id} is out \
                 of range: the file lists 2 labels, so ids go from 0 to 1"
            )
        );
    }
}

#[test]
fn a_label_id_that_is_no_whole_number_is_refused() {
    for (id, problem) in [
        (json!("cat"), "found \"cat\"; expected a label id, a whole number from 0"),
        (json!(null), "found nothing; expected a label id, a whole number from 0"),
        (json!([0]), "found [0]; expected a label id, a whole number from 0"),
        (json!(0.5), "found 0.5; a label id is a whole number"),
        (json!(1e300), "found 1e+300; a label id is a whole number"),
    ] {
        let dir = train(json!([item("a", json!([label(id)]))]));
        let place = "ROOT/annotations/train.json: items[0] (id \"a\").annotations[0].label_id: ";
        assert_eq!(dir.error(), format!("{place}{problem}"));
    }
}

#[test]
fn splits_that_list_different_labels_are_refused() {
    for (labels, difference) in [
        (&["cat", "cow"][..], "only the first has `dog`, only the second has `cow`"),
        (&["cat"], "only the first has `dog`"),
        (&["cat", "dog", "emu"], "only the second has `emu`"),
        (&["dog", "cat"], "the same in another order (id 0 is `cat` and `dog`)"),
    ] {
        let dir = train(json!([item("a", json!([]))]));
        dir.file("annotations/val.json", annotations(labels, json!([item("b", json!([]))])));
        assert_eq!(
            dir.error(),
            format!(
                "ROOT/annotations/train.json and ROOT/annotations/val.json list different labels: {difference}"
            )
        );
    }
}

#[test]
fn all_duplicate_ids_are_named() {
    let items = ["a", "b", "a", "c", "b", "b"].map(|id| item(id, json!([])));
    assert_eq!(
        train(json!(items)).error(),
        "ROOT/annotations/train.json: 2 ids are listed more than once: `a`, `b`; ids must be unique in a split"
    );
}

#[test]
fn a_split_or_label_list_without_content_is_refused() {
    assert_eq!(
        train(json!([])).error(),
        "ROOT/annotations/train.json: no items; remove the file, or add items to it"
    );
    for (labels, problem) in [
        (&[][..], "categories.label.labels: no labels; expected at least one"),
        (&["cat", " "], "categories.label.labels[1].name: the name is empty"),
        (&["cat", "dog", "cat"], "categories.label.labels[2].name: the label `cat` is listed a second time"),
    ] {
        let dir = Dir::new();
        dir.folder("images").file("annotations/train.json", annotations(labels, json!([])));
        assert_eq!(dir.error(), format!("ROOT/annotations/train.json: {problem}"));
    }
}

#[test]
fn a_missing_images_folder_is_named_with_the_nearest() {
    let dir = Dir::new();
    dir.folder("image").file("annotations/train.json", annotations(&["cat"], json!([])));
    assert_eq!(dir.error(), "ROOT/images: no such folder; did you mean `image`?");
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
