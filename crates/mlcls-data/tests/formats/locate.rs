//! A wrong root: what was found, what was expected, and where the data set is.

use crate::support::Dir;

/// The end of every such message.
fn expected() -> String {
    let layouts = [
        "Datumaro: annotations/<split>.json and images/",
        "PASCAL VOC: ImageSets/Main/<split>.txt, JPEGImages/ and Annotations/",
        "COCO: annotations/instances_<split>.json and <split>/",
        "Roboflow COCO: <split>/_annotations.coco.json",
        "Roboflow CSV: train|valid|test/_classes.csv among the images",
        "CSV: labels.csv (or train.csv, val.csv, test.csv) with a column `image` and a column per label",
        "folder per label: <label>/ or <split>/<label>/ with images",
    ];
    format!("\nExpected one of:{}", layouts.map(|layout| format!("\n  {layout}")).concat())
}

fn pets() -> Dir {
    let dir = Dir::new();
    dir.file("pets/annotations/train.json", "{}").file("pets/images/train/a.jpg", "");
    dir
}

#[test]
fn a_path_that_does_not_exist_names_its_neighbour() {
    assert_eq!(pets().error_at("pest"), "ROOT/pest: no such file or folder; did you mean `pets`?");
    assert_eq!(pets().error_at("elsewhere/entirely"), "ROOT/elsewhere/entirely: no such file or folder");
}

#[test]
fn an_archive_is_to_be_unpacked() {
    let dir = Dir::new();
    dir.file("pets.zip", "PK").file("VOCtrainval.TAR", "");
    for name in ["pets.zip", "VOCtrainval.TAR"] {
        assert_eq!(
            dir.error_at(name),
            format!(
                "ROOT/{name}: no data set here: this is a file. It is an archive: unpack it, and give the folder{}",
                expected()
            )
        );
    }
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
                "ROOT/{path}: no data set here: {found}. `ROOT/pets` above it is a Datumaro data set: give that{}",
                expected()
            )
        );
    }
}

#[test]
fn a_folder_around_the_data_set_points_below_it() {
    let dir = pets();
    let found = "the folder holds `pets`. Below it, a data set lies in `pets`: give that";
    assert_eq!(dir.error(), format!("ROOT: no data set here: {found}{}", expected()));
    let deeper = Dir::new();
    deeper.file("a/voc/ImageSets/Main/train.txt", "").file("b/annotations/train.json", "{}");
    let error = deeper.error();
    assert!(error.contains("Below it, a data set lies in `b`, `a/voc`: give that\n"), "{error}");
}

#[test]
fn half_a_data_set_names_what_is_missing() {
    let dir = Dir::new();
    dir.folder("JPEGImages").folder("Annotations").folder("ImageSet/Main");
    assert_eq!(
        dir.error(),
        format!(
            "ROOT: no data set here: the folder holds `Annotations`, `ImageSet`, `JPEGImages`. For PASCAL VOC, \
             `ImageSets/Main` is missing; rename `ImageSet` if it is `ImageSets`{}",
            expected()
        )
    );
}

#[test]
fn an_empty_folder_says_so() {
    assert_eq!(Dir::new().error(), format!("ROOT: no data set here: the folder is empty.{}", expected()));
}

#[test]
fn of_two_formats_in_one_folder_the_first_is_read_with_a_note() {
    let dir = Dir::new();
    dir.folder("images").file("ImageSets/Main/train.txt", "1").file(
        "annotations/val.json",
        r#"{"categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [{"id": "a"}]}"#,
    );
    assert_eq!(dir.open().notes, ["read as Datumaro; this is a PASCAL VOC data set too"]);
}
