//! Roboflow's multi-class export, as its archives lie on disk.

use mlcls_data::{Format, ImageCheck, verify_images};

use crate::support::{Dir, items};

/// An export with the tree, the names and the blanks that Roboflow writes.
fn export() -> Dir {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(4, 3).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    let dir = Dir::new();
    dir.file("README.dataset.txt", "# ppe > 2023-10-18 11:27pm\n")
        .file("README.roboflow.txt", "\nppe - v2\n");
    for (split, rows) in [
        (
            "train",
            &[
                ("dock_0630_jpg.rf.021e25cb52dd452bea2a87364c640fa8", "1, 0, 1"),
                ("dock_0210_png.rf.004e716dc83951779938495e92c19b1d", "0, 0, 0"),
            ][..],
        ),
        ("valid", &[("IMG-0167_jpg.rf.0a3053a53566dbd936631c1fe98e2f7a", "0, 1, 0")]),
        ("test", &[("dock-1-_jpeg.rf.0be4de253aa109533ff978b132da9a31", "1, 1, 1")]),
    ] {
        let mut table = "filename, helmet, no vest, person\n".to_owned();
        for (name, states) in rows {
            dir.file(&format!("{split}/{name}.jpg"), bytes.get_ref());
            table += &format!("{name}.jpg, {states}\n");
        }
        dir.file(&format!("{split}/_classes.csv"), table);
    }
    dir
}

/// Two byte order marks and nothing else; found by fuzzing.
#[test]
fn a_table_without_a_column_is_empty() {
    let dir = Dir::new();
    dir.file("train/_classes.csv", "\u{feff}\u{feff}");
    assert!(dir.error().contains("_classes.csv:1:1: the file is empty"), "{}", dir.error());
}

#[test]
fn an_export_is_recognised_and_read() {
    let dir = export();
    let dataset = dir.open();
    assert_eq!(dataset.format, Format::RoboflowCsv);
    assert_eq!(dataset.labels, ["helmet", "no vest", "person"]);
    assert_eq!(
        items(&dataset, "train"),
        [
            "dock_0630_jpg.rf.021e25cb52dd452bea2a87364c640fa8 +-+",
            "dock_0210_png.rf.004e716dc83951779938495e92c19b1d ---"
        ]
    );
    assert_eq!(items(&dataset, "val"), ["IMG-0167_jpg.rf.0a3053a53566dbd936631c1fe98e2f7a -+-"]);
    assert_eq!(items(&dataset, "test").len(), 1);
    assert!(verify_images(&dataset, ImageCheck::Full).is_empty());
    assert_eq!(
        dataset.notes,
        ["warning: 1 label is never positive in train and cannot be learned: `no vest`"]
    );
}

#[test]
fn later_exports_have_no_blanks() {
    let dir = export();
    for split in ["train", "valid", "test"] {
        let file = format!("{split}/_classes.csv");
        let text = std::fs::read_to_string(dir.join(&file)).unwrap().replace(", ", ",");
        dir.file(&file, text);
    }
    assert_eq!(dir.open().fingerprint(), export().open().fingerprint());
}

#[test]
fn one_folder_of_an_export_points_above_it() {
    let error = export().error_at("train");
    assert!(error.contains("`ROOT` above it is a Roboflow CSV data set: give that"), "{error}");
}

#[test]
fn what_is_wrong_has_file_and_line() {
    let file = "ROOT/train/_classes.csv";
    let other = "filename, helmet, vest\na.jpg, 1, 0\n";
    for (content, problem) in [
        // The export for masks has a file of the same name.
        (
            "Pixel Value, Class\n0, background\n1, cabinet\n",
            "1:1: the columns are `Pixel Value`, `Class`; expected `filename` and one per label: export the data set from \
             Roboflow as Multi-Class Classification",
        ),
        ("filename, cat, cat\na.jpg, 1, 1\n", "1:1: the label `cat` has two columns"),
        ("filename, cat\n../a.jpg, 1\n", "2:1: `../a.jpg` is not the name of an image beside this file"),
        ("filename, cat\na.jpg, 1, 0\n", "2:3: this row has 3 cells and the header 2"),
    ] {
        assert_eq!(export().file("train/_classes.csv", content).error(), format!("{file}:{problem}"));
    }
    let dir = export();
    assert_eq!(
        dir.file("valid/_classes.csv", other).error(),
        "ROOT/test/_classes.csv and ROOT/valid/_classes.csv list different labels: only the first has `no vest`, \
         `person`, only the second has `vest`"
    );
    // `test` is read first, so its labels are those of the second `val` as well.
    let dir = export();
    dir.file("val/_classes.csv", "filename, helmet, no vest, person\na.jpg, 1, 0, 0\n");
    assert_eq!(
        dir.error(),
        "ROOT/val/_classes.csv and ROOT/valid/_classes.csv are both the split `val`; keep one of them"
    );
}
