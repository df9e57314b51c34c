//! The data set that a verb works on: where it lies, and how what its annotations leave open is read.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use mlcls_data::{Dataset, Difficult, ReadOptions};

/// Arguments that name a data set.
#[derive(clap::Args)]
pub struct Source {
    /// The data set, in any form that mlcls reads.
    #[arg(value_name = "DATA")]
    pub root: PathBuf,
    /// What a label is whose objects are all marked difficult (PASCAL VOC).
    #[arg(long, value_name = "STATE", value_enum, default_value = "unknown")]
    difficult: State,
}

/// What a doubtful object says about its label.
#[derive(Clone, Copy, ValueEnum)]
enum State {
    /// Left out of loss and metrics.
    Unknown,
    /// The label counts as shown.
    Positive,
    /// The label counts as not shown.
    Negative,
}

impl Source {
    /// Reads the annotations.
    pub fn open(&self) -> Result<Dataset> {
        let difficult = match self.difficult {
            State::Unknown => Difficult::Unknown,
            State::Positive => Difficult::Positive,
            State::Negative => Difficult::Negative,
        };
        Ok(Dataset::open(&self.root, &ReadOptions { difficult })?)
    }
}
