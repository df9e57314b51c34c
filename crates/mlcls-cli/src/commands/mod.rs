//! One file per command: its flags, and what it does with them.

pub mod calibrate;
pub mod config;
pub mod data;
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

/// Parses a score: a number from 0 to 1.
fn score(word: &str) -> Result<f32, String> {
    match word.parse() {
        Ok(score) if (0.0..=1.0).contains(&score) => Ok(score),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}
