//! `mlcls eval`: every metric of a checkpoint on a split.

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use mlcls_data::Dataset;
use mlcls_metrics::Definition;
use mlcls_train::{Checkpoint, EvalOptions, Evaluation, RunDir, evaluate_checkpoint};
use serde::Serialize;

use super::data::Source;
use super::device::On;
use crate::ui::table::Table;
use crate::ui::{duration, number, percent};

/// Evaluate a checkpoint: mAP by its definitions, CF1, OF1, and each label.
///
/// The numbers are also saved beside the checkpoint, as `<checkpoint>.<split>.json` and `.csv`.
#[derive(clap::Args)]
pub struct Args {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Split to evaluate on [default: test, or the only one]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// Score from which a label counts as predicted [default: the checkpoint's]
    #[arg(long, value_name = "SCORE", value_parser = super::score)]
    threshold: Option<f32>,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
    #[command(flatten)]
    on: On,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print the labels as CSV.
    #[arg(long)]
    csv: bool,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let device = args.on.device()?;
    let path = checkpoint_path(&args.checkpoint)?;
    let dataset = args.source.open()?;
    let options = EvalOptions { batch_size: args.batch_size.into(), threshold: args.threshold, device };
    let split = match &args.split {
        Some(split) => split,
        None => default_split(&dataset)?,
    };
    let report = EvalReport::of(&path, &dataset, split, &options)?;
    report.save()?;
    let mut out = stdout().lock();
    match (args.json, args.csv) {
        (true, _) => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
        (_, true) => write!(out, "{}", report.csv()?)?,
        _ => write!(out, "{}", report.text()?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The test split, or the only one, which may be called `all`.
pub fn default_split(dataset: &Dataset) -> Result<&str> {
    let names: Vec<&str> = dataset.splits.iter().map(|split| split.name.as_str()).collect();
    match names.as_slice() {
        [only] => Ok(only),
        _ if names.contains(&"test") => Ok("test"),
        _ => bail!(
            "{}: there is no split `test`; say which one to evaluate: --split {}",
            dataset.root.display(),
            names.join(" or --split ")
        ),
    }
}

/// A checkpoint file: the one given, or the best one of a run folder.
pub fn checkpoint_path(path: &Path) -> Result<PathBuf> {
    Ok(if path.is_dir() { RunDir::with_checkpoint(path)?.best() } else { path.to_owned() })
}

/// The checkpoint there; `threshold`, where given, takes the place of its own.
pub fn load_checkpoint(path: &Path, threshold: Option<f32>) -> Result<Checkpoint> {
    let mut checkpoint = Checkpoint::load(&checkpoint_path(path)?)?;
    if let Some(threshold) = threshold {
        checkpoint.info.threshold = threshold;
        checkpoint.info.thresholds = None;
    }
    Ok(checkpoint)
}

/// An evaluation and what was evaluated.
#[derive(Serialize)]
pub struct EvalReport {
    checkpoint: PathBuf,
    data: PathBuf,
    data_fingerprint: String,
    model: String,
    epoch: usize,
    weights: &'static str,
    #[serde(flatten)]
    evaluation: Evaluation,
}

impl EvalReport {
    /// Evaluates the checkpoint in a file.
    pub fn of(path: &Path, dataset: &Dataset, split: &str, options: &EvalOptions) -> Result<Self> {
        let checkpoint = Checkpoint::load(path)?;
        let evaluation = evaluate_checkpoint(&checkpoint, dataset, split, options)?;
        Ok(Self::new(path, &checkpoint, dataset, evaluation))
    }

    /// The report of an evaluation of the checkpoint in a file.
    pub fn new(path: &Path, checkpoint: &Checkpoint, dataset: &Dataset, evaluation: Evaluation) -> Self {
        Self {
            checkpoint: path.to_owned(),
            data: dataset.root.clone(),
            data_fingerprint: dataset.fingerprint(),
            model: checkpoint.info.model.clone(),
            epoch: checkpoint.info.epoch,
            weights: checkpoint.info.weights.name(),
            evaluation,
        }
    }

    /// The mAP to report (definition D), per cent.
    pub fn map(&self) -> Option<f64> {
        self.evaluation.report.map.map(|v| 100.0 * v)
    }

    /// The last part of the data set's path.
    pub fn data_name(&self) -> String {
        self.data.file_name().unwrap_or(self.data.as_os_str()).to_string_lossy().into_owned()
    }

    /// The split.
    pub fn split(&self) -> &str {
        &self.evaluation.split
    }

    /// Writes the JSON and the CSV beside the checkpoint. Where that folder cannot be written to, says so and goes on: the
    /// numbers are printed anyway.
    pub fn save(&self) -> Result<()> {
        for (extension, text) in [("json", serde_json::to_string_pretty(self)?), ("csv", self.csv()?)] {
            let path = self.checkpoint.with_extension(format!("{}.{extension}", self.evaluation.split));
            if let Err(error) = fs::write(&path, text) {
                let _ = writeln!(stderr(), "warning: cannot save {}: {error}", path.display());
            }
        }
        Ok(())
    }

    /// One line per label, numbers as fractions.
    fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record([
            "label",
            "ap",
            "positives",
            "negatives",
            "unknowns",
            "precision",
            "recall",
            "f1",
        ])?;
        for (name, label) in self.evaluation.labels.iter().zip(&self.evaluation.report.per_label) {
            let fraction = |v: Option<f64>| v.map(|v| format!("{v:.6}")).unwrap_or_default();
            writer.write_record([
                name.clone(),
                fraction(label.ap),
                label.positives.to_string(),
                label.negatives.to_string(),
                label.unknowns.to_string(),
                fraction(label.precision),
                fraction(label.recall),
                fraction(label.f1),
            ])?;
        }
        String::from_utf8(writer.into_inner()?).context("a label is not UTF-8")
    }

    /// The report for a person.
    pub fn text(&self) -> Result<String> {
        use std::fmt::Write;
        let (e, r) = (&self.evaluation, &self.evaluation.report);
        let mut text = String::new();
        let t = &mut text;
        writeln!(
            t,
            "{}: {}, epoch {}, {} weights",
            self.checkpoint.display(),
            self.model,
            self.epoch,
            self.weights
        )?;
        writeln!(
            t,
            "{} `{}`: {} images in {} on {}",
            self.data.display(),
            e.split,
            r.images,
            duration(e.seconds),
            e.device
        )?;
        writeln!(t)?;

        let mut labels = Table::new([
            "label",
            "AP",
            "positives",
            "negatives",
            "unknown",
            "threshold",
            "precision",
            "recall",
            "F1",
        ]);
        for (i, (name, label)) in e.labels.iter().zip(&r.per_label).enumerate() {
            let threshold = e.thresholds.as_ref().map_or(e.threshold, |thresholds| thresholds[i]);
            labels.row([
                name.clone(),
                percent(label.ap),
                label.positives.to_string(),
                label.negatives.to_string(),
                label.unknowns.to_string(),
                format!("{threshold:.3}"),
                percent(label.precision),
                percent(label.recall),
                percent(label.f1),
            ]);
        }
        writeln!(t, "{labels}")?;

        let mut means = Table::new(["mAP", "%", "definition"]);
        for definition in [Definition::D, Definition::A, Definition::B, Definition::Voc07] {
            means.row([
                definition.name().to_owned(),
                percent(r.mean_ap(definition)),
                definition.describe().to_owned(),
            ]);
        }
        write!(t, "{means}")?;
        if r.labels_without_positives > 0 {
            writeln!(
                t,
                "{} labels without a positive are left out of the means",
                r.labels_without_positives
            )?;
        }
        let at = &r.at_threshold;
        writeln!(t)?;
        match e.thresholds {
            Some(_) => writeln!(t, "at scores from each label's threshold:")?,
            None => writeln!(t, "at scores from {}:", e.threshold)?,
        }
        let [cp, cr, cf1, op, or, of1] =
            [at.cp, at.cr, at.cf1, at.op, at.or, at.of1].map(|v| percent(Some(v)));
        writeln!(t, "  per label    CP {cp}  CR {cr}  CF1 {cf1}")?;
        writeln!(t, "  overall      OP {op}  OR {or}  OF1 {of1}")?;
        writeln!(t, "  Hamming loss {}", number(at.hamming_loss, 4))?;
        writeln!(t, "  subset accuracy {}", percent(at.subset_accuracy))?;
        Ok(text)
    }
}
