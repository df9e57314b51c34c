//! `mlcls demo`: draw a data set, train on it, evaluate, predict; everything that mlcls does, in one go.

mod dataset;
mod paint;
mod scene;
mod shape;

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mlcls_data::{Dataset, LabelState, ReadOptions};
use mlcls_train::{Checkpoint, EvalOptions, Layers, Outcome, Placement, Predictor, RunDir};

use crate::commands::data::check_empty;
use crate::commands::eval::EvalReport;
use crate::commands::{predict, train};
use crate::ui::progress;

/// Draw a multi-label data set, train on it, evaluate on its test split and predict a few images.
///
/// The scenes hold crosses, dice dots, grids, rings, stars and zigzags in any number; one in ten is empty.
/// Takes one to four minutes on two cores.
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the data and the run; new or empty.
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    out: PathBuf,
    /// Seed of the drawing and of the training.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// A tiny set and two epochs, to see that everything works; the model learns next to nothing.
    #[arg(long)]
    quick: bool,
    /// Draw the data set into DIR/data and stop there.
    #[arg(long)]
    data_only: bool,
}

/// The demo's settings: a schedule for random first weights and small drawings.
const SETTINGS: &str = include_str!("demo.yaml");

/// What `--quick` changes.
const QUICK_SETTINGS: &str = "model: {image_size: 32}\ntrain: {epochs: 2, batch_size: 16}";

/// Test images whose prediction is shown.
const SHOWN: usize = 8;

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let stop = train::stop_on_ctrl_c(&Placement::alone())?;
    let (data, run) = (args.out.join("data"), args.out.join("run"));
    if args.data_only {
        check_empty(&data)?;
    }
    let dir = (!args.data_only).then(|| RunDir::create(&run)).transpose()?;
    let size = match args.quick {
        true => dataset::Size { images: [64, 24, 24], side: 40 },
        false => dataset::Size { images: [7000, 500, 1000], side: 72 },
    };
    writeln!(stdout(), "drawing {} images into {}", size.images.iter().sum::<usize>(), data.display())?;
    dataset::draw(&data, size, args.seed)?;
    let Some(dir) = dir else {
        writeln!(stdout(), "next: mlcls train {0}, or mlcls data stats {0}", data.display())?;
        return Ok(ExitCode::SUCCESS);
    };

    let mut layers = Layers::new().text("the demo's settings", SETTINGS)?;
    if args.quick {
        layers = layers.text("the quick demo's settings", QUICK_SETTINGS)?;
    }
    let config = train::with_data(layers.flag("--seed", "train.seed", args.seed), &data)?.resolve()?;
    let summary = mlcls_train::train(&config, &dir, &mut *progress::sink(false), &stop)?;
    train::print_summary(&summary)?;
    if summary.outcome == Outcome::Interrupted {
        return Ok(ExitCode::from(train::INTERRUPTED));
    }

    let best = dir.best();
    let dataset = Dataset::open(&data, &ReadOptions::default())?;
    let report = EvalReport::of(&best, &dataset, "test", &EvalOptions::default())?;
    report.save()?;
    writeln!(
        stdout(),
        "\nthe best checkpoint on the test split, which it has never seen:\n\n{}",
        report.text()?
    )?;
    show_predictions(&best, &dataset)?;

    let mut out = stdout().lock();
    writeln!(out, "\ntest mAP:     {:.2} (definition D)", report.map().context("no label has a positive")?)?;
    writeln!(out, "data:         {}", data.display())?;
    writeln!(out, "run:          {}", run.display())?;
    writeln!(out, "next:         mlcls predict {} {}", best.display(), data.join("images/test").display())?;
    writeln!(out, "your own:     mlcls train DATA")?;
    Ok(ExitCode::SUCCESS)
}

/// Predicts the first test images, each under what was drawn.
fn show_predictions(best: &std::path::Path, dataset: &Dataset) -> Result<()> {
    let checkpoint = Checkpoint::load(best)?;
    let items: Vec<_> = dataset.require_split("test")?.items.iter().take(SHOWN).collect();
    let paths: Vec<PathBuf> = items.iter().map(|item| item.image.clone()).collect();
    let predictions = Predictor::new(&checkpoint, SHOWN)?.predict(&paths)?;
    let mut out = stdout().lock();
    writeln!(out, "predictions, with what was drawn:")?;
    for (item, prediction) in items.iter().zip(&predictions) {
        let drawn: Vec<&str> = dataset
            .labels
            .iter()
            .zip(&item.states)
            .filter(|(_, state)| **state == LabelState::Present)
            .map(|(name, _)| name.as_str())
            .collect();
        predict::print(&mut out, &checkpoint.info, prediction)?;
        writeln!(out, "    drawn: {}", if drawn.is_empty() { "-".to_owned() } else { drawn.join(", ") })?;
    }
    Ok(())
}
