//! The folder of a run: what lies where.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Paths of one run.
///
/// ```text
/// runs/train/
///   config.yaml              every setting, merged
///   dataset.json             counts and fingerprint of the data
///   environment.json         versions and machine
///   metrics.csv              one row per epoch
///   tensorboard/             curves for TensorBoard, only where the settings ask for them
///   checkpoints/best.safetensors
///   checkpoints/last.safetensors
///   checkpoints/ema.safetensors   only where averaged weights are kept
///   state/state.safetensors  what exact resume needs
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// Makes a new folder `name` under `parent`, or the first free of `name2`, `name3`, ... as ultralytics does.
    ///
    /// # Errors
    /// The folder cannot be made.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use mlcls_train::RunDir;
    ///
    /// let first = RunDir::create_next(dir.path(), "train")?;
    /// let second = RunDir::create_next(dir.path(), "train")?;
    /// assert!(first.path().ends_with("train") && second.path().ends_with("train2"));
    /// # Ok::<(), mlcls_train::Error>(())
    /// ```
    pub fn create_next(parent: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let mut number = 1usize;
        loop {
            let suffix = if number == 1 { String::new() } else { number.to_string() };
            let path = parent.join(format!("{name}{suffix}"));
            match fs::create_dir(&path) {
                Ok(()) => return Self(path).with_folder(),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::io("create", &path)(e)),
            }
        }
    }

    /// Makes exactly this folder, which may exist if it is empty.
    ///
    /// # Errors
    /// The folder holds something, or cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let mut entries = fs::read_dir(path).map_err(Error::io("read", path))?;
        if entries.next().is_some() {
            let reason = "the folder is not empty; give another, or continue the run in it with --resume";
            return Err(Error::Resume { run: path.to_owned(), reason: reason.to_owned() });
        }
        Self(path.to_owned()).with_folder()
    }

    /// The folder of an existing run.
    ///
    /// # Errors
    /// There is no `config.yaml` in it.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = Self(path.to_owned());
        if dir.config().is_file() {
            return Ok(dir);
        }
        let reason = "there is no config.yaml in it; expected the folder of a run, such as runs/train";
        Err(Error::Resume { run: path.to_owned(), reason: reason.to_owned() })
    }

    /// The folder of a run or of a probe, for the sake of its best checkpoint.
    ///
    /// # Errors
    /// There is no such checkpoint in it, and no `config.yaml`.
    pub fn with_checkpoint(path: &Path) -> Result<Self> {
        let dir = Self(path.to_owned());
        if dir.best().is_file() { Ok(dir) } else { Self::open(path) }
    }

    /// A folder that another process keeps.
    pub(crate) fn elsewhere(path: PathBuf) -> Self {
        Self(path)
    }

    fn with_folder(self) -> Result<Self> {
        let path = self.0.join("checkpoints");
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        Ok(self)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Every setting of the run.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.yaml")
    }

    /// Counts and fingerprint of the data.
    pub fn dataset(&self) -> PathBuf {
        self.0.join("dataset.json")
    }

    /// Versions and machine.
    pub fn environment(&self) -> PathBuf {
        self.0.join("environment.json")
    }

    /// One row per epoch.
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.csv")
    }

    /// The folder for TensorBoard; only in runs with `log.tensorboard`.
    pub fn tensorboard(&self) -> PathBuf {
        self.0.join("tensorboard")
    }

    /// The checkpoint with the best validation.
    pub fn best(&self) -> PathBuf {
        self.0.join("checkpoints").join("best.safetensors")
    }

    /// The checkpoint of the last finished epoch.
    pub fn last(&self) -> PathBuf {
        self.0.join("checkpoints").join("last.safetensors")
    }

    /// The averaged weights after the last finished epoch; only in runs that keep an average.
    pub fn ema(&self) -> PathBuf {
        self.0.join("checkpoints").join("ema.safetensors")
    }

    /// What exact resume needs.
    pub fn state(&self) -> PathBuf {
        self.0.join("state").join("state.safetensors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        assert!(RunDir::create(dir.path()).unwrap_err().to_string().contains("not empty"));
        assert!(RunDir::open(dir.path()).unwrap_err().to_string().contains("config.yaml"));
        assert!(RunDir::create(&dir.path().join("new")).is_ok());
    }
}
