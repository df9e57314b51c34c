//! `cargo xtask bench-cpu`: images per second and peak memory of training and inference, beside PyTorch.
//!
//! Each measurement is a process of its own, and the contestants take turns within a round, so that a slow minute of the
//! machine hits all of them. PyTorch runs twice: as installed, and with glibc told to keep its memory, which spares it page
//! faults.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell;

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// PyTorch script to compare with: takes --model, --mode train|infer, --batch, --size, --threads, --reps and --sam, and
    /// prints a last line with "median_img_per_s". Without it only this project is measured.
    #[arg(long, value_name = "FILE")]
    torch: Option<PathBuf>,
    /// Python with torch and timm.
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Models, by timm's names.
    #[arg(long, value_delimiter = ',', default_value = "mobilenetv3_large_100")]
    models: Vec<String>,
    /// What to time: train, sam (two passes per step) or infer.
    #[arg(long, value_delimiter = ',', default_value = "train,infer")]
    modes: Vec<String>,
    /// Images per step.
    #[arg(long, default_value = "32")]
    batch: usize,
    /// Side of the images in pixels.
    #[arg(long, default_value = "224")]
    size: usize,
    /// Threads of every contestant.
    #[arg(long, default_value = "2")]
    threads: usize,
    /// Rounds, in each of which every contestant runs once.
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// Timed steps of one run.
    #[arg(long, default_value = "7")]
    reps: usize,
    /// Also write the table here, as Markdown.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// glibc settings that keep freed memory in the process.
const KEEP_MEMORY: &str = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:\
                           glibc.malloc.top_pad=268435456";

/// One process's result.
#[derive(Clone, Copy)]
struct Sample {
    images_per_second: f64,
    peak_mb: f64,
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    let build = ["build", "--release", "--package", "mlcls-train", "--example", "step_speed"];
    shell::run(&mut shell::command("cargo", &build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(shell::root().join("target"), PathBuf::from);
    let ours = target.join("release/examples/step_speed");

    let mut table = format!(
        "{} threads, batch {}, {} px, {} rounds of {} steps; images/s are medians (least to most) over rounds\n\n\
         | model | mode | contestant | images/s | peak MB | ours is |\n|---|---|---|---|---|---|\n",
        args.threads, args.batch, args.size, args.rounds, args.reps
    );
    for model in &args.models {
        for mode in &args.modes {
            let mut samples = vec![vec![]; if args.torch.is_some() { 3 } else { 1 }];
            for _ in 0..args.rounds {
                for (contestant, samples) in samples.iter_mut().enumerate() {
                    let mut command = match (contestant, &args.torch) {
                        (0, _) | (_, None) => own_command(args, &ours, model, mode),
                        (n, Some(script)) => torch_command(args, script, model, mode, n == 2),
                    };
                    samples.push(measure(&mut command)?);
                }
            }
            for (name, own) in ["mlcls", "PyTorch", "PyTorch, memory kept"].iter().zip(&samples) {
                let rate = quantiles(own.iter().map(|s| s.images_per_second));
                let peak = quantiles(own.iter().map(|s| s.peak_mb))[1];
                let ratio = quantiles(
                    samples[0].iter().zip(own).map(|(a, b)| a.images_per_second / b.images_per_second),
                )[1];
                let [least, median, most] = rate;
                writeln!(
                    table,
                    "| {model} | {mode} | {name} | {median:.1} ({least:.1} to {most:.1}) | {peak:.0} | {ratio:.2}x |"
                )?;
            }
        }
    }
    println!("{table}");
    if let Some(out) = &args.out {
        std::fs::write(out, table).with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(())
}

fn own_command(args: &Args, program: &PathBuf, model: &str, mode: &str) -> Command {
    let mut command = Command::new(program);
    command.args([model, mode]).args([args.batch, args.size, args.reps].map(|n| n.to_string()));
    command.env("RAYON_NUM_THREADS", args.threads.to_string());
    command
}

fn torch_command(args: &Args, script: &PathBuf, model: &str, mode: &str, keep_memory: bool) -> Command {
    let mut command = Command::new(&args.python);
    command.arg(script).args(["--model", model, "--mode", if mode == "sam" { "train" } else { mode }]);
    let numbers =
        [("--batch", args.batch), ("--size", args.size), ("--threads", args.threads), ("--reps", args.reps)];
    numbers.iter().for_each(|(flag, n)| {
        command.args([flag, &n.to_string()[..]]);
    });
    if mode == "sam" {
        command.arg("--sam");
    }
    if keep_memory {
        command.env("GLIBC_TUNABLES", KEEP_MEMORY);
    }
    command
}

/// Runs a contestant to its end and watches its memory.
fn measure(command: &mut Command) -> Result<Sample> {
    let line = shell::words(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {line}"))?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_mb = 0f64;
    while child.try_wait()?.is_none() {
        // `VmHWM` is the kernel's own high-water mark, so that a look now and then misses only the last moments.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high =
            text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_mb = peak_mb.max(high.map_or(0.0, |kb: f64| kb * 1024.0 / 1e6));
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let median = text.lines().rev().find_map(|l| l.split("\"median_img_per_s\":").nth(1));
    let number = median.and_then(|v| v.trim_start().trim_end_matches('}').parse().ok());
    match number {
        Some(images_per_second) if output.status.success() => Ok(Sample { images_per_second, peak_mb }),
        _ => bail!("{line} ended with {} and no median", output.status),
    }
}

/// Least, median and most.
fn quantiles(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
    [all[0], (low + high) / 2.0, all[all.len() - 1]]
}
