//! What `mlcls optimize` prints.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use mlcls_export::onnx::{OPSET, proto::ModelProto};
use serde_json::json;

use super::speed::Speeds;
use crate::commands::export::values;
use crate::ui::number;
use crate::ui::table::Table;

/// What is said of a file that was written.
pub struct Said<'a> {
    pub out: &'a Path,
    pub layers: usize,
    /// Names of the layers that stay in float.
    pub float: Vec<&'a str>,
    pub split: &'a str,
    pub before: f64,
    pub after: Option<f64>,
    pub max_drop: f64,
    pub tried: usize,
    pub images: usize,
    /// Bytes in float and in int8.
    pub sizes: [usize; 2],
    pub speeds: Speeds,
}

impl Said<'_> {
    /// For a person.
    pub fn text(&self) -> Result<String> {
        let mut text = String::new();
        let t = &mut text;
        writeln!(t, "{}", self.out.display())?;
        let int8 = self.layers - self.float.len();
        writeln!(t, "  layers  {int8} of {} in int8; the classifier stays in float", self.layers)?;
        if !self.float.is_empty() {
            writeln!(t, "          in float, as they hurt most: {}", self.float.join(", "))?;
        }
        let Self { split, before, max_drop, sizes: [float, int8], .. } = self;
        match self.after {
            Some(after) => {
                writeln!(
                    t,
                    "  mAP     {before:.2} -> {after:.2} on `{split}`, {:+.2} points (allowed: -{max_drop:.2})",
                    after - before
                )?;
            }
            None => writeln!(
                t,
                "  mAP     {before:.2} on `{split}`: no layer could be quantised within {max_drop:.2} points"
            )?,
        }
        let mega = |bytes: usize| bytes as f64 / 1e6;
        writeln!(
            t,
            "  size    {:.1} MB -> {:.1} MB, {:.2} of it",
            mega(*float),
            mega(*int8),
            mega(*int8) / mega(*float)
        )?;
        match &self.speeds {
            Speeds::NotMeasured(reason) => writeln!(t, "  speed   not measured: {reason}")?,
            Speeds::Measured(speeds) => {
                let mut table =
                    Table::new(["runtime", "batch", "float32, images/s", "int8, images/s", "ratio"]);
                for speed in speeds {
                    table.row([
                        format!("{} {}", speed.runtime, speed.version),
                        speed.batch.to_string(),
                        number(Some(speed.float), 1),
                        number(Some(speed.int8), 1),
                        number(Some(speed.int8 / speed.float), 2),
                    ]);
                }
                write!(t, "\n{table}")?;
            }
        }
        Ok(text)
    }

    /// For a program.
    pub fn json(&self, file: &ModelProto) -> serde_json::Value {
        let graph = file.graph.clone().unwrap_or_default();
        let (speeds, reason) = match &self.speeds {
            Speeds::Measured(speeds) => (Some(speeds), None),
            Speeds::NotMeasured(reason) => (None, Some(reason)),
        };
        json!({
            "path": self.out,
            "format": "onnx",
            "opset": OPSET,
            "inputs": values(&graph.input),
            "outputs": values(&graph.output),
            "layers": self.layers,
            "float": self.float,
            "split": self.split,
            "map_float": self.before,
            "map_int8": self.after,
            "max_drop": self.max_drop,
            "tried": self.tried,
            "calibration_images": self.images,
            "bytes_float": self.sizes[0],
            "bytes_int8": self.sizes[1],
            "speeds": speeds,
            "speeds_not_measured": reason,
        })
    }
}
