//! Real data sets. They are not part of the repository: where they are absent, these checks say so and pass.

use std::path::PathBuf;

use mlcls_data::{
    Dataset, Doubtful, Format, ImageCheck, LabelState, ReadOptions, SplitSummary, verify_images,
};

/// A folder of the data beside the checkout.
fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {name} is not beside the checkout");
    None
}

fn open(path: PathBuf) -> Dataset {
    Dataset::open(path, &ReadOptions::default()).unwrap()
}

fn split(dataset: &Dataset, name: &str) -> SplitSummary {
    dataset.summary().splits.into_iter().find(|split| split.name == name).unwrap()
}

// The numbers below were counted in Python 3.11 with json and xml.etree:
//   ids = {a["label_id"] for a in item["annotations"] if a["type"] == "label"}          for the items of a file
//   names = {o.findtext("name") for o in ElementTree.parse(path).getroot().findall("object")}  for ids of a list

#[test]
fn otx_assets_2x() {
    let Some(path) = shared("otx_assets/multilabel_classification") else { return };
    let dataset = open(path);
    assert_eq!(
        (dataset.format, dataset.labels.as_slice()),
        (Format::Datumaro, &["Panda".into(), "Lion".into()][..])
    );
    for (name, images, positives) in [("train", 9, [8, 7]), ("val", 9, [8, 7]), ("test", 3, [2, 2])] {
        let split = split(&dataset, name);
        assert_eq!((split.images, split.positives.as_slice()), (images, &positives[..]), "{name}");
        assert_eq!((split.empty, split.unknown), (0, 0));
    }
    assert_eq!(dataset.notes, [""; 0]);
    assert!(verify_images(&dataset, ImageCheck::Full).is_empty());
}

#[test]
fn otx_assets_1x() {
    let Some(path) = shared("otx_assets/datumaro_multilabel") else { return };
    let dataset = open(path);
    assert_eq!(dataset.labels, ["rectangle", "circle", "triangle"]);
    for name in ["train", "val"] {
        let split = split(&dataset, name);
        assert_eq!((split.images, split.positives), (12, vec![9, 9, 9]), "{name}");
    }
    assert!(verify_images(&dataset, ImageCheck::Full).is_empty());
}

#[test]
fn voc_100_has_xml_only() {
    let Some(path) = shared("voc100_20cls") else { return };
    let dataset = open(path);
    assert_eq!((dataset.format, dataset.labels.len()), (Format::Voc, 20));
    let of = |split: &SplitSummary, label: &str| {
        split.positives[dataset.labels.iter().position(|l| l == label).unwrap()]
    };
    let (train, val) = (split(&dataset, "train"), split(&dataset, "val"));
    assert_eq!((train.images, train.positives.iter().sum::<usize>()), (60, 98));
    assert_eq!((val.images, val.positives.iter().sum::<usize>()), (40, 66));
    assert_eq!((of(&train, "person"), of(&val, "person"), of(&val, "cow")), (19, 22, 0));
    let warning = "warning: 1 label is never positive in train and cannot be learned: `motorbike`";
    assert_eq!(dataset.notes, [warning]);
    assert!(verify_images(&dataset, ImageCheck::Full).is_empty());
}

#[test]
fn voc_mini_has_files_per_label() {
    let Some(path) = shared("voc_mini") else { return };
    let dataset = open(path.clone());
    assert_eq!(dataset.labels.len(), 20);
    // awk '{print $2}' ImageSets/Main/*_<split>.txt | sort | uniq -c
    for (name, images, positives, unknown) in
        [("train", 2807, 4117, 286), ("val", 495, 733, 42), ("test", 1265, 1747, 71)]
    {
        let split = split(&dataset, name);
        assert_eq!(
            (split.images, split.positives.iter().sum(), split.unknown),
            (images, positives, unknown),
            "{name}"
        );
    }
    assert_eq!(
        dataset.notes,
        [
            "read as PASCAL VOC; `labels.csv` is a CSV data set too: name it to read it",
            "trainval.txt is left out: it repeats train and val"
        ]
    );
    assert!(verify_images(&dataset, ImageCheck::Quick).is_empty());

    // An independent record of the same data: one row per image, 1 where a label is certain.
    let csv = open(path.join("labels.csv"));
    assert_eq!((csv.format, &csv.labels), (Format::Csv, &dataset.labels));
    for split in &dataset.splits {
        // The rows are in the order of ids.
        let mut expected = split.items.clone();
        expected.sort_by(|a, b| a.id.cmp(&b.id));
        let unknown =
            expected.iter_mut().flat_map(|item| &mut item.states).filter(|s| **s == LabelState::Unknown);
        unknown.for_each(|state| *state = LabelState::Absent);
        assert_eq!(csv.split(&split.name).unwrap().items, expected, "{}", split.name);
    }

    let options = ReadOptions { difficult: Doubtful::Negative, ..ReadOptions::default() };
    let negative = Dataset::open(&path, &options).unwrap();
    assert!(negative.summary().splits.iter().all(|split| split.unknown == 0));
}

#[test]
fn coco_subset() {
    let Some(path) = shared("coco_subset_256") else { return };
    let dataset = open(path);
    assert_eq!((dataset.format, dataset.labels.len()), (Format::Coco, 80));
    assert_eq!((dataset.labels[0].as_str(), dataset.labels[79].as_str()), ("person", "toothbrush"));
    // {(a["image_id"], a["category_id"]) for a in data["annotations"]}
    for (name, positives, shown, empty) in [("train", 362, 71, 2), ("val", 373, 73, 0)] {
        let split = split(&dataset, name);
        assert_eq!((split.images, split.positives.iter().sum::<usize>()), (128, positives), "{name}");
        let labels = split.positives.iter().filter(|n| **n > 0).count();
        assert_eq!((labels, split.empty, split.unknown), (shown, empty, 0), "{name}");
    }
    assert!(verify_images(&dataset, ImageCheck::Full).is_empty());
}
