//! `mlcls export`: a checkpoint as a file that other programs run.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use mlcls_export::onnx::proto::{ModelProto, TypeProto};
use mlcls_export::onnx::{self, Card, InputFormat, OPSET, Options};
use mlcls_models::TensorFile;
use mlcls_train::{Checkpoint, CheckpointInfo};
use serde_json::json;

use super::eval::checkpoint_path;

/// Write a checkpoint as a file that other programs run.
///
/// The file takes RGB images of the model's size with values from 0 to 255, any number of them at once; normalisation is in
/// it, and so are labels, thresholds and preprocessing, as text.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Format of the file.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "onnx")]
    to: Format,
    /// Where to write it [default: beside the checkpoint, with the ending of the format]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How images go in.
    #[arg(long, value_name = "LAYOUT", value_enum, default_value = "float-nchw")]
    input: Input,
    /// What comes out for each label.
    #[arg(long, value_name = "WHAT", value_enum, default_value = "logits")]
    output: Output,
    /// Give out `feature_vector` and `saliency_map` (ReciproCAM) too.
    #[arg(long)]
    dump_features: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// ONNX, for onnxruntime, OpenVINO and others.
    Onnx,
}

#[derive(Clone, Copy, ValueEnum)]
enum Input {
    /// float32 [n, 3, h, w], as OTX's exports and OpenVINO's Model API.
    FloatNchw,
    /// uint8 [n, 3, h, w].
    Uint8Nchw,
    /// uint8 [n, h, w, 3], a decoded image as it lies in memory.
    Uint8Nhwc,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// Logits; a score is their sigmoid, which OpenVINO's Model API applies itself.
    Logits,
    /// Scores from 0 to 1, as `mlcls predict` gives them.
    Probabilities,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let path = checkpoint_path(&args.checkpoint)?;
    let checkpoint = Checkpoint::load(&path)?;
    let options = Options {
        input: match args.input {
            Input::FloatNchw => InputFormat::FloatNchw,
            Input::Uint8Nchw => InputFormat::ByteNchw,
            Input::Uint8Nhwc => InputFormat::ByteNhwc,
        },
        output: match args.output {
            Output::Logits => onnx::Output::Logits,
            Output::Probabilities => onnx::Output::Probabilities,
        },
        features: args.dump_features,
    };
    let Format::Onnx = args.to;
    let out = args.out.clone().unwrap_or_else(|| path.with_extension("onnx"));
    let card = card(&checkpoint.info, &path)?;
    let model = onnx::export(&checkpoint.model, &checkpoint.weights, &card, &options)?;
    let bytes = onnx::save(&out, &model)?;
    summary(args, &checkpoint.info, &model, &out, bytes)?;
    Ok(ExitCode::SUCCESS)
}

fn card(info: &CheckpointInfo, path: &Path) -> Result<Card> {
    Ok(Card {
        labels: info.labels.clone(),
        threshold: info.threshold,
        thresholds: info.thresholds.clone(),
        calibration: info.calibration.lines(info.labels.len()),
        resize: resize(info),
        checkpoint: TensorFile::open(path)?.metadata().get("blake3").cloned(),
    })
}

/// What was written, what goes in, what comes out, and how to try it.
fn summary(args: &Args, info: &CheckpointInfo, model: &ModelProto, out: &Path, bytes: usize) -> Result<()> {
    let (path, size, labels) = (out.display(), info.image_size, info.labels.len());
    let megabytes = bytes as f64 / 1e6;
    let mut to = stdout().lock();
    writeln!(to, "{path}")?;
    writeln!(to, "  model   {}, {} head, {labels} labels", info.model, info.head)?;
    writeln!(to, "  format  ONNX opset {OPSET}, float32, {megabytes:.1} MB")?;
    let graph = model.graph.iter();
    let inputs = graph.clone().flat_map(|graph| &graph.input).map(|value| ("input", value));
    let outputs = graph.flat_map(|graph| &graph.output).map(|value| ("output", value));
    for (kind, value) in inputs.chain(outputs) {
        let shape: String = value.r#type.iter().map(TypeProto::to_string).collect();
        writeln!(to, "  {kind:<6}  {}: {shape}{}", value.name, meaning(&value.name, info))?;
    }
    let image = match args.input {
        Input::FloatNchw => format!("(1, 3, {size}, {size}), n.float32"),
        Input::Uint8Nchw => format!("(1, 3, {size}, {size}), n.uint8"),
        Input::Uint8Nhwc => format!("(1, {size}, {size}, 3), n.uint8"),
    };
    writeln!(
        to,
        "\nLabels, thresholds and preprocessing are in its metadata. A black image through it (onnxruntime):"
    )?;
    writeln!(
        to,
        "  python3 -c \"import numpy as n, onnxruntime as o; \
         print(o.InferenceSession('{path}').run(None, {{'image': n.zeros({image})}}))\""
    )?;
    Ok(())
}

/// What one must know of an input or output beside its shape.
fn meaning(name: &str, info: &CheckpointInfo) -> String {
    match name {
        "image" => format!(", RGB from 0 to 255, resized ({})", resize(info)),
        "logits" => ", score = sigmoid(logit)".to_owned(),
        _ => String::new(),
    }
}

/// The method's name as checkpoints write it.
fn resize(info: &CheckpointInfo) -> String {
    json!(info.resize).as_str().unwrap_or_default().to_owned()
}
