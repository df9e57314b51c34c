//! PASCAL VOC: lists, objects, difficult marks, and what is refused.

use mlcls_data::{Dataset, Doubtful, ReadOptions};

use crate::support::{Dir, items};

/// An annotation with these objects: a name, or a name and `!` for a difficult one.
fn annotation(objects: &[&str]) -> String {
    let object = |name: &&str| match name.strip_suffix('!') {
        Some(name) => format!("<object>\n<name>{name}</name><difficult>1</difficult></object>"),
        None => format!("<object><name>{name}</name><difficult>0</difficult></object>"),
    };
    let objects: String = objects.iter().map(object).collect();
    format!("<?xml version=\"1.0\"?>\n<annotation><folder>VOC</folder>{objects}</annotation>")
}

/// A data set with XML only: lists by name, annotations by id.
fn with_xml(lists: &[(&str, &str)], annotations: &[(&str, &[&str])]) -> Dir {
    let dir = Dir::new();
    dir.folder("JPEGImages").folder("Annotations");
    for (name, ids) in lists {
        dir.file(&format!("ImageSets/Main/{name}.txt"), ids);
    }
    for (id, objects) in annotations {
        dir.file(&format!("Annotations/{id}.xml"), annotation(objects));
    }
    dir
}

const PETS: &[(&str, &[&str])] =
    &[("1", &["dog", "cat", "dog"]), ("2", &["cat!"]), ("3", &["dog!", "dog", "cat!", "cat!"]), ("4", &[])];

#[test]
fn objects_become_states_and_labels_are_in_alphabetical_order() {
    let dataset = with_xml(&[("train", "1\n3\n"), ("val", "2\n4\n")], PETS).open();
    assert_eq!(dataset.labels, ["cat", "dog"]);
    assert_eq!(items(&dataset, "train"), ["1 ++", "3 ?+"]);
    assert_eq!(items(&dataset, "val"), ["2 ?-", "4 --"]);
    assert_eq!(dataset.notes, [""; 0]);
}

#[test]
fn difficult_is_unknown_positive_or_negative() {
    let dir = with_xml(&[("train", "1\n2\n3\n")], PETS);
    for (difficult, expected) in [
        (Doubtful::Unknown, ["1 ++", "2 ?-", "3 ?+"]),
        (Doubtful::Positive, ["1 ++", "2 +-", "3 ++"]),
        (Doubtful::Negative, ["1 ++", "2 --", "3 -+"]),
    ] {
        let dataset =
            Dataset::open(dir.path(), &ReadOptions { difficult, ..ReadOptions::default() }).unwrap();
        assert_eq!(items(&dataset, "train"), expected);
    }
}

#[test]
fn missing_tags_parts_and_nested_names_are_no_trouble() {
    let dir = with_xml(&[("train", "1")], &[]);
    dir.file(
        "Annotations/1.xml",
        "<annotation><object><part><name>head</name><difficult>1</difficult></part><name>\n cat </name></object>\
         <object><name>dog</name><difficult></difficult></object><object><name>cow</name><difficult> 1 </difficult>\
         </object><source><object><name>emu</name></object></source></annotation>",
    );
    let dataset = dir.open();
    assert_eq!(dataset.labels, ["cat", "cow", "dog"]);
    assert_eq!(items(&dataset, "train"), ["1 +?+"]);
}

#[test]
fn lists_may_have_blank_lines_other_line_ends_and_a_byte_order_mark() {
    let dir = with_xml(&[("train", "\u{feff}1\r\n\r\n  2  \n\n\n3")], PETS);
    assert_eq!(items(&dir.open(), "train"), ["1 ++", "2 ?-", "3 ?+"]);
}

/// Adds `<label>_<list>.txt`.
fn label_file(dir: &Dir, label: &str, list: &str, marks: &str) {
    dir.file(&format!("ImageSets/Main/{label}_{list}.txt"), marks);
}

#[test]
fn files_per_label_are_read_where_all_are_there() {
    // The XML has lost its difficult objects, the files per label have not.
    let dir = with_xml(&[("train", "1\n2\n")], &[("1", &["cat"]), ("2", &[])]);
    label_file(&dir, "cat", "train", "1  1\n2 -1\n");
    label_file(&dir, "dog", "train", "1  0\n\n2  1\nnot_in_train 1\n");
    let dataset = dir.open();
    assert_eq!(dataset.labels, ["cat", "dog"]);
    assert_eq!(items(&dataset, "train"), ["1 +?", "2 -+"]);
    let positive = ReadOptions { difficult: Doubtful::Positive, ..ReadOptions::default() };
    assert_eq!(items(&Dataset::open(dir.path(), &positive).unwrap(), "train"), ["1 ++", "2 -+"]);
}

#[test]
fn xml_is_read_where_one_of_the_files_per_label_is_missing() {
    let dir = with_xml(&[("train", "1\n"), ("val", "2\n")], &[("1", &["cat", "dog"]), ("2", &["dog"])]);
    label_file(&dir, "cat", "train", "1 -1\n");
    label_file(&dir, "dog", "train", "1 -1\n");
    label_file(&dir, "dog", "val", "2 -1\n");
    let dataset = dir.open();
    assert_eq!(items(&dataset, "train"), ["1 ++"]);
    assert_eq!(
        dataset.notes,
        ["`cat_val.txt` is missing, so all label states are read from Annotations/*.xml"]
    );
}

#[test]
fn both_sources_give_the_same_states_for_an_official_layout() {
    let lists = [("train", "1\n3\n"), ("val", "2\n4\n"), ("trainval", "1\n2\n3\n4\n")];
    let xml = with_xml(&lists, PETS);
    let both = with_xml(&lists, PETS);
    for (label, train, val, all) in [
        ("cat", "1  1\n3  0\n", "2  0\n4 -1\n", "1  1\n2  0\n3  0\n4 -1\n"),
        ("dog", "1  1\n3  1\n", "2 -1\n4 -1\n", "1  1\n2 -1\n3  1\n4 -1\n"),
    ] {
        label_file(&both, label, "train", train);
        label_file(&both, label, "val", val);
        label_file(&both, label, "trainval", all);
    }
    assert_eq!(both.open().fingerprint(), xml.open().fingerprint());
    assert_eq!(both.open().notes, ["trainval.txt is left out: it repeats train and val"]);
}

#[test]
fn a_label_called_train_is_no_split_and_no_stray_list() {
    let dir = with_xml(&[("train", "1\n"), ("val", "2\n"), ("trainval", "1\n2\n")], &[]);
    for label in ["train", "fire_truck"] {
        label_file(&dir, label, "train", "1 1\n");
        label_file(&dir, label, "val", "2 1\n");
        label_file(&dir, label, "trainval", "1 1\n2 1\n");
    }
    let dataset = dir.open();
    assert_eq!(dataset.labels, ["fire_truck", "train"]);
    assert_eq!(dataset.notes, ["trainval.txt is left out: it repeats train and val"]);
}

#[test]
fn trainval_beside_one_of_its_halves_is_warned_of() {
    for (there, missing) in [("train", "val"), ("val", "train")] {
        let dataset = with_xml(&[(there, "1\n2\n"), ("trainval", "1\n2\n3\n")], PETS).open();
        let warning = format!(
            "warning: trainval.txt is left out, as there is a {there}.txt; without a {missing}.txt, what else it lists is \
             in no split"
        );
        assert!(dataset.notes.contains(&warning), "{:?}", dataset.notes);
        assert_eq!(dataset.splits.len(), 1);
    }
}

#[test]
fn trainval_is_train_where_neither_train_nor_val_exists() {
    let dataset = with_xml(&[("trainval", "1\n2\n3\n"), ("test", "4\n")], PETS).open();
    assert_eq!(items(&dataset, "train").len(), 3);
    assert_eq!(dataset.splits.len(), 2);
    assert_eq!(dataset.notes, ["trainval.txt is read as train: there is no train.txt and no val.txt"]);
}

#[test]
fn lists_of_other_names_are_left_out_with_a_note() {
    let dataset = with_xml(&[("train", "1\n3\n"), ("fold_a", "2\n"), ("all", "1\n2\n3\n4\n")], PETS).open();
    assert_eq!(dataset.splits.len(), 1);
    assert_eq!(dataset.notes, ["lists in ImageSets/Main that are left out: `all`, `fold_a`"]);
}

#[test]
fn a_test_list_without_any_annotation_is_left_out_with_a_note() {
    let dataset = with_xml(&[("train", "1\n3\n"), ("test", "8\n9\n")], PETS).open();
    assert_eq!(dataset.splits.len(), 1);
    assert_eq!(dataset.notes, ["test is left out: none of its images has an annotation"]);
}

#[test]
fn images_may_have_other_endings() {
    let dir = with_xml(&[("train", "1\n2\n3\n4\n")], PETS);
    for name in ["1.jpg", "1.png", "2.JPG", "3.png", "3.txt"] {
        dir.file(&format!("JPEGImages/{name}"), "");
    }
    let dataset = dir.open();
    let images: Vec<_> = dataset.splits[0].items.iter().map(|item| item.image.file_name().unwrap()).collect();
    assert_eq!(images, ["1.jpg", "2.JPG", "3.png", "4.jpg"]);
}

#[test]
fn a_devkit_with_one_year_is_read_and_one_with_several_is_not() {
    let dir = Dir::new();
    let year = |name: &str| {
        dir.folder(&format!("VOCdevkit/{name}/JPEGImages"))
            .file(&format!("VOCdevkit/{name}/ImageSets/Main/train.txt"), "1\n")
            .file(&format!("VOCdevkit/{name}/Annotations/1.xml"), annotation(&["cat"]));
    };
    year("VOC2007");
    for start in [dir.path().to_owned(), dir.join("VOCdevkit")] {
        let dataset = Dataset::open(start, &ReadOptions::default()).unwrap();
        assert_eq!(dataset.root, dir.join("VOCdevkit/VOC2007"));
        assert_eq!(dir.relative(&dataset.notes[0]), "read from `ROOT/VOCdevkit/VOC2007`");
    }
    year("VOC2012");
    assert_eq!(
        dir.error_at("VOCdevkit"),
        "ROOT/VOCdevkit: several data sets lie here (`VOC2007`, `VOC2012`); name one of them"
    );
}

#[test]
fn missing_annotations_are_all_named() {
    let dir = with_xml(&[("train", "1\n7\n2\n8\n")], PETS);
    assert_eq!(
        dir.error(),
        "ROOT/Annotations: 2 items of `ROOT/ImageSets/Main/train.txt` without an annotation here: `7`, `8`"
    );
    label_file(&dir, "cat", "train", "1 1\n2 1\n7 1\n");
    assert_eq!(
        dir.error(),
        "ROOT/ImageSets/Main/cat_train.txt: 1 item of `ROOT/ImageSets/Main/train.txt` without an annotation \
         here: `8`"
    );
}

#[test]
fn lists_of_file_names_or_of_more_than_ids_are_explained() {
    for (list, advice) in [
        ("1.jpg\n2.jpg\n", "`1.jpg`, `2.jpg`; the list should name images without their ending"),
        ("1 1\n2 0\n", "`1 1`, `2 0`; the list should have nothing but an id in each line"),
        ("1.jpg\n7\n", "`1.jpg`, `7`"),
    ] {
        let error = with_xml(&[("train", list)], PETS).error();
        assert!(error.ends_with(&format!("without an annotation here: {advice}")), "{error}");
    }
}

#[test]
fn bad_lists_are_refused_with_file_and_line() {
    let main = "ROOT/ImageSets/Main";
    assert_eq!(
        with_xml(&[("train", "1\n2\n1\n")], PETS).error(),
        format!("{main}/train.txt: 1 id is listed more than once: `1`; ids must be unique in a split")
    );
    assert_eq!(
        with_xml(&[("train", "\n\n")], PETS).error(),
        format!("{main}/train.txt: no items; remove it, or add items to it")
    );
    assert_eq!(
        with_xml(&[("train", "1\n\n../2\n")], PETS).error(),
        format!("{main}/train.txt:3:1: `../2` is not the name of an image without folder and ending")
    );
    assert_eq!(
        with_xml(&[("val", "1\n"), ("valid", "2\n")], PETS).error(),
        format!("{main}/val.txt and {main}/valid.txt are both the split `val`; keep one of them")
    );
    assert_eq!(
        with_xml(&[("tarin", "1\n")], PETS).error(),
        format!("{main}/train.txt: no such file; did you mean `tarin.txt`?")
    );
}

#[test]
fn bad_files_per_label_are_refused_with_file_and_line() {
    let with = |marks: &str| {
        let dir = with_xml(&[("train", "1\n2\n")], PETS);
        label_file(&dir, "cat", "train", marks);
        dir.error()
    };
    let file = "ROOT/ImageSets/Main/cat_train.txt";
    let expected = "is not an id and 1 (present), -1 (absent) or 0 (difficult)";
    assert_eq!(with("1 1\n2 2\n"), format!("{file}:2:1: `2 2` {expected}"));
    assert_eq!(with("1\n2\n"), format!("{file}:1:1: `1` {expected}"));
    assert_eq!(
        with("1 1\n2 99999999999999999999\n"),
        format!("{file}:2:1: `2 99999999999999999999` {expected}")
    );
    assert_eq!(with("1 1\n2 1\n1 -1\n"), format!("{file}:3:1: `1` is listed before with another value"));
}

#[test]
fn missing_folders_are_named_with_the_nearest() {
    let dir = Dir::new();
    dir.file("ImageSets/Main/train.txt", "1\n").folder("JPEGImage");
    assert_eq!(dir.error(), "ROOT/JPEGImages: no such folder; did you mean `JPEGImage`?");
    dir.folder("JPEGImages");
    assert_eq!(dir.error(), "ROOT/Annotations: no such folder");
}

#[test]
fn a_data_set_without_any_object_is_refused() {
    let error = with_xml(&[("train", "4\n")], PETS).error();
    assert_eq!(error, "ROOT/Annotations: object: no annotation names an object, so there are no labels");
}
