//! `mlcls data split`: a data set divided anew into train, val and test.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use mlcls_data::{Dataset, Resplit, ResplitOptions, SplitSummary, WriteFormat, write_dataset};

use super::convert::{ImageFiles, check_empty};
use super::source::Source;
use crate::ui::{number, percent, table::Table};

/// Divide a data set into train, val and test, each label in its share.
///
/// Splits are pooled and dealt out again by iterative stratification (Sechidis et al. 2011): every label, and images
/// without any, get their share in every part, rare labels first. Near-duplicates stay in one part. What is neither
/// val nor test is train. The result is written as a new Datumaro data set; the old one stays as it is.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Part of the images for val, above 0 and below 1; no val where it is left out.
    #[arg(long, value_name = "FRACTION", value_parser = fraction, required_unless_present = "test")]
    val: Option<f64>,
    /// Part of the images for test, above 0 and below 1; no test where it is left out.
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    test: Option<f64>,
    /// Decides what is left to chance; the same seed gives the same parts.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// Splits to pool; the others are kept as they are. Not needed where there is only one.
    #[arg(long, value_name = "SPLIT", num_args = 1.., value_delimiter = ',')]
    from: Vec<String>,
    /// Folder for the new data set; must be empty or not exist.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// What to do about the image files.
    #[arg(long, value_name = "HOW", value_enum, default_value = "copy")]
    images: ImageFiles,
}

/// Parses a fraction: a number above 0 and below 1.
fn fraction(word: &str) -> Result<f64, String> {
    match word.parse() {
        Ok(part) if 0.0 < part && part < 1.0 => Ok(part),
        _ => Err("expected a number above 0 and below 1, such as 0.2".to_owned()),
    }
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    check_empty(&args.out)?;
    let parts = parts(args)?;
    let dataset = args.source.open()?;
    let from = from(args, &dataset)?;
    let options = ResplitOptions { from, parts, seed: args.seed };
    let divided = dataset.resplit(&options, &[])?;

    let mut out = stdout().lock();
    report(&mut out, &dataset, &divided, &options)?;
    let lost = write_dataset(&divided.dataset, &args.out, WriteFormat::Datumaro, args.images.into())?;
    for sentence in lost {
        writeln!(out, "lost: {sentence}")?;
    }
    writeln!(out, "\nwritten to {0}; train on it: mlcls train {0}", args.out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// The new splits with their fractions.
fn parts(args: &Args) -> Result<Vec<(String, f64)>> {
    let (val, test) = (args.val.unwrap_or(0.0), args.test.unwrap_or(0.0));
    let train = 1.0 - val - test;
    if train <= 1e-9 {
        bail!("--val {val} and --test {test} leave nothing to train on; together they must be below 1");
    }
    let parts = [("train", train), ("val", val), ("test", test)];
    Ok(parts.into_iter().filter(|(_, f)| *f > 0.0).map(|(name, f)| (name.to_owned(), f)).collect())
}

/// The splits to pool: those asked for, or the only one.
fn from(args: &Args, dataset: &Dataset) -> Result<Vec<String>> {
    let names: Vec<&str> = dataset.splits.iter().map(|s| s.name.as_str()).collect();
    if args.from.is_empty() && names.len() > 1 {
        let sizes: Vec<String> =
            dataset.splits.iter().map(|s| format!("{} ({})", s.name, s.items.len())).collect();
        let mut advice = format!("say which to pool: --from {} draws all anew", names.join(" "));
        let kept = names.iter().filter(|n| **n == "test" && args.test.is_none()).count();
        if kept > 0 {
            let others: Vec<&str> = names.iter().filter(|n| **n != "test").copied().collect();
            advice += &format!(", --from {} keeps test as it is", others.join(" "));
        }
        bail!("{} has the splits {} already; {advice}", dataset.root.display(), sizes.join(", "));
    }
    let all = || names.iter().map(|n| (*n).to_owned()).collect();
    Ok(if args.from.is_empty() { all() } else { args.from.clone() })
}

/// What was done, and how each label is spread.
fn report(out: &mut impl Write, old: &Dataset, divided: &Resplit, options: &ResplitOptions) -> Result<()> {
    let pool: usize = options.from.iter().filter_map(|name| old.split(name)).map(|s| s.items.len()).sum();
    writeln!(out, "{}: {pool} images of {} divided anew", old.root.display(), options.from.join(", "))?;
    let names = |kept: &mlcls_data::Split| !options.parts.iter().any(|(name, _)| *name == kept.name);
    for kept in divided.dataset.splits.iter().filter(|split| names(split)) {
        writeln!(out, "{} is kept as it is, {} images", kept.name, kept.items.len())?;
    }
    if divided.repeated > 0 {
        writeln!(out, "{} images came twice, with the same labels, and are taken once", divided.repeated)?;
    }
    if divided.groups > 0 {
        writeln!(out, "{} groups of images that look alike stay together", divided.groups)?;
    }
    if !divided.astride.is_empty() {
        let (id, split) = &divided.astride[0];
        let rest = match divided.astride.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more like it"),
        };
        writeln!(out, "warning: `{id}` looks like an image of {split}, which is kept{rest}")?;
    }
    writeln!(out, "\n{}", distribution(&divided.dataset))?;
    let distance = &divided.distance;
    writeln!(
        out,
        "labels distribution LD {}, examples distribution ED {:.2} (Sechidis et al. 2011; 0 is best)",
        number(distance.labels, 5),
        distance.examples
    )?;
    Ok(())
}

/// Images with each label per split, and in per cent of those where it is known.
fn distribution(dataset: &Dataset) -> Table {
    let summary = dataset.summary();
    let header = summary.splits.iter().flat_map(|split| [split.name.clone(), "%".to_owned()]);
    let mut table = Table::new(std::iter::once("label".to_owned()).chain(header));
    let row = |name: &str, cells: &dyn Fn(&SplitSummary) -> (usize, usize)| {
        let both = summary.splits.iter().flat_map(|split| {
            let (count, known) = cells(split);
            let share = (known > 0).then(|| count as f64 / known as f64);
            [count.to_string(), percent(share)]
        });
        std::iter::once(name.to_owned()).chain(both).collect::<Vec<String>>()
    };
    for (i, label) in summary.labels.iter().enumerate() {
        table.row(row(label, &|split| (split.positives[i], split.images - split.unknowns[i])));
    }
    table.row(row("(no label)", &|split| (split.empty, split.images)));
    let all: usize = summary.splits.iter().map(|split| split.images).sum();
    table.row(row("images", &|split| (split.images, all)));
    table
}
