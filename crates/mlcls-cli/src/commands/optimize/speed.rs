//! Images per second in the runtimes that a Python has.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// Times both files in turns, and prints a JSON list.
const SCRIPT: &str = include_str!("speed.py");

/// What was measured, or why nothing was.
pub enum Speeds {
    Measured(Vec<Speed>),
    NotMeasured(String),
}

/// Images per second, the median of several rounds.
#[derive(Serialize, Deserialize)]
pub struct Speed {
    pub runtime: String,
    pub version: String,
    pub batch: usize,
    pub float: f64,
    pub int8: f64,
}

/// Runs both files in onnxruntime and OpenVINO, where this Python has them.
pub fn measure(python: &str, float: &Path, int8: &Path) -> Speeds {
    let run = Command::new(python).arg("-c").arg(SCRIPT).args([float, int8]).stdin(Stdio::null()).output();
    let output = match run {
        Err(error) => {
            return Speeds::NotMeasured(format!("{python} does not start ({error}); --python names another"));
        }
        Ok(output) => output,
    };
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let last = errors.lines().last().unwrap_or("it says nothing");
        return Speeds::NotMeasured(format!("{python} failed: {last}"));
    }
    match serde_json::from_slice::<Vec<Speed>>(&output.stdout) {
        Err(error) => Speeds::NotMeasured(format!("{python} printed something else than numbers: {error}")),
        Ok(speeds) if speeds.is_empty() => Speeds::NotMeasured(format!(
            "{python} has neither onnxruntime nor openvino; --python names another"
        )),
        Ok(speeds) => Speeds::Measured(speeds),
    }
}
