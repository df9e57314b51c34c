//! `mlcls data check`: what would break or spoil a run, found before it does.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use mlcls_data::{CheckReport, Dataset, Images, Inspection, Mended, WriteFormat, write_dataset};
use serde::Serialize;

use super::convert::check_empty;
use super::source::Source;

/// Find everything in a data set that would break or spoil a run.
///
/// Reads and decodes every image. Reported are, as errors: images that are missing, damaged or too large, and
/// annotations that cannot be read; as warnings: images that are in two splits or look alike there, copies with
/// contradicting labels, labels that cannot be learned or are spelt in two ways, tiny and blank images, images in the
/// folder of another split; as notes: copies within a split, huge images, image files that nothing mentions.
///
/// Exit code: 1 if there are errors, 0 otherwise; with --strict warnings count too; with --fix 0 once the copy is
/// written.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Write a copy of the data set to this folder in which what needs no decision is mended, and say what was done.
    #[arg(long, value_name = "OUT")]
    fix: Option<PathBuf>,
    /// Take warnings as seriously as errors.
    #[arg(long)]
    strict: bool,
    /// Print JSON, with every instance of each finding.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    report: &'a CheckReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Fix<'a>>,
}

#[derive(Serialize)]
struct Fix<'a> {
    root: &'a Path,
    done: &'a [String],
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    if let Some(out) = &args.fix {
        check_empty(out)?;
    }
    let dataset = match args.source.open() {
        Ok(dataset) => dataset,
        Err(error) => {
            let report = CheckReport::unreadable(&args.source.root, error.downcast()?)?;
            print(args, &report, None)?;
            if args.fix.is_some() {
                bail!("nothing was written: annotations that cannot be read cannot be mended");
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let inspection = inspect(&dataset, args.json);
    let report = inspection.report();
    let Some(out) = &args.fix else {
        print(args, &report, None)?;
        let failed = report.errors > 0 || args.strict && report.warnings > 0;
        return Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    };
    let mended = inspection.mended();
    if mended.dataset.splits.is_empty() {
        bail!("nothing was written: no image of {} can be used", dataset.root.display());
    }
    write_dataset(&mended.dataset, out, WriteFormat::Datumaro, Images::Copy)?;
    print(args, &report, Some((out, &mended)))?;
    Ok(ExitCode::SUCCESS)
}

/// Looks at all images, behind a bar where somebody sees it.
fn inspect(dataset: &Dataset, json: bool) -> Inspection<'_> {
    if json || !stderr().is_terminal() {
        return Inspection::new(dataset, &|_, _| ());
    }
    let style = ProgressStyle::with_template("images {bar:24} {pos}/{len} {per_sec}, ETA {eta}");
    let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let inspection = Inspection::new(dataset, &|_, total| {
        bar.set_length(total as u64);
        bar.inc(1);
    });
    bar.finish_and_clear();
    inspection
}

fn print(args: &Args, report: &CheckReport, fix: Option<(&PathBuf, &Mended)>) -> Result<()> {
    let mut out = stdout().lock();
    if args.json {
        let fix = fix.map(|(root, mended)| Fix { root, done: &mended.done });
        serde_json::to_writer_pretty(&mut out, &Output { report, fix })?;
        writeln!(out)?;
        return Ok(());
    }
    write!(out, "{report}")?;
    if let Some((root, mended)) = fix {
        writeln!(out)?;
        mended.done.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))?;
        if mended.done.is_empty() {
            writeln!(out, "nothing had to be mended")?;
        }
        writeln!(out, "written to {}", root.display())?;
    }
    Ok(())
}
