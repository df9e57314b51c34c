//! What is learned about a checkpoint after training, from a split that it was not trained on.

use std::path::PathBuf;

use anyhow::Result;
use mlcls_data::Dataset;
use mlcls_train::Checkpoint;

use super::data::Source;
use super::eval::checkpoint_path;

/// The arguments of commands that learn and keep such things.
#[derive(clap::Args)]
pub struct Tuning {
    /// Checkpoint, or the folder of a run (its best checkpoint).
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    #[command(flatten)]
    source: Source,
    /// Split to learn from, not one that was trained on.
    #[arg(long, value_name = "NAME", default_value = "val")]
    pub split: String,
    /// Write the changed checkpoint here, and leave CHECKPOINT as it is.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Change nothing, only print.
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
    /// Images per batch.
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    pub batch_size: u16,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl Tuning {
    /// The checkpoint and the data set.
    pub fn open(&self) -> Result<(Checkpoint, Dataset)> {
        Ok((Checkpoint::load(&checkpoint_path(&self.checkpoint)?)?, self.source.open()?))
    }

    /// Writes the checkpoint, unless nothing is to change; gives the place.
    pub fn keep(&self, checkpoint: &Checkpoint) -> Result<Option<PathBuf>> {
        if self.dry_run {
            return Ok(None);
        }
        let path = self.out.clone().map_or_else(|| checkpoint_path(&self.checkpoint), Ok)?;
        Checkpoint::save(&path, &checkpoint.model, &checkpoint.weights, &checkpoint.info)?;
        Ok(Some(path))
    }
}
