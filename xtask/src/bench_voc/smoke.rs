//! `--smoke`: the whole harness on a data set that mlcls draws, in the layouts of the published ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::datasets::{DataSet, Reading};
use super::layout::Layout;
use super::mlcls::Mlcls;

/// Settings that make a run take seconds.
pub const CHANGES: [&str; 4] =
    ["model.image_size=32", "train.batch_size=16", "train.ema=true", "eval.ema_from_epoch=1"];

/// The names of the drawn data sets.
pub const NAMES: [&str; 2] = ["smoke_voc", "smoke_coco"];

/// The drawn data set as a VOC kit with trainval and test, and as COCO.
pub fn datasets() -> [DataSet; 2] {
    let reading = |split, difficult, about| Reading { split, difficult, about };
    let voc = DataSet {
        title: "drawn, as VOC".to_owned(),
        layout: Layout::VocTrainvalTest,
        images: vec![("train", 88), ("val", 24)],
        readings: vec![
            reading("val", "positive", "test, difficult objects count"),
            reading("val", "unknown", "test, difficult objects left out"),
        ],
        ..DataSet::named(NAMES[0])
    };
    let coco = DataSet {
        title: "drawn, as COCO".to_owned(),
        images: vec![("train", 64), ("val", 24), ("test", 24)],
        ..DataSet::named(NAMES[1])
    };
    [voc, coco]
}

/// Draws it under `work`, once, and returns the folder to give as `--data`.
pub fn draw(mlcls: &Mlcls, work: &Path) -> Result<PathBuf> {
    let (done, part) = (work.join("smoke"), work.join("smoke.part"));
    if done.is_dir() {
        return Ok(done);
    }
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let run = |args: &[&str]| mlcls.text(&args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
    run(&["demo", "--quick", "--data-only", "--out", &text(part.join("drawn"))])?;
    let drawn = text(part.join("drawn/data"));
    for form in ["voc", "coco"] {
        run(&["data", "convert", &drawn, &text(part.join(format!("smoke_{form}"))), "--to", form])?;
    }
    let lists = part.join("smoke_voc/ImageSets/Main");
    add_trainval(&lists)?;
    add_difficult(&lists)?;
    fs::rename(&part, &done).with_context(|| format!("cannot make {}", done.display()))?;
    Ok(done)
}

/// Adds the lists `trainval` and `<label>_trainval`, which VOC's makers have and converted sets do not.
fn add_trainval(lists: &Path) -> Result<()> {
    let entries: Vec<PathBuf> =
        lists.read_dir()?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    for train in entries {
        let name = train.file_name().unwrap_or_default().to_string_lossy();
        if let Some(label) = name.strip_suffix("train.txt") {
            let both =
                fs::read_to_string(&train)? + &fs::read_to_string(lists.join(format!("{label}val.txt")))?;
            fs::write(lists.join(format!("{label}trainval.txt")), both)?;
        }
    }
    Ok(())
}

/// Marks the first image of each label in `test` as difficult, so that the two readings differ.
fn add_difficult(lists: &Path) -> Result<()> {
    for entry in lists.read_dir()? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("_test.txt") {
            fs::write(&path, fs::read_to_string(&path)?.replacen("  1\n", "  0\n", 1))?;
        }
    }
    Ok(())
}
