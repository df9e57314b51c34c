//! Data sets on disk, good and bad, through the public interface.

mod datumaro;
mod hostile;
mod images;
mod locate;
mod reference;
mod round_trip;
mod shared;
mod support;
mod voc;
