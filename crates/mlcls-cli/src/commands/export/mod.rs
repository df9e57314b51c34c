//! `mlcls export`: a checkpoint as a file that other programs run.

mod check;
mod onnx;
mod safetensors;
mod shape;

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;
use mlcls_models::TensorFile;
use mlcls_train::{Checkpoint, CheckpointInfo};
use serde_json::json;

use super::eval::checkpoint_path;
pub use onnx::{card, values};
pub use shape::OnnxShape;

/// Write a checkpoint as a file that other programs run or load.
///
/// An ONNX file takes RGB images of the model's size with values from 0 to 255, any number of them at once; normalisation is
/// in it, and so are labels, thresholds and preprocessing, as text. A safetensors file holds the backbone alone, for timm.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Format of the file.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "onnx")]
    to: Format,
    /// Where to write it [default: beside the checkpoint; best.onnx, best.timm.safetensors]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shape: OnnxShape,
    /// ONNX: run the file in another engine (tract) on these images and compare; fails where logits differ by more than 1e-4.
    /// Files, folders, quoted globs.
    #[arg(long, value_name = "IMAGES", num_args = 1..)]
    check: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// ONNX, for onnxruntime, OpenVINO and others.
    Onnx,
    /// The backbone's weights under timm's names.
    Safetensors,
}

/// What is said of a file that was written.
struct Said {
    text: String,
    json: serde_json::Value,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let path = checkpoint_path(&args.checkpoint)?;
    let checkpoint = Checkpoint::load(&path)?;
    let said = match args.to {
        Format::Onnx => onnx::write(args, &checkpoint, &path)?,
        Format::Safetensors => {
            for (flag, given) in [
                ("--input", args.shape.input.is_some()),
                ("--output", args.shape.output.is_some()),
                ("--dump-features", args.shape.dump_features),
                ("--check", !args.check.is_empty()),
            ] {
                if given {
                    bail!("{flag} is for ONNX files; a safetensors file holds weights alone");
                }
            }
            safetensors::write(args, &checkpoint, &path)?
        }
    };
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&said.json)?)?;
    } else {
        write!(out, "{}", said.text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The hash that a checkpoint carries of its tensors.
fn hash_of(path: &Path) -> Result<Option<String>> {
    Ok(TensorFile::open(path)?.metadata().get("blake3").cloned())
}

/// The method's name as checkpoints write it.
fn resize(info: &CheckpointInfo) -> String {
    json!(info.resize).as_str().unwrap_or_default().to_owned()
}
