//! `mlcls calibrate`: scores that are probabilities, by a calibration that is kept in the checkpoint.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use mlcls_metrics::Calibration;
use mlcls_train::{CalibrationMethod, CalibrationReport, Reliability, fit_calibration};

use super::tuning::Tuning;
use crate::ui::table::Table;

/// Turn scores into probabilities: fit a calibration and keep it in the checkpoint.
///
/// Of all decisions with a score of 0.3, three in ten are then right. Neither the order of images nor any decision changes:
/// thresholds move with the scores. What it gains is measured by cross-fitting: each image is scored by a calibration that
/// it did not help to fit.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    tuning: Tuning,
    /// How.
    #[arg(long, value_name = "METHOD", value_enum, default_value = "platt")]
    method: Method,
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
    let (mut checkpoint, dataset) = args.tuning.open()?;
    let method = match args.method {
        Method::Platt => CalibrationMethod::Platt,
        Method::Temperature => CalibrationMethod::Temperature,
    };
    let Tuning { split, batch_size, json, .. } = &args.tuning;
    let report = fit_calibration(&checkpoint, &dataset, split, (*batch_size).into(), method)?;
    checkpoint.info.calibrate(report.calibration.clone());
    let kept = args.tuning.keep(&checkpoint)?;
    let mut out = stdout().lock();
    if *json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{}", text(&report)?)?;
    if let Some(path) = kept {
        writeln!(out, "\nkept in {}", path.display())?;
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
