//! `cargo xtask bench-coco`: seconds and peak memory of reading a COCO file of COCO-2014's size, beside Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell::{self, command, read, root};
use crate::venv;

/// How often, and with which Python.
#[derive(clap::Args)]
pub struct Args {
    /// Rounds; in each, every contestant reads the file once.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Python with pycocotools [default: installed into target/bench-coco]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Another file to read; it must be a COCO file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

const PYCOCOTOOLS: &str = "pycocotools==2.0.11";
const EXAMPLE: [&str; 7] =
    ["build", "--quiet", "--release", "--package", "mlcls-data", "--example", "coco_speed"];

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds must be 1 or more");
    shell::run(&mut command("cargo", &EXAMPLE))?;
    let ours = root().join("target/release/examples/coco_speed");
    let folder = root().join("target/bench-coco");
    let file = match &args.file {
        Some(file) => file.clone(),
        None => generated(&ours, &folder)?,
    };
    let python = match &args.python {
        Some(python) => python.clone(),
        None => venv::with(&folder.join("venv"), "pycocotools", &[PYCOCOTOOLS])?,
    };
    let rival = |name: &str| {
        let mut command = Command::new(&python);
        command.arg(root().join("xtask/bench/coco.py")).arg(name).arg(&file);
        command
    };
    let mut mlcls = Command::new(&ours);
    mlcls.arg("read").arg(&file);
    let mut contestants = [
        ("mlcls", mlcls, Vec::new()),
        ("Python json.load", rival("json"), Vec::new()),
        ("pycocotools.COCO", rival("pycocotools"), Vec::new()),
    ];
    for _ in 0..args.rounds {
        for (_, command, results) in &mut contestants {
            let text = read(command)?;
            let result: Value = serde_json::from_str(&text).context("a contestant printed no JSON")?;
            results.push(result);
        }
    }
    let first = contestants[0].2[0].clone();
    for (name, _, results) in &contestants {
        for key in ["images", "empty", "positives"] {
            ensure!(
                results[0][key] == first[key],
                "{name} counts {} {key}, mlcls {}",
                results[0][key],
                first[key]
            );
        }
    }
    let own = first["own_mb"].as_f64().context("no own_mb")?;
    println!("{}: {} bytes", file.display(), file.metadata()?.len());
    println!(
        "{} images, {} without an object, {} positive labels; the labels' own size (states, ids, paths) is {own:.1} MB",
        first["images"], first["empty"], first["positives"]
    );
    println!();
    println!("| reader | seconds | peak memory, MB | of the labels' own size |");
    println!("|---|---|---|---|");
    for (name, _, results) in &contestants {
        let (seconds, peak) = (median(results, "seconds")?, median(results, "peak_mb")?);
        println!("| {name} | {seconds:.2} | {peak:.0} | {:.1} times |", peak / own);
    }
    Ok(())
}

/// The file that the example generates, once.
fn generated(example: &Path, folder: &Path) -> Result<PathBuf> {
    let file = folder.join("annotations/instances_train2014.json");
    if !file.is_file() {
        shell::run(Command::new(example).arg("generate").arg(folder))?;
    }
    Ok(file)
}

fn median(results: &[Value], key: &str) -> Result<f64> {
    let values = results.iter().map(|r| r[key].as_f64()).collect::<Option<Vec<_>>>();
    Ok(venv::median(values.context("no number")?))
}
