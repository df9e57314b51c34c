//! Data sets on disk, good and bad, through the public interface.
#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

mod datumaro;
mod extremes;
mod hostile;
mod images;
mod locate;
mod reference;
mod round_trip;
mod shared;
mod support;
mod voc;
