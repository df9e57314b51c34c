//! What `mlcls find` shows: every model with its costs.

use serde::Serialize;

use crate::error::Result;
use crate::model::{ModelOptions, build};
use crate::registry::{Category, ENTRIES, Entry, ID_PREFIX};

/// A row of `mlcls find`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Template {
    /// OTX's template id, spelt right; those of Lite0 and DINOv2 are ours in the same style.
    pub id: String,
    /// Our short name, as `--model` takes it.
    pub name: &'static str,
    /// timm's name of the backbone.
    pub backbone: &'static str,
    /// What it is for; always `MULTI_LABEL_CLS`.
    pub task: &'static str,
    /// What it is good at.
    pub category: Category,
    /// 10⁹ operations for one image of `input_size`, a multiplication and an addition counted as two: convolutions,
    /// linear layers and squeeze-and-excite.
    pub gflops: f64,
    /// 10⁶ parameters of the backbone and the head's hidden layer; the class vectors come on top.
    pub params_m: f64,
    /// Side of the input image in pixels.
    pub input_size: usize,
    /// Whether it is what `mlcls train` takes when no model is named.
    pub default: bool,
    /// Base learning rate of its recipes; `None` for a backbone that stays frozen, on which `mlcls probe` trains heads.
    pub learning_rate: Option<f64>,
    /// Weights that it starts from, by timm's name.
    pub pretrained: &'static str,
}

/// The task of every template.
pub const TASK: &str = "MULTI_LABEL_CLS";

/// Every model as a row of `mlcls find`, with its costs counted on its graph.
///
/// ```
/// let templates = mlcls_models::templates()?;
/// let b0 = templates.iter().find(|t| t.default).unwrap();
/// assert_eq!(b0.id, "Custom_Image_Classification_EfficientNet-B0");
/// assert_eq!(format!("{:.2} GFLOPs, {:.2} M", b0.gflops, b0.params_m), "0.77 GFLOPs, 4.01 M");
/// # Ok::<(), mlcls_models::Error>(())
/// ```
pub fn templates() -> Result<Vec<Template>> {
    ENTRIES.iter().map(template).collect()
}

fn template(e: &Entry) -> Result<Template> {
    let graph = build(e.name, &ModelOptions::default())?.graph;
    let class_vectors: usize =
        graph.params().iter().filter(|p| p.name == "head.weight").map(|p| p.len()).sum();
    Ok(Template {
        id: format!("{ID_PREFIX}{}", e.title),
        name: e.name,
        backbone: e.backbone,
        task: TASK,
        category: e.category,
        gflops: 2.0 * graph.macs() as f64 / 1e9,
        params_m: (graph.param_len() - class_vectors) as f64 / 1e6,
        input_size: graph.input_shape().h,
        default: e.default,
        learning_rate: e.learning_rate,
        pretrained: e.weights[0].tag,
    })
}
