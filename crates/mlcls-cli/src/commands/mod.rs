//! One file per command: its flags, and what it does with them.

pub mod calibrate;
pub mod config;
pub mod data;
mod device;
pub mod doctor;
pub mod eval;
pub mod explain;
pub mod export;
pub mod find;
mod images;
pub mod optimize;
pub mod predict;
pub mod probe;
pub mod report;
mod settings;
pub mod suggest;
pub mod thresholds;
pub mod train;
mod tuning;
pub mod weights;

use std::path::Path;

use anyhow::{Context, Result};
use mlcls_models::write_atomic;

/// Writes a finished table as one change.
fn save_table(path: &Path, table: csv::Writer<Vec<u8>>) -> Result<()> {
    let bytes = table.into_inner().context("cannot write a table")?;
    Ok(write_atomic(path, |file| file.write_all(&bytes))?)
}

/// Parses a score: a number from 0 to 1.
fn score(word: &str) -> std::result::Result<f32, String> {
    match word.parse() {
        Ok(score) if (0.0..=1.0).contains(&score) => Ok(score),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}
