//! `mlcls thresholds`: a threshold for each label, chosen on a split and kept in the checkpoint.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use mlcls_metrics::{AtThreshold, Goal, ThresholdOptions};
use mlcls_train::{ThresholdReport, checkpoint_thresholds};

use super::tuning::Tuning;
use crate::ui::percent;
use crate::ui::table::Table;

/// Choose a threshold for each label and keep it in the checkpoint, where predict and eval find it.
///
/// Thresholds are chosen for the best F1 unless a least precision or recall is asked for. What they gain is measured by
/// cross-fitting: each image is decided by thresholds that it did not help to choose.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    tuning: Tuning,
    /// The most recall with at least this precision, in place of the best F1.
    #[arg(long, value_name = "SHARE", value_parser = super::score, conflicts_with = "recall")]
    precision: Option<f32>,
    /// The most precision with at least this recall, in place of the best F1.
    #[arg(long, value_name = "SHARE", value_parser = super::score)]
    recall: Option<f32>,
    /// Positives that a label needs for a threshold of its own; those with fewer share one.
    #[arg(long, value_name = "N", default_value_t = ThresholdOptions::default().least_positives)]
    least_positives: usize,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let (mut checkpoint, dataset) = args.tuning.open()?;
    let options = ThresholdOptions {
        goal: args.goal(),
        least_positives: args.least_positives,
        ..ThresholdOptions::default()
    };
    let Tuning { split, batch_size, json, .. } = &args.tuning;
    let report = checkpoint_thresholds(&checkpoint, &dataset, split, (*batch_size).into(), &options)?;
    checkpoint.info.thresholds = Some(report.values());
    let kept = args.tuning.keep(&checkpoint)?;
    let mut out = stdout().lock();
    if *json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{}", text(&report, &options)?)?;
    if let Some(path) = kept {
        writeln!(out, "\nkept in {}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn goal(&self) -> Goal {
        match (self.precision, self.recall) {
            (Some(least), _) => Goal::Precision(least.into()),
            (_, Some(least)) => Goal::Recall(least.into()),
            (None, None) => Goal::F1,
        }
    }
}

/// The report for a person.
fn text(report: &ThresholdReport, options: &ThresholdOptions) -> Result<String> {
    use std::fmt::Write;
    let mut text = String::new();
    let mut labels = Table::new(["label", "positives", "threshold", "", "precision", "recall", "F1"]);
    let rows = report.labels.iter().zip(&report.chosen).zip(&report.per_label);
    for ((name, chosen), label) in rows {
        let note = match (chosen.pooled, chosen.reached) {
            (true, true) => "pooled",
            (true, false) => "pooled, goal not reached",
            (false, true) => "",
            (false, false) => "goal not reached",
        };
        labels.row([
            name.clone(),
            label.positives.to_string(),
            format!("{:.3}", chosen.threshold),
            note.to_owned(),
            percent(label.precision),
            percent(label.recall),
            percent(label.f1),
        ]);
    }
    writeln!(text, "{labels}")?;
    let pooled = report.chosen.iter().filter(|chosen| chosen.pooled).count();
    if pooled > 0 {
        writeln!(
            text,
            "pooled: fewer than {} positives, so these {pooled} of {} labels share the threshold that is best for them together\n",
            options.least_positives,
            report.labels.len()
        )?;
    }
    let mut means = Table::new(["", "CP", "CR", "CF1", "mean F1", "OP", "OR", "OF1"]);
    let mut row = |name: String, at: &AtThreshold| {
        let shares = [at.cp, at.cr, at.cf1, at.macro_f1, at.op, at.or, at.of1].map(|v| percent(Some(v)));
        let [cp, cr, cf1, macro_f1, op, or, of1] = shares;
        means.row([name, cp, cr, cf1, macro_f1, op, or, of1]);
    };
    row(format!("{} for all", report.threshold), &report.before);
    row("chosen, on the same images".to_owned(), &report.after);
    row("chosen, on images without a say".to_owned(), &report.cross_fitted);
    write!(text, "{means}")?;
    let (images, split) = (report.images, &report.split);
    writeln!(
        text,
        "on the {images} images of `{split}`; the last row is what to expect of new images ({} folds)",
        options.folds
    )?;
    Ok(text)
}
