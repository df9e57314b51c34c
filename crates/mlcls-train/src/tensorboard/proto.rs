//! The messages of TensorBoard's event files that ours are made of, field for field.
//!
//! Names and numbers are those of <https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto>; what we never
//! write is left out.

use prost::{Message, Oneof};

/// A record of an event file.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Where on the axis of steps it stands.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What it says.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// What an event says.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The first record of a file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Some values.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// A process has begun or ended.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Values of one step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `Summary.Value`: a value and the name of its series.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Name of the series.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// Which plugin shows it, where the kind of value does not say so.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
    /// The value.
    #[prost(oneof = "Content", tags = "2, 4, 8")]
    pub content: Option<Content>,
}

/// A value.
#[derive(Clone, PartialEq, Oneof)]
pub enum Content {
    /// A number.
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    /// A picture.
    #[prost(message, tag = "4")]
    Image(Image),
    /// Numbers of some shape.
    #[prost(message, tag = "8")]
    Tensor(TensorProto),
}

/// `Summary.Image`.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// Rows.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Columns.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// 3 is RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

/// What a series is.
#[derive(Clone, PartialEq, Message)]
pub struct SummaryMetadata {
    /// The plugin that shows it.
    #[prost(message, optional, tag = "1")]
    pub plugin_data: Option<PluginData>,
    /// Name above the plot.
    #[prost(string, tag = "2")]
    pub display_name: String,
}

/// `SummaryMetadata.PluginData`.
#[derive(Clone, PartialEq, Message)]
pub struct PluginData {
    /// The plugin.
    #[prost(string, tag = "1")]
    pub plugin_name: String,
    /// A message of its own.
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

/// The message of the plugin `pr_curves`.
#[derive(Clone, PartialEq, Message)]
pub struct PrCurvePluginData {
    /// Version of the plugin's format.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// Points of a curve.
    #[prost(uint32, tag = "2")]
    pub num_thresholds: u32,
}

/// Numbers of some shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Their type; 1 is float32.
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    /// Their shape.
    #[prost(message, optional, tag = "2")]
    pub tensor_shape: Option<TensorShapeProto>,
    /// The numbers, row-major and little-endian.
    #[prost(bytes = "vec", tag = "4")]
    pub tensor_content: Vec<u8>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// Its axes.
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dim>,
}

/// `TensorShapeProto.Dim`.
#[derive(Clone, PartialEq, Message)]
pub struct Dim {
    /// Its size.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// That a process has begun or ended.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// 1 is START: readers drop what they have from the event's step on.
    #[prost(int32, tag = "1")]
    pub status: i32,
}
