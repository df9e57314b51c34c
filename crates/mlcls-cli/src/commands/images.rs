//! Image files from what the user typed: files, folders, globs, a list on standard input.

use std::fs;
use std::io::{BufRead, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Endings of files that are taken from a folder.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// A checkpoint and what it is shown.
#[derive(clap::Args)]
pub struct Shown {
    /// Checkpoint, or the folder of a run or probe (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: PathBuf,
    /// Image files, folders (with all below them), quoted globs such as 'photos/*.jpg', or - for a list on standard input.
    #[arg(value_name = "IMAGES", required = true)]
    images: Vec<String>,
}

impl Shown {
    /// The image files, in the order in which they were named.
    pub fn files(&self) -> Result<Box<dyn Iterator<Item = Result<PathBuf>>>> {
        images(&self.images)
    }
}

/// The files that `words` name, in their order; folders are walked by name. `-` reads a path per line as they come.
///
/// A word that names nothing is an error now; a file that turns out not to be an image is not known here.
pub fn images(words: &[String]) -> Result<Box<dyn Iterator<Item = Result<PathBuf>>>> {
    let mut all: Box<dyn Iterator<Item = Result<PathBuf>>> = Box::new(std::iter::empty());
    for word in words {
        all = if word == "-" {
            Box::new(all.chain(listed(stdin().lock())))
        } else {
            Box::new(all.chain(named(word)?.into_iter().map(Ok)))
        };
    }
    Ok(all)
}

/// One path per line; blank lines are passed over.
fn listed(lines: impl BufRead) -> impl Iterator<Item = Result<PathBuf>> {
    lines.lines().filter_map(|line| match line {
        Ok(line) if line.trim().is_empty() => None,
        line => {
            Some(line.map(|l| PathBuf::from(l.trim_end())).context("cannot read the list on standard input"))
        }
    })
}

fn named(word: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(word);
    if path.is_dir() {
        let mut found = Vec::new();
        walk(path, &mut found)?;
        if found.is_empty() {
            bail!("{word}: no image in this folder; endings looked for: {}", ENDINGS.join(", "));
        }
        return Ok(found);
    }
    // A file may have `[` in its name, so what exists is never read as a pattern.
    if path.exists() || !word.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let matches = glob::glob(word).with_context(|| format!("{word} is not a glob"))?;
    let mut found = Vec::new();
    for entry in matches {
        let path = entry.with_context(|| format!("cannot list {word}"))?;
        if path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("{word}: no file matches");
    }
    Ok(found)
}

/// Adds the images of a folder and of those below it, sorted by name.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = list().with_context(|| format!("cannot list {}", folder.display()))?;
    paths.sort();
    for path in paths {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        // A link to a folder could lead round in a circle.
        if path.is_dir() && !path.is_symlink() {
            walk(&path, found)?;
        } else if path.is_file() && ENDINGS.contains(&ending.as_str()) {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_globs_and_odd_names_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("sub")).unwrap();
        for name in ["b.JPG", "a.png", "notes.txt", "sub/c.webp", "odd[1].png"] {
            fs::write(root.join(name), "").unwrap();
        }
        let names = |word: &str| -> Vec<String> {
            let found = images(&[root.join(word).display().to_string()]).unwrap();
            found.map(|p| p.unwrap().strip_prefix(root).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(""), ["a.png", "b.JPG", "odd[1].png", "sub/c.webp"]);
        assert_eq!(names("*.png"), ["a.png", "odd[1].png"]);
        assert_eq!(names("odd[1].png"), ["odd[1].png"]);
        assert_eq!(names("missing.png"), ["missing.png"], "reported when it is opened, like any bad image");
    }

    #[test]
    fn words_that_name_nothing_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let message = |word: &str| {
            let word = dir.path().join(word).display().to_string();
            images(&[word]).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert!(message("").contains("no image in this folder"));
        assert!(message("*.png").contains("no file matches"));
        assert!(message("a[.png").contains("is not a glob"));
    }

    #[test]
    fn a_list_has_one_path_per_line() {
        let paths: Vec<PathBuf> = listed("a b.png\n\nc.jpg\r\n".as_bytes()).map(Result::unwrap).collect();
        assert_eq!(paths, [Path::new("a b.png"), Path::new("c.jpg")]);
    }
}
