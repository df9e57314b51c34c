//! COCO: layouts, ids, crowds, and what is refused. Trees as their makers ship them are in `archives.rs`.

use mlcls_data::{Dataset, Doubtful, Format, ReadOptions};

use crate::support::{Dir, items};

/// A file of images a.jpg (1) and b.jpg (2), and categories dog (3) and cat (1).
pub fn pets(annotations: &str) -> String {
    format!(
        r#"{{"images": [{{"id": 1, "file_name": "a.jpg"}}, {{"id": 2, "file_name": "b.jpg"}}],
            "annotations": [{annotations}],
            "categories": [{{"id": 3, "name": "dog"}}, {{"id": 1, "name": "cat"}}]}}"#
    )
}

const DOG_IN_A: &str = r#"{"image_id": 1, "category_id": 3}"#;

/// Where the first image of the first split was found.
fn first_image(dir: &Dir, dataset: &Dataset) -> String {
    dir.relative(dataset.splits[0].items[0].image.to_str().unwrap())
}

#[test]
fn labels_are_in_the_order_of_their_ids_and_an_image_without_objects_is_a_negative() {
    let dir = Dir::new();
    let twice = format!("{DOG_IN_A}, {DOG_IN_A}");
    dir.file("annotations/instances_train.json", pets(&twice)).file("train/a.jpg", "");
    let dataset = dir.open();
    assert_eq!(
        (dataset.format, dataset.labels.as_slice()),
        (Format::Coco, &["cat".into(), "dog".into()][..])
    );
    assert_eq!(items(&dataset, "train"), ["a -+", "b --"]);
    assert_eq!(dataset.notes, ["warning: 1 label is never positive in train and cannot be learned: `cat`"]);
}

#[test]
fn keys_may_come_in_any_order_and_more_keys_are_passed_over() {
    let dir = Dir::new();
    dir.file(
        "annotations/instances_val.json",
        r#"{"info": {"categories": [{"id": 7}], "year": [[2014]]},
            "annotations": [{"segmentation": [[1.5, 2e3]], "category_id": 2, "id": 9, "image_id": 5, "iscrowd": 0,
                             "bbox": [0, 0, 1, 1], "area": null},
                            {"image_id": 6, "category_id": 1, "segmentation": {"counts": "a\"}]", "size": [1, 1]}}],
            "categories": [{"supercategory": "animal", "id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "licenses": null,
            "images": [{"file_name": "x/a.b.jpg", "id": 6}, {"id": 5, "file_name": "c", "flickr_url": {}}]}"#,
    );
    assert_eq!(items(&dir.open(), "val"), ["x/a.b +-", "c -+"]);
}

#[test]
fn crowds_are_positive_unknown_or_negative() {
    let dir = Dir::new();
    // Of the dogs in a, one is no crowd.
    let objects = r#"{"image_id": 1, "category_id": 3, "iscrowd": 1}, {"image_id": 1, "category_id": 3, "iscrowd": 0},
        {"image_id": 1, "category_id": 3, "iscrowd": true}, {"image_id": 2, "category_id": 1, "iscrowd": 1},
        {"image_id": 2, "category_id": 3, "iscrowd": null}"#;
    dir.file("annotations/instances_train.json", pets(objects));
    assert_eq!(items(&dir.open(), "train"), ["a -+", "b ++"]);
    for (crowd, b) in
        [(Doubtful::Positive, "b ++"), (Doubtful::Unknown, "b ?+"), (Doubtful::Negative, "b -+")]
    {
        let options = ReadOptions { crowd, ..ReadOptions::default() };
        assert_eq!(items(&Dataset::open(dir.path(), &options).unwrap(), "train"), ["a -+", b]);
    }
}

#[test]
fn ids_may_be_texts_and_large_or_negative_numbers() {
    let dir = Dir::new();
    dir.file(
        "annotations/instances_train.json",
        r#"{"images": [{"id": "7", "file_name": "a"}, {"id": 18446744073709551615, "file_name": "b"},
                       {"id": "x", "file_name": "c"}, {"id": -1, "file_name": "d"}],
            "annotations": [{"image_id": 7.0, "category_id": "2"}, {"image_id": "18446744073709551615", "category_id": 10},
                            {"image_id": "x", "category_id": "z"}, {"image_id": "-1", "category_id": -3}],
            "categories": [{"id": "z", "name": "Z"}, {"id": 10, "name": "ten"}, {"id": 2, "name": "two"},
                           {"id": -3, "name": "minus"}]}"#,
    );
    let dataset = dir.open();
    assert_eq!(dataset.labels, ["minus", "two", "ten", "Z"]);
    assert_eq!(items(&dataset, "train"), ["a -+--", "b --+-", "c ---+", "d +---"]);
}

#[test]
fn images_are_found_in_every_usual_place() {
    for (file, image, split) in [
        ("annotations/instances_train2017.json", "train2017/a.jpg", "train"),
        ("annotations/instances_val2014.json", "images/val2014/a.jpg", "val"),
        ("annotations/instances_train2017.json", "images/train/a.jpg", "train"),
        ("annotations/instances_train.json", "train/a.jpg", "train"),
        ("annotations/instances_train.json", "images/a.jpg", "train"),
        ("annotations/instances_default.json", "images/default/a.jpg", "all"),
        ("annotations/instances_fold_train.json", "fold_train/a.jpg", "fold_train"),
        ("annotations/train.json", "images/train/a.jpg", "train"),
        ("annotations/lvis_v1_val.json", "val/a.jpg", "val"),
        ("annotations/instances_train2017.json", "train2017/train2017/a.jpg", "train"),
        ("annotations_trainval2017/annotations/instances_val2017.json", "val2017/val2017/a.jpg", "val"),
        ("result.json", "a.jpg", "all"),
        ("_annotations.coco.json", "a.jpg", "all"),
        ("labels.json", "data/a.jpg", "all"),
    ] {
        let dir = Dir::new();
        dir.file(file, pets(DOG_IN_A)).file(image, "");
        // Folders that could hold the images, and do not.
        dir.folder("images").folder("train").folder("val2017");
        let dataset = dir.open();
        assert_eq!(first_image(&dir, &dataset), format!("ROOT/{image}"), "{file}");
        assert_eq!(dataset.splits[0].name, split, "{file}");
    }
}

#[test]
fn where_no_image_exists_the_likeliest_folder_is_named() {
    let dir = Dir::new();
    dir.file("annotations/instances_train2017.json", pets(DOG_IN_A));
    assert_eq!(first_image(&dir, &dir.open()), "ROOT/a.jpg");
    dir.folder("images/train2017");
    assert_eq!(first_image(&dir, &dir.open()), "ROOT/images/train2017/a.jpg");
}

#[test]
fn a_file_or_the_annotations_folder_may_be_named_itself() {
    let dir = Dir::new();
    dir.file("coco/annotations/instances_train.json", pets(DOG_IN_A)).file("coco/train/a.jpg", "");
    dir.file("coco/annotations/instances_val.json", pets("")).folder("coco/val");
    let open = |path: &str| Dataset::open(dir.join(path), &ReadOptions::default()).unwrap();
    let file = open("coco/annotations/instances_train.json");
    assert_eq!(items(&file, "train"), ["a -+", "b --"]);
    assert_eq!((file.splits.len(), first_image(&dir, &file)), (1, "ROOT/coco/train/a.jpg".to_owned()));
    let folder = open("coco/annotations");
    assert_eq!((folder.splits.len(), folder.root), (2, dir.join("coco")));
    assert_eq!(dir.relative(&folder.notes[0]), "read from `ROOT/coco`");

    dir.file("export/photos/x.JSON", pets(DOG_IN_A)).file("export/photos/a.jpg", "");
    let alone = open("export/photos/x.JSON");
    assert_eq!(
        (items(&alone, "all").len(), first_image(&dir, &alone)),
        (2, "ROOT/export/photos/a.jpg".to_owned())
    );
    // A split that only the folder tells.
    dir.file("export/valid/_annotations.coco.json", pets(DOG_IN_A));
    assert_eq!(items(&open("export/valid"), "val").len(), 2);
}

#[test]
fn a_datumaro_file_and_a_coco_file_in_the_same_place_are_told_apart() {
    let datumaro =
        r#"{"infos": {}, "categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [{"id": "a"}]}"#;
    let dir = Dir::new();
    dir.folder("images").file("annotations/train.json", pets(DOG_IN_A));
    assert_eq!(dir.open().format, Format::Coco);
    dir.file("annotations/val.json", datumaro);
    let dataset = dir.open();
    assert_eq!(dataset.format, Format::Datumaro);
    assert_eq!(
        dataset.notes,
        ["read as Datumaro; this is a COCO data set too", "passed over annotations/train.json: a COCO file"]
    );
    // A name decides before any look.
    let broken = Dir::new();
    broken.folder("images").file("annotations/instances_train.json", "{");
    assert!(
        broken.error().starts_with("ROOT/annotations/instances_train.json:1:1: EOF"),
        "{}",
        broken.error()
    );
}

#[test]
fn labels_of_all_splits_must_be_the_same_and_ids_are_a_files_own() {
    let dir = Dir::new();
    dir.file("annotations/instances_train.json", pets(DOG_IN_A));
    let val = |categories: &str| {
        format!(
            r#"{{"images": [{{"id": 4, "file_name": "c.jpg"}}], "annotations": [{{"image_id": 4, "category_id": 0}}],
                "categories": [{categories}]}}"#
        )
    };
    dir.file("annotations/instances_val.json", val(r#"{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}"#));
    let dataset = dir.open();
    assert_eq!(dataset.labels, ["cat", "dog"]);
    assert_eq!(items(&dataset, "val"), ["c -+"]);
    for (categories, difference) in [
        (
            r#"{"id": 0, "name": "cow"}, {"id": 1, "name": "cat"}"#,
            "only the first has `dog`, only the second has `cow`",
        ),
        (r#"{"id": 0, "name": "cat"}"#, "only the first has `dog`"),
        (
            r#"{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 2, "name": "dog"}"#,
            "the same, and some more than once (2 and 3 names)",
        ),
    ] {
        dir.file("annotations/instances_val.json", val(categories));
        let files = "ROOT/annotations/instances_train.json and ROOT/annotations/instances_val.json";
        assert_eq!(dir.error(), format!("{files} list different labels: {difference}"));
    }
}

#[test]
fn several_years_or_files_of_one_split_are_refused() {
    let dir = Dir::new();
    for name in ["instances_train2014", "instances_val2014", "instances_train2017", "captions_train2017"] {
        dir.file(&format!("annotations/{name}.json"), pets(DOG_IN_A));
    }
    assert_eq!(
        dir.error(),
        "ROOT: several data sets lie here (COCO 2014, COCO 2017): keep the annotations of one year in it and move \
         the others elsewhere"
    );
    let twice = Dir::new();
    twice.file("annotations/instances_val.json", pets("")).file("annotations/instances_valid.json", pets(""));
    assert_eq!(
        twice.error(),
        "ROOT/annotations/instances_val.json and ROOT/annotations/instances_valid.json are both the split `val`; \
         keep one of them"
    );
}

#[test]
fn files_that_are_left_out_get_one_note() {
    let dir = Dir::new();
    let train = format!("{DOG_IN_A}, {}", r#"{"image_id": 2, "category_id": 1}"#);
    dir.file("annotations/instances_train.json", pets(&train)).file("annotations/train.json", pets(""));
    dir.file("annotations/stuff_train2017.json", "never looked at");
    let dataset = dir.open();
    assert_eq!(dataset.splits.len(), 1);
    assert_eq!(dataset.notes, ["JSON files that are left out: `stuff_train2017.json`, `train.json`"]);
}
