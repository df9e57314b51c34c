//! `cargo xtask bench-cpu`: images per second and peak memory of training and inference, beside PyTorch, onnxruntime and
//! OpenVINO.
//!
//! Each measurement is a process of its own, and the contestants take turns within a round, so that a slow minute of the
//! machine hits all of them. PyTorch runs as installed, with a malloc that keeps its memory, which spares it page faults, and
//! compiled; what counts is the fastest of a round.

mod cases;
mod contestants;
mod measure;
mod python;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{machine, shell};
use cases::{Case, Mode, Suite, matrix};
use contestants::{Contestant, Memory, OURS, RIVALS, Stage, find_jemalloc};
use python::Python;
use report::{Measured, Outcome};

/// What to measure: a suite, or every combination of models, modes, batches, sizes and threads.
#[derive(clap::Args)]
pub struct Args {
    /// A named set of cases.
    #[arg(long, conflicts_with_all = ["models", "modes", "batches", "sizes", "threads"])]
    suite: Option<Suite>,
    /// Models, by timm's names.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", default_value = "mobilenetv3_large_100")]
    models: Vec<String>,
    /// What to time.
    #[arg(long, value_delimiter = ',', value_name = "MODES", default_value = "train,infer")]
    modes: Vec<Mode>,
    /// Images per step.
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "32", value_parser = positive)]
    batches: Vec<usize>,
    /// Side of the images in pixels.
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "224", value_parser = positive)]
    sizes: Vec<usize>,
    /// Threads of every contestant [default: the machine's cores]
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = positive)]
    threads: Vec<usize>,
    /// Rounds, in each of which every contestant runs once [default: 3; of the full suite 1, half an hour on 2 cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    rounds: Option<usize>,
    /// Timed steps of one run, after two to warm up [default: 3 of training, 11 of inference, 61 with small batches]
    #[arg(long, value_name = "N", value_parser = positive)]
    reps: Option<usize>,
    /// Rivals: torch, torch-compile, onnxruntime, openvino; `+kept` has glibc keep memory, `+jemalloc` replaces it.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", default_value = RIVALS)]
    rivals: Vec<Contestant>,
    /// Python with torch, timm, onnxscript, onnxruntime and openvino [default: installed into target/bench-venv]
    #[arg(long, value_name = "FILE", conflicts_with = "no_python")]
    python: Option<PathBuf>,
    /// Measure this project alone.
    #[arg(long)]
    no_python: bool,
    /// libjemalloc.so.2 [default: where Linux distributions put it]
    #[arg(long, value_name = "FILE")]
    jemalloc: Option<PathBuf>,
    /// Stop a process that runs longer, such as a compilation.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = positive)]
    limit: usize,
    /// Where the report goes, rewritten after every round [default: target/bench-cpu.md]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a whole number above 0".to_owned())
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    let load = machine::load(); // before we add to it
    if load > 0.3 {
        println!(
            "warning: other programs are running (load {load:.1}); the numbers will suffer, PyTorch's most"
        );
    }
    let (cores, target) = (machine::cores(), shell::target());
    let threads = if args.threads.is_empty() { &[cores] } else { &args.threads[..] };
    let cases = match args.suite {
        Some(suite) => suite.cases(cores),
        None => matrix(&args.models, &args.modes, &args.batches, &args.sizes, threads),
    };
    let stage = stage(args, &target)?;
    let rivals = rivals(args, &stage);
    let out = args.out.clone().unwrap_or(target.join("bench-cpu.md"));
    let rounds = args.rounds.unwrap_or(if args.suite == Some(Suite::Full) { 1 } else { 3 });
    let preface = preface(args, rounds, &stage, load);

    let began = Instant::now();
    let mut all: Vec<Measured> = vec![];
    for (i, case) in cases.iter().enumerate() {
        println!("\n[{}/{}, {:.0} min] {case}", i + 1, cases.len(), began.elapsed().as_secs_f64() / 60.0);
        let rivals = rivals.iter().copied().filter(|who| who.takes(case.mode));
        let rivals = rivals.map(|who| (who, prepare(who, case, &stage))).collect();
        all.push(Measured { case: case.clone(), ours: vec![], rivals });
        for round in 1..=rounds {
            if let Some(measured) = all.last_mut() {
                one_round(measured, round, args.reps, &stage)?;
            }
            report::save(&out, &preface, &all)?;
        }
    }
    println!(
        "\n{}\nin {:.0} min; {}",
        report::summary(&all),
        began.elapsed().as_secs_f64() / 60.0,
        out.display()
    );
    Ok(())
}

/// Everybody who is still in runs once. A rival that fails is out of this case; if we fail, that is the result.
fn one_round(measured: &mut Measured, round: usize, reps: Option<usize>, stage: &Stage) -> Result<()> {
    let case = &measured.case;
    let reps = reps.unwrap_or(case.default_reps());
    let show = |who: Contestant, what: &str| println!("  round {round}  {:<32}{what}", who.to_string());
    let numbers = |s: &measure::Sample| format!("{:8.1} images/s {:8.0} MB", s.images_per_second, s.peak_mb);

    let sample = OURS.measure(case, reps, stage).with_context(|| format!("mlcls failed at {case}"))?;
    show(OURS, &numbers(&sample));
    measured.ours.push(sample);
    for (who, outcome) in &mut measured.rivals {
        let Outcome::Ran(samples) = outcome else { continue };
        match who.measure(case, reps, stage) {
            Ok(sample) => {
                show(*who, &numbers(&sample));
                samples.push(sample);
            }
            Err(error) => {
                show(*who, &format!("{error:#}"));
                *outcome = Outcome::Out(format!("{error:#}"));
            }
        }
    }
    Ok(())
}

/// Exports or compiles where a rival needs it; one that cannot is out of this case.
fn prepare(who: Contestant, case: &Case, stage: &Stage) -> Outcome {
    let began = Instant::now();
    let outcome = who.prepare(case, stage);
    let seconds = began.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => {
            if seconds > 1.0 {
                println!("  ready    {:<32}{seconds:8.0} s", who.to_string());
            }
            Outcome::Ran(vec![])
        }
        Err(error) => {
            println!("  out      {:<32}{error:#}", who.to_string());
            Outcome::Out(format!("{error:#}"))
        }
    }
}

/// Builds our side and finds or installs the rivals'.
fn stage(args: &Args, target: &Path) -> Result<Stage> {
    let build = ["build", "--release", "--package", "mlcls-train", "--example", "step_speed"];
    shell::run(&mut shell::command("cargo", &build))?;
    let cache = target.join("bench-cache");
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let python = match (&args.python, args.no_python) {
        (_, true) => None,
        (Some(program), _) => Some(Python::existing(program)?),
        (None, false) => Python::installed(&target.join("bench-venv"))
            .inspect_err(|error| println!("mlcls runs alone: {error:#} (--python FILE names another Python)"))
            .ok(),
    };
    if let Some(library) = &args.jemalloc {
        ensure!(library.is_file(), "{} is not there; it should be a libjemalloc.so.2", library.display());
    }
    let jemalloc = args.jemalloc.clone().or_else(find_jemalloc);
    let limit = Duration::from_secs(args.limit as u64);
    Ok(Stage { ours: target.join("release/examples/step_speed"), cache, python, jemalloc, limit })
}

/// The rivals that this machine can have.
fn rivals(args: &Args, stage: &Stage) -> Vec<Contestant> {
    if stage.python.is_none() {
        return vec![];
    }
    let possible = |who: &&Contestant| who.memory != Memory::Jemalloc || stage.jemalloc.is_some();
    let rivals: Vec<Contestant> = args.rivals.iter().filter(possible).copied().collect();
    if rivals.len() < args.rivals.len() {
        println!("libjemalloc.so.2 is not installed: PyTorch runs without it");
    }
    rivals
}

/// Everything in the report above the tables.
fn preface(args: &Args, rounds: usize, stage: &Stage, load: f64) -> String {
    let rivals = match &stage.python {
        Some(python) => python.inventory(),
        None => "none".to_owned(),
    };
    let jemalloc = if stage.jemalloc.is_some() { "" } else { "; no jemalloc on this machine" };
    let reps =
        args.reps.map_or("3 steps of training, 11 or 61 of inference".to_owned(), |n| format!("{n} steps"));
    format!(
        "# Speed and memory on a CPU, beside PyTorch, onnxruntime and OpenVINO\n\n\
         Each measurement is a process of its own, {rounds} round{s} in which all take turns, {reps} per run after two to warm up.\n\
         Images/s are medians (least to most) over rounds; peak MB is the process's largest resident memory. In the first table\n\
         \"ours is\" is mlcls' images per second over those of the round's fastest rival, whichever that was, and memory is compared\n\
         with the PyTorch that takes least; in the second both are against the contestant of the line; ratios are medians over rounds.\n\
         PyTorch runs channels_last as installed, with glibc told to keep its memory, with jemalloc, and compiled by `torch.compile`\n\
         beforehand. All compute in single precision. A step of training is forward, loss, backward and SGD; sam has two passes.\n\n\
         - machine: {machine}\n{versions}- rivals: {rivals}{jemalloc}\n- load before the start: {load:.2}\n\n\
         ```\n{command}\n```\n",
        s = if rounds == 1 { "" } else { "s" },
        machine = machine::describe(),
        versions = machine::versions(),
        command = shell::command_line(std::env::args().skip(1)),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, String> {
        let words = std::iter::once("bench-cpu").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_are_separated_by_commas() {
        let args =
            parse("--modes sam,infer --batches 1,16 --threads 2,1 --rivals torch,openvino+kept").unwrap();
        assert_eq!((args.modes, args.batches), (vec![Mode::Sam, Mode::Infer], vec![1, 16]));
        assert_eq!((args.threads, args.rivals.len()), (vec![2, 1], 2));
        assert_eq!(parse("").unwrap().rivals.len(), 6);
    }

    #[test]
    fn a_suite_brings_its_own_cases_and_zero_means_nothing() {
        assert_eq!(parse("--suite full --rounds 1").unwrap().suite, Some(Suite::Full));
        assert!(parse("--suite full --batches 3").err().unwrap().contains("cannot be used with"));
        assert!(parse("--batches 0").err().unwrap().contains("above 0"));
        assert!(parse("--rivals jax").err().unwrap().contains("no rival is called jax"));
    }
}
