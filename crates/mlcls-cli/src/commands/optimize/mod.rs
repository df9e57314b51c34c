//! `mlcls optimize`: a checkpoint as an ONNX file that computes in eight bits.

mod said;
mod speed;

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use mlcls_data::{Dataset, load_image};
use mlcls_export::int8::{Quantiser, RangeMethod, Runtime, search};
use mlcls_export::onnx;
use mlcls_train::{Checkpoint, EvalOptions, Evaluation, evaluate_checkpoint, evaluate_with};
use rayon::prelude::*;

use super::data::Source;
use super::eval::checkpoint_path;
use super::export::{OnnxShape, card};
use said::Said;
use speed::{Speeds, measure};

/// Quantise a checkpoint to int8: an ONNX file of about a quarter of the size, for OpenVINO or onnxruntime.
///
/// Weights become int8, activations uint8 over ranges that calibration images show. The mAP of the result is measured; where it falls
/// by more than --max-drop, the layers that hurt most stay in float, as few as possible. How much faster it is depends on the
/// network, so that is measured too.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Points of mAP (0 to 100) that may be lost.
    #[arg(long, value_name = "POINTS", default_value = "1.0", value_parser = points)]
    max_drop: f64,
    /// Split that mAP is measured on.
    #[arg(long, value_name = "NAME", default_value = "val")]
    split: String,
    /// Split that calibration images are taken from.
    #[arg(long, value_name = "NAME", default_value = "train")]
    calibration_split: String,
    /// Calibration images, spread evenly over their split.
    #[arg(long, value_name = "N", default_value = "300", value_parser = clap::value_parser!(u16).range(1..))]
    calibration_images: u16,
    /// How the range of an activation is found.
    #[arg(long, value_name = "METHOD", value_enum, default_value = "mse")]
    ranges: Ranges,
    /// The program that is to run the file fast; the other one runs it too, but slowly where the network has SiLU or h-swish.
    #[arg(long, value_name = "NAME", value_enum, default_value = "openvino")]
    runtime: RuntimeName,
    /// File to write [default: beside the checkpoint; best.int8.onnx]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shape: OnnxShape,
    /// Python whose onnxruntime and OpenVINO the speed is measured in; `none` to leave that out.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How the range of an activation is found.
#[derive(Clone, Copy, ValueEnum)]
enum Ranges {
    /// All values that were seen.
    Minmax,
    /// All but one value in ten thousand.
    Percentile,
    /// The range of the least squared error.
    Mse,
}

impl From<Ranges> for RangeMethod {
    fn from(ranges: Ranges) -> Self {
        match ranges {
            Ranges::Minmax => Self::MinMax,
            Ranges::Percentile => Self::Percentile,
            Ranges::Mse => Self::Mse,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum RuntimeName {
    /// Activation functions and gates stay in float.
    Openvino,
    /// Activation functions and gates are rounded too.
    Onnxruntime,
}

impl From<RuntimeName> for Runtime {
    fn from(name: RuntimeName) -> Self {
        match name {
            RuntimeName::Openvino => Self::OpenVino,
            RuntimeName::Onnxruntime => Self::OnnxRuntime,
        }
    }
}

/// Parses points of mAP.
fn points(word: &str) -> Result<f64, String> {
    match word.parse() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("expected points of mAP, a number from 0 to 100".to_owned()),
    }
}

/// Images that sensitivities are measured on: a few are enough to order the layers by.
const SENSITIVITY_IMAGES: usize = 8;

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let path = checkpoint_path(&args.checkpoint)?;
    let checkpoint = Checkpoint::load(&path)?;
    Quantiser::check(&checkpoint.model)?;
    let dataset = args.source.open()?;
    let out = args.out.clone().unwrap_or_else(|| path.with_extension("int8.onnx"));
    let options = EvalOptions { batch_size: args.batch_size.into(), ..Default::default() };
    let before = map_of(&evaluate_checkpoint(&checkpoint, &dataset, &args.split, &options)?, &args.split)?;

    let images = calibration_images(args, &checkpoint, &dataset)?;
    let quantiser = Quantiser::new(&checkpoint.model, &checkpoint.weights, &images, args.runtime.into())?;
    let grids = quantiser.grids(args.ranges.into());
    let score = |float: &[bool]| -> Result<f64> {
        let simulator = quantiser.simulator(&grids, float)?;
        let forward = |pixels: &[u8], _| Ok::<_, anyhow::Error>(simulator.run(pixels)?);
        let map =
            map_of(&evaluate_with(&checkpoint, &dataset, &args.split, &options, forward)?, &args.split)?;
        let kept = float.iter().filter(|&&float| float).count();
        note(&format!("mAP {map:.2} with {kept} of {} layers in float", float.len()));
        Ok(map)
    };
    note(&format!("mAP {before:.2} in float"));
    let image_len = checkpoint.model.graph.input_shape().len();
    let few = images.len().min(SENSITIVITY_IMAGES * image_len);
    let sensitivities = || {
        note("more than allowed is lost; looking for the layers that hurt");
        Ok(quantiser.sensitivities(&grids, &images[..few])?)
    };
    let kept = search(quantiser.layers().len(), before - args.max_drop, sensitivities, score)?;

    let card = card(&checkpoint.info, &path)?;
    let mut file = onnx::export(&checkpoint.model, &checkpoint.weights, &card, &args.shape.options())?;
    let folder = tempfile::tempdir().context("cannot make a folder for the float model")?;
    let float = folder.path().join("float.onnx");
    let float_bytes = onnx::save(&float, &file)?;
    quantiser.rewrite(&mut file, &grids, &kept.float)?;
    let bytes = onnx::save(&out, &file)?;
    let speeds = match args.python.as_str() {
        "none" => Speeds::NotMeasured("--python none".to_owned()),
        python => measure(python, &float, &out),
    };
    let names = quantiser.layers().iter().zip(&kept.float).filter(|(_, float)| **float);
    let said = Said {
        out: &out,
        layers: kept.float.len(),
        float: names.map(|(layer, _)| layer.name.as_str()).collect(),
        split: &args.split,
        before,
        after: kept.score,
        max_drop: args.max_drop,
        tried: kept.tried,
        images: images.len() / image_len,
        sizes: [float_bytes, bytes],
        speeds,
    };
    let mut to = stdout().lock();
    match args.json {
        true => writeln!(to, "{}", serde_json::to_string_pretty(&said.json(&file))?)?,
        false => write!(to, "{}", said.text()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on the side how far the work is.
fn note(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// mAP, per cent.
fn map_of(evaluation: &Evaluation, split: &str) -> Result<f64> {
    let map = evaluation.report.map.with_context(|| {
        format!(
            "`{split}` shows no label at all, so it has no mAP; say which split to measure on: --split NAME"
        )
    })?;
    Ok(100.0 * map)
}

/// Pixels of some images of the calibration split, evenly spread over it.
fn calibration_images(args: &Args, checkpoint: &Checkpoint, dataset: &Dataset) -> Result<Vec<u8>> {
    let items = &dataset.require_split(&args.calibration_split)?.items;
    if items.is_empty() {
        bail!(
            "`{}` has no image to calibrate on; name another split: --calibration-split",
            args.calibration_split
        );
    }
    let count = items.len().min(args.calibration_images.into());
    note(&format!("ranges of activations on {count} images of `{}`", args.calibration_split));
    let (size, resize) = (checkpoint.info.image_size as u32, checkpoint.info.resize);
    let chosen = (0..count).into_par_iter().map(|i| &items[i * items.len() / count]);
    let images = chosen.map(|item| load_image(&item.image, size, resize)).collect::<Result<Vec<_>, _>>()?;
    Ok(images.concat())
}
