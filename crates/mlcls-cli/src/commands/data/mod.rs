//! `mlcls data`: what can be done with data sets besides training on them.

mod fetch;

use std::process::ExitCode;

use clap::Subcommand;

/// Fetch data sets.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Fetch(fetch::Args),
}

/// The command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Fetch(args) => fetch::run(args),
    }
}
