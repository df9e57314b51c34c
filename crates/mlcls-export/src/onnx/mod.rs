//! ONNX files: [`export`] makes a model, [`save`] writes it.
//!
//! Operators are those of opset 14, the first with `HardSwish`. Batch-norm is folded into the layer in front of it, the
//! number of images is free, the size of the images is the model's own: padding is written out for it, so that it is timm's
//! for any size.

pub(crate) mod builder;
mod card;
#[cfg(feature = "check")]
pub mod check;
mod input;
mod lower;
mod params;
pub mod proto;
mod saliency;
mod transformer;
mod value;

use std::path::Path;

use mlcls_engine::{NodeId, Weights};
use mlcls_models::{Model, write_atomic};
use prost::Message;

use crate::error::{Error, Result, check_weights};
use builder::int;
pub use card::Card;
pub use input::InputFormat;
use lower::{Lowering, Values};
use proto::{ModelProto, OperatorSetIdProto, TypeProto};

/// Version of the operators that are used.
pub const OPSET: i64 = 14;

/// Version of the file format; the one that came with [`OPSET`].
const IR_VERSION: i64 = 7;

/// Protobuf's limit on a message.
const MAX_BYTES: usize = i32::MAX as usize;

/// What a model returns for each image, `[n, classes]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The output `logits`, which contain the head's scale: a label's score is `sigmoid(logit)`.
    #[default]
    Logits,
    /// The output `probabilities`, the scores themselves.
    Probabilities,
}

/// The choices of [`export`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How images go in.
    pub input: InputFormat,
    /// What comes out.
    pub output: Output,
    /// Also the outputs `feature_vector`, float32 `[n, d]`, the backbone's pooled features, and `saliency_map`, uint8
    /// `[n, classes, h, w]`: OTX's ReciproCAM, for each label the places of the last map that speak for it, from 0 to 255.
    pub features: bool,
}

/// A model with its weights as ONNX.
///
/// # Errors
/// Weights, names or thresholds do not fit the model, or its head has no saliency map.
///
/// ```
/// use mlcls_engine::Weights;
/// use mlcls_export::onnx::{self, Card, InputFormat, Options};
/// use mlcls_models::{ModelOptions, build};
///
/// let model = build("efficientnet_lite0", &ModelOptions { classes: 2, size: 32, ..Default::default() })?;
/// let weights = Weights::init(&model.graph, 7);
/// let card = Card {
///     labels: vec!["cat".to_owned(), "traffic light".to_owned()],
///     threshold: 0.5,
///     thresholds: None,
///     calibration: None,
///     resize: "bilinear".to_owned(),
///     checkpoint: None,
/// };
/// let options = Options { input: InputFormat::ByteNhwc, ..Options::default() };
/// let file = onnx::export(&model, &weights, &card, &options)?;
/// let graph = file.graph.as_ref().unwrap();
/// assert_eq!(graph.input[0].r#type.as_ref().unwrap().to_string(), "uint8 [batch, 32, 32, 3]");
/// assert_eq!(graph.output[0].name, "logits");
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("model.onnx");
/// onnx::save(&path, &file)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(model: &Model, weights: &Weights, card: &Card, options: &Options) -> Result<ModelProto> {
    let graph = &model.graph;
    check_weights(model, weights)?;
    let metadata_props = card.entries(model, options)?;

    let mut lowering = Lowering::new(graph, weights, options.input);
    let mut values = vec![None; graph.nodes().len()];
    lowering.nodes(0..=graph.nodes().len() - 1, &mut values)?;
    let logits = match &card.calibration {
        None => flatten(&mut lowering, &values, "logits", graph.output())?,
        Some(lines) => {
            let trained = flatten(&mut lowering, &values, "logits/trained", graph.output())?;
            calibrated(&mut lowering, &trained, lines)
        }
    };
    let output = match options.output {
        Output::Logits => logits,
        Output::Probabilities => lowering.onnx.op("Sigmoid", "probabilities", [&*logits], vec![]),
    };
    lowering.onnx.output(&output, TypeProto::FLOAT, &[model.classes()]);
    if options.features {
        let features = flatten(&mut lowering, &values, "feature_vector", graph.features())?;
        lowering.onnx.output(&features, TypeProto::FLOAT, &[model.feature_width()]);
        saliency::append(&mut lowering, &values)?;
    }
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "mlcls".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(lowering.onnx.finish(graph.name())),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props,
    })
}

/// The output `logits` of logits as they were trained.
fn calibrated(lowering: &mut Lowering<'_>, trained: &str, lines: &[[f32; 2]]) -> String {
    let onnx = &mut lowering.onnx;
    let row = [1, lines.len()];
    let slope = onnx.tensor("calibration.slope", &row, || lines.iter().map(|line| line[0]).collect());
    let offset = onnx.tensor("calibration.offset", &row, || lines.iter().map(|line| line[1]).collect());
    let turned = onnx.op("Mul", "logits/turned", [trained, &slope], vec![]);
    onnx.op("Add", "logits", [&*turned, &offset], vec![])
}

/// A pooled value `[n, c, 1, 1]` as `[n, c]`.
fn flatten(lowering: &mut Lowering<'_>, values: &Values, name: &str, id: NodeId) -> Result<String> {
    let x = lowering.value(values, id)?;
    Ok(lowering.onnx.op("Flatten", name, [x], vec![int("axis", 1)]))
}

/// Writes a model as one change; the same model gives the same bytes. Returns their number.
///
/// # Errors
/// The file cannot be written, and one that was there before is untouched; or the model is larger than 2 GiB.
pub fn save(path: &Path, model: &ModelProto) -> Result<usize> {
    let bytes = model.encoded_len();
    if bytes > MAX_BYTES {
        return Err(Error::TooLarge { bytes, max: MAX_BYTES });
    }
    let encoded = model.encode_to_vec();
    write_atomic(path, |out| out.write_all(&encoded))?;
    Ok(bytes)
}
