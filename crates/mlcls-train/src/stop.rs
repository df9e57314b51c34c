//! Asking a run to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A switch shared between a run and whoever may end it, for example a handler of Ctrl-C.
///
/// When it is thrown the run finishes its step, saves its state and returns with
/// [`Outcome::Interrupted`](crate::Outcome::Interrupted).
///
/// ```
/// let stop = mlcls_train::StopFlag::default();
/// let handler = stop.clone();
/// std::thread::spawn(move || handler.request()).join().unwrap();
/// assert!(stop.requested());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks the run to stop after its step.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the run was asked to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
