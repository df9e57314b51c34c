//! `mlcls explain`: where a model looks.

use std::collections::HashSet;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use mlcls_data::{decode_file, load_image};
use mlcls_export::saliency::{Explained, Explainer, Method, normalise, npy};
use mlcls_models::write_atomic;
use mlcls_report::overlay;
use mlcls_train::{Checkpoint, CheckpointInfo};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::eval::load_checkpoint;
use super::images::Shown;

/// Show where a model looks: saliency maps of images, one for each predicted label.
///
/// For each map three files are written: IMAGE_LABEL_saliency_map.png, 16 bits of grey from the map's smallest value to its
/// largest; IMAGE_LABEL_saliency_map.npy, the values themselves for numpy; and IMAGE_LABEL_overlay_img.png, colours from blue
/// to red over the image. An image without a predicted label gets none. The method `activation` has one map for all labels,
/// whose names are without a label. A file that is no usable image is reported and passed over; the exit code is then 1.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    shown: Shown,
    /// Folder for the maps.
    #[arg(long, value_name = "FOLDER", default_value = "saliency")]
    out: PathBuf,
    /// How: `reciprocam` (the score of each place alone), `gradcam` (the gradient's direction), or `activation` (where the
    /// backbone is active, one map for all labels).
    #[arg(long, value_name = "METHOD", default_value = "reciprocam")]
    method: Method,
    /// Explain all labels, not only the predicted ones.
    #[arg(long)]
    all_labels: bool,
    /// Share of the image in overlays, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = super::score)]
    overlay_weight: f32,
    /// Score from which a label counts as predicted [default: the checkpoint's]
    #[arg(long, value_name = "SCORE", value_parser = super::score)]
    threshold: Option<f32>,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
    /// Print one JSON object per line, with the files written.
    #[arg(long)]
    json: bool,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let checkpoint = load_checkpoint(&args.shown.checkpoint, args.threshold)?;
    let Checkpoint { info, model, weights } = &checkpoint;
    let mut explainer = Explainer::new(model, weights, args.method, args.batch_size.into())?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let mut files = Files { args, info, names: Names::default(), stems: Names::default() };
    let mut paths = args.shown.files()?;
    let (mut maps, mut bad) = (0usize, 0usize);
    loop {
        let batch = paths.by_ref().take(args.batch_size.into()).collect::<Result<Vec<_>>>()?;
        if batch.is_empty() {
            break;
        }
        let load = |path: &PathBuf| load_image(path, info.image_size as u32, info.resize);
        let images: Vec<_> = batch.par_iter().map(load).collect();
        let pixels: Vec<u8> = images.iter().flatten().flatten().copied().collect();
        let readable = images.iter().filter(|image| image.is_ok()).count();
        let explained = (readable > 0).then(|| explainer.run(&pixels, readable)).transpose()?;
        let mut rows = 0..;
        let mut out = stdout().lock();
        for (path, image) in batch.iter().zip(images) {
            let row = image.map(|_| explained.as_ref().zip(rows.next()));
            match row {
                Ok(row) => {
                    let written = row.map_or_else(|| Ok(vec![]), |(e, row)| files.save(path, e, row))?;
                    maps += written.len();
                    if args.json {
                        writeln!(out, "{}", json!({ "path": path, "maps": written }))?;
                    } else {
                        writeln!(out, "{}  {}", path.display(), words(&written))?;
                    }
                }
                Err(problem) => {
                    bad += 1;
                    if args.json {
                        let problem = problem.problem.to_string();
                        writeln!(out, "{}", json!({ "path": path, "error": problem }))?;
                    } else {
                        writeln!(stderr(), "skipped {problem}")?;
                    }
                }
            }
        }
    }
    if !args.json {
        writeln!(stdout(), "{maps} maps, each a .png, a .npy and an overlay, in {}", args.out.display())?;
    }
    if bad > 0 {
        writeln!(stderr(), "{bad} of the images could not be used")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of a map.
#[derive(Serialize)]
struct Written<'a> {
    /// None where all labels share the map.
    label: Option<&'a str>,
    score: Option<f32>,
    png: PathBuf,
    npy: PathBuf,
    overlay: PathBuf,
}

/// What is said of an image's maps: their labels, or the file of the one that all labels share.
fn words(written: &[Written]) -> String {
    let word = |map: &Written| match (map.label, map.score) {
        (Some(label), Some(score)) => format!("{label} {score:.3}"),
        _ => map.png.display().to_string(),
    };
    let words: Vec<String> = written.iter().map(word).collect();
    if words.is_empty() { "-".to_owned() } else { words.join("  ") }
}

/// Where maps are written, and under which names.
struct Files<'a> {
    args: &'a Args,
    info: &'a CheckpointInfo,
    /// One for each image.
    stems: Names,
    /// One for each map: a stem and a label may read like another pair.
    names: Names,
}

impl<'a> Files<'a> {
    /// Writes the maps of an image, the `row`th that was explained.
    fn save(&mut self, path: &Path, explained: &Explained, row: usize) -> Result<Vec<Written<'a>>> {
        let (args, info) = (self.args, self.info);
        let classes = info.labels.len();
        let scores = info.scores(&explained.logits[row * classes..][..classes]);
        let stem = self.stems.of(&path.file_stem().unwrap_or_default().to_string_lossy());
        // All labels may share the image's map, which is then written once.
        let chosen: Vec<(usize, String)> = match (args.method.is_per_label(), args.all_labels) {
            (false, _) => vec![(0, self.names.of(&stem))],
            (true, true) => self.named(&stem, 0..classes),
            (true, false) => self.named(&stem, info.predicted_labels(&scores)),
        };
        if chosen.is_empty() {
            return Ok(vec![]);
        }
        let image = decode_file(path)?;
        let save = |(label, name): (usize, String)| {
            let file = |ending: &str| args.out.join(format!("{name}_{ending}"));
            let own = args.method.is_per_label();
            let written = Written {
                label: own.then(|| info.labels[label].as_str()),
                score: own.then(|| scores[label]),
                png: file("saliency_map.png"),
                npy: file("saliency_map.npy"),
                overlay: file("overlay_img.png"),
            };
            let raw = explained.map(row, label);
            let map = normalise(raw);
            let grey: Vec<u8> =
                map.iter().flat_map(|v| ((v * 65535.0).round() as u16).to_ne_bytes()).collect();
            let (height, width) = (explained.height, explained.width);
            write_png(&written.png, &grey, width as u32, height as u32, ExtendedColorType::L16)?;
            write_atomic(&written.npy, |out| out.write_all(&npy(raw, &[height, width])))?;
            let over = overlay(&image, &map, height, args.overlay_weight);
            write_png(&written.overlay, over.data(), over.width(), over.height(), ExtendedColorType::Rgb8)?;
            Ok(written)
        };
        chosen.into_par_iter().map(save).collect()
    }

    /// Labels, each with the name of its files.
    fn named(&mut self, stem: &str, labels: impl IntoIterator<Item = usize>) -> Vec<(usize, String)> {
        let name = |label: usize| (label, self.names.of(&format!("{stem}_{}", self.info.labels[label])));
        labels.into_iter().map(name).collect()
    }
}

fn write_png(path: &Path, pixels: &[u8], width: u32, height: u32, colour: ExtendedColorType) -> Result<()> {
    let mut png = vec![];
    PngEncoder::new(&mut png).write_image(pixels, width, height, colour)?;
    Ok(write_atomic(path, |out| out.write_all(&png))?)
}

/// Names of files, each different.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    /// `wanted` without what file systems refuse, and with the first free number behind it where it was given before.
    fn of(&mut self, wanted: &str) -> String {
        let safe: String =
            wanted.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let mut name = safe.clone();
        let mut number = 1;
        // Names of files do not differ by case everywhere.
        while !self.0.insert(name.to_lowercase()) {
            number += 1;
            name = format!("{safe}-{number}");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_and_different() {
        let mut names = Names::default();
        let wanted = ["a/b", "a b", "A_B", "caf\u{e9}", "../x", "c:d", "a_b-2"];
        let given = wanted.map(|name| names.of(name));
        assert_eq!(given, ["a_b", "a_b-2", "A_B-3", "caf\u{e9}", ".._x", "c_d", "a_b-2-2"]);
    }
}
