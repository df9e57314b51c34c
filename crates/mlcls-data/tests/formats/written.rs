//! What writers write to the letter, and what they say about what their format cannot hold.

use std::fs;

use mlcls_data::{
    Dataset, Doubtful, Format, Images, Item, LabelState, ReadOptions, Split, WriteFormat, write_dataset,
};

use crate::support::{Dir, items};

/// Items of one split: id, ending, and states as in [`crate::support::states`].
fn split(dir: &Dir, name: &str, rows: &[(&str, &str, &str)]) -> Split {
    let item = |(id, ending, states): &(&str, &str, &str)| {
        let image = dir.join(&format!("{name}/{}.{ending}", id.replace('/', "-")));
        fs::create_dir_all(image.parent().unwrap()).unwrap();
        let format = if *ending == "png" { image::ImageFormat::Png } else { image::ImageFormat::Jpeg };
        image::GrayImage::new(4, 3).save_with_format(&image, format).unwrap();
        let state = |sign| match sign {
            '+' => LabelState::Present,
            '-' => LabelState::Absent,
            _ => LabelState::Unknown,
        };
        Item { id: (*id).to_owned(), image, states: states.chars().map(state).collect() }
    };
    Split { name: name.to_owned(), items: rows.iter().map(item).collect() }
}

fn dataset(labels: &[&str], splits: Vec<Split>) -> Dataset {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Dataset { root: "somewhere".into(), format: Format::Datumaro, labels, splits, notes: Vec::new() }
}

fn write(dataset: &Dataset, to: &Dir, format: WriteFormat) -> Result<Vec<String>, String> {
    write_dataset(dataset, to.path(), format, Images::Copy).map_err(|error| to.relative(&error.to_string()))
}

fn text(dir: &Dir, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

const NO_BOXES: &str = "the annotations have no boxes: labels of whole images say nothing of places";

#[test]
fn voc_as_the_development_kits_have_it() {
    let (from, to) = (Dir::new(), Dir::new());
    let splits = vec![
        split(&from, "train", &[("a", "png", "+-?"), ("b", "jpg", "--+")]),
        split(&from, "val", &[("c", "jpg", "---")]),
    ];
    let dataset = dataset(&["cat", "cow & calf", "dog"], splits);
    assert_eq!(write(&dataset, &to, WriteFormat::Voc).unwrap(), [NO_BOXES]);
    let lists = "ImageSets/Main";
    assert_eq!(text(&to, &format!("{lists}/train.txt")), "a\nb\n");
    assert_eq!(text(&to, &format!("{lists}/dog_train.txt")), "a  0\nb  1\n");
    assert_eq!(text(&to, &format!("{lists}/cow & calf_val.txt")), "c -1\n");
    assert_eq!(
        text(&to, "Annotations/a.xml"),
        "<annotation>\n\t<folder>root</folder>\n\t<filename>a.png</filename>\n\t<size>\n\t\t<width>4</width>\n\t\t\
         <height>3</height>\n\t\t<depth>1</depth>\n\t</size>\n\t<object>\n\t\t<name>cat</name>\n\t\t\
         <difficult>0</difficult>\n\t</object>\n\t<object>\n\t\t<name>dog</name>\n\t\t<difficult>1</difficult>\n\t\
         </object>\n</annotation>\n"
    );
    assert_eq!(to.open().fingerprint(), dataset.fingerprint());
    // The annotations say the same as the files per label, but for a label that no image shows.
    for entry in fs::read_dir(to.join(lists)).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().unwrap().to_str().unwrap().contains('_') {
            fs::remove_file(path).unwrap();
        }
    }
    let from_xml = to.open();
    assert_eq!(from_xml.labels, ["cat", "dog"]);
    assert_eq!(items(&from_xml, "train"), ["a +?", "b -+"]);
    let positive =
        Dataset::open(to.path(), &ReadOptions { difficult: Doubtful::Positive, ..ReadOptions::default() })
            .unwrap();
    assert_eq!(items(&positive, "train"), ["a ++", "b -+"]);
}

#[test]
fn voc_says_what_it_cannot_hold() {
    let (from, to) = (Dir::new(), Dir::new());
    let train = split(&from, "train", &[("day 1/a", "jpg", "+-?-"), ("b", "png", "-+--")]);
    let empty = Split { name: "test".into(), items: vec![] };
    let lost =
        write(&dataset(&["dog", "cat/kitten", "<b>", "none"], vec![train, empty]), &to, WriteFormat::Voc);
    assert_eq!(
        lost.unwrap(),
        [
            NO_BOXES,
            "labels have no order in PASCAL VOC and are read back in alphabetical order",
            "1 id has white space or a slash and became another: `day 1/a` is `day_1_a`",
            "`cat/kitten` cannot be part of a file name, so no label has lists of its own; the states are in \
             Annotations/*.xml",
            "1 label of no image, which only lists could name: `none`",
            "splits without images are not written: `test`",
        ]
    );
    let again = to.open();
    assert_eq!(again.labels, ["<b>", "cat/kitten", "dog"]);
    assert_eq!(items(&again, "train"), ["day_1_a ?-+", "b -+-"]);
    assert_eq!(again.splits[0].items[1].image, to.join("JPEGImages/b.png"));
}

#[test]
fn voc_tells_images_of_one_id_in_two_splits_apart() {
    let (from, to) = (Dir::new(), Dir::new());
    let rows = [("a", "jpg", "+"), ("b", "jpg", "-")];
    let mut both = vec![split(&from, "train", &rows), split(&from, "val", &[("a", "png", "-")])];
    // The same image in two splits keeps its id.
    let shared = both[0].items[1].clone();
    both[1].items.push(shared);
    assert_eq!(
        write(&dataset(&["cat"], both), &to, WriteFormat::Voc).unwrap(),
        [
            "1 id means another image in another split and got the split before it: `a` of train is `train_a`",
            NO_BOXES
        ]
    );
    let again = to.open();
    assert_eq!(items(&again, "train"), ["train_a +", "b -"]);
    assert_eq!(items(&again, "val"), ["val_a -", "b -"]);
    assert_eq!(again.splits[1].items[0].image, to.join("JPEGImages/val_a.png"));
}

#[test]
fn voc_refuses_what_would_be_read_back_wrong() {
    let from = Dir::new();
    let one =
        |labels: &[&str], splits| write(&dataset(labels, splits), &Dir::new(), WriteFormat::Voc).unwrap_err();
    for (label, split_name, problem) in [
        (" cat", "train", "label ` cat`: PASCAL VOC cannot hold the name of this label"),
        ("c\nat", "train", "cannot hold the name of this label"),
        (
            "cat",
            "all",
            "split `all`: PASCAL VOC knows train, val and test only; divide the data set with `mlcls data split`",
        ),
        ("cat", "../x", "the name of a split is part of file names"),
    ] {
        let split = Split { name: split_name.into(), ..split(&from, "train", &[("a", "jpg", "+")]) };
        let error = one(&[label], vec![split]);
        assert!(error.contains(problem), "{error}");
    }
    let slashes = split(&from, "train", &[("x/y", "png", "+"), ("x_y", "jpg", "+")]);
    assert!(
        one(&["cat"], vec![slashes])
            .contains("there is an item \"x/y\" with the same id in PASCAL VOC, `x_y`")
    );
    let gif = Item {
        image: from.join("train/a.data"),
        ..split(&from, "train", &[("a", "jpg", "+")]).items.remove(0)
    };
    fs::write(&gif.image, "").unwrap();
    let error = one(&["cat"], vec![Split { name: "train".into(), items: vec![gif] }]);
    assert!(error.contains("PASCAL VOC needs JPEGImages/a and the ending of an image"), "{error}");
}

#[test]
fn csv_is_one_table() {
    let (from, to) = (Dir::new(), Dir::new());
    let train = split(&from, "train", &[("a", "png", "+-?"), ("b,\"c\"", "jpg", "?--")]);
    let all = split(&from, "all", &[("a", "jpg", "--+")]);
    let empty = Split { name: "test".into(), items: vec![] };
    let dataset = dataset(&["cat", "cow, calf", "split"], vec![train, all, empty]);
    assert_eq!(
        write(&dataset, &to, WriteFormat::Csv).unwrap(),
        ["splits without images leave no trace in a table: `test`"]
    );
    assert_eq!(
        text(&to, "labels.csv"),
        "id,image,split,cat,\"cow, calf\",split\na,images/train/a.png,train,1,0,\n\"b,\"\"c\"\"\",\"images/train/b,\"\"c\"\".jpg\",train,,0,0\n\
         a,images/all/a.jpg,all,0,0,1\n"
    );
    let nothing = Dataset { splits: vec![], ..dataset };
    assert!(write(&nothing, &to, WriteFormat::Csv).unwrap().is_empty());
    assert_eq!(text(&to, "labels.csv"), "id,image,split,cat,\"cow, calf\",split\n");
    assert_eq!(to.error(), "ROOT/labels.csv: no items; remove it, or add items to it");
}
