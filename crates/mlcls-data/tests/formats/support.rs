//! A folder to build data sets in, and short names for what they should read as.

use std::fs;
use std::path::{Path, PathBuf};

use mlcls_data::{Dataset, Item, LabelState, ReadOptions};
use tempfile::TempDir;

/// A temporary folder. Three more are around it, as far as advice on a data set looks: what others left beside
/// temporary folders is not seen.
pub struct Dir {
    path: PathBuf,
    _outer: TempDir,
}

impl Dir {
    pub fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b/root");
        fs::create_dir_all(&path).unwrap();
        Self { path, _outer: outer }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, with the folders it needs.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Writes a small image, in the format that the ending says.
    pub fn photo(&self, path: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_fn(8, 6, |x, y| image::Rgb([30 * x as u8, 40 * y as u8, 90]))
            .save(path)
            .unwrap();
        self
    }

    pub fn folder(&self, path: &str) -> &Self {
        fs::create_dir_all(self.path().join(path)).unwrap();
        self
    }

    /// Reads the data set, with the default options.
    pub fn open(&self) -> Dataset {
        Dataset::open(self.path(), &ReadOptions::default()).unwrap()
    }

    /// The message that reading gives; paths are relative to the folder.
    pub fn error(&self) -> String {
        self.error_at("")
    }

    /// The same for a path in the folder.
    pub fn error_at(&self, path: &str) -> String {
        // Joining nothing would add a slash.
        let path = if path.is_empty() { self.path().to_owned() } else { self.path().join(path) };
        let error = Dataset::open(path, &ReadOptions::default()).unwrap_err();
        self.relative(&error.to_string())
    }

    /// A text in which this folder is called `ROOT`.
    pub fn relative(&self, text: &str) -> String {
        let canonical = self.path().canonicalize().unwrap();
        text.replace(canonical.to_str().unwrap(), "ROOT").replace(self.path().to_str().unwrap(), "ROOT")
    }

    pub fn join(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }
}

/// States as text: `+` present, `-` absent, `?` unknown.
pub fn states(item: &Item) -> String {
    let sign = |state: &LabelState| match state {
        LabelState::Present => '+',
        LabelState::Absent => '-',
        LabelState::Unknown => '?',
    };
    item.states.iter().map(sign).collect()
}

/// Id and states of every item of a split: `["a +-", "b -?"]`.
pub fn items(dataset: &Dataset, split: &str) -> Vec<String> {
    let split = dataset.require_split(split).unwrap();
    split.items.iter().map(|item| format!("{} {}", item.id, states(item))).collect()
}
