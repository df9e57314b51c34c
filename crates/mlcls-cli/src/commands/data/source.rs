//! The data set that a verb works on: where it lies, and how what its annotations leave open is read.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use mlcls_data::{Dataset, Doubtful, ReadOptions};

/// Arguments that name a data set.
#[derive(clap::Args)]
pub struct Source {
    /// The data set, in any form that mlcls reads.
    #[arg(value_name = "DATA")]
    pub root: PathBuf,
    /// What a label is whose objects are all marked difficult (PASCAL VOC).
    #[arg(long, value_name = "STATE", value_enum, default_value = "unknown")]
    difficult: State,
    /// What a label is that an image shows only in crowd regions (COCO).
    #[arg(long, value_name = "STATE", value_enum, default_value = "positive")]
    crowd: State,
}

/// What a doubtful object says about its label.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum State {
    /// Left out of loss and metrics.
    Unknown,
    /// The label counts as shown.
    Positive,
    /// The label counts as not shown.
    Negative,
}

impl From<State> for Doubtful {
    fn from(state: State) -> Self {
        match state {
            State::Unknown => Self::Unknown,
            State::Positive => Self::Positive,
            State::Negative => Self::Negative,
        }
    }
}

impl Source {
    /// Reads the annotations.
    pub fn open(&self) -> Result<Dataset> {
        let options = ReadOptions { difficult: self.difficult.into(), crowd: self.crowd.into() };
        Ok(Dataset::open(&self.root, &options)?)
    }
}
