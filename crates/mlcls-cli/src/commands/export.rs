//! `mlcls export`: a checkpoint as a file that other programs run.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
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
    summary(&checkpoint.info, &model, &out, bytes)?;
    Ok(ExitCode::SUCCESS)
}

fn card(info: &CheckpointInfo, path: &Path) -> Result<Card> {
    Ok(Card {
        labels: info.labels.clone(),
        threshold: info.threshold,
        thresholds: info.thresholds.clone(),
        resize: json!(info.resize).as_str().unwrap_or_default().to_owned(),
        checkpoint: TensorFile::open(path)?.metadata().get("blake3").cloned(),
    })
}

fn summary(info: &CheckpointInfo, model: &onnx::proto::ModelProto, out: &Path, bytes: usize) -> Result<()> {
    let (labels, megabytes) = (info.labels.len(), bytes as f64 / 1e6);
    let (name, path, resize) = (&info.model, out.display(), json!(info.resize));
    let mut to = stdout().lock();
    writeln!(to, "{path}")?;
    writeln!(
        to,
        "  model   {name}, {} head, {labels} labels; ONNX opset {OPSET}, {megabytes:.1} MB",
        info.head
    )?;
    let graph = model.graph.clone().unwrap_or_default();
    for (kind, values) in [("input", &graph.input), ("output", &graph.output)] {
        for value in values {
            let shape = value.r#type.clone().unwrap_or_default();
            writeln!(to, "  {kind:<7} {}: {shape}{}", value.name, meaning(&value.name, &resize))?;
        }
    }
    writeln!(
        to,
        "labels and thresholds are in the file; to look at it and run it (pip install onnxruntime):"
    )?;
    writeln!(
        to,
        "  python3 -c \"import onnxruntime as o; s = o.InferenceSession('{path}'); \
         print(s.get_modelmeta().custom_metadata_map['mlcls_labels'])\""
    )?;
    Ok(())
}

/// What one must know of an input or output beside its shape.
fn meaning(name: &str, resize: &serde_json::Value) -> String {
    match name {
        "image" => format!(", RGB from 0 to 255, resized ({})", resize.as_str().unwrap_or_default()),
        "logits" => ", score = sigmoid(logit)".to_owned(),
        _ => String::new(),
    }
}
