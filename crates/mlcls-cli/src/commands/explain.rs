//! `mlcls explain`: where a model looks.

use std::collections::HashMap;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use mlcls_data::{ImageError, decode_file, load_image};
use mlcls_export::saliency::{Explainer, Method, normalise, npy};
use mlcls_models::write_atomic;
use mlcls_report::overlay;
use mlcls_train::{Checkpoint, CheckpointInfo};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::eval::checkpoint_path;
use super::images::images;

/// Show where a model looks: saliency maps of images, one for each predicted label.
///
/// For each map three files are written: IMAGE_LABEL_saliency_map.png, 16 bits of grey from 0 to the largest value;
/// IMAGE_LABEL_saliency_map.npy, the same unscaled for numpy; and IMAGE_LABEL_overlay_img.png, colours from blue to red over
/// the image. An image without a predicted label gets none. With the
/// method `activation`, which has one map for all labels, names are without a label. A file that is no usable image is reported and passed over; the
/// exit code is then 1.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Image files, folders (with all below them), quoted globs such as 'photos/*.jpg', or - for a list on standard input.
    #[arg(value_name = "IMAGES", required = true)]
    images: Vec<String>,
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
    let mut checkpoint = Checkpoint::load(&checkpoint_path(&args.checkpoint)?)?;
    if let Some(threshold) = args.threshold {
        checkpoint.info.threshold = threshold;
        checkpoint.info.thresholds = None;
    }
    let Checkpoint { info, model, weights } = &checkpoint;
    let mut explainer = Explainer::new(model, weights, args.method, args.batch_size.into())?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let labels = Names::default().of_all(&info.labels);
    let mut paths = images(&args.images)?;
    let mut stems = Names::default();
    let (mut maps, mut bad) = (0usize, 0usize);
    loop {
        let batch = paths.by_ref().take(args.batch_size.into()).collect::<Result<Vec<_>>>()?;
        if batch.is_empty() {
            break;
        }
        let mut out = stdout().lock();
        for (path, explanation) in batch.iter().zip(explain(&batch, &mut explainer, info)?) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let written = match explanation {
                Ok(explanation) => explanation.save(args, info, &labels, path, &stems.of(&stem))?,
                Err(problem) => {
                    bad += 1;
                    if args.json {
                        let problem = problem.problem.to_string();
                        writeln!(out, "{}", json!({ "path": path, "error": problem }))?;
                    } else {
                        writeln!(stderr(), "skipped {problem}")?;
                    }
                    continue;
                }
            };
            maps += written.len();
            if args.json {
                writeln!(out, "{}", json!({ "path": path, "maps": written }))?;
            } else {
                let word = |map: &Written| match (map.label, map.score) {
                    (Some(label), Some(score)) => format!("{label} {score:.3}"),
                    _ => map.png.display().to_string(),
                };
                let words: Vec<String> = written.iter().map(word).collect();
                let words = if words.is_empty() { "-".to_owned() } else { words.join("  ") };
                writeln!(out, "{}  {words}", path.display())?;
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

/// An image's scores and maps.
struct Explanation {
    scores: Vec<f32>,
    /// Raw maps, one per label.
    maps: Vec<Vec<f32>>,
    rows: usize,
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

/// Explains image files, in their order.
fn explain(
    paths: &[PathBuf],
    explainer: &mut Explainer,
    info: &CheckpointInfo,
) -> Result<Vec<Result<Explanation, ImageError>>> {
    let load = |path: &PathBuf| load_image(path, info.image_size as u32, info.resize);
    let images: Vec<_> = paths.par_iter().map(load).collect();
    let pixels: Vec<u8> = images.iter().flatten().flatten().copied().collect();
    let readable = images.iter().filter(|image| image.is_ok()).count();
    if readable == 0 {
        return Ok(images.into_iter().filter_map(|image| image.err().map(Err)).collect());
    }
    let explained = explainer.run(&pixels, readable)?;
    let classes = info.labels.len();
    let mut rows = 0..readable;
    let explanation = |_| {
        let row = rows.next().unwrap_or_default();
        let scores = info.scores(&explained.logits[row * classes..][..classes]);
        let maps = (0..classes).map(|label| explained.map(row, label).to_vec()).collect();
        Explanation { scores, maps, rows: explained.height }
    };
    Ok(images
        .into_iter()
        .map({
            let mut f = explanation;
            move |image| image.map(&mut f)
        })
        .collect())
}

impl Explanation {
    /// Writes the maps of an image under names that begin with `stem`.
    fn save<'a>(
        &self,
        args: &Args,
        info: &'a CheckpointInfo,
        file_names: &[String],
        path: &Path,
        stem: &str,
    ) -> Result<Vec<Written<'a>>> {
        let mut chosen = info.predicted_labels(&self.scores);
        if !args.method.is_per_label() {
            // All labels share the image's map; it is written once.
            chosen = vec![0];
        } else if args.all_labels {
            chosen = (0..info.labels.len()).collect();
        }
        if chosen.is_empty() {
            return Ok(vec![]);
        }
        let image = decode_file(path)?;
        chosen
            .into_par_iter()
            .map(|label| {
                let own = args.method.is_per_label();
                let name = if own { format!("{stem}_{}", file_names[label]) } else { stem.to_owned() };
                let file = |ending: &str| args.out.join(format!("{name}_{ending}"));
                let written = Written {
                    label: own.then(|| info.labels[label].as_str()),
                    score: own.then(|| self.scores[label]),
                    png: file("saliency_map.png"),
                    npy: file("saliency_map.npy"),
                    overlay: file("overlay_img.png"),
                };
                let (raw, rows) = (&self.maps[label], self.rows);
                let columns = raw.len() / rows;
                let map = normalise(raw);
                let grey: Vec<u8> =
                    map.iter().flat_map(|v| ((v * 65535.0).round() as u16).to_ne_bytes()).collect();
                write_png(&written.png, &grey, columns as u32, rows as u32, ExtendedColorType::L16)?;
                write_atomic(&written.npy, |out| out.write_all(&npy(raw, &[rows, columns])))?;
                let over = overlay(&image, &map, rows, args.overlay_weight);
                let (width, height) = (over.width(), over.height());
                write_png(&written.overlay, over.data(), width, height, ExtendedColorType::Rgb8)?;
                Ok(written)
            })
            .collect()
    }
}

fn write_png(path: &Path, pixels: &[u8], width: u32, height: u32, colour: ExtendedColorType) -> Result<()> {
    let mut png = vec![];
    PngEncoder::new(&mut png).write_image(pixels, width, height, colour)?;
    Ok(write_atomic(path, |out| out.write_all(&png))?)
}

/// Names of files, each different.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    /// `wanted` without what file systems refuse, and with a number behind it where it was given before.
    fn of(&mut self, wanted: &str) -> String {
        let safe: String =
            wanted.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        // Names of files do not differ by case everywhere.
        let count = self.0.entry(safe.to_lowercase()).or_default();
        *count += 1;
        if *count == 1 { safe } else { format!("{safe}-{count}") }
    }

    fn of_all(mut self, wanted: &[String]) -> Vec<String> {
        wanted.iter().map(|name| self.of(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe_and_different() {
        let labels = ["a/b", "a b", "A_B", "caf\u{e9}", "../x", "c:d"].map(str::to_owned);
        let names = Names::default().of_all(&labels);
        assert_eq!(names, ["a_b", "a_b-2", "A_B-3", "caf\u{e9}", ".._x", "c_d"]);
    }
}
