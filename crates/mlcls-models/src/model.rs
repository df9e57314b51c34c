//! From a name and options to a model.

use mlcls_engine::{Graph, GraphBuilder, Node, NodeId, Op};

use crate::error::{Error, Result};
use crate::head::{COSINE_SCALE, Head};
use crate::normalization::Normalization;
use crate::registry::find;

/// The choices of [`build`]. Where an option is `None`, the model's own default is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    /// Number of labels, at least 1. Default 1.
    pub classes: usize,
    /// Side of the square input image in pixels, 16 to 2048. Default 224.
    pub size: usize,
    /// The head. Default OTX's: [`Head::NonLinear`] for MobileNetV3, else [`Head::Cosine`].
    pub head: Option<Head>,
    /// Factor on the cosine, positive; [`Head::Linear`] has none. Default 7.
    pub scale: f32,
    /// Probability of dropping a feature just before the class vectors, in [0, 1). Default 0, as in OTX.
    pub dropout: f32,
    /// Stochastic depth: the last block's probability of being skipped, in [0, 1); earlier blocks less, linearly.
    /// Default 0, as in OTX.
    pub drop_path: f32,
    /// Default ImageNet's, as in OTX; for `tf_efficientnet_lite0` mean and standard deviation 0.5.
    pub normalization: Option<Normalization>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            classes: 1,
            size: 224,
            head: None,
            scale: COSINE_SCALE,
            dropout: 0.0,
            drop_path: 0.0,
            normalization: None,
        }
    }
}

/// A model: its graph and what one must know to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// timm's name of the backbone.
    pub name: &'static str,
    /// From uint8 pixels `[n, size, size, 3]` to logits `[n, classes]`.
    pub graph: Graph,
    /// What the graph's input node does to the pixels.
    pub preprocessing: Normalization,
    /// The head.
    pub head: Head,
    /// What the head multiplies the cosine by; 1 for [`Head::Linear`]. The loss divides by it.
    pub scale: f32,
}

impl Model {
    /// Width of the pooled features, 960 or 1280.
    pub fn feature_width(&self) -> usize {
        self.graph.node(self.graph.features()).shape.c
    }

    /// Where each stage of the backbone ends (timm's `blocks.0`, `blocks.1`, ...), in order.
    pub fn stages(&self) -> Vec<NodeId> {
        let nodes = self.graph.nodes();
        let begins =
            |stage: usize| nodes.iter().position(|n| n.name.starts_with(&format!("blocks.{stage}.")));
        let firsts: Vec<usize> = (0..).map_while(begins).collect();
        let Some(last) = nodes.iter().rposition(|n| n.name.starts_with("blocks.")) else { return vec![] };
        // A stage's last sum has no name; what comes behind the last stage is the next convolution or the pooling.
        let ends = |n: &Node| matches!(n.op, Op::Conv { .. } | Op::GlobalAvgPool);
        let behind = (last + 1..nodes.len()).find(|&i| ends(&nodes[i]));
        firsts.into_iter().skip(1).chain(behind).map(|i| nodes[i].inputs[0]).collect()
    }

    /// Number of labels.
    pub fn classes(&self) -> usize {
        self.graph.output_len()
    }

    /// Side of the input image in pixels.
    pub fn size(&self) -> usize {
        self.graph.input_shape().h
    }
}

/// Builds a model by timm's name, or by one of the short names of [`templates`](crate::templates).
///
/// # Errors
/// A name that is not known (with the nearest one), or an option out of its range.
///
/// ```
/// use mlcls_models::{Head, ModelOptions, build};
///
/// let options = ModelOptions { classes: 20, ..Default::default() };
/// let model = build("mobilenet_v3_large", &options)?;
/// assert_eq!((model.name, model.head, model.scale), ("mobilenetv3_large_100", Head::NonLinear, 7.0));
/// assert_eq!(model.feature_width(), 960);
///
/// let error = build("eficientnet_b0", &options).unwrap_err();
/// assert!(error.to_string().contains("did you mean `efficientnet_b0`?"));
/// # Ok::<(), mlcls_models::Error>(())
/// ```
pub fn build(name: &str, options: &ModelOptions) -> Result<Model> {
    let entry = find(name)?;
    check(options)?;
    let head = options.head.unwrap_or(entry.head);
    let scale = if head == Head::Linear { 1.0 } else { options.scale };
    let preprocessing = options.normalization.unwrap_or(entry.normalization);

    let mut b = GraphBuilder::new(entry.backbone, options.size);
    let image = b.input(preprocessing.mean, preprocessing.std);
    let map = (entry.build)(&mut b, image, options.drop_path)?;
    let features = b.global_pool(map);
    let logits = head.append(&mut b, features, options.classes, scale, options.dropout)?;
    let graph = b.finish(map, features, logits)?;
    Ok(Model { name: entry.backbone, graph, preprocessing, head, scale })
}

fn check(o: &ModelOptions) -> Result<()> {
    let positive = |v: f32| v > 0.0 && v.is_finite();
    let std = o.normalization.map_or([1.0; 3], |n| n.std);
    let mean = o.normalization.map_or([0.0; 3], |n| n.mean);
    let fails = [
        (o.classes >= 1, "classes", "at least 1", o.classes.to_string()),
        ((16..=2048).contains(&o.size), "size", "16 to 2048 pixels", o.size.to_string()),
        (positive(o.scale), "scale", "a positive number", o.scale.to_string()),
        ((0.0..1.0).contains(&o.dropout), "dropout", "0 to below 1", o.dropout.to_string()),
        ((0.0..1.0).contains(&o.drop_path), "drop_path", "0 to below 1", o.drop_path.to_string()),
        (std.into_iter().all(positive), "std", "three positive numbers", format!("{std:?}")),
        (mean.into_iter().all(f32::is_finite), "mean", "three finite numbers", format!("{mean:?}")),
    ];
    match fails.into_iter().find(|(ok, ..)| !ok) {
        Some((_, field, expected, found)) => Err(Error::Option { field, expected, found }),
        None => Ok(()),
    }
}
