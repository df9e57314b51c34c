//! The whole model as ONNX.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use mlcls_export::onnx::proto::{TypeProto, ValueInfoProto};
use mlcls_export::onnx::{self, Card, OPSET};
use mlcls_train::{Checkpoint, CheckpointInfo};
use serde_json::{Value, json};

use super::check::{Checked, Written, check};
use super::shape::Input;
use super::{Args, Said, hash_of, resize};

/// Writes the file.
pub fn write(args: &Args, checkpoint: &Checkpoint, path: &Path) -> Result<Said> {
    let info = &checkpoint.info;
    let (input, options) = (args.shape.input(), args.shape.options());
    let out = args.out.clone().unwrap_or_else(|| path.with_extension("onnx"));
    let card = card(info, path)?;
    let model = onnx::export(&checkpoint.model, &checkpoint.weights, &card, &options)?;
    let bytes = onnx::save(&out, &model)?;
    let checked = match args.check.is_empty() {
        true => Checked::default(),
        false => check(args, &Written { path: &out, checkpoint, card: &card, options: &options })?,
    };

    let (file, size) = (out.display(), info.image_size);
    let text = &mut String::new();
    writeln!(text, "{file}")?;
    writeln!(text, "  model   {}, {} head, {} labels", info.model, info.head, info.labels.len())?;
    writeln!(text, "  format  ONNX opset {OPSET}, float32, {:.1} MB", bytes as f64 / 1e6)?;
    let graph = model.graph.unwrap_or_default();
    let inputs = graph.input.iter().map(|value| ("input", value));
    let outputs = graph.output.iter().map(|value| ("output", value));
    for (kind, value) in inputs.chain(outputs) {
        writeln!(text, "  {kind:<6}  {}: {}{}", value.name, shape(value), meaning(&value.name, info))?;
    }
    let image = match input {
        Input::FloatNchw => format!("(1, 3, {size}, {size}), n.float32"),
        Input::Uint8Nchw => format!("(1, 3, {size}, {size}), n.uint8"),
        Input::Uint8Nhwc => format!("(1, {size}, {size}, 3), n.uint8"),
    };
    writeln!(
        text,
        "\nLabels, thresholds and preprocessing are in its metadata. A black image through it (onnxruntime):"
    )?;
    writeln!(
        text,
        "  python3 -c \"import numpy as n, onnxruntime as o; \
         print(o.InferenceSession('{file}').run(None, {{'image': n.zeros({image})}}))\""
    )?;
    text.push_str(&checked.text);
    let json = json!({
        "path": out,
        "format": "onnx",
        "bytes": bytes,
        "opset": OPSET,
        "model": info.model,
        "head": info.head,
        "labels": info.labels,
        "image_size": size,
        "resize": info.resize,
        "inputs": values(&graph.input),
        "outputs": values(&graph.output),
        "check": checked.json,
    });
    Ok(Said { text: std::mem::take(text), json })
}

/// What the file says of a checkpoint.
pub fn card(info: &CheckpointInfo, path: &Path) -> Result<Card> {
    Ok(Card {
        labels: info.labels.clone(),
        threshold: info.threshold,
        thresholds: info.thresholds.clone(),
        calibration: info.calibration.lines(info.labels.len()),
        resize: resize(info),
        checkpoint: hash_of(path)?,
    })
}

/// Inputs or outputs, for JSON.
pub fn values(values: &[ValueInfoProto]) -> Value {
    values.iter().map(|v| json!({ "name": v.name, "type": shape(v) })).collect()
}

/// Its type as `float32 [batch, 6]`.
fn shape(value: &ValueInfoProto) -> String {
    value.r#type.iter().map(TypeProto::to_string).collect()
}

/// What one must know of an input or output beside its shape.
fn meaning(name: &str, info: &CheckpointInfo) -> String {
    match name {
        "image" => format!(", RGB from 0 to 255, resized ({})", resize(info)),
        "logits" => ", score = sigmoid(logit)".to_owned(),
        _ => String::new(),
    }
}
