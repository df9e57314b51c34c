//! From a data set as its makers publish it to a folder with the splits that the table trains and measures on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::datasets::DataSet;

/// How a data set lies on disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    /// In a folder of its name, or in one of these, in any form that mlcls reads, with the right splits.
    AnyForm(&'static [&'static str]),
    /// VOC's development kit: `trainval` is trained on, `test` is measured on.
    VocTrainvalTest,
}

/// The folder to give to mlcls; `view` is where one may be made.
pub fn prepare(set: &DataSet, data: &Path, view: &Path) -> Result<PathBuf> {
    match set.layout {
        Layout::AnyForm(others) => {
            let mut places =
                std::iter::once(set.name.as_str()).chain(others.iter().copied()).map(|p| data.join(p));
            // A published set under another name is known by its splits; the folder of its own name is taken as it is.
            let fits = |place: &PathBuf| place.join("annotations/instances_train2014.json").is_file();
            match places.next().filter(|own| own.is_dir()).or_else(|| places.find(fits)) {
                Some(place) => Ok(place),
                None => bail!("there is no DATA/{}: {}", set.name, set.advice),
            }
        }
        Layout::VocTrainvalTest => {
            let Some(kit) = find_kit(&set.name, data) else {
                bail!("there is no ImageSets/Main below DATA/{}: {}", set.name, set.advice);
            };
            for list in ["trainval.txt", "test.txt"] {
                if !kit.join("ImageSets/Main").join(list).is_file() {
                    bail!("ImageSets/Main lacks {list}; VOC comes in two archives: {}", set.advice);
                }
            }
            view_of_kit(&kit, view)?;
            Ok(view.to_owned())
        }
    }
}

/// The folder with `ImageSets`, `JPEGImages` and `Annotations`, wherever the archives were unpacked.
fn find_kit(name: &str, data: &Path) -> Option<PathBuf> {
    let around =
        [data.join(name), data.join(name).join("VOCdevkit"), data.join("VOCdevkit"), data.to_owned()];
    let year = around.iter().map(|folder| folder.join("VOC2007"));
    std::iter::once(data.join(name)).chain(year).find(|kit| kit.join("ImageSets/Main").is_dir())
}

/// Makes a folder in VOC's layout whose `train` is the kit's `trainval` and whose `val` is its `test`: links to the
/// images and annotations, and copies of the lists under their new names. What was there is replaced.
fn view_of_kit(kit: &Path, view: &Path) -> Result<()> {
    let kit = std::path::absolute(kit)?;
    if view.exists() {
        fs::remove_dir_all(view).with_context(|| format!("cannot remove {}", view.display()))?;
    }
    let lists = view.join("ImageSets/Main");
    fs::create_dir_all(&lists).with_context(|| format!("cannot make {}", lists.display()))?;
    for folder in ["JPEGImages", "Annotations"] {
        link(&kit.join(folder), &view.join(folder))?;
    }
    let source = kit.join("ImageSets/Main");
    for entry in source.read_dir().with_context(|| format!("cannot read {}", source.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if let Some(name) = path.extension().filter(|e| *e == "txt").and_then(|_| new_name(&stem)) {
            let to = lists.join(format!("{name}.txt"));
            fs::copy(&path, &to).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    Ok(())
}

/// The name of a list in the view: `aeroplane_trainval` is `aeroplane_train`; nothing for those left out.
fn new_name(stem: &str) -> Option<String> {
    let (label, list) = stem.rsplit_once('_').map_or(("", stem), |(label, list)| (label, list));
    let list = match list {
        "trainval" => "train",
        "test" => "val",
        _ => return None,
    };
    Some(if label.is_empty() { list.to_owned() } else { format!("{label}_{list}") })
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, at).with_context(|| format!("cannot make the link {}", at.display()))
}

#[cfg(not(unix))]
fn link(_: &Path, at: &Path) -> Result<()> {
    bail!("{}: links to folders are made on Unix only", at.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn kit(at: &Path) {
        for (list, text) in [
            ("train", "1\n"),
            ("val", "2\n"),
            ("trainval", "1\n2\n"),
            ("test", "3\n"),
            ("cat_train", "1 1\n"),
            ("cat_trainval", "1 1\n2 -1\n"),
            ("cat_test", "3 0\n"),
        ] {
            write(at.join(format!("ImageSets/Main/{list}.txt")), text);
        }
        write(at.join("JPEGImages/3.jpg"), "photo");
        fs::create_dir(at.join("Annotations")).unwrap();
    }

    #[test]
    fn trainval_becomes_train_and_test_becomes_val_wherever_the_kit_lies() {
        let set = DataSet::named("voc2007");
        for place in ["voc2007", "voc2007/VOCdevkit/VOC2007", "VOCdevkit/VOC2007", "VOC2007"] {
            let dir = tempfile::tempdir().unwrap();
            kit(&dir.path().join(place));
            let view = prepare(&set, dir.path(), &dir.path().join("view")).unwrap();
            let again = prepare(&set, dir.path(), &view).unwrap();
            let read = |file: &str| fs::read_to_string(again.join(file)).unwrap();
            assert_eq!(read("ImageSets/Main/train.txt"), "1\n2\n", "{place}");
            assert_eq!(read("ImageSets/Main/val.txt"), "3\n");
            assert_eq!(read("ImageSets/Main/cat_train.txt"), "1 1\n2 -1\n");
            assert_eq!(read("ImageSets/Main/cat_val.txt"), "3 0\n");
            assert_eq!(read("JPEGImages/3.jpg"), "photo");
            assert_eq!(fs::read_dir(again.join("ImageSets/Main")).unwrap().count(), 4);
            // Removing the view did not reach through its links.
            assert!(dir.path().join(place).join("JPEGImages/3.jpg").is_file());
        }
    }

    #[test]
    fn what_is_missing_says_what_to_download() {
        let dir = tempfile::tempdir().unwrap();
        let message = |name: &str| {
            let view = dir.path().join("view");
            prepare(&DataSet::named(name), dir.path(), &view).unwrap_err().to_string()
        };
        assert!(message("voc2007").ends_with("mlcls data fetch voc2007 --to DATA/voc2007 (911 MB)"));
        assert!(message("coco2014").starts_with("there is no DATA/coco2014: mlcls data fetch coco2014"));
        assert!(message("aerial").contains("Roboflow"));
        assert!(message("voc2077").contains("it is none of voc2007"));

        kit(&dir.path().join("voc2007"));
        fs::remove_file(dir.path().join("voc2007/ImageSets/Main/test.txt")).unwrap();
        assert!(message("voc2007").starts_with("ImageSets/Main lacks test.txt; VOC comes in two archives"));
    }

    #[test]
    fn coco_may_lie_in_the_data_folder_itself() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path().join("annotations/instances_train2014.json"), "{}");
        let find = |set: &str| prepare(&DataSet::named(set), dir.path(), Path::new("view"));
        assert_eq!(find("coco2014").unwrap(), dir.path().join(""));
        assert!(find("aerial").is_err());
    }
}
