//! Python environments of the benches, made once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::shell::{self, command};

/// The interpreter of a virtual environment in `folder` that can import `module`; where there is none yet, one is
/// made and `packages` are installed into it.
pub fn with(folder: &Path, module: &str, packages: &[&str]) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let import = format!("import {module}");
    let has_it = || Command::new(&python).args(["-c", &import]).output().is_ok_and(|o| o.status.success());
    if !has_it() {
        println!("installing {} into {}", packages.join(", "), folder.display());
        shell::run(command("python3", &["-m", "venv", "--clear"]).arg(folder))?;
        shell::run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
    }
    Ok(python)
}

/// The median of some numbers; 0 where there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}
