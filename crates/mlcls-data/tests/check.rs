//! Every fault that a check is to find, planted in a data set that is sound without it.
#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, RgbImage};
use mlcls_data::{
    Dataset, FindingKind, Format, Images, Inspection, Item, LabelState, ReadOptions, Severity, Split,
    WriteFormat, write_dataset,
};

/// A scene of 8 x 8 patches that no other number gives, `side` pixels wide.
fn scene(number: u32, side: u32) -> DynamicImage {
    let mut state = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let patches = RgbImage::from_fn(8, 8, |_, _| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        image::Rgb([state as u8, (state >> 8) as u8, (state >> 16) as u8])
    });
    DynamicImage::ImageRgb8(patches).resize_exact(side, side, image::imageops::FilterType::CatmullRom)
}

fn save(image: &DynamicImage, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save_with_format(path, ImageFormat::Jpeg).unwrap();
}

/// A data set of two labels: ten train images and six val images, all different.
fn sound(root: &Path) -> Dataset {
    let split = |name: &str, numbers: std::ops::Range<u32>| {
        let items = numbers.map(|n| {
            let image = root.join(format!("images/{name}/{n}.jpg"));
            save(&scene(n, 64), &image);
            item(&n.to_string(), image, n.is_multiple_of(2), !n.is_multiple_of(2))
        });
        Split { name: name.to_owned(), items: items.collect() }
    };
    Dataset {
        root: root.to_owned(),
        format: Format::Datumaro,
        labels: vec!["cat".to_owned(), "dog".to_owned()],
        splits: vec![split("train", 1..11), split("val", 21..27)],
        notes: Vec::new(),
    }
}

fn item(id: &str, image: PathBuf, cat: bool, dog: bool) -> Item {
    let state = |yes| if yes { LabelState::Present } else { LabelState::Absent };
    Item { id: id.to_owned(), image, states: vec![state(cat), state(dog)] }
}

fn kinds(dataset: &Dataset) -> Vec<FindingKind> {
    Inspection::new(dataset, &|_, _| ()).report().findings.iter().map(|f| f.kind).collect()
}

#[test]
fn a_sound_data_set_has_no_findings() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = sound(dir.path());
    assert_eq!(kinds(&dataset), []);
    let mended = Inspection::new(&dataset, &|_, _| ()).mended();
    assert_eq!((mended.dataset.fingerprint(), mended.done), (dataset.fingerprint(), Vec::new()));
}

/// Plants one fault in a sound data set; exactly the findings of these kinds must follow.
#[track_caller]
fn finds(expected: &[FindingKind], plant: impl FnOnce(&mut Dataset, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    let mut dataset = sound(dir.path());
    plant(&mut dataset, dir.path());
    assert_eq!(kinds(&dataset), expected);
}

#[test]
fn images_that_cannot_be_used_or_learned_from_are_found() {
    use FindingKind::*;
    finds(&[UnreadableImage], |d, _| fs::write(&d.splits[0].items[0].image, "no image").unwrap());
    finds(&[MissingImage], |d, _| fs::remove_file(&d.splits[0].items[0].image).unwrap());
    finds(&[TruncatedImage], |d, _| {
        let path = &d.splits[1].items[0].image;
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    });
    finds(&[TinyImage], |d, _| save(&scene(99, 31), &d.splits[0].items[0].image));
    finds(&[HugeImage], |d, _| save(&scene(99, 2048), &d.splits[0].items[0].image));
    finds(&[BlankImage], |d, _| {
        save(&DynamicImage::ImageRgb8(RgbImage::new(64, 64)), &d.splits[0].items[0].image);
    });
}

#[test]
fn copies_are_found_within_and_across_splits() {
    use FindingKind::*;
    let copy = |d: &Dataset, from: (usize, usize), to: (usize, usize)| {
        let [from, to] = [from, to].map(|(split, item)| d.splits[split].items[item].image.clone());
        fs::copy(from, to).unwrap();
    };
    finds(&[DuplicateAcrossSplits], |d, _| copy(d, (0, 0), (1, 0)));
    finds(&[DuplicateInSplit], |d, _| copy(d, (0, 0), (0, 2)));
    finds(&[ContradictingLabels, DuplicateInSplit], |d, _| copy(d, (0, 0), (0, 1)));
    let alike = |d: &Dataset, to: (usize, usize), change: fn(DynamicImage) -> DynamicImage| {
        save(&change(scene(1, 96)), &d.splits[to.0].items[to.1].image);
    };
    finds(&[NearDuplicateAcrossSplits], |d, _| alike(d, (1, 0), |scene| scene.brighten(10)));
    finds(&[NearDuplicateInSplit], |d, _| alike(d, (0, 2), |scene| scene.fliph()));
}

#[test]
fn labels_and_places_that_are_odd_are_found() {
    use FindingKind::*;
    let clear = |d: &mut Dataset, split: usize| {
        d.splits[split].items.iter_mut().for_each(|item| item.states[0] = LabelState::Absent);
    };
    finds(&[LabelWithoutPositives], |d, _| clear(d, 0));
    finds(&[LabelWithoutPositives], |d, _| clear(d, 1));
    let of = |split: &str, labels: &[usize]| {
        let dir = tempfile::tempdir().unwrap();
        let mut dataset = sound(dir.path());
        dataset.splits[1].name = split.to_owned();
        for item in &mut dataset.splits[1].items {
            labels.iter().for_each(|&label| item.states[label] = LabelState::Absent);
        }
        let report = Inspection::new(&dataset, &|_, _| ()).report();
        report.findings.iter().find(|f| f.kind == LabelWithoutPositives).unwrap().severity
    };
    assert_eq!(of("val", &[0]), Severity::Note);
    assert_eq!(of("val", &[0, 1]), Severity::Error);
    assert_eq!(of("test", &[0]), Severity::Note);
    assert_eq!(of("test", &[0, 1]), Severity::Warning);
    assert_eq!(of("all", &[0]), Severity::Warning);
    finds(&[LabelSpelling], |d, _| d.labels[1] = " CAT".to_owned());
    finds(&[OutsideSplit], |d, root| {
        let inside = root.join("images/train/stray.jpg");
        fs::rename(&d.splits[1].items[0].image, &inside).unwrap();
        d.splits[1].items[0].image = inside;
    });
    finds(&[UnusedImage], |_, root| save(&scene(50, 64), &root.join("images/train/nobody.jpg")));
    finds(&[MissingSplit], |d, _| d.splits.truncate(1));
}

#[test]
fn a_mended_copy_has_no_errors_and_no_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let mut dataset = sound(dir.path());
    let path = |d: &Dataset, split: usize, item: usize| d.splits[split].items[item].image.clone();
    fs::write(path(&dataset, 0, 9), "no image").unwrap();
    fs::copy(path(&dataset, 0, 0), path(&dataset, 1, 0)).unwrap(); // 1 of train is 21 of val
    fs::copy(path(&dataset, 0, 1), path(&dataset, 0, 2)).unwrap(); // 2 is 3, with other labels
    dataset.labels.push("Dog".to_owned());
    for item in dataset.splits.iter_mut().flat_map(|split| &mut split.items) {
        item.states.push(LabelState::Absent);
    }
    dataset.splits[0].items[5].states = vec![LabelState::Absent, LabelState::Absent, LabelState::Present];

    let mended = Inspection::new(&dataset, &|_, _| ()).mended();
    assert_eq!(mended.dataset.labels, ["cat", "dog"]);
    let train = &mended.dataset.splits[0];
    let ids: Vec<&str> = train.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["2", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(train.items[0].states, [LabelState::Unknown, LabelState::Unknown]);
    assert_eq!(train.items[3].states, [LabelState::Absent, LabelState::Present]);
    assert_eq!(mended.dataset.splits[1].items.len(), 6);
    for part in ["left out 1 image of train (cannot be used): `10`", "also in val", "unknown now", "`Dog`"] {
        assert!(mended.done.iter().any(|sentence| sentence.contains(part)), "{part}: {:?}", mended.done);
    }

    let out = dir.path().join("mended");
    write_dataset(&mended.dataset, &out, WriteFormat::Datumaro, Images::Copy).unwrap();
    let again = Dataset::open(&out, &ReadOptions::default()).unwrap();
    let report = Inspection::new(&again, &|_, _| ()).report();
    assert_eq!((report.errors, report.warnings), (0, 0), "{report}");
}

#[test]
fn the_report_does_not_depend_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = sound(dir.path());
    fs::copy(&dataset.splits[0].items[0].image, &dataset.splits[1].items[0].image).unwrap();
    let reports: BTreeSet<String> = [1, 2, 5]
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| serde_json::to_string(&Inspection::new(&dataset, &|_, _| ()).report()).unwrap())
        })
        .into();
    assert_eq!(reports.len(), 1);
}
