//! `mlcls data convert`: a data set in another format.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use mlcls_data::{Images, WriteFormat, write_dataset};

use super::source::Source;

/// Write a data set in another format.
///
/// Says which label states the format cannot hold.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Folder for the new data set; must be empty or not exist.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// The new format.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "datumaro")]
    to: To,
    /// What to do about the image files.
    #[arg(long, value_name = "HOW", value_enum, default_value = "copy")]
    images: ImageFiles,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    Datumaro,
}

/// How images come into a new data set.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ImageFiles {
    /// Copy each file.
    Copy,
    /// Give each file a second name (hard link); needs no space, and works within one file system.
    Link,
    /// Make symbolic links; the old data set must stay where it is.
    Symlink,
}

impl From<ImageFiles> for Images {
    fn from(images: ImageFiles) -> Self {
        match images {
            ImageFiles::Copy => Self::Copy,
            ImageFiles::Link => Self::HardLink,
            ImageFiles::Symlink => Self::Symlink,
        }
    }
}

/// Refuses a folder for new files that already holds some.
pub fn check_empty(out: &Path) -> Result<()> {
    let mut entries = match out.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("cannot look into {}", out.display())),
    };
    if entries.next().is_some() {
        bail!("{} is not empty; name a new folder, or remove this one first", out.display());
    }
    Ok(())
}

/// The command.
pub fn run(args: &Args) -> Result<ExitCode> {
    check_empty(&args.out)?;
    let dataset = args.source.open()?;
    let format = match args.to {
        To::Datumaro => WriteFormat::Datumaro,
    };
    let mut out = stdout().lock();
    writeln!(out, "{}", dataset.summary())?;
    let lost = write_dataset(&dataset, &args.out, format, args.images.into())?;
    for sentence in lost {
        writeln!(out, "lost: {sentence}")?;
    }
    writeln!(out, "written to {}", args.out.display())?;
    Ok(ExitCode::SUCCESS)
}
