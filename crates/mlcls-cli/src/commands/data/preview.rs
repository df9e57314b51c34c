//! `mlcls data preview`: images as the network sees them.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use mlcls_data::augment::UnknownPreset;
use mlcls_data::{AugmentRecipe, Dataset, Item, LoaderOptions, Split};
use mlcls_report::{SheetOptions, contact_sheet};

use super::source::Source;

/// Draw images as the network sees them, with their labels, into a PNG file.
///
/// These are the images that a training with the same seed begins with, augmented as it augments them. Unknown labels
/// have a question mark.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Split to show [default: train, or the first].
    #[arg(long, value_name = "SPLIT")]
    split: Option<String>,
    /// Augmentation: none, table, plateau or crop_flip.
    #[arg(long, value_name = "NAME", default_value = "table", value_parser = preset)]
    augment: (String, AugmentRecipe),
    /// Images to show.
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u16).range(1..=1000))]
    images: u16,
    /// Show each image plain and then augmented so many times.
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u8).range(0..=20))]
    variants: u8,
    /// Side of the network's input in pixels.
    #[arg(long, value_name = "PIXELS", default_value = "224", value_parser = clap::value_parser!(u16).range(16..=2048))]
    size: u16,
    /// Decides which images are shown, and how they are augmented.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    /// File to write.
    #[arg(long, value_name = "FILE", default_value = "preview.png")]
    out: PathBuf,
}

/// Parses the name of an augmentation.
fn preset(name: &str) -> Result<(String, AugmentRecipe), UnknownPreset> {
    Ok((name.to_owned(), AugmentRecipe::preset(name)?))
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let dataset = args.source.open()?;
    let split = split(args, &dataset)?;
    let (name, augment) = &args.augment;
    let loader = LoaderOptions {
        size: args.size.into(),
        seed: args.seed,
        source: augment.default_source(),
        augment: augment.clone(),
        ..LoaderOptions::default()
    };
    let options = SheetOptions { images: args.images.into(), variants: args.variants.into(), loader };
    let items: Arc<[Item]> = split.items.clone().into();
    let sheet = contact_sheet(&items, &dataset.labels, &options)
        .context("mlcls data check lists every image that cannot be used")?;
    let format = image::ImageFormat::Png;
    let (width, height) = (sheet.width(), sheet.height());
    let save = |file: &PathBuf| {
        image::save_buffer_with_format(file, sheet.data(), width, height, image::ColorType::Rgb8, format)
    };
    save(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    writeln!(
        stdout().lock(),
        "{} of {} images of {}, augmentation {name}, {} pixels: {} ({width} x {height})",
        items.len().min(args.images.into()),
        items.len(),
        split.name,
        args.size,
        args.out.display()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The split asked for, or the one to train on, or the first.
fn split<'a>(args: &Args, dataset: &'a Dataset) -> Result<&'a Split> {
    if let Some(name) = &args.split {
        return Ok(dataset.require_split(name)?);
    }
    let first = dataset.split("train").or_else(|| dataset.splits.first());
    first.with_context(|| format!("{}: there is no split to show", dataset.root.display()))
}
