//! Chores of the workspace, as plain Rust: `cargo xtask ci` is what a contributor and the CI machine both run.

mod bench_coco;
mod bench_cpu;
mod bench_feed;
mod bench_serve;
mod bench_voc;
mod ci;
mod fuzz;
mod machine;
mod profile;
mod sanitize;
mod shell;
mod tidy;
mod venv;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the mlcls workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check, cheapest first; stops at the first that fails.
    Ci(ci::Args),
    /// Check conventions that no compiler knows: file lengths, docs, licences, links.
    Tidy,
    /// Measure how fast images are prepared for training, beside torchvision.
    BenchFeed(bench_feed::Args),
    /// Measure training and inference on the CPU, beside PyTorch, onnxruntime and OpenVINO.
    BenchCpu(Box<bench_cpu::Args>),
    /// Measure reading a COCO file of 450 MB, beside Python's json and pycocotools.
    BenchCoco(bench_coco::Args),
    /// Measure what `mlcls serve` answers under load.
    BenchServe(bench_serve::Args),
    /// Train and measure the table of mAP: three models on three data sets, beside OTX's numbers.
    BenchVoc(Box<bench_voc::Args>),
    /// Show where the time of a step goes, stage by stage, beside the floor that this machine allows.
    Profile(profile::Args),
    /// Run the engine's tests under AddressSanitizer; needs rustup's nightly toolchain, and Linux or macOS.
    Sanitize(sanitize::Args),
    /// Give the parsers made-up inputs; needs cargo-fuzz and rustup's nightly toolchain.
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().chore {
        Chore::Ci(args) => ci::run(&args),
        Chore::Tidy => tidy::run(),
        Chore::BenchFeed(args) => bench_feed::run(&args),
        Chore::BenchCpu(args) => bench_cpu::run(&args),
        Chore::BenchCoco(args) => bench_coco::run(&args),
        Chore::BenchServe(args) => bench_serve::run(&args),
        Chore::BenchVoc(args) => bench_voc::run(&args),
        Chore::Profile(args) => profile::run(&args),
        Chore::Sanitize(args) => sanitize::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
