//! Precision over recall, as TensorBoard's plugin `pr_curves` takes it.

use mlcls_metrics::Answer;
use prost::Message;

use super::proto::{
    Content, Dim, PluginData, PrCurvePluginData, SummaryMetadata, TensorProto, TensorShapeProto, Value,
};

/// Points of a curve: the thresholds 0, 0.01, ..., 1.
pub const POINTS: usize = 101;

/// Rows of a curve: true positives, false positives, true negatives, false negatives, precision, recall.
const ROWS: usize = 6;

/// A curve `[6, POINTS]`: at threshold `i` all entries count as predicted whose score is at least `i / 100`, in the plugin's
/// arithmetic (`floor(100 * score) >= i`, in float32). Unknown entries count nowhere. What is divided by nothing is 0.
pub fn pr_curve(entries: impl Iterator<Item = (f32, Answer)>) -> Vec<f32> {
    let mut counts = [[0u64; POINTS]; 2];
    for (score, answer) in entries {
        let positive = match answer {
            Answer::Unknown => continue,
            Answer::Present => 1,
            Answer::Absent => 0,
        };
        let bucket = (score * (POINTS - 1) as f32).floor().clamp(0.0, (POINTS - 1) as f32); // NaN becomes 0
        counts[positive][bucket as usize] += 1;
    }
    let [negatives, positives] = counts.map(|buckets| buckets.iter().sum::<u64>() as f64);
    let mut curve = vec![0.0; ROWS * POINTS];
    let (mut tp, mut fp) = (0.0, 0.0);
    for i in (0..POINTS).rev() {
        fp += counts[0][i] as f64;
        tp += counts[1][i] as f64;
        let ratio = |a: f64, b: f64| a / b.max(1e-7);
        let (tn, fn_) = (negatives - fp, positives - tp);
        let column = [tp, fp, tn, fn_, ratio(tp, tp + fp), ratio(tp, tp + fn_)];
        for (row, value) in column.into_iter().enumerate() {
            curve[row * POINTS + i] = value as f32;
        }
    }
    curve
}

/// A curve as a value of a summary.
pub fn value(tag: String, curve: &[f32]) -> Value {
    let data = PrCurvePluginData { version: 0, num_thresholds: POINTS as u32 };
    let plugin = PluginData { plugin_name: "pr_curves".to_owned(), content: data.encode_to_vec() };
    let tensor = TensorProto {
        dtype: 1,
        tensor_shape: Some(TensorShapeProto {
            dim: [ROWS, POINTS].map(|size| Dim { size: size as i64 }).into(),
        }),
        tensor_content: curve.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    Value {
        metadata: Some(SummaryMetadata { plugin_data: Some(plugin), display_name: tag.clone() }),
        tag,
        content: Some(Content::Tensor(tensor)),
    }
}
