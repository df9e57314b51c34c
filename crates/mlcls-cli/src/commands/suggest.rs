//! `mlcls suggest`: labels for images that have none, for a person to look through.

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use mlcls_data::{Dataset, Format, Item, LabelState, Split, WriteFormat, write_dataset};
use mlcls_metrics::Calibration;
use mlcls_probe::{Order, Seen, SuggestOptions, Suggestion, see, suggest};
use mlcls_train::Checkpoint;

use super::data::{ImageFiles, check_empty};
use super::eval::checkpoint_path;
use super::images::Shown;
use crate::ui::progress::with_bar;

/// Suggest labels for images that have none, the most doubtful first, for a person to look through.
///
/// Labels that the model is sure of are suggested as present or absent; the others stay unknown, and training on them learns
/// nothing from these. Among many images those are chosen that differ from each other.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    shown: Shown,
    /// A table (suggestions.csv), or a new folder for a data set in Datumaro's form with the images.
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// Which come first.
    #[arg(long, value_name = "ORDER", value_enum, default_value = "uncertain")]
    order: OrderName,
    /// The most images of the list.
    #[arg(long, value_name = "N", default_value_t = SuggestOptions::default().count)]
    count: usize,
    /// Score from which a label is suggested as present.
    #[arg(long, value_name = "SCORE", value_parser = super::score, default_value_t = SuggestOptions::default().present)]
    present: f32,
    /// Score up to which it is suggested as absent.
    #[arg(long, value_name = "SCORE", value_parser = super::score, default_value_t = SuggestOptions::default().absent)]
    absent: f32,
    /// What to do about the image files of a new folder.
    #[arg(long = "images", value_name = "HOW", value_enum, default_value = "copy")]
    files: ImageFiles,
}

/// Which images come first.
#[derive(Clone, Copy, ValueEnum)]
enum OrderName {
    /// Those in most doubt.
    Uncertain,
    /// Those in least doubt.
    Sure,
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.absent >= args.present {
        bail!("--absent {} must be below --present {}", args.absent, args.present);
    }
    let table = args.out.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    if !table {
        check_empty(&args.out)?;
    }
    let checkpoint = Checkpoint::load(&checkpoint_path(&args.shown.checkpoint)?)?;
    let paths = args.shown.files()?.collect::<Result<Vec<_>>>()?;
    let seen = with_bar(|progress| see(&checkpoint, &paths, progress))?;
    for problem in &seen.problems {
        writeln!(stderr(), "skipped {problem}")?;
    }
    let options = SuggestOptions {
        order: match args.order {
            OrderName::Uncertain => Order::Uncertain,
            OrderName::Sure => Order::Sure,
        },
        count: args.count,
        present: args.present,
        absent: args.absent,
    };
    let labels = &checkpoint.info.labels;
    let list = suggest(&seen, labels.len(), &options);

    let mut out = stdout().lock();
    if checkpoint.info.calibration == Calibration::None && checkpoint.info.loss.name() != "bce" {
        writeln!(
            out,
            "note: scores of this checkpoint are no probabilities, so --present and --absent say little; `mlcls calibrate` mends that"
        )?;
    }
    let scores = PathBuf::from(format!("{}.scores.csv", args.out.with_extension("").display()));
    if table {
        write_table(&args.out, &list, &seen, labels)?;
    } else {
        let data = dataset(&args.out, &list, &seen, labels)?;
        write_dataset(&data, &args.out, WriteFormat::Datumaro, args.files.into())?;
    }
    write_scores(&scores, &list, &seen, labels)?;
    let count = |state| list.iter().flat_map(|s| &s.states).filter(|s| **s == state).count();
    writeln!(
        out,
        "{} of {} images: {} labels suggested as present, {} as absent, {} left unknown",
        list.len(),
        seen.paths.len(),
        count(LabelState::Present),
        count(LabelState::Absent),
        count(LabelState::Unknown)
    )?;
    writeln!(out, "suggestions:  {}", args.out.display())?;
    writeln!(out, "scores:       {}", scores.display())?;
    if table && list.iter().any(|s| path_in_table(&args.out, &seen.paths[s.image]).1) {
        writeln!(out, "note: to train on this table, write it into a folder above the images")?;
    }
    let failed = !seen.problems.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How a table names an image, and whether that is outside its folder.
fn path_in_table(table: &Path, image: &Path) -> (String, bool) {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = table.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (folder, image) = (absolute(folder), absolute(image));
    match image.strip_prefix(&folder) {
        Ok(inside) => (inside.display().to_string(), false),
        Err(_) => (image.display().to_string(), true),
    }
}

/// A table as the reader of CSV takes it.
fn write_table(file: &Path, list: &[Suggestion], seen: &Seen, labels: &[String]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(["image", "split"].into_iter().chain(labels.iter().map(String::as_str)))?;
    for suggestion in list {
        let (path, _) = path_in_table(file, &seen.paths[suggestion.image]);
        let states = suggestion.states.iter().map(|state| match state {
            LabelState::Present => "1",
            LabelState::Absent => "0",
            LabelState::Unknown => "",
        });
        writer.write_record([path.as_str(), "train"].into_iter().chain(states))?;
    }
    super::save_table(file, writer)
}

/// What the person wants to know of each: how doubtful it is, what is suggested, what is not sure, and all scores.
fn write_scores(file: &Path, list: &[Suggestion], seen: &Seen, labels: &[String]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(vec![]);
    let head = ["path", "doubt", "present", "unsure"];
    writer.write_record(head.into_iter().chain(labels.iter().map(String::as_str)))?;
    for suggestion in list {
        let names = |state| {
            let of_state = labels.iter().zip(&suggestion.states).filter(|(_, s)| **s == state);
            of_state.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("; ")
        };
        let row = &seen.scores[suggestion.image * labels.len()..(suggestion.image + 1) * labels.len()];
        let cells = [
            seen.paths[suggestion.image].display().to_string(),
            format!("{:.4}", suggestion.doubt),
            names(LabelState::Present),
            names(LabelState::Unknown),
        ];
        writer.write_record(cells.into_iter().chain(row.iter().map(|score| format!("{score:.4}"))))?;
    }
    super::save_table(file, writer)
}

/// The list as a data set whose only split is `train`; ids are the files' names, with a number where they would be the same.
fn dataset(root: &Path, list: &[Suggestion], seen: &Seen, labels: &[String]) -> Result<Dataset> {
    let mut used = std::collections::HashSet::new();
    let mut items = vec![];
    for suggestion in list {
        let image = seen.paths[suggestion.image].clone();
        let stem = image.file_stem().context("an image without a name")?.to_string_lossy().into_owned();
        let mut names = std::iter::once(stem.clone()).chain((2..).map(|n| format!("{stem}_{n}")));
        let id = names.find(|name| used.insert(name.clone())).unwrap_or(stem.clone());
        items.push(Item { id, image, states: suggestion.states.clone() });
    }
    Ok(Dataset {
        root: root.to_owned(),
        format: Format::Datumaro,
        labels: labels.to_vec(),
        splits: vec![Split { name: "train".to_owned(), items }],
        notes: vec![],
    })
}
