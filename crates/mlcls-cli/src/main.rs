//! The binary `mlcls`: arguments to checked settings, errors to exit codes. All work is done by the libraries.
//!
//! Exit codes: 0 done, 1 error, 2 wrong usage (from clap), 130 interrupted.

mod commands;
mod demo;
#[cfg(feature = "serve")]
mod serve;
mod ui;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Decoders allocate a lot; measured in docs/results/build.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Train, evaluate and ship multi-label image classifiers.
///
/// Begin with `mlcls demo`, or with `mlcls train DATA` on your own images.
#[derive(Parser)]
#[command(name = "mlcls", version, propagate_version = true, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Probe(commands::probe::Args),
    Train(commands::train::Args),
    Eval(commands::eval::Args),
    Predict(commands::predict::Args),
    Explain(commands::explain::Args),
    Report(commands::report::Args),
    Suggest(commands::suggest::Args),
    Thresholds(commands::thresholds::Args),
    Calibrate(commands::calibrate::Args),
    Export(commands::export::Args),
    Optimize(commands::optimize::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    Data(commands::data::Args),
    Find(commands::find::Args),
    Weights(commands::weights::Args),
    Config(commands::config::Args),
    Doctor(commands::doctor::Args),
    Demo(demo::Args),
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(code) => code,
        // The reader of our output has had enough (`mlcls find | head -1`): not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {}", ui::describe(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Probe(args) => commands::probe::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Suggest(args) => commands::suggest::run(&args),
        Command::Thresholds(args) => commands::thresholds::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Optimize(args) => commands::optimize::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args),
        Command::Data(args) => commands::data::run(&args),
        Command::Find(args) => commands::find::run(&args),
        Command::Weights(args) => commands::weights::run(&args),
        Command::Config(args) => commands::config::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken))
}
