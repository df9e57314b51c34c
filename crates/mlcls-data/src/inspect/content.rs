//! A hash of all that a run learns from: what the data set says, and the bytes of its images.

use super::{BadImage, each_image};
use crate::dataset::Dataset;
use crate::image::{ImageError, ImageProblem};

impl Dataset {
    /// The BLAKE3 hash, in 64 hexadecimal digits, of the digits of the [fingerprint](Dataset::fingerprint) and of the
    /// BLAKE3 hash (32 bytes) of each item's image file, in the order of the data set.
    ///
    /// Two data sets with the same content hash give the same training; one whose images were resized or written
    /// anew has another, though its fingerprint is the same. Every file is read once, on all cores, and none is
    /// decoded; `progress` is called from all threads with the number of files done and their total.
    ///
    /// # Errors
    /// The first image, in the order of the data set, that cannot be read.
    pub fn content_hash(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<String, BadImage> {
        let files = each_image(self, progress, |path| match std::fs::read(path) {
            Ok(bytes) => Ok(blake3::hash(&bytes)),
            Err(error) => Err(ImageError { path: path.to_owned(), problem: ImageProblem::Read(error) }),
        });
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.fingerprint().as_bytes());
        for file in files {
            hasher.update(file?.as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::dataset::{Dataset, Format, Item, LabelState, Split};

    /// Python's blake3 1.0.11, with `n = lambda v: v.to_bytes(8, "little")` and `t = lambda s: n(len(s)) + s.encode()`:
    ///
    /// ```text
    /// says = n(1) + t("cat") + n(2) + t("train") + n(2) + t("a") + n(1) + b"\1" + t("b") + n(1) + b"\0"
    /// says += t("val") + n(1) + t("c") + n(1) + b"\2"
    /// all = blake3(blake3(says).hexdigest().encode())
    /// for file in (b"one", b"two", b"one"): all.update(blake3(file).digest())
    /// ```
    const EXPECTED: &str = "720fb8049f342bf9258737cd2fdeed3444fd73a4a4850a02c24d80007c1d8936";

    #[test]
    fn annotations_and_bytes_enter_and_paths_do_not() {
        use LabelState::{Absent, Present, Unknown};
        let folder = tempfile::tempdir().unwrap();
        let item = |id: &str, name: &str, bytes: &str, state| {
            let image = folder.path().join(name);
            fs::write(&image, bytes).unwrap();
            Item { id: id.to_owned(), image, states: vec![state] }
        };
        let train = vec![item("a", "1.jpg", "one", Present), item("b", "2.jpg", "two", Absent)];
        let val = vec![item("c", "1.jpg", "one", Unknown)];
        let split = |name: &str, items| Split { name: name.to_owned(), items };
        let mut dataset = Dataset {
            root: folder.path().to_owned(),
            format: Format::Csv,
            labels: vec!["cat".to_owned()],
            splits: vec![split("train", train), split("val", val)],
            notes: vec![],
        };
        let hash = |dataset: &Dataset| dataset.content_hash(&|_, _| ());
        assert_eq!(hash(&dataset).unwrap(), EXPECTED);

        let moved = folder.path().join("3.jpg");
        fs::rename(folder.path().join("2.jpg"), &moved).unwrap();
        let error = hash(&dataset).unwrap_err().to_string();
        assert!(error.starts_with("train `b`: ") && error.contains("2.jpg"), "{error}");
        dataset.splits[0].items[1].image = moved.clone();
        assert_eq!(hash(&dataset).unwrap(), EXPECTED);
        fs::write(&moved, "Two").unwrap();
        assert_ne!(hash(&dataset).unwrap(), EXPECTED);
    }
}
