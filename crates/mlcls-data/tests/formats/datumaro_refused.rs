//! Datumaro annotations that are refused, with the place and what to do.

use serde_json::json;

use crate::datumaro::{annotations, item, label, train};
use crate::support::Dir;

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
        "ROOT/annotations/train.json: no items; remove it, or add items to it"
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
