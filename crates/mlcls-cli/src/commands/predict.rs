//! `mlcls predict`: labels and scores of image files.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::Result;
use mlcls_train::{CheckpointInfo, Prediction, Predictor};
use serde_json::json;

use super::device::On;
use super::eval::load_checkpoint;
use super::images::Shown;

/// Predict the labels of images.
///
/// A file that is no usable image is reported and passed over; the exit code is then 1.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    shown: Shown,
    /// Score from which a label counts as predicted [default: the checkpoint's]
    #[arg(long, value_name = "SCORE", value_parser = super::score)]
    threshold: Option<f32>,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
    #[command(flatten)]
    on: On,
    /// Print one JSON object per line, with the scores of all labels.
    #[arg(long)]
    json: bool,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let device = args.on.device()?;
    let checkpoint = load_checkpoint(&args.shown.checkpoint, args.threshold)?;
    let mut predictor = Predictor::on(device, &checkpoint, args.batch_size.into())?;
    let mut paths = args.shown.files()?;
    let mut bad = 0usize;
    loop {
        let batch = paths.by_ref().take(args.batch_size.into()).collect::<Result<Vec<_>>>()?;
        if batch.is_empty() {
            break;
        }
        // Printed batch by batch: a list on standard input may be long, and what is done is of use.
        let mut out = stdout().lock();
        for prediction in predictor.predict(&batch)? {
            bad += usize::from(prediction.scores.is_err());
            if args.json {
                writeln!(out, "{}", as_json(&checkpoint.info, &prediction))?;
            } else {
                print(&mut out, &checkpoint.info, &prediction)?;
            }
        }
    }
    if bad > 0 {
        writeln!(stderr(), "{bad} of the images could not be used")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// One line: the file, then the predicted labels with their scores, best first; `-` where there are none.
pub fn print(out: &mut impl Write, info: &CheckpointInfo, prediction: &Prediction) -> Result<()> {
    match &prediction.scores {
        Ok(scores) => {
            let labels: Vec<String> =
                info.predicted(scores).iter().map(|(name, score)| format!("{name} {score:.3}")).collect();
            let labels = if labels.is_empty() { "-".to_owned() } else { labels.join("  ") };
            writeln!(out, "{}  {labels}", prediction.path.display())?;
        }
        Err(problem) => writeln!(stderr(), "skipped {problem}")?,
    }
    Ok(())
}

fn as_json(info: &CheckpointInfo, prediction: &Prediction) -> serde_json::Value {
    match &prediction.scores {
        Ok(scores) => {
            let all: serde_json::Map<_, _> =
                info.labels.iter().zip(scores).map(|(name, score)| (name.clone(), json!(score))).collect();
            let labels: Vec<&str> = info.predicted(scores).into_iter().map(|(name, _)| name).collect();
            json!({ "path": prediction.path, "labels": labels, "scores": all })
        }
        Err(problem) => json!({ "path": prediction.path, "error": problem.problem.to_string() }),
    }
}
