//! Data sets on disk, good and bad, through the public interface.
#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

mod archives;
mod coco;
mod coco_write;
mod csv;
mod csv_refused;
mod datumaro;
mod datumaro_refused;
mod extremes;
mod folders;
mod hostile;
mod hostile_coco;
mod hostile_tables;
mod images;
mod locate;
mod reference;
mod roboflow_csv;
mod round_trip;
mod shared;
mod support;
mod voc;
mod written;
