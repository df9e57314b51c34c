//! `mlcls weights`: the published weights that models start from, and getting them.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use mlcls_models::{Hub, Pretrained, Source, TensorFile, find, templates};
use mlcls_train::Event;
use serde::Serialize;

use crate::ui::progress::sink;
use crate::ui::table::Table;

/// List the published weights that models start from, or get some.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List them by timm's names, and which of them are on this machine; nothing is downloaded.
    List {
        /// List those of this model only.
        #[arg(value_name = "MODEL")]
        model: Option<String>,
        /// Print JSON, with the addresses and the places where files are looked for.
        #[arg(long)]
        json: bool,
    },
    /// Find weights, download them where they are not on this machine, and print their SHA-256.
    Fetch {
        /// Model, by our name, timm's or OTX's.
        #[arg(value_name = "MODEL")]
        model: String,
        /// Which: `auto` (the model's default), a timm weight name, or a safetensors file.
        #[arg(long, value_name = "WEIGHTS", default_value = "auto")]
        pretrained: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// A set of weights as `list` shows it.
#[derive(Serialize)]
struct Listed {
    model: &'static str,
    weights: &'static str,
    trained_on: &'static str,
    default: bool,
    page: String,
    /// Where a file put there by hand is looked for first.
    place: PathBuf,
    /// Where it is; `null` if it is not on this machine.
    path: Option<PathBuf>,
}

/// Weights on this machine as `fetch` shows them.
#[derive(Serialize)]
struct Fetched {
    model: &'static str,
    /// timm's name; `null` for a file that the user named.
    weights: Option<&'static str>,
    path: PathBuf,
    source: Source,
    bytes: u64,
    sha256: String,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::List { model, json } => list(model.as_deref(), *json)?,
        Command::Fetch { model, pretrained, json } => fetch(model, pretrained, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(model: Option<&str>, json: bool) -> Result<()> {
    let hub = Hub::from_env();
    let wanted = model.map(find).transpose()?;
    let mut all = Vec::new();
    for template in templates()? {
        let entry = find(template.name)?;
        if wanted.is_some_and(|w| w.name != entry.name) {
            continue;
        }
        all.extend(entry.weights.iter().enumerate().map(|(place, tag)| Listed {
            model: entry.name,
            weights: tag.tag,
            trained_on: tag.trained_on,
            default: place == 0,
            page: hub.page(tag.tag),
            place: hub.place(tag.tag),
            path: hub.find(tag.tag).map(|(path, _)| path),
        }));
    }
    let mut out = stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
        return Ok(());
    }
    let mut table = Table::new(["MODEL", "WEIGHTS", "TRAINED ON", "DEFAULT", "FILE"]);
    for one in &all {
        let path = one.path.as_ref().map_or("-".to_owned(), |path| path.display().to_string());
        let default = if one.default { "yes" } else { "" };
        table.row([one.model, one.weights, one.trained_on, default, &path]);
    }
    write!(out, "{table}")?;
    writeln!(out, "\nmlcls weights fetch MODEL --pretrained WEIGHTS downloads one that has no file here")?;
    Ok(())
}

fn fetch(model: &str, pretrained: &str, json: bool) -> Result<()> {
    let entry = find(model)?;
    let mut shown = (!json).then(|| sink(false)); // beside JSON nothing else may be printed
    let mut progress = |done, total| {
        if let Some(sink) = &mut shown {
            sink.event(&Event::Download { done, total });
        }
    };
    let located = Pretrained::from(pretrained).locate(entry.name, &Hub::from_env(), &mut progress)?;
    let Some(found) = located else { bail!("`none` are random weights: there is nothing to fetch") };
    TensorFile::open(&found.path)?; // a file that is not whole is no use
    let bytes = found.path.metadata().with_context(|| format!("cannot read {}", found.path.display()))?.len();
    let sha256 = found.sha256()?;
    let weights = found.tag.map(|tag| tag.tag);
    let fetched =
        Fetched { model: entry.name, weights, path: found.path, source: found.source, bytes, sha256 };
    let mut out = stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &fetched)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "{}", weights.unwrap_or("a file of your own"))?;
    writeln!(out, "  file    {}", fetched.path.display())?;
    writeln!(out, "  bytes   {bytes}")?;
    writeln!(out, "  sha256  {}", fetched.sha256)?;
    Ok(())
}
