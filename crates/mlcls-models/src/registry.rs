//! One entry per model: how it is built, what it is called, where its weights are.

use std::fmt;

use mlcls_engine::{GraphBuilder, NodeId};
use serde::Serialize;

use crate::error::{Error, Result, nearest};
use crate::head::Head;
use crate::normalization::{Normalization, Normalization as N};
use crate::{dinov2, efficientnet, efficientnetv2, mobilenetv3};

/// What a model is good at, in OTX's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Category {
    /// The fastest.
    Speed,
    /// In between.
    Balance,
    /// The most accurate.
    Accuracy,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Speed => "SPEED",
            Self::Balance => "BALANCE",
            Self::Accuracy => "ACCURACY",
        })
    }
}

/// A set of published weights: the file `model.safetensors` of the hub's repository `timm/<tag>`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WeightTag {
    /// timm's name, `<model>.<training>`.
    pub tag: &'static str,
    /// What the weights were trained with (timm 1.0.31). A model keeps its own default, so that OTX's recipes stay as
    /// they are; pass this as [`ModelOptions::normalization`](crate::ModelOptions::normalization) to follow the weights instead.
    pub normalization: Normalization,
    /// What they were trained on.
    pub trained_on: &'static str,
}

/// All that is known of a model before it is built.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Our short name.
    pub name: &'static str,
    /// timm's name.
    pub backbone: &'static str,
    /// Name of OTX's template, or ours in its style.
    pub title: &'static str,
    /// What it is good at.
    pub category: Category,
    /// Whether it is the default model.
    pub default: bool,
    /// Base learning rate of its recipes; `None` where the backbone stays frozen.
    pub learning_rate: Option<f64>,
    /// Default head.
    pub head: Head,
    /// Default normalisation.
    pub normalization: Normalization,
    /// Published weights; the first is the default.
    pub weights: &'static [WeightTag],
    pub(crate) build: fn(&mut GraphBuilder, NodeId, f32) -> mlcls_engine::Result<NodeId>,
}

pub(crate) static ENTRIES: [Entry; 6] = [
    Entry {
        name: "mobilenet_v3_large",
        backbone: "mobilenetv3_large_100",
        title: "MobileNet-V3-large-1x",
        category: Category::Speed,
        default: false,
        learning_rate: Some(0.0058),
        head: Head::NonLinear,
        normalization: N::IMAGENET,
        weights: &[
            tag("mobilenetv3_large_100.ra_in1k", N::IMAGENET, "ImageNet-1k"),
            tag("mobilenetv3_large_100.miil_in21k", N::UNIT, "ImageNet-21k"),
            tag("mobilenetv3_large_100.miil_in21k_ft_in1k", N::UNIT, "ImageNet-21k, then 1k"),
            tag("mobilenetv3_large_100.ra4_e3600_r224_in1k", N::HALF, "ImageNet-1k, 3600 epochs"),
        ],
        build: mobilenetv3::large_100,
    },
    Entry {
        name: "efficientnet_b0",
        backbone: "efficientnet_b0",
        title: "EfficientNet-B0",
        category: Category::Balance,
        default: true,
        learning_rate: Some(0.0049),
        head: Head::Cosine,
        normalization: N::IMAGENET,
        weights: &[
            tag("efficientnet_b0.ra_in1k", N::IMAGENET, "ImageNet-1k"),
            tag("efficientnet_b0.ra4_e3600_r224_in1k", N::HALF, "ImageNet-1k, 3600 epochs"),
        ],
        build: efficientnet::b0,
    },
    Entry {
        name: "efficientnet_v2_s",
        backbone: "tf_efficientnetv2_s",
        title: "EfficientNet-V2-S",
        category: Category::Accuracy,
        default: false,
        learning_rate: Some(0.0071),
        head: Head::Cosine,
        normalization: N::IMAGENET,
        weights: &[
            tag("tf_efficientnetv2_s.in21k", N::HALF, "ImageNet-21k"),
            tag("tf_efficientnetv2_s.in21k_ft_in1k", N::HALF, "ImageNet-21k, then 1k"),
            tag("tf_efficientnetv2_s.in1k", N::HALF, "ImageNet-1k"),
        ],
        build: efficientnetv2::tf_s,
    },
    // Not one of OTX's templates: B0's shape for hardware that dislikes squeeze-and-excite; B0's learning rate.
    Entry {
        name: "efficientnet_lite0",
        backbone: "tf_efficientnet_lite0",
        title: "EfficientNet-Lite0",
        category: Category::Speed,
        default: false,
        learning_rate: Some(0.0049),
        head: Head::Cosine,
        normalization: N::HALF,
        weights: &[tag("tf_efficientnet_lite0.in1k", N::HALF, "ImageNet-1k")],
        build: efficientnet::tf_lite0,
    },
    // Foundation models: nobody's templates.
    Entry {
        name: "dinov2_small",
        backbone: "vit_small_patch14_dinov2",
        title: "DINOv2-S",
        category: Category::Accuracy,
        default: false,
        learning_rate: None,
        head: Head::Cosine,
        normalization: N::IMAGENET,
        weights: &[tag("vit_small_patch14_dinov2.lvd142m", N::IMAGENET, "LVD-142M, without labels")],
        build: dinov2::small,
    },
    Entry {
        name: "dinov2_base",
        backbone: "vit_base_patch14_dinov2",
        title: "DINOv2-B",
        category: Category::Accuracy,
        default: false,
        learning_rate: None,
        head: Head::Cosine,
        normalization: N::IMAGENET,
        weights: &[tag("vit_base_patch14_dinov2.lvd142m", N::IMAGENET, "LVD-142M, without labels")],
        build: dinov2::base,
    },
];

impl Entry {
    /// Whether its backbone stays frozen: it runs forward only, and heads are trained on it.
    pub fn is_frozen(&self) -> bool {
        self.learning_rate.is_none()
    }
}

const fn tag(tag: &'static str, normalization: Normalization, trained_on: &'static str) -> WeightTag {
    WeightTag { tag, normalization, trained_on }
}

pub(crate) const ID_PREFIX: &str = "Custom_Image_Classification_";

/// The entry of a model by our short name, timm's name, or OTX's template name or id (upper and lower case alike).
///
/// # Errors
/// [`Error::Unknown`] with the nearest name.
pub fn find(name: &str) -> Result<&'static Entry> {
    let wanted = name.strip_prefix(ID_PREFIX).unwrap_or(name);
    // OTX's own id of B0 is misspelt, and it is in people's files.
    let wanted = if wanted == "EfficinetNet-B0" { "EfficientNet-B0" } else { wanted };
    ENTRIES
        .iter()
        .find(|e| [e.name, e.backbone, e.title].iter().any(|n| n.eq_ignore_ascii_case(wanted)))
        .ok_or_else(|| Error::Unknown {
            what: "model",
            name: name.to_owned(),
            hint: nearest(wanted, model_names()),
        })
}

/// Our short names and timm's names, each once.
pub fn model_names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().flat_map(|e| [Some(e.name), Some(e.backbone).filter(|b| *b != e.name)]).flatten()
}

/// The published weights of all models.
pub fn weight_tags() -> impl Iterator<Item = &'static WeightTag> {
    ENTRIES.iter().flat_map(|e| e.weights)
}
