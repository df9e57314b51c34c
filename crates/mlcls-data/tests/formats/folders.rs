//! A folder of images per label, and folders that only look like it.

use mlcls_data::Format;

use crate::support::{Dir, items};

/// Files with this content each.
fn with(files: &[(&str, &str)]) -> Dir {
    let dir = Dir::new();
    for (path, content) in files {
        dir.file(path, content);
    }
    dir
}

#[test]
fn images_of_the_same_content_are_one_image_of_several_labels() {
    let dir = with(&[
        ("dog/1.jpg", "both"),
        ("cat/seven.jpg", "both"),
        ("cat/2.png", "only"),
        ("cat/old/3.jpeg", "deep"),
        ("dog/same length.jpg", "htob"),
        ("none.jpg", "nothing"),
        ("cat/empty.jpg", ""),
        ("dog/empty.jpg", ""),
    ]);
    let dataset = dir.open();
    assert_eq!(dataset.format, Format::Folders);
    assert_eq!(dataset.labels, ["cat", "dog"]);
    // Empty files are broken, not equal.
    let expected = [
        "cat/2 +-",
        "cat/empty +-",
        "cat/old/3 +-",
        "cat/seven ++",
        "dog/empty -+",
        "dog/same length -+",
        "none --",
    ];
    assert_eq!(items(&dataset, "all"), expected);
    assert_eq!(dataset.notes, ["1 image lies in several label folders, found by content"]);
    assert_eq!(dataset.splits[0].items[3].image, dir.join("cat/seven.jpg"));
}

#[test]
fn splits_lie_above_the_labels_and_keep_their_copies() {
    let dir = with(&[
        ("train/cat/1.jpg", "one"),
        ("train/cat/2.jpg", "one"),
        ("train/dog/1.jpg", "two"),
        ("train/none.jpg", "six"),
        ("validation/dog/1.jpg", "one"),
        ("README.roboflow.txt", "a text"),
        ("extra/notes.txt", "a text"),
        ("stray.jpg", "a picture"),
    ]);
    let dataset = dir.open();
    assert_eq!(items(&dataset, "train"), ["cat/1 +-", "dog/1 -+", "none --"]);
    assert_eq!(items(&dataset, "val"), ["dog/1 -+"]);
    assert_eq!(
        dataset.notes,
        [
            "left out beside the splits: `extra`",
            "left out beside the splits: 1 image",
            "no image lies in two label folders: every image has one label at most",
            "1 copy of an image in its folder is left out",
        ]
    );
    dir.file("val/dog/2.jpg", "");
    assert_eq!(dir.error(), "ROOT/val and ROOT/validation are both the split `val`; keep one of them");
}

#[test]
fn hidden_and_other_files_are_passed_over_and_counted() {
    let dir = with(&[
        ("cat/1.jpg", "a"),
        ("dog/1.JPG", "b"),
        ("dog/Thumbs.db", ""),
        ("dog/.DS_Store", ""),
        ("dog/._1.jpg", ""),
        (".git/config", ""),
        ("readme.txt", ""),
    ]);
    dir.folder("emu");
    let dataset = dir.open();
    assert_eq!(items(&dataset, "all"), ["cat/1 +--", "dog/1 -+-"]);
    assert_eq!(dataset.labels, ["cat", "dog", "emu"]);
    assert_eq!(dataset.notes[1], "passed over 2 files that are no images");
}

#[test]
fn a_label_may_be_called_train() {
    let dir = with(&[("train/1.jpg", "a"), ("aeroplane/1.jpg", "b"), ("tvmonitor/1.jpg", "c")]);
    assert_eq!(items(&dir.open(), "all"), ["aeroplane/1 +--", "train/1 -+-", "tvmonitor/1 --+"]);
}

#[test]
fn other_folders_are_not_taken_for_labels() {
    for (files, advice) in [
        // COCO without its annotations, Datumaro and VOC without theirs.
        (
            &["train2017/1.jpg", "val2017/1.jpg"][..],
            "There are images in `train2017`, `val2017`, and nothing says what",
        ),
        (&["images/1.jpg", "masks/1.png"], "For Datumaro, `annotations` is missing"),
        (&["JPEGImages/1.jpg", "SegmentationClass/1.png"], "For PASCAL VOC"),
        (&["train/1.jpg", "val/1.jpg"], "There are images in `train`, `val`, and nothing says what"),
        // Somebody's home, and somebody's photos.
        (
            &["Documents/letter.pdf", "Music/a.mp3", "Pictures/1.jpg", "Pictures/2.jpg"],
            "There are images in `Pictures`",
        ),
        (&["1.jpg", "2.jpg"], "2 images lie here, and nothing says what they show: add a table `labels.csv`"),
        (&["cat/1.jpg", "2.jpg"], "There are images in `cat`"),
    ] {
        let dir = Dir::new();
        for file in files {
            dir.file(file, file);
        }
        let error = dir.error();
        assert!(error.contains("no data set here"), "{error}");
        assert!(error.contains(advice), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_followed_and_loops_end() {
    use std::os::unix::fs::symlink;
    let dir = with(&[("data/cat/1.jpg", "a"), ("elsewhere/deep/2.jpg", "b")]);
    symlink(dir.join("elsewhere"), dir.join("data/dog")).unwrap();
    for i in 0..20 {
        symlink(dir.join("data"), dir.join(&format!("data/cat/loop{i}"))).unwrap();
        symlink(dir.join("data/dog"), dir.join(&format!("elsewhere/deep/loop{i}"))).unwrap();
    }
    symlink(dir.join("gone.jpg"), dir.join("data/cat/gone.jpg")).unwrap();
    let dataset = mlcls_data::Dataset::open(dir.join("data"), &mlcls_data::ReadOptions::default()).unwrap();
    // `dog` is below `cat` too, through a loop.
    assert_eq!(items(&dataset, "all"), ["cat/1 +-", "cat/gone +-", "cat/loop0/dog/deep/2 ++"]);
}
