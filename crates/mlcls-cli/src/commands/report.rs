//! `mlcls report`: one page about what a model is worth and where it errs.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use mlcls_data::{Item, Rgb, decode_file, resize};
use mlcls_export::saliency::{Explainer, Method, normalise};
use mlcls_metrics::{Answer, Scores, SuspectedError, Threshold, suspected_label_errors};
use mlcls_models::write_atomic;
use mlcls_report::{Curves, EvaluationReport, Example, Mistake, evaluation_page, overlay, thumbnail};
use mlcls_train::{Checkpoint, EvalOptions, Row, RunDir, evaluate_checkpoint};
use rayon::prelude::*;

use super::data::Source;
use super::eval::{checkpoint_path, default_split};

/// Write a page about a model: curves, metrics of each label, reliability, its worst mistakes, doubtful answers.
///
/// The page is one HTML file that loads nothing. Beside it lies a CSV of all answers in the data that may be wrong.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of a run (its best checkpoint, and its training curves), or a checkpoint.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Split to evaluate on [default: test, or the only one]
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// File to write [default: report.SPLIT.html in the folder of the run, or beside the checkpoint]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Score from which a label counts as predicted [default: the checkpoint's]
    #[arg(long, value_name = "SCORE", value_parser = super::score)]
    threshold: Option<f32>,
    /// Images shown for each label and kind of mistake.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(0..=50))]
    examples: u8,
    /// Doubtful answers that are shown; the CSV has all.
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u16).range(0..=1000))]
    doubtful: u16,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
}

/// Longest side of a picture in the page, in pixels.
const SIDE: u32 = 240;

/// Images that are explained together.
const TOGETHER: usize = 16;

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let path = checkpoint_path(&args.checkpoint)?;
    let checkpoint = Checkpoint::load(&path)?;
    let dataset = args.source.open()?;
    let split = args.split.as_deref().map_or_else(|| default_split(&dataset), Ok)?;
    let options =
        EvalOptions { batch_size: args.batch_size.into(), threshold: args.threshold, ..Default::default() };
    let evaluation = evaluate_checkpoint(&checkpoint, &dataset, split, &options)?;
    let (scores, threshold) = (evaluation.view()?, evaluation.used());
    let items = &dataset.require_split(split)?.items;

    let chosen = worst(&scores, threshold, args.examples.into());
    let suspects = suspected_label_errors(&scores);
    let shown = &suspects[..suspects.len().min(args.doubtful.into())];
    let wanted = chosen.iter().map(|m| (m.image, m.label)).chain(shown.iter().map(|s| (s.image, s.label)));
    let examples = examples(&checkpoint, items, wanted)?;
    let example = |image: usize, label: usize| examples.get(&(image, label)).cloned();
    let mistake = |m: &Wrong| {
        let Wrong { label, predicted, score, .. } = *m;
        Some(Mistake { label, predicted, score, example: example(m.image, label)? })
    };
    let mistakes: Vec<Mistake> = chosen.iter().filter_map(mistake).collect();
    let shown_count = shown.len();
    let with_example = |(i, s): (usize, &SuspectedError)| {
        (*s, if i < shown_count { example(s.image, s.label) } else { None })
    };
    let doubtful: Vec<_> = suspects.iter().enumerate().map(with_example).collect();

    let out = args.out.clone().unwrap_or_else(|| {
        let folder = if args.checkpoint.is_dir() { Some(&*args.checkpoint) } else { path.parent() };
        folder.unwrap_or(Path::new("")).join(format!("report.{split}.html"))
    });
    let list = out.with_extension("doubtful.csv");
    let history = history(&args.checkpoint)?;
    let info = &checkpoint.info;
    let name = dataset.root.file_name().unwrap_or(dataset.root.as_os_str()).to_string_lossy();
    let page = evaluation_page(&EvaluationReport {
        title: &format!("{} on {name}", info.model),
        lead: &format!(
            "{}, epoch {}, on `{split}` of {}",
            path.display(),
            info.epoch,
            dataset.root.display()
        ),
        labels: &info.labels,
        scores,
        threshold,
        metrics: &evaluation.report,
        curves: &curves(&history),
        mistakes: &mistakes,
        suspects: &doubtful,
        suspects_file: &list.file_name().unwrap_or_default().to_string_lossy(),
    });
    write_atomic(&out, |file| file.write_all(page.as_bytes()))?;
    save_list(&list, &suspects, items, &info.labels)?;
    let mut to = stdout().lock();
    writeln!(
        to,
        "{}  {:.1} MB, {} images of `{split}`",
        out.display(),
        page.len() as f64 / 1e6,
        items.len()
    )?;
    writeln!(to, "{}  {} answers that may be wrong", list.display(), suspects.len())?;
    Ok(ExitCode::SUCCESS)
}

/// A wrong decision about a label of an image.
struct Wrong {
    image: usize,
    label: usize,
    predicted: bool,
    score: f32,
}

/// Of each label, up to `most` false positives with the highest scores and false negatives with the lowest.
fn worst(scores: &Scores<'_>, threshold: Threshold<'_>, most: usize) -> Vec<Wrong> {
    let of_label = |label: usize| {
        let decisions = || scores.label(label).enumerate();
        let wrong = |predicted: bool, answer: Answer| {
            let mut all: Vec<Wrong> = decisions()
                .filter(|(_, (score, given))| {
                    *given == answer && (*score >= threshold.of(label)) == predicted
                })
                .map(|(image, (score, _))| Wrong { image, label, predicted, score })
                .collect();
            all.sort_by(|a, b| a.score.total_cmp(&b.score));
            if predicted {
                all.reverse();
            }
            all.truncate(most);
            all
        };
        let mut both = wrong(true, Answer::Absent);
        both.extend(wrong(false, Answer::Present));
        both
    };
    (0..scores.labels()).flat_map(of_label).collect()
}

/// Pictures of images, each with the map of a label over it.
fn examples(
    checkpoint: &Checkpoint,
    items: &[Item],
    wanted: impl Iterator<Item = (usize, usize)>,
) -> Result<BTreeMap<(usize, usize), Example>> {
    let Checkpoint { info, model, weights } = checkpoint;
    let mut labels_of = BTreeMap::<usize, Vec<usize>>::new();
    wanted.for_each(|(image, label)| labels_of.entry(image).or_default().push(label));
    let images: Vec<usize> = labels_of.keys().copied().collect();
    let mut explainer = Explainer::new(model, weights, Method::ReciproCam, TOGETHER)?;
    let mut examples = BTreeMap::new();
    for images in images.chunks(TOGETHER) {
        let pictures: Vec<Rgb> =
            images.par_iter().map(|&i| decode_file(&items[i].image)).collect::<Result<_, _>>()?;
        let side = info.image_size as u32;
        let inputs: Vec<u8> = pictures
            .par_iter()
            .flat_map_iter(|picture| resize(picture, side, side, info.resize).into_data())
            .collect();
        let explained = explainer.run(&inputs, images.len())?;
        let made = images.par_iter().zip(&pictures).enumerate().flat_map_iter(|(row, (&image, picture))| {
            let small = thumbnail(picture, SIDE);
            let explained = &explained;
            labels_of[&image].iter().map(move |&label| {
                let map = normalise(explained.map(row, label));
                let overlay = overlay(&small, &map, explained.height, 0.5);
                ((image, label), Example { id: items[image].id.clone(), picture: small.clone(), overlay })
            })
        });
        examples.extend(made.collect::<Vec<_>>());
    }
    Ok(examples)
}

/// The epochs of a run; none for a checkpoint alone.
fn history(path: &Path) -> Result<Vec<Row>> {
    if !path.is_dir() {
        return Ok(vec![]);
    }
    let file = RunDir::with_checkpoint(path)?.metrics();
    if file.exists() { Ok(Row::read(&file)?) } else { Ok(vec![]) }
}

fn curves(rows: &[Row]) -> Vec<Curves<'static>> {
    let line = |name: &'static str, of: fn(&Row) -> Option<f64>| {
        let values: Vec<_> = rows.iter().filter_map(|row| Some((row.epoch as f64, of(row)?))).collect();
        (!values.is_empty()).then_some((name, values))
    };
    let plots = [
        ("Loss", "loss per known answer", vec![line("train", |r| r.train_loss), line("val", |r| r.val_loss)]),
        (
            "Validation",
            "%",
            vec![
                line("mAP", |r| r.map),
                line("mAP, averaged weights", |r| r.ema_map),
                line("CF1", |r| r.cf1),
                line("OF1", |r| r.of1),
            ],
        ),
        ("Learning rate", "", vec![line("learning rate", |r| Some(r.lr))]),
    ];
    let curves = plots.into_iter().map(|(title, y, lines)| Curves {
        title,
        y,
        lines: lines.into_iter().flatten().collect(),
    });
    curves.filter(|curves| !curves.lines.is_empty()).collect()
}

/// One line per doubtful answer.
pub fn save_list(path: &Path, suspects: &[SuspectedError], items: &[Item], labels: &[String]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(["image", "path", "label", "given", "score", "doubt"])?;
    for suspect in suspects {
        let item = &items[suspect.image];
        writer.write_record([
            item.id.as_str(),
            &*item.image.to_string_lossy(),
            &labels[suspect.label],
            if suspect.given { "1" } else { "0" },
            &format!("{:.6}", suspect.score),
            &format!("{:.6}", suspect.doubt),
        ])?;
    }
    super::save_table(path, writer)
}
