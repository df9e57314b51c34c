//! `mlcls config`: the settings of a run, before it.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use mlcls_train::{DEFAULT_MODEL, DEFAULT_RECIPE, template};

use super::settings::Settings;

/// Show the settings that a run would use, or write a commented file to start from.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the merged settings, every key present.
    Show {
        #[command(flatten)]
        settings: Box<Settings>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the commented template of a recipe and model, to edit and pass to `mlcls train --config`.
    Init {
        /// Model whose template to write.
        #[arg(long, value_name = "NAME", default_value = DEFAULT_MODEL)]
        model: String,
        /// Recipe whose template to write.
        #[arg(long, value_name = "NAME", default_value = DEFAULT_RECIPE)]
        recipe: String,
        /// File to write; an existing file is left alone.
        #[arg(value_name = "FILE", default_value = "mlcls.yaml")]
        file: PathBuf,
    },
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut out = stdout().lock();
    match &args.action {
        Action::Show { settings, json } => {
            let config = settings.layers()?.resolve()?;
            if *json {
                serde_json::to_writer_pretty(&mut out, &config)?;
                writeln!(out)?;
            } else {
                write!(out, "{}", config.to_yaml())?;
            }
        }
        Action::Init { model, recipe, file } => {
            let text = template(recipe, model)?.text;
            std::fs::File::create_new(file)
                .and_then(|mut f| f.write_all(text.as_bytes()))
                .with_context(|| format!("cannot write {}", file.display()))?;
            writeln!(out, "wrote {}; train with it: mlcls train DATA --config {0}", file.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
