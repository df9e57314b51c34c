//! What goes into an ONNX file and what comes out.

use clap::ValueEnum;
use mlcls_export::onnx::{self, InputFormat, Options};

/// The arguments that say so.
#[derive(clap::Args)]
pub struct OnnxShape {
    /// ONNX: how images go in [default: float-nchw]
    #[arg(long, value_name = "LAYOUT", value_enum)]
    pub input: Option<Input>,
    /// ONNX: what comes out for each label [default: logits]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub output: Option<Output>,
    /// ONNX: give out `feature_vector` and `saliency_map` (ReciproCAM) too.
    #[arg(long)]
    pub dump_features: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Input {
    /// float32 [n, 3, h, w], as OTX's exports and OpenVINO's Model API.
    FloatNchw,
    /// uint8 [n, 3, h, w].
    Uint8Nchw,
    /// uint8 [n, h, w, 3], a decoded image as it lies in memory.
    Uint8Nhwc,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Output {
    /// Logits; a score is their sigmoid, which OpenVINO's Model API applies itself.
    Logits,
    /// Scores from 0 to 1, as `mlcls predict` gives them.
    Probabilities,
}

impl OnnxShape {
    /// How images go in.
    pub fn input(&self) -> Input {
        self.input.unwrap_or(Input::FloatNchw)
    }

    /// The choices as the library takes them.
    pub fn options(&self) -> Options {
        Options {
            input: match self.input() {
                Input::FloatNchw => InputFormat::FloatNchw,
                Input::Uint8Nchw => InputFormat::ByteNchw,
                Input::Uint8Nhwc => InputFormat::ByteNhwc,
            },
            output: match self.output.unwrap_or(Output::Logits) {
                Output::Logits => onnx::Output::Logits,
                Output::Probabilities => onnx::Output::Probabilities,
            },
            features: self.dump_features,
        }
    }
}
