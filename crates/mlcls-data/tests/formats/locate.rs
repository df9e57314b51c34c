//! A wrong root: what was found, what was expected, and where the data set is.

use crate::support::Dir;

const EXPECTED: &str = "Expected annotations/<split>.json and images/ (Datumaro), or \
     ImageSets/Main/<split>.txt, JPEGImages/ and Annotations/ (PASCAL VOC), or annotations/instances_<split>.json and \
     <split>/ (COCO), or <split>/_annotations.coco.json (Roboflow COCO).";

fn pets() -> Dir {
    let dir = Dir::new();
    dir.file("pets/annotations/train.json", "{}").file("pets/images/train/a.jpg", "");
    dir
}

#[test]
fn a_path_that_does_not_exist_names_its_neighbour() {
    assert_eq!(pets().error_at("pest"), "ROOT/pest: no such folder; did you mean `pets`?");
    assert_eq!(pets().error_at("elsewhere/entirely"), "ROOT/elsewhere/entirely: no such folder");
}

#[test]
fn a_folder_inside_the_data_set_points_above_it() {
    let dir = pets();
    for (path, found) in [
        ("pets/images", "the folder holds `train`"),
        ("pets/images/train", "the folder holds `a.jpg`"),
        ("pets/annotations", "the folder holds `train.json`"),
        ("pets/annotations/train.json", "this is a file"),
    ] {
        assert_eq!(
            dir.error_at(path),
            format!(
                "ROOT/{path}: no data set here: {found}. {EXPECTED} `ROOT/pets` above it is a Datumaro data set: \
                 give that"
            )
        );
    }
}

#[test]
fn a_folder_around_the_data_set_points_below_it() {
    let dir = pets();
    let advice = "Below it, a data set lies in `pets`: give that";
    assert_eq!(dir.error(), format!("ROOT: no data set here: the folder holds `pets`. {EXPECTED} {advice}"));
    let deeper = Dir::new();
    deeper.file("a/voc/ImageSets/Main/train.txt", "").file("b/annotations/train.json", "{}");
    let error = deeper.error();
    assert!(error.ends_with("Below it, a data set lies in `b`, `a/voc`: give that"), "{error}");
}

#[test]
fn half_a_data_set_names_what_is_missing() {
    let dir = Dir::new();
    dir.folder("JPEGImages").folder("Annotations").folder("ImageSet/Main");
    assert_eq!(
        dir.error(),
        format!(
            "ROOT: no data set here: the folder holds `Annotations`, `ImageSet`, `JPEGImages`. {EXPECTED} For \
             PASCAL VOC, `ImageSets/Main` is missing; rename `ImageSet` if it is `ImageSets`"
        )
    );
}

#[test]
fn an_empty_folder_says_so() {
    assert_eq!(Dir::new().error(), format!("ROOT: no data set here: the folder is empty. {EXPECTED}"));
}

#[test]
fn of_two_formats_in_one_folder_the_first_is_read_with_a_note() {
    let dir = Dir::new();
    dir.folder("images").file("ImageSets/Main/train.txt", "1").file(
        "annotations/val.json",
        r#"{"categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [{"id": "a"}]}"#,
    );
    assert_eq!(dir.open().notes, ["this is a PASCAL VOC data set too; read as Datumaro"]);
}
