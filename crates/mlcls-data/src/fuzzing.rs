//! What the fuzz targets in `fuzz` call: one function per parser, which panics where a law is broken.
//!
//! The readers of formats are reached by the door that everybody uses, [`Dataset::open`], with the bytes as one file of an
//! otherwise sound data set.

mod cache;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

pub use self::cache::cache;
use crate::image::check;
pub use crate::image::fuzzing::jpeg;
use crate::{Dataset, Images, ReadOptions, WriteFormat, decode, write_dataset};

/// A fuzz target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("datumaro", datumaro),
    ("coco", coco),
    ("voc_xml", voc_xml),
    ("voc_lists", voc_lists),
    ("csv", csv),
    ("roboflow_csv", roboflow_csv),
    ("image", image),
    ("jpeg", jpeg),
    ("cache", cache),
];

/// Pixels that an image may have here: a fuzzer that waits for large images finds nothing.
const MAX_PIXELS: u64 = 1 << 20;

/// `annotations/train.json`. What can be read can be written and read again to the same.
pub fn datumaro(bytes: &[u8]) {
    let scene = Scene::new("datumaro", &["annotations", "images"]);
    scene.file("annotations/train.json", bytes);
    scene.read_write_read(WriteFormat::Datumaro);
}

/// `annotations/instances_train.json`. What can be read can be written and read again to the same.
pub fn coco(bytes: &[u8]) {
    let scene = Scene::new("coco", &["annotations", "train"]);
    scene.file("annotations/instances_train.json", bytes);
    scene.read_write_read(WriteFormat::Coco);
}

/// `Annotations/a.xml`.
pub fn voc_xml(bytes: &[u8]) {
    let scene = Scene::new("voc_xml", &["Annotations", "ImageSets/Main", "JPEGImages"]);
    scene.file("ImageSets/Main/train.txt", b"a");
    scene.file("Annotations/a.xml", bytes);
    scene.read();
}

/// `ImageSets/Main/train.txt`, then, behind the first zero byte, `cat_train.txt`.
pub fn voc_lists(bytes: &[u8]) {
    let scene = Scene::new("voc_lists", &["ImageSets/Main", "JPEGImages"]);
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    scene.file("ImageSets/Main/train.txt", &bytes[..end]);
    scene.file("ImageSets/Main/cat_train.txt", bytes.get(end + 1..).unwrap_or_default());
    scene.read();
}

/// `labels.csv`. What can be read can be written and read again to the same.
pub fn csv(bytes: &[u8]) {
    let scene = Scene::new("csv", &["images"]);
    scene.file("labels.csv", bytes);
    scene.read_write_read(WriteFormat::Csv);
}

/// `train/_classes.csv`.
pub fn roboflow_csv(bytes: &[u8]) {
    let scene = Scene::new("roboflow_csv", &["train"]);
    scene.file("train/_classes.csv", bytes);
    scene.read();
}

/// An image file. What decodes passes the quick check, and is as large as its header says.
pub fn image(bytes: &[u8]) {
    let checked = check(bytes);
    let reader = ::image::ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let Some((width, height)) = reader.ok().and_then(|reader| reader.into_dimensions().ok()) else {
        assert!(checked.is_err() && decode(bytes).is_err());
        return;
    };
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return;
    }
    if let Ok(image) = decode(bytes) {
        assert!(checked.is_ok(), "{checked:?}");
        let sides = (image.width(), image.height());
        assert!(sides == (width, height) || sides == (height, width), "{sides:?} and {width} x {height}");
    }
}

/// A folder for one data set. Its folders stay from input to input, since making them takes longer than most parsing.
struct Scene {
    root: PathBuf,
}

impl Scene {
    fn new(target: &str, folders: &[&str]) -> Self {
        let root = Self::root(target);
        if !root.is_dir() {
            for folder in folders {
                fs::create_dir_all(root.join(folder)).expect("a temporary folder can be made");
            }
        }
        Self { root }
    }

    /// Deep enough that advice on folders nearby finds none: listing them would take longer than most parsing.
    fn root(target: &str) -> PathBuf {
        Self::base(target).join("no/data/set/above")
    }

    fn base(target: &str) -> PathBuf {
        std::env::temp_dir().join(format!("mlcls-fuzz-{target}-{}", std::process::id()))
    }

    fn file(&self, path: &str, bytes: &[u8]) {
        fs::write(self.root.join(path), bytes).expect("a temporary file can be written");
    }

    /// Reads the data set; an error must have something to say, and name a place.
    fn read(&self) -> Option<Dataset> {
        match Dataset::open(&self.root, &ReadOptions::default()) {
            Ok(dataset) => {
                assert_sound(&dataset, &self.root);
                Some(dataset)
            }
            Err(error) => {
                assert!(error.to_string().contains(self.root.to_str().unwrap_or_default()), "{error}");
                None
            }
        }
    }

    fn read_write_read(&self, format: WriteFormat) {
        let Some(dataset) = self.read() else { return };
        write_dataset(&dataset, &self.root, format, Images::InPlace).expect("what was read can be written");
        let again = self.read().expect("what was written can be read");
        assert_eq!(again.labels, dataset.labels);
        assert_eq!(again.splits, dataset.splits);
    }
}

/// What every data set promises, wherever it comes from.
fn assert_sound(dataset: &Dataset, root: &Path) {
    assert!(!dataset.labels.is_empty() && !dataset.splits.is_empty());
    for split in &dataset.splits {
        assert!(!split.items.is_empty());
        for item in &split.items {
            assert_eq!(item.states.len(), dataset.labels.len());
            let inside = item.image.strip_prefix(root).expect("images lie in the data set");
            assert!(inside.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
        }
    }
    drop(dataset.summary().to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs each target on its seeds, on what the fuzzer found worth keeping, and on what once broke a law.
    #[test]
    fn the_kept_inputs_break_no_law() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        for (name, run) in TARGETS {
            let folders = ["seeds", "corpus"].map(|kind| fuzz.join(kind).join(name));
            let files = folders.iter().flat_map(|f| f.read_dir().into_iter().flatten().flatten());
            let files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
            assert!(!files.is_empty(), "no inputs for {name}");
            for file in files {
                run(&fs::read(&file).unwrap());
            }
            let _ = fs::remove_dir_all(Scene::base(name));
        }
    }
}
