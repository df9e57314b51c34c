//! Fetching published data sets: against a server on the loopback interface, and from archives put there by hand.
#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

mod archives;
mod download;
mod hostile;
mod server;
mod unpack;
