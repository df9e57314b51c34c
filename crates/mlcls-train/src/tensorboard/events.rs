//! An event file: what one process adds to a run of TensorBoard.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::proto::{Event, SessionLog, Summary, Value, What};
use super::record::write_record;
use crate::error::{Error, Result};

/// What TensorBoard knows an event file by.
const PREFIX: &str = "events.out.tfevents.";

/// An open event file. What is added lies in memory until [`flush`](Self::flush).
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    out: BufWriter<File>,
}

impl EventFile {
    /// Begins a file in a folder, which is made where it is not there. Readers drop what earlier files of the folder say about
    /// steps from `step` on: those are done again.
    pub fn create(folder: &Path, step: u64) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let entries = entries.map_err(Error::io("read", folder))?;
        let number = |name: &str| name.strip_prefix(PREFIX)?.get(..10)?.parse::<u64>().ok();
        let last = entries.iter().filter_map(|e| number(&e.file_name().to_string_lossy())).max();
        // Files are read in the order of their names, which begin with a time everywhere; two may begin within a second,
        // and a clock may be set back.
        let name = (seconds() as u64).max(last.map_or(0, |last| last + 1));
        let path = folder.join(format!("{PREFIX}{name:010}.mlcls"));
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let mut events = Self { path, out: BufWriter::with_capacity(1 << 16, file) };
        events.push(0, What::FileVersion("brain.Event:2".to_owned()))?;
        if last.is_some() {
            events.push(step, What::SessionLog(SessionLog { status: 1 }))?;
        }
        Ok(events)
    }

    /// Adds values of a step.
    pub fn add(&mut self, step: u64, value: Vec<Value>) -> Result<()> {
        self.push(step, What::Summary(Summary { value }))
    }

    /// Forces everything to disk.
    pub fn flush(&mut self) -> Result<()> {
        self.out.flush().and_then(|()| self.out.get_ref().sync_data()).map_err(Error::io("write", &self.path))
    }

    fn push(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event { wall_time: seconds(), step: step as i64, what: Some(what) };
        write_record(&mut self.out, &event.encode_to_vec()).map_err(Error::io("write", &self.path))
    }
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
