//! The folders of the bench, and how paths in them are shown: as DATA and WORK, since nobody else has these folders.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::record::CellKey;

/// Absolute paths.
#[derive(Clone, Debug)]
pub struct Places {
    pub data: PathBuf,
    pub work: PathBuf,
}

/// A folder's name is cut off here; a hash of the whole follows.
const LONGEST_NAME: usize = 120;

impl Places {
    pub fn new(data: &Path, work: &Path) -> Result<Self> {
        Ok(Self { data: std::path::absolute(data)?, work: std::path::absolute(work)? })
    }

    /// The folder of one run.
    pub fn run_folder(&self, key: &CellKey, seed: u64) -> PathBuf {
        let mut variant = key.recipe.clone();
        if key.device != "cpu" {
            variant += &format!("-{}", key.device);
            key.precision.iter().for_each(|precision| variant += &format!("-{precision}"));
        }
        key.changes.iter().for_each(|change| variant += &format!("+{change}"));
        let runs = self.work.join("runs").join(&key.dataset).join(&key.model);
        runs.join(file_name(&variant)).join(format!("seed{seed}"))
    }

    /// A command as one would type it.
    pub fn shown(&self, args: &[String]) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_./=:,+-".contains(c);
        let word = |arg: &String| {
            let short = self.short(arg);
            let name = Path::new(&short).file_name().filter(|_| short.starts_with('/'));
            let short = name.map_or(short.clone(), |name| name.to_string_lossy().into_owned());
            if short.chars().all(plain) { short } else { format!("'{short}'") }
        };
        let words: Vec<String> = args.iter().map(word).collect();
        format!("mlcls {}", words.join(" "))
    }

    /// A text with the folders' short names in it. The work folder may lie in the data folder, or the other way round.
    pub fn short(&self, text: &str) -> String {
        let mut folders = [(&self.data, "DATA"), (&self.work, "WORK")];
        folders.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_os_str().len()));
        folders
            .iter()
            .fold(text.to_owned(), |text, (path, name)| text.replace(&*path.to_string_lossy(), name))
    }
}

/// A name that every file system takes; different texts give different names.
fn file_name(text: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "_.=+-".contains(c) { c } else { '_' };
    let name: String = text.chars().map(kept).collect();
    if name == text && name.len() <= LONGEST_NAME {
        return name;
    }
    // FNV-1a, 64 bits.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}-{hash:016x}", name.chars().take(LONGEST_NAME).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::key;
    use super::*;

    #[test]
    fn commands_name_no_private_path() {
        let places = Places::new(Path::new("/a/b"), Path::new("/a/b/w")).unwrap();
        let args = ["train", "/a/b/w/data/voc", "/a/b/coco", "--set", "augment.ops=[flip, x]", "/c/w.bin"];
        assert_eq!(
            places.shown(&args.map(str::to_owned)),
            "mlcls train WORK/data/voc DATA/coco --set 'augment.ops=[flip, x]' w.bin"
        );
    }

    #[test]
    fn every_variant_has_a_folder_of_its_own() {
        let places = Places::new(Path::new("/d"), Path::new("/w")).unwrap();
        let mut cell = key("voc2007", "m");
        let folder = |cell: &CellKey| places.run_folder(cell, 1);
        assert_eq!(folder(&cell), Path::new("/w/runs/voc2007/m/table/seed1"));
        cell.changes = vec!["train.epochs=5".to_owned()];
        assert_eq!(folder(&cell), Path::new("/w/runs/voc2007/m/table+train.epochs=5/seed1"));
        cell.changes = vec!["a=[1, 2]".to_owned()];
        let list = folder(&cell);
        cell.changes = vec!["a=[1; 2]".to_owned()];
        assert_ne!(folder(&cell), list);
        cell.changes = vec!["x".repeat(300)];
        let long = folder(&cell);
        assert!(long.iter().all(|part| part.len() < 150), "{}", long.display());
        cell.device = "cuda".to_owned();
        assert_ne!(folder(&cell), long);
        cell.changes = vec![];
        cell.precision = Some("fp32".to_owned());
        assert_eq!(folder(&cell), Path::new("/w/runs/voc2007/m/table-cuda-fp32/seed1"));
        cell.device = "cuda:1".to_owned();
        assert!(folder(&cell).ends_with("seed1") && !folder(&cell).to_string_lossy().contains(':'));
    }
}
