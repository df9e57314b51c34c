//! How images go in.

use mlcls_engine::Shape;

use super::builder::{Builder, int, ints};
use super::proto::TypeProto;

/// How a model takes its images: RGB, resized to the model's size by the caller, with values from 0 to 255. Normalisation
/// by mean and standard deviation is part of the graph in every case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputFormat {
    /// float32 `[n, 3, h, w]`, as OTX's own exports and OpenVINO's Model API take them.
    #[default]
    FloatNchw,
    /// uint8 `[n, 3, h, w]`.
    ByteNchw,
    /// uint8 `[n, h, w, 3]`: the bytes of a decoded image as they lie in memory.
    ByteNhwc,
}

impl InputFormat {
    /// Adds the input `image` and what brings it to `(x / 255 - mean) / std`, float32 NCHW.
    pub(super) fn append(self, onnx: &mut Builder, image: Shape, mean: [f32; 3], std: [f32; 3]) -> String {
        let Shape { h, w, c } = image;
        let (elem_type, shape) = match self {
            Self::FloatNchw => (TypeProto::FLOAT, [c, h, w]),
            Self::ByteNchw => (TypeProto::UINT8, [c, h, w]),
            Self::ByteNhwc => (TypeProto::UINT8, [h, w, c]),
        };
        let mut x = onnx.input("image", elem_type, &shape);
        if self == Self::ByteNhwc {
            x = onnx.op("Transpose", "image/nchw", [&*x], vec![ints("perm", [0, 3, 1, 2])]);
        }
        if self != Self::FloatNchw {
            x = onnx.op("Cast", "image/float", [&*x], vec![int("to", TypeProto::FLOAT.into())]);
        }
        // In units of 0 to 255, rounded once.
        let scaled = |v: [f32; 3]| v.map(|v| (f64::from(v) * 255.0) as f32).into();
        let mean = onnx.tensor("image.mean", &[1, 3, 1, 1], || scaled(mean));
        let std = onnx.tensor("image.std", &[1, 3, 1, 1], || scaled(std));
        x = onnx.op("Sub", "image/centred", [&*x, &mean], vec![]);
        onnx.op("Div", "image/normalised", [&*x, &std], vec![])
    }
}
