//! `cargo xtask bench-feed`: images per second and core that the loader prepares, beside torchvision's DataLoader.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell::{self, command, read, root};
use crate::venv;

/// Which photos, how often, and with which Python.
#[derive(clap::Args)]
pub struct Args {
    /// Rounds; in each, every contestant prepares the images once to warm up and once for the clock.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Cores; images per second are given per core.
    #[arg(long, value_name = "N", default_value_t = 1)]
    cores: usize,
    /// A folder of JPEGs to take as well as the generated ones.
    #[arg(long, value_name = "FOLDER")]
    photos: Option<PathBuf>,
    /// Python with torchvision [default: installed into target/bench-feed]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

const PACKAGES: [&str; 3] = ["torch==2.15.0", "torchvision==0.29.2", "pillow==13.0.0"];
const EXAMPLE: [&str; 7] =
    ["build", "--quiet", "--release", "--package", "mlcls-data", "--example", "loader_speed"];
/// Our recipe and the one of torchvision that does the same. OTX squashes the picture before it crops (`plateau`);
/// `crop_flip` crops the picture as it is, which is what torchvision does.
const RECIPES: [(&str, &str); 3] = [("table", "table"), ("plateau", "plateau"), ("crop_flip", "plateau")];
/// Names and arguments of the rivals.
const RIVALS: [(&str, &[&str]); 3] =
    [("PIL", &["pil"]), ("tensor", &["tensor"]), ("tensor, left as bytes", &["tensor", "--no-normalise"])];
/// Images per set: seconds per round.
const IMAGES: usize = 384;

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.rounds > 0 && args.cores > 0, "--rounds and --cores must be 1 or more");
    shell::run(&mut command("cargo", &EXAMPLE))?;
    let folder = root().join("target/bench-feed");
    let python = match &args.python {
        Some(python) => python.clone(),
        None => venv::with(&folder.join("venv"), "torchvision", &PACKAGES)?,
    };
    let large = folder.join("2048x1536");
    if !large.is_dir() {
        shell::run(rival(&python).arg("photos").arg(&large))?;
    }
    let sets = args.photos.iter().map(|photos| ("photos", photos.clone())).chain([("2048 x 1536", large)]);

    println!("images per second and core, {} core(s), medians of {} rounds", args.cores, args.rounds);
    println!();
    let names: Vec<&str> = RIVALS.iter().map(|(name, _)| *name).collect();
    println!("| images | recipe | mlcls | {} | mlcls over the fastest |", names.join(" | "));
    println!("|---|---|---|{}---|", "---|".repeat(names.len()));
    for (name, folder) in sets {
        for (ours, theirs) in RECIPES {
            let mut rates = vec![Vec::new(); 1 + RIVALS.len()];
            for _ in 0..args.rounds {
                rates[0].push(own_rate(&folder, ours, args.cores)?);
                for ((_, contestant), rates) in RIVALS.iter().zip(&mut rates[1..]) {
                    rates.push(rival_rate(&python, contestant, theirs, &folder, args.cores)?);
                }
            }
            let per_core: Vec<f64> =
                rates.into_iter().map(|rates| venv::median(rates) / args.cores as f64).collect();
            let fastest = per_core[1..].iter().copied().fold(0.0, f64::max);
            let cells: Vec<String> = per_core.iter().map(|rate| format!("{rate:.1}")).collect();
            println!("| {name} | {ours} | {} | {:.2} |", cells.join(" | "), per_core[0] / fastest);
        }
    }
    Ok(())
}

/// Our loader, every image from its file.
fn own_rate(folder: &Path, recipe: &str, cores: usize) -> Result<f64> {
    let mut ours = Command::new(root().join("target/release/examples/loader_speed"));
    ours.arg(folder).arg(IMAGES.to_string()).arg(recipe).env("RAYON_NUM_THREADS", cores.to_string());
    let text = read(&mut ours)?;
    let row = text.lines().find_map(|line| line.strip_prefix(recipe)).context("no row of this recipe")?;
    let rate = row.split_whitespace().next().context("an empty row")?;
    rate.parse().context("no number in the row")
}

/// A DataLoader: in the process itself on one core, else with a worker per core.
fn rival_rate(python: &Path, contestant: &[&str], recipe: &str, folder: &Path, cores: usize) -> Result<f64> {
    let workers = if cores == 1 { 0 } else { cores };
    let mut theirs = rival(python);
    theirs.arg("run").args(contestant).args(["--recipe", recipe, "--epochs", "1"]);
    theirs
        .args(["--images", &IMAGES.to_string(), "--workers", &workers.to_string()])
        .arg("--folder")
        .arg(folder);
    let text = read(&mut theirs)?;
    let last = text.lines().last().context("the rival printed nothing")?;
    let result: Value = serde_json::from_str(last).context("the rival printed no JSON")?;
    result["median_img_per_s"].as_f64().context("no median_img_per_s")
}

fn rival(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(root().join("xtask/bench/feed.py"));
    command
}
