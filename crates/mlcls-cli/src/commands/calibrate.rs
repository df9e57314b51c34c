//! `mlcls calibrate`: scores that are probabilities, by a calibration that is kept in the checkpoint.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use mlcls_data::{Dataset, ReadOptions};
use mlcls_metrics::Calibration;
use mlcls_train::{CalibrationMethod, CalibrationReport, Checkpoint, Reliability, fit_calibration};

use super::data::State;
use super::eval::checkpoint_path;
use crate::ui::table::Table;

/// Turn scores into probabilities: fit a calibration and keep it in the checkpoint.
///
/// Of all decisions with a score of 0.3, three in ten are then right. Neither the order of images nor any decision changes:
/// thresholds move with the scores. What it gains is measured by cross-fitting: each image is scored by a calibration that
/// it did not help to fit.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// Data set with the labels of the checkpoint.
    #[arg(value_name = "DATA")]
    data: PathBuf,
    /// Split to fit on, not one that was trained on.
    #[arg(long, value_name = "NAME", default_value = "val")]
    split: String,
    /// How.
    #[arg(long, value_name = "METHOD", value_enum, default_value = "platt")]
    method: Method,
    /// Write the calibrated checkpoint here, and leave CHECKPOINT as it is.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only print what it would be worth.
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
    /// What an object marked `difficult` (VOC) says about its label.
    #[arg(long, value_name = "STATE", value_enum, default_value = "unknown")]
    difficult: State,
    /// What a label is that an image shows only in crowd regions (COCO).
    #[arg(long, value_name = "STATE", value_enum, default_value = "positive")]
    crowd: State,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Method {
    /// A slope and an offset for each label; rare labels share one.
    Platt,
    /// One temperature for all labels.
    Temperature,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let path = checkpoint_path(&args.checkpoint)?;
    let mut checkpoint = Checkpoint::load(&path)?;
    let options = ReadOptions { difficult: args.difficult.into(), crowd: args.crowd.into() };
    let dataset = Dataset::open(&args.data, &options)?;
    let method = match args.method {
        Method::Platt => CalibrationMethod::Platt,
        Method::Temperature => CalibrationMethod::Temperature,
    };
    let report = fit_calibration(&checkpoint, &dataset, &args.split, args.batch_size.into(), method)?;
    let target = args.out.as_ref().unwrap_or(&path);
    if !args.dry_run {
        checkpoint.info.calibrate(report.calibration.clone());
        Checkpoint::save(target, &checkpoint.model, &checkpoint.weights, &checkpoint.info)?;
    }
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", text(&report)?)?;
        if !args.dry_run {
            writeln!(out, "\nkept in {}", target.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The report for a person.
fn text(report: &CalibrationReport) -> Result<String> {
    use std::fmt::Write;
    let mut text = String::new();
    let mut bins =
        Table::new(["scores from", "decisions", "present %", "calibrated: decisions", "present %"]);
    let (before, after) = (&report.before.bins, &report.cross_fitted.bins);
    for (i, (before, after)) in before.iter().zip(after).enumerate() {
        let share = |bin: &mlcls_metrics::Bin| match bin.count {
            0 => "-".to_owned(),
            _ => format!("{:.1}", 100.0 * bin.present),
        };
        bins.row([
            format!("{:.3}", i as f64 / report.before.bins.len() as f64),
            before.count.to_string(),
            share(before),
            after.count.to_string(),
            share(after),
        ]);
    }
    writeln!(text, "{bins}")?;
    let mut means = Table::new(["", "ECE %", "log loss"]);
    let mut row = |name: &str, r: &Reliability| {
        means.row([name.to_owned(), format!("{:.2}", 100.0 * r.ece), format!("{:.4}", r.log_loss)]);
    };
    row("as trained", &report.before);
    row("calibrated, on the same images", &report.after);
    row("calibrated, on images without a say", &report.cross_fitted);
    write!(text, "{means}")?;
    if let Calibration::Temperature(temperature) = report.calibration {
        writeln!(text, "temperature {temperature:.3}")?;
    }
    writeln!(
        text,
        "on the {} images of `{}`; the last row is what to expect of new images",
        report.images, report.split
    )?;
    Ok(text)
}
