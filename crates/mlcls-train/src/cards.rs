//! What lies in a run folder before the first step: `config.yaml`, `dataset.json`, `environment.json`.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use mlcls_models::write_atomic;
use serde_json::{Value, json};

use crate::error::Result;
use crate::run_dir::RunDir;
use crate::setup::Setup;

/// Writes all three.
pub(crate) fn write(dir: &RunDir, setup: &Setup) -> Result<()> {
    write_json(&dir.dataset(), &serde_json::to_value(&setup.summary).unwrap_or_default())?;
    write_json(&dir.environment(), &environment(setup))?;
    // Last, since a folder with it is a run that can be continued.
    write_text(&dir.config(), &setup.config.to_yaml())
}

/// Versions and machine; `gpu` is the name of the GPU that computes, of the first process.
fn environment(setup: &Setup) -> Value {
    let device = setup.device;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    json!({
        "mlcls_version": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpus": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "threads": rayon::current_num_threads(),
        "device": device.name(),
        "precision": device.precision().name(),
        "gpu": device.gpu(),
        "processes": setup.part.of,
        "started_unix": started,
        "command": std::env::args().collect::<Vec<_>>(),
    })
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    write_text(path, &format!("{value:#}\n"))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(write_atomic(path, |out| out.write_all(text.as_bytes()))?)
}
