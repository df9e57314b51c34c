//! `cargo xtask ci`: every check that a change must pass, cheapest first.

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::shell::{self, command, read};
use crate::tidy;

/// Which steps to run.
#[derive(clap::Args)]
pub struct Args {
    /// Steps to run, in the order of the list; all when none is named.
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
    /// Print the steps and what each checks, and run nothing.
    #[arg(long)]
    list: bool,
}

/// One check: its name on the command line, what it holds, and how.
struct Step {
    name: &'static str,
    about: &'static str,
    check: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "tidy", about: "file lengths, docs, licences, links", check: tidy::run },
    Step { name: "fmt", about: "rustfmt has nothing to change", check: fmt },
    Step { name: "layers", about: "each crate depends only on what the design lets it", check: layers },
    Step { name: "clippy", about: "no lint warning in any target", check: clippy },
    Step { name: "docs", about: "rustdoc without a warning", check: docs },
    Step { name: "alone", about: "each library crate builds by itself", check: alone },
    Step { name: "test", about: "unit tests, doctests, end-to-end tests", check: test },
];

/// The library crates, each with the only crates of ours that it may use, and whether candle may be among its
/// dependencies. The same table stands in `docs/architecture.md`.
const LAYERS: &[(&str, &[&str], Candle)] = &[
    ("mlcls-data", &[], Candle::Never),
    ("mlcls-metrics", &[], Candle::Never),
    ("mlcls-report", &["mlcls-data", "mlcls-metrics"], Candle::Never),
    ("mlcls-engine", &[], Candle::Yes),
    ("mlcls-loss", &[], Candle::Yes),
    ("mlcls-models", &["mlcls-engine"], Candle::Yes),
    (
        "mlcls-train",
        &["mlcls-data", "mlcls-metrics", "mlcls-engine", "mlcls-loss", "mlcls-models"],
        Candle::Yes,
    ),
    ("mlcls-export", &["mlcls-engine", "mlcls-models"], Candle::Yes),
    (
        "mlcls-probe",
        &["mlcls-data", "mlcls-metrics", "mlcls-engine", "mlcls-loss", "mlcls-models", "mlcls-train"],
        Candle::Yes,
    ),
];

#[derive(Clone, Copy, PartialEq)]
enum Candle {
    Yes,
    Never,
}

/// Features that every target is checked and tested with, the same for the whole workspace, so that nothing is built twice.
const FEATURES: &str = "mlcls-cli/serve,mlcls-cli/cuda";

/// Runs the chosen steps and stops at the first that fails.
fn run_steps(steps: &[&Step]) -> Result<()> {
    let start = Instant::now();
    for (i, step) in steps.iter().enumerate() {
        println!("\n[{}/{}] {}: {}", i + 1, steps.len(), step.name, step.about);
        let began = Instant::now();
        let outcome = (step.check)();
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("[{}/{}] {}: ok, {seconds:.1} s", i + 1, steps.len(), step.name),
            Err(error) => {
                println!("[{}/{}] {}: FAILED after {seconds:.1} s", i + 1, steps.len(), step.name);
                return Err(error.context(format!("run just this step: cargo xtask ci {}", step.name)));
            }
        }
    }
    println!("\nall {} steps passed in {:.0} s", steps.len(), start.elapsed().as_secs_f64());
    Ok(())
}

/// The chore.
pub fn run(args: &Args) -> Result<()> {
    if args.list {
        for step in STEPS {
            println!("{:8} {}", step.name, step.about);
        }
        return Ok(());
    }
    for name in &args.steps {
        if !STEPS.iter().any(|s| s.name == name) {
            let names: Vec<_> = STEPS.iter().map(|s| s.name).collect();
            bail!("no step is called {name}; the steps are {}", names.join(", "));
        }
    }
    let wanted = |s: &&Step| args.steps.is_empty() || args.steps.iter().any(|n| n == s.name);
    run_steps(&STEPS.iter().filter(wanted).collect::<Vec<_>>())
}

fn fmt() -> Result<()> {
    shell::run(&mut command("cargo", &["fmt", "--all", "--check"]))
}

fn layers() -> Result<()> {
    for (krate, ours, candle) in LAYERS {
        let args = [
            "tree",
            "--locked",
            "--package",
            krate,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ];
        let tree = read(&mut command("cargo", &args))?;
        for name in tree.lines().filter_map(|line| line.split(' ').next()).filter(|n| n != krate) {
            let foreign = name.starts_with("mlcls-") && !ours.contains(&name);
            ensure!(
                !foreign,
                "{krate} depends on {name}; it may use only {ours:?} (see LAYERS in xtask/src/ci.rs)"
            );
            let tensor = name.starts_with("candle") && *candle == Candle::Never;
            ensure!(!tensor, "{krate} depends on {name}; it must build without candle");
        }
    }
    Ok(())
}

fn clippy() -> Result<()> {
    // With the benches' feature too, or they would be skipped.
    let features = format!("mlcls-engine/bench,{FEATURES}");
    let targets = ["--workspace", "--all-targets", "--features", &features];
    let args = [&["clippy", "--locked"], &targets[..], &["--", "--deny", "warnings"]].concat();
    shell::run(&mut command("cargo", &args))
}

fn docs() -> Result<()> {
    let args = ["doc", "--locked", "--workspace", "--no-deps"];
    shell::run(command("cargo", &args).env("RUSTDOCFLAGS", "--deny warnings"))
}

fn alone() -> Result<()> {
    for (krate, ..) in LAYERS {
        shell::run(&mut command("cargo", &["check", "--locked", "--quiet", "--package", krate, "--lib"]))?;
    }
    Ok(())
}

fn test() -> Result<()> {
    let args = ["test", "--locked", "--workspace", "--quiet", "--features", FEATURES];
    shell::run(&mut command("cargo", &args))
}
