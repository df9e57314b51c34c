//! The unknown state, from every kind of annotation that can hold it to the mask, the loss, its gradient and the metrics.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::fs;
use std::path::Path;

use mlcls_data::{Batch, Dataset, Doubtful, LabelState, Loader, LoaderOptions, ReadOptions};
use mlcls_loss::{Aam, Asl, Bce, Focal, Loss};
use mlcls_metrics::{Report, Scores, evaluate};

const LABELS: [&str; 3] = ["cat", "cow", "dog"];

/// The images, each with its states: `+` present, `-` absent, `?` unknown. Of `d` nothing is known.
const IMAGES: [(&str, &str); 5] = [("a", "+?-"), ("b", "-+?"), ("c", "?-+"), ("d", "???"), ("e", "+--")];

/// A form of annotation, and what writes the images' states in it.
type Form = (&'static str, fn(&Path));

/// The forms that can hold unknown labels. (A folder per label is the one that cannot.)
const FORMS: [Form; 9] = [
    ("CSV, nothing", |root| table(root, "train.csv", "image,", ["1", "0", ""])),
    ("CSV, -1", |root| table(root, "train.csv", "image,", ["1", "0", "-1"])),
    ("TSV, ?", |root| table(root, "train.tsv", "image\t", ["yes", "no", "?"])),
    ("Roboflow CSV", |root| table(root, "train/_classes.csv", "filename,", ["1", "0", "-1"])),
    ("Datumaro", datumaro),
    ("VOC, lists", voc_lists),
    ("VOC, objects", voc_objects),
    ("COCO", |root| coco(root, "annotations/instances_train.json")),
    ("Roboflow COCO", |root| coco(root, "train/_annotations.coco.json")),
];

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The positions of the labels that have this state in `states`.
fn with(states: &str, state: char) -> impl Iterator<Item = usize> {
    states.chars().enumerate().filter(move |(_, s)| *s == state).map(|(label, _)| label)
}

/// A table with a column per label and these words for present, absent and unknown. `first` is the name of its first column,
/// with what separates columns.
fn table(root: &Path, file: &str, first: &str, [present, absent, unknown]: [&str; 3]) {
    let separator = first.chars().last().unwrap().to_string();
    let word = |state| match state {
        '+' => present,
        '-' => absent,
        _ => unknown,
    };
    let mut text = format!("{first}{}\n", LABELS.join(&separator));
    for (id, states) in IMAGES {
        let cells: Vec<&str> = states.chars().map(word).collect();
        text += &format!("{id}.bmp{separator}{}\n", cells.join(&separator));
    }
    write(root, file, text);
}

/// Labels that are listed as ignored, whether the item carries them or not.
fn datumaro(root: &Path) {
    let item = |(id, states): &(&str, &str)| {
        let annotations: Vec<String> = with(states, '+')
            .chain(with(states, '?').take(1))
            .map(|label| format!(r#"{{"id": 0, "type": "label", "label_id": {label}}}"#))
            .collect();
        let ignored: Vec<String> = with(states, '?').map(|label| format!("{:?}", LABELS[label])).collect();
        format!(
            r#"{{"id": "{id}", "annotations": [{}], "attr": {{"ignored_labels": [{}]}}, "image": {{"path": "{id}.bmp"}}}}"#,
            annotations.join(", "),
            ignored.join(", ")
        )
    };
    let items: Vec<String> = IMAGES.iter().map(item).collect();
    let labels: Vec<String> = LABELS.iter().map(|label| format!(r#"{{"name": "{label}"}}"#)).collect();
    let categories = format!(r#"{{"label": {{"labels": [{}]}}}}"#, labels.join(", "));
    let text = format!(r#"{{"categories": {categories}, "items": [{}]}}"#, items.join(", "));
    write(root, "annotations/train.json", text);
}

/// A list per label: 1, -1, and 0 for images in which all objects of the label are difficult.
fn voc_lists(root: &Path) {
    let ids: Vec<&str> = IMAGES.iter().map(|(id, _)| *id).collect();
    write(root, "ImageSets/Main/train.txt", ids.join("\n"));
    for (label, name) in LABELS.iter().enumerate() {
        let number = |states: &str| match states.as_bytes()[label] {
            b'+' => " 1",
            b'-' => "-1",
            _ => " 0",
        };
        let lines: Vec<String> =
            IMAGES.iter().map(|(id, states)| format!("{id} {}", number(states))).collect();
        write(root, &format!("ImageSets/Main/{name}_train.txt"), lines.join("\n"));
    }
}

/// XML files in which unknown labels have difficult objects only.
fn voc_objects(root: &Path) {
    let ids: Vec<&str> = IMAGES.iter().map(|(id, _)| *id).collect();
    write(root, "ImageSets/Main/train.txt", ids.join("\n"));
    for (id, states) in IMAGES {
        let object = |label: usize, difficult: u8| {
            let name = LABELS[label];
            format!("<object><name>{name}</name><difficult>{difficult}</difficult></object>")
        };
        let objects: String = with(states, '+')
            .flat_map(|label| [object(label, 1), object(label, 0)])
            .chain(with(states, '?').map(|label| object(label, 1)))
            .collect();
        write(root, &format!("Annotations/{id}.xml"), format!("<annotation>{objects}</annotation>"));
    }
}

/// Objects, those of unknown labels all crowd regions.
fn coco(root: &Path, file: &str) {
    let mut annotations = vec![];
    for (image, (_, states)) in IMAGES.iter().enumerate() {
        for (crowd, label) in with(states, '+').map(|l| (0, l)).chain(with(states, '?').map(|l| (1, l))) {
            annotations.push(format!(
                r#"{{"id": {}, "image_id": {image}, "category_id": {}, "iscrowd": {crowd}, "bbox": [0, 0, 1, 1]}}"#,
                annotations.len(),
                label + 1
            ));
        }
    }
    let images: Vec<String> =
        (0..).zip(IMAGES).map(|(i, (id, _))| format!(r#"{{"id": {i}, "file_name": "{id}.bmp"}}"#)).collect();
    let category = |(i, name): (usize, &str)| format!(r#"{{"id": {}, "name": "{name}"}}"#, i + 1);
    let categories: Vec<String> = LABELS.into_iter().enumerate().map(category).collect();
    let [images, annotations, categories] = [images, annotations, categories].map(|list| list.join(", "));
    let text =
        format!(r#"{{"images": [{images}], "annotations": [{annotations}], "categories": [{categories}]}}"#);
    write(root, file, text);
}

/// A grey BMP of one pixel.
fn bitmap(level: u8) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [58u32, 0, 54, 40, 1, 1, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([level, level, level, 0]);
    bytes
}

/// All images of a form, read and loaded.
fn batch(write_annotations: fn(&Path)) -> Batch {
    let folder = tempfile::tempdir().unwrap();
    write_annotations(folder.path());
    for (level, (id, _)) in (0..).zip(IMAGES) {
        for place in ["train", "images/train", "JPEGImages"] {
            let extension = if place == "JPEGImages" { "jpg" } else { "bmp" };
            write(folder.path(), &format!("{place}/{id}.{extension}"), bitmap(50 * level));
        }
    }
    let options = ReadOptions { difficult: Doubtful::Unknown, crowd: Doubtful::Unknown };
    let dataset = Dataset::open(folder.path(), &options).unwrap();
    assert_eq!(dataset.labels, LABELS);
    let items = dataset.require_split("train").unwrap().items.clone();
    let state = |sign| match sign {
        '+' => LabelState::Present,
        '-' => LabelState::Absent,
        _ => LabelState::Unknown,
    };
    let expected: Vec<Vec<LabelState>> =
        IMAGES.iter().map(|(_, states)| states.chars().map(state).collect()).collect();
    assert_eq!(items.iter().map(|item| item.states.clone()).collect::<Vec<_>>(), expected);
    let options = LoaderOptions { size: 1, batch: IMAGES.len(), ..LoaderOptions::default() };
    Loader::new(items.into(), options).epoch(0, 0).next().unwrap().unwrap()
}

/// Everything that training and evaluation make of scores and answers.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    /// Objective, number of known entries and gradient, for each loss.
    losses: Vec<(f64, usize, Vec<f32>)>,
    report: Report,
}

fn outcome(logits: &[f32], targets: &[f32], mask: &[f32]) -> Outcome {
    let losses = [
        Loss::Aam(Aam::default()),
        Loss::Asl(Asl::default()),
        Loss::Focal(Focal::default()),
        Loss::Bce(Bce::default()),
    ];
    let value_and_gradient = |loss: Loss| {
        let mut gradient = vec![f32::NAN; logits.len()];
        let value = loss.value_and_grad(logits, targets, mask, &mut gradient).unwrap();
        (value.objective, value.known, gradient)
    };
    let scores = Scores::new(logits, targets, mask, LABELS.len()).unwrap();
    Outcome { losses: losses.map(value_and_gradient).into(), report: evaluate(&scores, 0.0) }
}

#[test]
fn what_is_unknown_changes_nothing_from_the_file_to_the_metrics() {
    let signs: Vec<char> = IMAGES.iter().flat_map(|(_, states)| states.chars()).collect();
    let number = |yes| if yes { 1.0 } else { 0.0 };
    let expected_mask: Vec<f32> = signs.iter().map(|sign| number(*sign != '?')).collect();
    let expected_targets: Vec<f32> = signs.iter().map(|sign| number(*sign == '+')).collect();
    // No order of these is right for all labels, and some decisions are wrong.
    let logits: Vec<f32> = (0..signs.len()).map(|i| ((i * 7 % 15) as f32 - 7.0) / 4.0).collect();

    for (form, write_annotations) in FORMS {
        println!("{form}");
        let batch = batch(write_annotations);
        assert_eq!((&batch.mask, &batch.targets), (&expected_mask, &expected_targets));
        let plain = outcome(&logits, &batch.targets, &batch.mask);
        assert_eq!(plain.losses[0].1, 9, "known entries");
        assert!(plain.report.map.is_some_and(|map| map < 1.0));
        for cell in 0..signs.len() {
            let unknown = signs[cell] == '?';
            for (_, _, gradient) in &plain.losses {
                assert_eq!(gradient[cell] == 0.0, unknown, "gradient of cell {cell}");
            }
            let mut targets = batch.targets.clone();
            targets[cell] = 1.0 - targets[cell];
            assert_eq!(outcome(&logits, &targets, &batch.mask) == plain, unknown, "target of cell {cell}");
            for score in [-50.0, 50.0] {
                let mut logits = logits.clone();
                logits[cell] = score;
                let mut other = outcome(&logits, &batch.targets, &batch.mask);
                // These two rank unknown answers as absent, by definition.
                (other.report.map_a, other.report.map_b) = (plain.report.map_a, plain.report.map_b);
                assert_eq!(other == plain, unknown, "score {score} of cell {cell}");
            }
        }
    }
}
