//! What pixels are normalised with.

use serde::{Deserialize, Serialize};

/// Pixels are fed as `(x / 255 - mean) / std`, per channel in the order red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean, in units of 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation, in units of 0 to 1; positive.
    pub std: [f32; 3],
}

impl Normalization {
    /// Statistics of ImageNet's photographs: what OTX feeds to every template.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    /// Pixels in [-1, 1]: what weights ported from TensorFlow were trained with.
    pub const HALF: Self = Self { mean: [0.5; 3], std: [0.5; 3] };
    /// Pixels in [0, 1].
    pub const UNIT: Self = Self { mean: [0.0; 3], std: [1.0; 3] };
}
