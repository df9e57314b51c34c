//! `mlcls data`: look at a data set, mend it, bring it into another form. One file per verb.

mod convert;
mod source;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Look at a data set, mend it, bring it into another form.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Args),
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Convert(args) => convert::run(args),
    }
}
