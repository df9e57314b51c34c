//! Saliency maps: which places of an image speak for each label.
//!
//! [`Explainer`] takes images through a model and gives their logits with the maps, over the places of the backbone's last
//! feature map (7 x 7 for 224 pixels). [`Method`] says how they are made.

mod grad_cam;
mod npy;

use std::fmt;
use std::str::FromStr;

use mlcls_engine::{Graph, HeadPlan, InferPlan, Node, Op, Shape, Weights};
use mlcls_models::Model;

use crate::error::{Error, Result};
use grad_cam::GradCam;
pub use npy::npy;

/// How a map is made from the backbone's last feature map `F` of `h x w` places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The score of a label for a map that is zero everywhere but at one place, for each place; OTX's default
    /// ([ReciproCAM](https://arxiv.org/abs/2209.14074)). Scores are sigmoids of the trained logits, without calibration, from
    /// 0 to 1. Such a map pools to `F` of the place divided by `h w`.
    #[default]
    ReciproCam,
    /// The mean over the channels of `F`, one map for all labels; OTX's ActivationMap.
    ActivationMap,
    /// `max(0, sum_c a_c F_c)`, where `a_c` is the mean over places of the derivative of a label's logit by `F_c`
    /// ([Grad-CAM](https://arxiv.org/abs/1610.02391)).
    GradCam,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ReciproCam, Self::ActivationMap, Self::GradCam];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReciproCam => "reciprocam",
            Self::ActivationMap => "activation",
            Self::GradCam => "gradcam",
        }
    }

    /// Whether each label has a map of its own.
    pub const fn is_per_label(self) -> bool {
        !matches!(self, Self::ActivationMap)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(s: &str) -> std::result::Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|method| method.name() == s);
        found.ok_or_else(|| format!("unknown method `{s}`; known: {names}"))
    }
}

/// A model that says where it looks.
///
/// ```
/// use mlcls_engine::Weights;
/// use mlcls_export::saliency::{Explainer, Method, normalise};
/// use mlcls_models::{ModelOptions, build};
///
/// let model = build("efficientnet_lite0", &ModelOptions { classes: 2, size: 64, ..Default::default() })?;
/// let weights = Weights::init(&model.graph, 7);
/// let mut explainer = Explainer::new(&model, &weights, Method::ReciproCam, 1)?;
/// let explained = explainer.run(&[90; 64 * 64 * 3], 1)?;
/// assert_eq!((explained.logits.len(), explained.height, explained.width), (2, 2, 2));
/// let map = normalise(explained.map(0, 1));
/// assert!(map.iter().all(|v| (0.0..=1.0).contains(v)));
/// # Ok::<(), mlcls_export::Error>(())
/// ```
#[derive(Debug)]
pub struct Explainer {
    plan: InferPlan,
    maps: Maps,
    classes: usize,
    shape: Shape,
}

/// What makes the maps of a method.
#[derive(Debug)]
enum Maps {
    ReciproCam(Box<HeadPlan>),
    ActivationMap,
    GradCam(GradCam),
}

/// What a model says about some images, and where it looked.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Logits `[n, classes]` as they were trained, without calibration.
    pub logits: Vec<f32>,
    /// Raw maps `[n, classes, height, width]`, or `[n, 1, height, width]` where labels share a map; the [`Method`] says what
    /// the values are.
    pub maps: Vec<f32>,
    /// Rows of a map.
    pub height: usize,
    /// Columns of a map.
    pub width: usize,
    /// Maps of an image.
    per_image: usize,
}

impl Explained {
    /// The raw map of a label of an image, rows from the top.
    ///
    /// # Panics
    /// There is no such image or label.
    pub fn map(&self, image: usize, label: usize) -> &[f32] {
        let label = if self.per_image == 1 { 0 } else { label };
        assert!(label < self.per_image, "label {label} of {}", self.per_image);
        let places = self.height * self.width;
        &self.maps[(image * self.per_image + label) * places..][..places]
    }
}

impl Explainer {
    /// Compiles a model for batches of 1 to `batch` images.
    ///
    /// # Errors
    /// Weights do not fit the model, the batch is 0, or the method cannot explain this model's head.
    pub fn new(model: &Model, weights: &Weights, method: Method, batch: usize) -> Result<Self> {
        let graph = &model.graph;
        let plan = InferPlan::with_feature_map(graph, weights, batch)?;
        let shape = graph.node(graph.feature_map()).shape;
        let maps = match method {
            Method::ReciproCam => {
                places_stay_apart(graph)?;
                Maps::ReciproCam(Box::new(HeadPlan::new(graph, weights, batch * shape.pixels())?))
            }
            Method::ActivationMap => Maps::ActivationMap,
            Method::GradCam => {
                places_stay_apart(graph)?;
                Maps::GradCam(GradCam::new(graph, weights)?)
            }
        };
        Ok(Self { plan, maps, classes: model.classes(), shape })
    }

    /// Logits and maps of `n` images of uint8 RGB NHWC pixels.
    ///
    /// # Errors
    /// More images than it was compiled for, none, or pixels that are not theirs.
    pub fn run(&mut self, pixels: &[u8], n: usize) -> Result<Explained> {
        let logits = self.plan.run(pixels, n)?.to_vec();
        let Some(features) = self.plan.feature_map() else {
            unreachable!("the plan was made to keep its map")
        };
        let (places, c) = (self.shape.pixels(), self.shape.c);
        let per_image = if matches!(self.maps, Maps::ActivationMap) { 1 } else { self.classes };
        let mut maps = Vec::with_capacity(n * per_image * places);
        match &mut self.maps {
            Maps::ReciproCam(head) => {
                let alone: Vec<f32> = features.iter().map(|v| v / places as f32).collect();
                let rows = head.run(&alone, n * places)?;
                for image in rows.chunks_exact(places * per_image) {
                    let score = |logit: &f32| 1.0 / (1.0 + (-logit).exp());
                    maps.extend((0..per_image).flat_map(|k| image[k..].iter().step_by(per_image).map(score)));
                }
            }
            Maps::ActivationMap => {
                maps.extend(features.chunks_exact(c).map(|place| place.iter().sum::<f32>() / c as f32));
            }
            Maps::GradCam(head) => {
                for image in features.chunks_exact(places * c) {
                    maps.extend(head.maps(image, places));
                }
            }
        }
        Ok(Explained { logits, maps, height: self.shape.h, width: self.shape.w, per_image })
    }
}

/// A raw map from 0 to 1: `(v - min) / (max - min + 1e-12)`, as OTX scales maps before it makes them visible. A map that is the
/// same everywhere becomes 0.
pub fn normalise(map: &[f32]) -> Vec<f32> {
    let low = map.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    map.iter().map(|v| (v - low) / (high - low + 1e-12)).collect()
}

/// Whether what a graph does behind its pooled features would do the same at every place of a map.
///
/// # Errors
/// The first node that mixes places.
pub(crate) fn places_stay_apart(graph: &Graph) -> Result<()> {
    let apart = |node: &&Node| match &node.op {
        Op::GlobalAvgPool | Op::SqueezeExcite { .. } => false,
        Op::Conv { window, .. } | Op::Depthwise { window, .. } => window.is_point(),
        _ => true,
    };
    let head = &graph.nodes()[graph.features().0 + 1..=graph.output().0];
    match head.iter().find(|node| !apart(node)) {
        Some(node) => Err(Error::node(node, "a head that mixes the places of a map has no saliency map")),
        None => Ok(()),
    }
}
