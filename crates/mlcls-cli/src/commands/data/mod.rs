//! `mlcls data`: fetch a data set, look at it, mend it, bring it into another form. One file per verb.

mod check;
mod convert;
mod fetch;
mod preview;
mod source;
mod split;
mod stats;

pub use convert::{ImageFiles, check_empty};
pub use source::Source;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Fetch a data set, look at it, mend it, bring it into another form.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Fetch(fetch::Args),
    Check(check::Args),
    Convert(convert::Args),
    Preview(preview::Args),
    Split(split::Args),
    Stats(stats::Args),
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Fetch(args) => fetch::run(args),
        Command::Check(args) => check::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Preview(args) => preview::run(args),
        Command::Split(args) => split::run(args),
        Command::Stats(args) => stats::run(args),
    }
}
