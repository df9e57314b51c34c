//! `metrics.csv`: one row per epoch.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::ema::WeightsKind;
use crate::error::{Error, Result};

/// The numbers of one validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Validation {
    /// Epoch, from 1; 0 is the start.
    pub epoch: usize,
    /// Which weights.
    pub weights: WeightsKind,
    /// Loss per image and known label.
    pub loss: f64,
    /// Mean average precision (definition D), per cent.
    #[serde(rename = "mAP")]
    pub map: f64,
    /// Harmonic mean of the per-label mean precision and recall, per cent.
    #[serde(rename = "CF1")]
    pub cf1: f64,
    /// F1 over all cells, per cent.
    #[serde(rename = "OF1")]
    pub of1: f64,
    /// Share of cells on the right side of the threshold, per cent.
    pub accuracy: f64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// One row of `metrics.csv`. A number that was not measured in the epoch is `None`, an empty cell in the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// Epoch, from 1; 0 is the start.
    pub epoch: usize,
    /// Training loss per image and known label, mean over the epoch.
    pub train_loss: Option<f64>,
    /// Validation loss per image and known label.
    pub val_loss: Option<f64>,
    /// Validation mAP of the trained weights, per cent.
    #[serde(rename = "mAP")]
    pub map: Option<f64>,
    /// Harmonic mean of per-label mean precision and recall, per cent.
    #[serde(rename = "CF1")]
    pub cf1: Option<f64>,
    /// F1 over all cells, per cent.
    #[serde(rename = "OF1")]
    pub of1: Option<f64>,
    /// Share of cells on the right side of the threshold, per cent.
    pub accuracy: Option<f64>,
    /// Validation mAP of the averaged weights, per cent.
    #[serde(rename = "ema_mAP")]
    pub ema_map: Option<f64>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Seconds of the epoch with its validation.
    pub seconds: f64,
    /// Whether the best checkpoint was replaced.
    pub best: bool,
}

impl Row {
    /// The columns, in order.
    pub const COLUMNS: &'static str =
        "epoch,train_loss,val_loss,mAP,CF1,OF1,accuracy,ema_mAP,lr,seconds,best";

    /// Takes over the numbers of a validation of the trained weights.
    pub(crate) fn set_validation(&mut self, v: &Validation) {
        (self.val_loss, self.map) = (Some(v.loss), Some(v.map));
        (self.cf1, self.of1, self.accuracy) = (Some(v.cf1), Some(v.of1), Some(v.accuracy));
    }

    /// The rows of a run's `metrics.csv`.
    ///
    /// # Errors
    /// The file cannot be read or is not one of these; the line is named.
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let wrong = |line: usize, reason: String| {
            let problem =
                std::io::Error::new(std::io::ErrorKind::InvalidData, format!("line {line}: {reason}"));
            Error::io("read", path)(problem)
        };
        let mut lines = (1..).zip(text.lines());
        match lines.next() {
            Some((_, header)) if header == Self::COLUMNS => {}
            header => {
                let found = header.map_or("nothing", |(_, header)| header);
                return Err(wrong(1, format!("expected the columns {}, found {found}", Self::COLUMNS)));
            }
        }
        let row = |(line, text): (usize, &str)| {
            Self::from_line(text).ok_or_else(|| wrong(line, format!("expected 11 numbers, found `{text}`")))
        };
        lines.map(row).collect()
    }

    fn from_line(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split(',').collect();
        let [epoch, train_loss, val_loss, map, cf1, of1, accuracy, ema_map, lr, seconds, best] = cells[..]
        else {
            return None;
        };
        let number = |cell: &str| match cell {
            "" => Some(None),
            cell => cell.parse().ok().map(Some),
        };
        Some(Self {
            epoch: epoch.parse().ok()?,
            train_loss: number(train_loss)?,
            val_loss: number(val_loss)?,
            map: number(map)?,
            cf1: number(cf1)?,
            of1: number(of1)?,
            accuracy: number(accuracy)?,
            ema_map: number(ema_map)?,
            lr: lr.parse().ok()?,
            seconds: seconds.parse().ok()?,
            best: best == "1",
        })
    }

    fn to_line(&self) -> String {
        let mut line = self.epoch.to_string();
        let cells =
            [self.train_loss, self.val_loss, self.map, self.cf1, self.of1, self.accuracy, self.ema_map];
        for cell in cells {
            line.push(',');
            if let Some(value) = cell {
                let _ = write!(line, "{value:.6}"); // writing to a string cannot fail
            }
        }
        let _ = writeln!(line, ",{:e},{:.2},{}", self.lr, self.seconds, u8::from(self.best));
        line
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct History {
    path: PathBuf,
    file: File,
    len: u64,
}

impl History {
    /// Opens the file as it was when it had `len` bytes; rows after that come from steps that will be done again.
    /// A `len` of 0 starts the file.
    pub fn open(path: &Path, len: u64) -> Result<Self> {
        let opened = || -> std::io::Result<Self> {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            let mut len = len.min(file.metadata()?.len());
            file.set_len(len)?;
            file.seek(SeekFrom::End(0))?;
            if len == 0 {
                let header = format!("{}\n", Row::COLUMNS);
                file.write_all(header.as_bytes())?;
                len = header.len() as u64;
            }
            file.sync_all()?;
            Ok(Self { path: path.to_owned(), file, len })
        };
        opened().map_err(Error::io("open", path))
    }

    /// Adds a row and forces it to disk.
    pub fn push(&mut self, row: &Row) -> Result<()> {
        let line = row.to_line();
        let write = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        write.map_err(Error::io("write", &self.path))?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Bytes in the file, to be kept with the state of the run.
    pub fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_after_the_kept_length_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        let row = |epoch| Row { epoch, map: Some(50.0), lr: 0.001, best: true, ..Row::default() };
        let mut history = History::open(&path, 0).unwrap();
        history.push(&row(1)).unwrap();
        let kept = history.len();
        history.push(&row(2)).unwrap();
        drop(history);

        let mut history = History::open(&path, kept).unwrap();
        history.push(&row(3)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, [Row::COLUMNS, "1,,,50.000000,,,,,1e-3,0.00,1", "3,,,50.000000,,,,,1e-3,0.00,1"]);
        assert_eq!(history.len(), text.len() as u64);

        assert_eq!(Row::read(&path).unwrap(), [row(1), row(3)]);
        std::fs::write(&path, format!("{}\n1,x,,,,,,,1,1,1\n", Row::COLUMNS)).unwrap();
        let message = Row::read(&path).unwrap_err().to_string();
        assert!(message.contains("metrics.csv") && message.contains("line 2"), "{message}");
        std::fs::write(&path, "loss\n1\n").unwrap();
        assert!(Row::read(&path).unwrap_err().to_string().contains("found loss"));
    }
}
